//! The groups of workers of a cluster: those of the spec, and those that were taken out of it and still have workers.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::back_off::BackOff;
use super::{Observed, autoscale, drain};
use crate::api::dask_cluster::GroupStatus;
use crate::api::{DaskCluster, WorkersSpec, labels};
use crate::plan::Next;
use crate::plan::pods::state::{self, PodLife};
use crate::plan::pods::tls::Certificate;
use crate::plan::pods::worker::{DEFAULT_GROUP, template_hash};

/// A group of workers, as it is wanted now.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// What its workers are made of. None: the group was taken out of the spec.
    pub(super) spec: Option<&'a WorkersSpec>,
    /// How many workers are wanted.
    pub(super) wanted: usize,
    /// How many make the cluster ready.
    pub(super) needed: usize,
    /// What was written of it last.
    pub(super) told: Option<&'a GroupStatus>,
    /// When the number of workers may change by itself.
    pub(super) next: Next,
    /// The hash of what its pods are made from. None: the group was taken out of the spec.
    pub(super) hash: Option<String>,
    /// Its pods as the spec wants them.
    pub(super) current: Vec<&'a Arc<Pod>>,
    /// Its pods that are made from an earlier spec.
    pub(super) outdated: Vec<&'a Arc<Pod>>,
    /// Its pods whose workers are closed to new tasks, of any spec: as good as gone, but for the tasks that they run.
    pub(super) closed: Vec<&'a Arc<Pod>>,
    /// Its pods whose workers the scheduler has let go: they are deleted, whatever is wanted by now.
    pub(super) let_go: Vec<&'a Arc<Pod>>,
    /// Its pods that have ended: retired, evicted or crashed for good.
    pub(super) finished: Vec<&'a Arc<Pod>>,
    /// Whether its workers end as soon as they start.
    pub(super) back_off: BackOff,
}

impl Group<'_> {
    /// Pods that live, of this spec or an earlier one.
    pub(super) fn alive(&self) -> usize {
        self.current.len() + self.outdated.len() + self.closed.len() + self.let_go.len()
    }

    /// Those of its living pods whose workers are registered and take tasks.
    pub(super) fn registered(&self, registered: &BTreeSet<String>) -> usize {
        let is_registered = |pod: &&&Arc<Pod>| registered.contains(state::name(pod));
        self.current.iter().chain(&self.outdated).filter(is_registered).count()
    }

    /// Those of its pods whose workers are registered and closed to new tasks.
    pub(super) fn finishing(&self, registered: &BTreeSet<String>) -> usize {
        self.closed.iter().filter(|pod| registered.contains(state::name(pod))).count()
    }

    /// Whether those are there that must be. A worker that finishes its tasks may take an hour to make room for the next one;
    /// no run is to wait for that as long as there is another one for it.
    pub(super) fn serves(&self, registered: &BTreeSet<String>) -> bool {
        let open = self.registered(registered);
        open >= self.needed || (open > 0 && open + self.finishing(registered) >= self.needed)
    }
}

/// The groups that the spec names, the one called "default" first.
pub(super) fn of_spec(cluster: &DaskCluster) -> impl Iterator<Item = (&str, &WorkersSpec)> {
    let more = cluster.spec.worker_groups.iter().map(|group| (group.name.as_str(), &group.workers));
    std::iter::once((DEFAULT_GROUP, &cluster.spec.workers)).chain(more)
}

/// Whether the spec lets the cluster have workers at all.
pub fn may_have_workers(cluster: &DaskCluster) -> bool {
    of_spec(cluster).any(|(_, workers)| workers.autoscale.is_some() || workers.fixed_size() > 0)
}

/// All groups, with their pods and the sizes that are wanted. `asleep`: nobody uses the cluster, so no worker is.
/// `certificate`: what their pods are made with.
pub(super) fn all<'a>(
    cluster: &'a DaskCluster,
    observed: &'a Observed,
    (asleep, certificate): (bool, Option<&Certificate>),
    now: Timestamp,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = of_spec(cluster)
        .map(|(name, spec)| group(cluster, observed, (name, Some(spec)), certificate))
        .collect();
    let known: BTreeSet<&str> = groups.iter().map(|group| group.name).collect();
    let removed: BTreeSet<&str> =
        workers(observed).map(|pod| group_of(pod)).filter(|name| !known.contains(name)).collect();
    groups.extend(removed.into_iter().map(|name| group(cluster, observed, (name, None), certificate)));
    autoscale::size(&mut groups, observed, now);
    for group in groups.iter_mut().filter(|_| asleep) {
        (group.wanted, group.needed, group.next) = (0, 0, Next::Change);
    }
    for group in &mut groups {
        group.back_off = BackOff::of(group, cluster, observed);
    }
    groups
}

/// One group, with the size that the spec says.
fn group<'a>(
    cluster: &'a DaskCluster,
    observed: &'a Observed,
    (name, spec): (&'a str, Option<&'a WorkersSpec>),
    certificate: Option<&Certificate>,
) -> Group<'a> {
    let size = spec.map_or(0, WorkersSpec::fixed_size);
    let hash = spec.map(|spec| template_hash(&cluster.spec, spec, certificate));
    let told = cluster.status.as_ref().and_then(|status| status.groups.iter().find(|told| told.name == name));
    let mut group = Group {
        name,
        spec,
        wanted: size,
        needed: size,
        told,
        next: Next::Change,
        hash: hash.clone(),
        current: Vec::new(),
        outdated: Vec::new(),
        closed: Vec::new(),
        let_go: Vec::new(),
        finished: Vec::new(),
        back_off: BackOff::default(),
    };
    // One that was let go and is registered has come back, and may have data again.
    let is_away = |pod: &Pod| {
        let registered = observed.scheduler.registered();
        registered.is_some_and(|registered| !registered.contains(state::name(pod)))
    };
    for pod in workers(observed).filter(|pod| group_of(pod) == name) {
        match state::life(pod) {
            PodLife::Leaving => {}
            PodLife::Finished => group.finished.push(pod),
            PodLife::Alive if observed.retirements.has_let_go(pod) && is_away(pod) => group.let_go.push(pod),
            PodLife::Alive if drain::is_closed(pod) => group.closed.push(pod),
            // There is no spec that the workers of a removed group could be made from anew.
            PodLife::Alive if hash.as_deref().is_none_or(|hash| is_made_from(pod, hash)) => {
                group.current.push(pod);
            }
            PodLife::Alive => group.outdated.push(pod),
        }
    }
    group
}

fn is_made_from(pod: &Pod, hash: &str) -> bool {
    state::label(pod, labels::TEMPLATE_HASH) == Some(hash)
}

fn workers(observed: &Observed) -> impl Iterator<Item = &Arc<Pod>> {
    observed.pods.iter().filter(|pod| state::is_component(pod, labels::WORKER))
}

/// The group that a worker's pod belongs to.
fn group_of(pod: &Pod) -> &str {
    state::label(pod, labels::WORKER_GROUP).unwrap_or(DEFAULT_GROUP)
}
