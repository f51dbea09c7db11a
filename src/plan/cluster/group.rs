//! One group of workers of a cluster.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::back_off::BackOff;
use crate::api::WorkersSpec;
use crate::api::dask_cluster::GroupStatus;
use crate::plan::Next;
use crate::plan::pods::state;

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
    /// Its pods whose workers are closed to new tasks, of any spec: as good as gone, but for the tasks that
    /// they run.
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

    /// Whether those are there that must be. A worker that finishes its tasks may take an hour to make room
    /// for the next one; no run is to wait for that as long as there is another one for it.
    pub(super) fn serves(&self, registered: &BTreeSet<String>) -> bool {
        let open = self.registered(registered);
        open >= self.needed || (open > 0 && open + self.finishing(registered) >= self.needed)
    }
}
