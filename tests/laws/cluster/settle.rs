//! What becomes of the cluster when nothing happens any more: laws 5 and 6.

use std::collections::BTreeMap;

use daskflow::api::dask_cluster::{IdleAction, Rollout};
use daskflow::api::{DaskCluster, labels};
use daskflow::plan::Wants;
use daskflow::plan::certificates::TlsView;
use daskflow::plan::cluster::{self, questions};
use daskflow::plan::pods::scheduler::template_hash;
use daskflow::plan::pods::state;
use daskflow::plan::site::Site;
use jiff::SignedDuration;
use kube::ResourceExt;

use super::dask::{Answers, Spares};
use super::laws::count;
use super::world::{BAD, World};

/// Looks until the world must be at rest.
const ROUNDS_MAX: usize = 200;

impl World {
    /// No more faults: all that can start does, tasks end, and the operator looks when it wants to or
    /// something changed.
    pub fn settle(&mut self) {
        (self.reachable, self.quota, self.talks) = (true, None, true);
        (self.answers, self.spares) = (Answers::Prompt, Spares::All);
        if self.truth.cluster.spec.image == BAD {
            self.edit(|spec| spec.image = "good".into());
        }
        let mut sizes = Sizes::default();
        for _ in 0..ROUNDS_MAX {
            if self.round(&mut sizes) {
                return self.is_at_rest();
            }
        }
        let (next, status) = (self.next, &self.truth.cluster.status);
        panic!("it never comes to rest: {next:?}, {status:?}, {:?}", self.truth.pods.keys());
    }

    /// One look. Whether nothing is left to be done.
    fn round(&mut self, sizes: &mut Sizes) -> bool {
        let before = self.trace();
        self.all_start();
        self.answers_come();
        if let Some(dask) = &mut self.dask {
            dask.tasks_end();
            // Results that nobody can take over keep the last worker, which is as it should be.
            if self.truth.cluster.status.as_ref().is_some_and(|status| status.workers.desired == 0) {
                dask.keys.clear();
            }
        }
        self.poll();
        self.cache = self.truth.clone();
        self.look(usize::MAX);
        if self.over {
            return true;
        }
        sizes.note(&self.truth.cluster);
        if self.trace() != before {
            // What has changed brings the next look.
            self.pass(1);
            return false;
        }
        match self.wait() {
            Some(wait) => self.pass((wait + SignedDuration::from_millis(999)).as_secs().max(0)),
            None => return true,
        }
        false
    }

    /// All that a look may change or be moved by.
    fn trace(&self) -> String {
        let pods: Vec<_> =
            self.truth.pods.values().map(|pod| (pod.name_any(), state::life(pod), &pod.status)).collect();
        format!("{:?}", (self.version, pods, &self.dask, &self.followed))
    }

    /// It is as wanted, stays so, and asks for no look.
    fn is_at_rest(&mut self) {
        if self.over {
            return;
        }
        self.is_as_wanted();
        for _ in 0..2 {
            self.cache = self.truth.clone();
            let cluster = self.truth.cluster.clone();
            for known in [Wants::NOTHING, Wants::ALL] {
                let observed = self.observe(&cluster, known);
                let plan = cluster::plan(&cluster, &observed, self.now);
                assert_eq!(plan.steps, [], "at rest");
                assert_eq!(plan.wants, Wants::NOTHING, "it looks live at rest");
                assert_eq!(Some(&plan.status), cluster.status.as_ref(), "its status changes at rest");
                assert_eq!(plan.next, daskflow::plan::Next::Change, "it looks again at rest");
            }
            self.pass(3600);
        }
    }

    fn is_as_wanted(&self) {
        let cluster = &self.truth.cluster;
        let status = cluster.status.as_ref().unwrap();
        let enabled = cluster.spec.network_policy.as_ref().is_some_and(|policy| policy.enabled);
        let policy = enabled.then(|| cluster::network_policy(cluster, Site::Kubernetes).spec);
        assert_eq!(self.truth.network_policy.as_ref().map(|policy| policy.spec.clone()), policy);
        let idle =
            cluster.spec.idle.as_ref().filter(|_| status.idle.as_ref().is_some_and(|idle| idle.asleep));
        let action = idle.map(|idle| idle.action);
        if cluster.spec.suspend || action == Some(IdleAction::Suspend) {
            return assert!(
                self.truth.pods.is_empty(),
                "pods of a suspended cluster: {:?}",
                self.truth.pods.keys()
            );
        }
        for (group, counts) in count(self, cluster, status) {
            let all = [counts.alive, counts.running, counts.registered];
            assert_eq!(all, [counts.wanted; 3], "the group {group}: {counts:?}, {status:?}");
            assert_eq!(counts.outdated, 0, "the group {group} has outdated workers");
        }
        let scheduler = self.truth.pods.get("c-scheduler").unwrap();
        if state::label(scheduler, labels::TEMPLATE_HASH) != Some(template_hash(&cluster.spec, None).as_str())
        {
            let dask = self.dask.as_ref().unwrap();
            let used = !dask.clients.is_empty() || !dask.is_idle() || !self.truth.runs.is_empty();
            assert!(used && cluster.spec.rollout == Rollout::WhenIdle, "nobody uses the outdated scheduler");
        }
        let asks =
            questions(cluster, &[], &TlsView::default()).is_none_or(|questions| questions.target.is_none());
        assert!(asks || self.followed.is_some(), "an autoscaled cluster is not followed");
    }
}

/// The sizes of autoscaled groups under one target: law 6.
#[derive(Default)]
struct Sizes {
    /// The last size of each group, and whether it fell.
    last: BTreeMap<String, (i32, bool)>,
}

impl Sizes {
    fn note(&mut self, cluster: &DaskCluster) {
        let Some(status) = &cluster.status else { return };
        let at_rest = cluster.spec.suspend || status.idle.as_ref().is_some_and(|idle| idle.asleep);
        if at_rest {
            return self.last.clear();
        }
        let more = cluster.spec.worker_groups.iter().map(|group| (group.name.as_str(), &group.workers));
        let all = [("default", &cluster.spec.workers)].into_iter().chain(more);
        for (name, _) in all.filter(|(_, workers)| workers.autoscale.is_some()) {
            let Some(told) = status.groups.iter().find(|told| told.name == name) else { continue };
            let (last, fell) = self.last.get(name).copied().unwrap_or((told.desired, false));
            assert!(told.desired <= last || !fell, "{name} fell to {last} and grows to {}", told.desired);
            self.last.insert(name.to_owned(), (told.desired, fell || told.desired < last));
        }
    }
}
