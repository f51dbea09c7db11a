//! The groups of workers of a cluster: those of the spec, and those that were taken out of it and still have
//! workers.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::back_off::BackOff;
use super::group::Group;
use super::observed::Observed;
use super::{autoscale, drain};
use crate::api::{DaskCluster, WorkersSpec, labels};
use crate::plan::Next;
use crate::plan::pods::mounts::Certificate;
use crate::plan::pods::state::{self, PodLife};
use crate::plan::pods::worker::{DEFAULT_GROUP, group_of_pod, template_hash};

/// The groups that the spec names, the one called "default" first.
pub(super) fn of_spec(cluster: &DaskCluster) -> impl Iterator<Item = (&str, &WorkersSpec)> {
    let more = cluster.spec.worker_groups.iter().map(|group| (group.name.as_str(), &group.workers));
    std::iter::once((DEFAULT_GROUP, &cluster.spec.workers)).chain(more)
}

/// Whether the spec lets the cluster have workers at all.
pub fn may_have_workers(cluster: &DaskCluster) -> bool {
    of_spec(cluster).any(|(_, workers)| workers.autoscale.is_some() || workers.fixed_size() > 0)
}

/// All groups, with their pods and the sizes that are wanted. `asleep`: nobody uses the cluster, so no worker
/// is. `certificate`: what their pods are made with.
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
        workers(observed).map(|pod| group_of_pod(pod)).filter(|name| !known.contains(name)).collect();
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
    for pod in workers(observed).filter(|pod| group_of_pod(pod) == name) {
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
