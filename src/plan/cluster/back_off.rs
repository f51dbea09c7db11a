//! Workers that end as soon as they start are created again after a delay that doubles, as the kubelet
//! restarts containers: a group that cannot work must not be made in a loop. What is known of it stands in
//! the status, so that a restart of the operator does not begin anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::group::Group;
use super::observed::Observed;
use crate::api::dask_cluster::EarlyEnds;
use crate::api::{DaskCluster, labels};
use crate::plan::pods::{ends, scheduler, state, worker};

/// The delay after the first end, and the longest one: those of the kubelet.
const DELAY_MIN: Duration = Duration::from_secs(10);
const DELAY_MAX: Duration = Duration::from_secs(300);

/// What is known of the workers of a group that ended as soon as they started.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct BackOff {
    /// What the status says of it.
    pub(super) record: Option<EarlyEnds>,
    /// The pods that have ended so, by name. They keep the places of their successors until then.
    pub(super) pods: Vec<String>,
    /// When their successors are created.
    pub(super) until: Option<Timestamp>,
    /// Whether they ended once more since the status was written.
    pub(super) is_news: bool,
}

impl BackOff {
    /// What is known of this group, whose pods and size are known.
    pub(super) fn of(group: &Group<'_>, cluster: &DaskCluster, observed: &Observed) -> Self {
        let known = group.told.and_then(|told| told.early_ends.as_ref());
        let Some(hash) = group.hash.as_deref() else { return Self::default() };
        let known = known.filter(|known| known.template == hash);
        let is_early = |pod: &&&Arc<Pod>| {
            state::label(pod, labels::TEMPLATE_HASH) == Some(hash)
                && ends::ended_early(pod)
                && !observed.retirements.has_let_go(pod)
                && !outlived_a_scheduler(pod, cluster, observed)
        };
        let early: Vec<&Arc<Pod>> = group.finished.iter().filter(is_early).copied().collect();
        let Some(newest) = early.iter().filter_map(|pod| ends::ended_at(pod)).max() else {
            let none = BTreeSet::new();
            let registered = group.registered(observed.scheduler.registered().unwrap_or(&none));
            let is_over = group.wanted > 0 && registered >= group.wanted;
            return Self { record: known.filter(|_| !is_over).cloned(), ..Self::default() };
        };
        // Those of one round were all created before the first of them ended.
        let is_further = |known: &EarlyEnds| early.iter().any(|pod| created(pod) > known.last.0);
        let times = known.map_or(1, |known| known.times.saturating_add(i32::from(is_further(known))));
        let last = known.map_or(newest, |known| known.last.0.max(newest));
        Self {
            is_news: known.is_none_or(|known| known.times != times),
            record: Some(EarlyEnds { times, last: Time(last), template: hash.to_owned() }),
            pods: early.iter().map(|pod| state::name(pod).to_owned()).collect(),
            until: last.checked_add(delay(times)).ok(),
        }
    }

    /// Whether the successor of this pod is not created yet at `now`.
    pub(super) fn keeps(&self, pod: &Pod, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until > now) && self.pods.iter().any(|name| name == state::name(pod))
    }
}

/// Whether the scheduler that there is started after the worker: workers end with their scheduler, through no
/// fault of theirs.
fn outlived_a_scheduler(pod: &Pod, cluster: &DaskCluster, observed: &Observed) -> bool {
    let started = state::terminated(pod, worker::CONTAINER).and_then(state::started);
    let mut pods = observed.pods.iter().filter(|pod| state::is_component(pod, labels::SCHEDULER));
    let scheduler = pods.find_map(|pod| state::runs_since(pod, scheduler::CONTAINER));
    let ended = cluster.status.as_ref().and_then(|status| status.scheduler_ended_at.as_ref());
    started.is_some_and(|started| {
        scheduler.is_some_and(|since| since > started) || ended.is_some_and(|ended| ended.0 >= started)
    })
}

fn created(pod: &Pod) -> Timestamp {
    pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0)
}

/// How long after so many early ends in a row workers are created again.
fn delay(times: i32) -> Duration {
    let doublings = u32::try_from(times.saturating_sub(1)).unwrap_or_default().min(16);
    DELAY_MIN.saturating_mul(1 << doublings).min(DELAY_MAX)
}
