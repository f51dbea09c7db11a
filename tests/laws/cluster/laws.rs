//! What may be planned and done, judged by the truth of the world and not by what the planner was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daskflow::api::dask_cluster::{IdleAction, Rollout};
use daskflow::api::worker_group::Drain;
use daskflow::api::{DaskCluster, DaskClusterStatus, FlowRun, Phase, WorkersSpec, labels};
use daskflow::plan::cluster::Observed;
use daskflow::plan::facts::{job_of, phase_of};
use daskflow::plan::pods::scheduler::template_hash;
use daskflow::plan::pods::state::{self, PodLife};
use daskflow::plan::pods::worker;
use daskflow::plan::{Plan, Step, VictimKind};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::dask::Dask;
use super::world::{World, is_running};

/// The longest status that is stored, in bytes.
pub const STATUS_BYTES_MAX: usize = 4096;

/// What was so before a plan was carried out.
pub struct Before {
    cluster: DaskCluster,
    status: DaskClusterStatus,
    observed_runs: Vec<Arc<FlowRun>>,
    groups: BTreeMap<String, Counts>,
    keys: BTreeSet<u64>,
    asleep: bool,
    /// The workers that the plan deletes though they are registered as far as the planner knows.
    deletes_registered: Vec<String>,
}

/// The workers of a group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub wanted: usize,
    pub alive: usize,
    pub outdated: usize,
    /// Closed to new tasks, whatever its spec. The two that follow do not count these.
    pub closed: usize,
    /// Their processes run. Those that the scheduler has let go are about to end.
    pub running: usize,
    pub registered: usize,
}

/// The spec of a group, if it is still in there.
fn spec_of<'a>(cluster: &'a DaskCluster, group: &str) -> Option<&'a WorkersSpec> {
    let more = cluster.spec.worker_groups.iter().find(|more| more.name == group);
    if group == worker::DEFAULT_GROUP { Some(&cluster.spec.workers) } else { more.map(|more| &more.workers) }
}

/// The names of the pods that a plan deletes.
fn deletions(plan: &Plan<DaskClusterStatus>) -> impl Iterator<Item = String> {
    plan.steps.iter().filter_map(|step| match step {
        Step::Delete(victim) if victim.kind == VictimKind::Pod => Some(victim.name.clone()),
        _ => None,
    })
}

fn is_registered(observed: &Observed, name: &str) -> bool {
    observed.scheduler.registered().is_some_and(|registered| registered.contains(name))
}

/// Since when a worker has been waited for.
fn draining_since(pod: &Pod) -> Option<Timestamp> {
    let written = [labels::CLOSED_SINCE, labels::DRAINING_SINCE];
    written.iter().find_map(|key| pod.annotations().get(*key)).map(|since| since.parse().unwrap())
}

/// Whether a worker is closed to new tasks, or about to be.
fn is_closed(pod: &Pod) -> bool {
    pod.annotations().contains_key(labels::CLOSED_SINCE)
}

fn group_of(pod: &Pod) -> String {
    pod.labels()[labels::WORKER_GROUP].clone()
}

/// The workers of each group, as they are.
pub fn count(world: &World, cluster: &DaskCluster, status: &DaskClusterStatus) -> BTreeMap<String, Counts> {
    count_of(world.truth.pods.values(), world.dask.as_ref(), (cluster, status))
}

/// The workers of each group, as they are seen.
fn count_of<'a>(
    pods: impl Iterator<Item = &'a Arc<Pod>>,
    dask: Option<&Dask>,
    (cluster, status): (&DaskCluster, &DaskClusterStatus),
) -> BTreeMap<String, Counts> {
    let told = status.groups.iter();
    let mut all: BTreeMap<String, Counts> = told
        .map(|told| {
            let wanted = usize::try_from(told.desired).unwrap();
            (told.name.clone(), Counts { wanted, ..Counts::default() })
        })
        .collect();
    let alive = pods.filter(|pod| state::life(pod) == PodLife::Alive);
    for pod in alive.filter(|pod| state::is_component(pod, labels::WORKER)) {
        let group = group_of(pod);
        let hash = spec_of(cluster, &group).map(|spec| worker::template_hash(&cluster.spec, spec, None));
        let is_outdated = hash.is_some_and(|hash| state::label(pod, labels::TEMPLATE_HASH) != Some(&hash));
        let counts = all.entry(group).or_default();
        counts.alive += 1;
        if is_closed(pod) {
            counts.closed += 1;
            continue;
        }
        counts.outdated += usize::from(is_outdated);
        let name = state::name(pod);
        let is_let_go = dask.is_some_and(|dask| dask.let_go.contains(name));
        counts.running += usize::from(is_running(pod) && !is_let_go);
        counts.registered += usize::from(dask.is_some_and(|dask| dask.workers.contains_key(name)));
    }
    all
}

impl Before {
    pub fn new(
        world: &World,
        cluster: &DaskCluster,
        observed: &Observed,
        plan: &Plan<DaskClusterStatus>,
    ) -> Self {
        let groups = count(world, cluster, &plan.status);
        Self {
            cluster: cluster.clone(),
            status: plan.status.clone(),
            observed_runs: observed.runs.clone(),
            keys: world.dask.iter().flat_map(|dask| dask.keys.keys()).copied().collect(),
            asleep: plan.status.idle.as_ref().is_some_and(|idle| idle.asleep),
            deletes_registered: deletions(plan).filter(|name| is_registered(observed, name)).collect(),
            groups,
        }
    }

    /// Whether all pods are to go, whatever they hold.
    fn all_pods_go(&self) -> bool {
        let action = self.cluster.spec.idle.as_ref().map(|idle| idle.action);
        self.cluster.spec.suspend || (self.asleep && action != Some(IdleAction::ScaleToZero))
    }

    /// What may be planned.
    pub fn plan_is_lawful(&self, world: &World) {
        let goes = self.deletes_registered.first().filter(|_| !self.all_pods_go());
        assert_eq!(goes, None, "it is to be deleted, and is registered");
        // What is written down now is done next time.
        let action = self.cluster.spec.idle.as_ref().map(|idle| idle.action);
        let rests = self.asleep && self.slept() && action != Some(IdleAction::Delete);
        let at_rest = rests || self.cluster.spec.suspend;
        for (group, counts) in &self.groups {
            let wanted = counts.wanted;
            let spec = spec_of(&self.cluster, group);
            let bounds = match spec.and_then(|spec| spec.autoscale.as_ref()) {
                _ if at_rest => (0, 0),
                Some(autoscale) => (autoscale.minimum.size(), autoscale.maximum.size()),
                None => spec.map_or((0, 0), |spec| (spec.fixed_size(), spec.fixed_size())),
            };
            assert!((bounds.0..=bounds.1).contains(&wanted), "{group} wants {wanted} of {bounds:?}");
        }
        let bytes = serde_json::to_vec(&self.status).unwrap().len();
        assert!(bytes < STATUS_BYTES_MAX, "the status has {bytes} bytes");
        self.rest_is_lawful(world);
    }

    /// Whether it stood in the status before that the cluster is to rest.
    fn slept(&self) -> bool {
        let told = self.cluster.status.as_ref().and_then(|status| status.idle.as_ref());
        told.is_some_and(|idle| idle.asleep)
    }

    /// A cluster in use is not put to rest, and a run wakes it.
    fn rest_is_lawful(&self, world: &World) {
        let uses = |run: &Arc<FlowRun>| !(run.spec.suspend && phase_of(run) == Phase::Queued);
        let in_use = self.observed_runs.iter().any(uses);
        assert!(!(self.asleep && in_use && !self.cluster.spec.suspend), "it sleeps with a run on it");
        if !self.asleep || self.slept() {
            return;
        }
        assert!(!world.truth.runs.values().any(uses), "a run has come that no cache knows");
        let tasks = world.followed.as_ref().and_then(|followed| followed.polled).map(|(tasks, _)| tasks);
        assert_eq!(tasks, Some(false), "nobody knows that no task is left");
        let after = self.cluster.spec.idle.as_ref().and_then(|idle| idle.after.get()).unwrap();
        // One that came after the last question is known at the next.
        let came = world.last_client.filter(|came| *came < world.polled_at);
        assert!(came.is_none_or(|came| came + after <= world.now), "a client came at {came:?}");
    }

    /// Whether a pod may be deleted without its scheduler's word.
    pub fn may_delete(&self, world: &World, pod: &Pod) {
        if self.all_pods_go() {
            return;
        }
        if state::is_component(pod, labels::SCHEDULER) {
            return self.may_delete_scheduler(world, pod);
        }
        let name = pod.name_any();
        let registered = world.dask.as_ref().is_some_and(|dask| dask.workers.contains_key(&name));
        assert!(!registered, "{name} is deleted, and was not retired");
    }

    fn may_delete_scheduler(&self, world: &World, pod: &Pod) {
        if !is_running(pod) {
            return;
        }
        let hash = template_hash(&self.cluster.spec, None);
        assert_ne!(
            state::label(pod, labels::TEMPLATE_HASH),
            Some(hash.as_str()),
            "the scheduler is as it should be"
        );
        if self.cluster.spec.rollout == Rollout::Immediate {
            return;
        }
        let at_work = |run: &&Arc<FlowRun>| phase_of(run) == Phase::Running && job_of(run).is_some();
        assert_eq!(
            self.observed_runs.iter().filter(at_work).count(),
            0,
            "the scheduler is replaced under a run"
        );
        let polled = world.followed.as_ref().and_then(|followed| followed.polled);
        let clients = polled.map(|(_, clients)| clients && world.talks);
        assert_eq!((polled.map(|(tasks, _)| tasks), clients), (Some(false), Some(false)), "it is in use");
    }

    /// A worker with tasks is waited for.
    pub fn may_retire(&self, world: &World, workers: &[String]) {
        let dask = world.dask.as_ref();
        for name in workers {
            let group = group_of(&world.truth.pods[name]);
            let busy = dask.and_then(|dask| dask.workers.get(name)).is_some_and(|tasks| *tasks > 0);
            let Some(spec) = spec_of(&self.cluster, &group).filter(|spec| busy && spec.drain == Drain::Wait)
            else {
                continue;
            };
            let timeout = spec
                .drain_timeout
                .as_ref()
                .map_or(Duration::from_secs(3600), |timeout| timeout.get().unwrap());
            let since = draining_since(&world.truth.pods[name]);
            assert!(
                since.is_some_and(|since| since + timeout <= world.now),
                "{name} has tasks, and had until {since:?} + {timeout:?}"
            );
        }
    }

    /// Only a worker that is written down as leaving is closed to new tasks, or nobody would know that it is
    /// of no use.
    pub fn may_close(world: &World, workers: &[String]) {
        for pod in workers.iter().map(|name| &world.truth.pods[name]) {
            let name = pod.name_any();
            assert!(is_closed(pod), "{name} is closed, and nothing tells of it");
        }
    }

    /// What may have become of the cluster by the steps.
    pub fn what_was_done_is_lawful(&self, world: &World) {
        let is_scheduler = |pod: &&Arc<Pod>| state::is_component(pod, labels::SCHEDULER);
        assert!(world.truth.pods.values().filter(is_scheduler).count() <= 1, "two schedulers");
        if self.all_pods_go() {
            return;
        }
        let after = count(world, &self.cluster, &self.status);
        for (group, now) in &after {
            let before = self.groups.get(group).copied().unwrap_or_default();
            let surge = if before.outdated + before.closed > 0 { now.wanted.div_ceil(4) } else { 0 };
            let most = before.alive.max(now.wanted + surge);
            assert!(now.alive <= most, "{group}: {before:?} became {now:?}, at the most {most}");
            if world.dask.is_some() {
                let (least, running) = (before.registered.min(now.wanted), before.running.min(now.wanted));
                assert!(now.registered >= least, "{group} serves with less: {before:?} became {now:?}");
                assert!(now.running >= running, "{group} runs with less: {before:?} became {now:?}");
            }
        }
        if let Some(dask) = &world.dask {
            let lost: Vec<_> = self.keys.iter().filter(|key| !dask.keys.contains_key(key)).collect();
            assert!(lost.is_empty(), "the results {lost:?} are lost");
        }
    }
}
