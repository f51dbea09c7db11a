//! Laws of a cluster, judged by what its pods and its scheduler are, and by what its spec says or said a
//! moment ago.
//!
//! A registered worker is deleted only when its scheduler has let it go, except where all pods go (the
//! witness looks at that). No result is lost, except there, and where a scheduler is replaced that nobody
//! uses. A group never grows above what is wanted plus the surge, and serves with no less than is wanted
//! because others leave; a bad image changes nothing of that. Under `drain: Wait` no worker that runs a task
//! is retired before its time, and whoever is closed to new tasks is written down as leaving. A cluster in
//! use is not put to rest. A status is small, and the sizes that it tells are within bounds. And at rest: all
//! is as wanted, and no autoscaled group grows again after it fell.

mod at_rest;
mod leaving;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use daskflow::api::dask_cluster::{IdleAction, Rollout};
use daskflow::api::{DaskCluster, DaskClusterSpec, WorkersSpec, labels};
use daskflow::cluster_api::Changed;
use daskflow::plan::pods::{scheduler, worker};
use jiff::Timestamp;
use serde_json::Value;

use super::recent::Recent;
use super::{Unclear, flag, law, text, time, written};
use crate::dask::{SchedulerState, Schedulers};
use crate::operator::history::CLUSTER;

use at_rest::Sizes;

/// The longest status of a cluster that is stored, in bytes.
const STATUS_BYTES_MAX: usize = 4096;

/// A pod of the cluster.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of a pod")]
#[derive(Clone, Debug)]
struct Pod {
    /// Whether it is the scheduler's.
    is_scheduler: bool,
    group: String,
    hash: String,
    address: String,
    /// Whether its container runs.
    runs: bool,
    /// Whether it has ended, or is being deleted.
    is_over: bool,
    /// Whether it is written down that it gets no more tasks.
    is_closed: bool,
    /// Since when it is waited for.
    draining_since: Option<Timestamp>,
}

impl Pod {
    fn of(object: &Value) -> Self {
        let label = |key| written(object, "labels", key).to_owned();
        let since = [labels::CLOSED_SINCE, labels::DRAINING_SINCE];
        let phase = text(object, "/status/phase");
        Self {
            is_scheduler: label(labels::COMPONENT) == labels::SCHEDULER,
            group: label(labels::WORKER_GROUP),
            hash: label(labels::TEMPLATE_HASH),
            address: text(object, "/status/podIP").to_owned(),
            runs: phase == "Running",
            is_over: time(object, "/metadata/deletionTimestamp").is_some()
                || matches!(phase, "Succeeded" | "Failed"),
            is_closed: !written(object, "annotations", labels::CLOSED_SINCE).is_empty(),
            draining_since: since.iter().find_map(|key| written(object, "annotations", key).parse().ok()),
        }
    }
}

/// All that was seen.
pub(super) struct Clusters {
    unclear: Unclear,
    /// For how long what was so counts.
    memory: Duration,
    schedulers: Schedulers,
    /// Its spec; none where there is no cluster.
    spec: Recent<Option<DaskClusterSpec>>,
    /// Whether its status says that it rests.
    asleep: Recent<bool>,
    /// Whether there is a run on it, and whether one is at work.
    runs: Recent<(bool, bool)>,
    open: BTreeMap<String, (bool, bool)>,
    /// Whether its scheduler has a task, and whether a client.
    load: Recent<(bool, bool)>,
    pods: BTreeMap<String, Pod>,
    /// The scheduler as it was looked at last.
    before: Option<SchedulerState>,
    orders: usize,
    /// Whether workers have ended by themselves a moment ago.
    ended: Recent<u64>,
    status: Value,
    /// The sizes of autoscaled groups since all calmed down.
    sizes: Option<Sizes>,
}

/// The spec of a group, if it is in there.
fn group_of<'a>(spec: &'a DaskClusterSpec, group: &str) -> Option<&'a WorkersSpec> {
    let more = spec.worker_groups.iter().find(|more| more.name == group);
    if group == worker::DEFAULT_GROUP { Some(&spec.workers) } else { more.map(|more| &more.workers) }
}

/// How many workers a group may have, from and to.
fn bounds(spec: Option<&WorkersSpec>) -> (usize, usize) {
    let Some(spec) = spec else { return (0, 0) };
    spec.autoscale.as_ref().map_or_else(
        || (spec.fixed_size(), spec.fixed_size()),
        |autoscale| (autoscale.minimum.size(), autoscale.maximum.size()),
    )
}

impl Clusters {
    pub(super) fn new(unclear: Unclear, schedulers: Schedulers) -> Self {
        // What is late may rest on what was so for as long.
        let memory = Duration::from_secs(if unclear.slow { 45 } else { 3 });
        Self {
            unclear,
            memory,
            schedulers,
            spec: Recent::new(None, memory),
            asleep: Recent::new(false, memory),
            runs: Recent::new((false, false), memory),
            open: BTreeMap::new(),
            load: Recent::new((false, false), memory),
            pods: BTreeMap::new(),
            before: None,
            orders: 0,
            ended: Recent::new(0, memory),
            status: Value::Null,
            sizes: None,
        }
    }

    pub(super) fn take(&mut self, change: &Changed) -> Result<(), String> {
        match (change.kind, change.after.as_deref()) {
            ("DaskCluster", None) => self.cluster_goes(),
            ("DaskCluster", Some(object)) => self.take_cluster(object),
            ("FlowRun", object) => {
                self.take_run(&change.name, object);
                Ok(())
            }
            ("Pod", None) => {
                self.pods.remove(&change.name);
                Ok(())
            }
            ("Pod", Some(object)) if written(object, "labels", labels::CLUSTER_NAME) == CLUSTER => {
                let pod = Pod::of(object);
                let grown = if change.before.is_none() { self.grows(&change.name, &pod) } else { Ok(()) };
                self.pods.insert(change.name.clone(), pod);
                grown
            }
            _ => Ok(()),
        }
    }

    fn take_run(&mut self, name: &str, run: Option<&Value>) {
        let state = run.map(|run| {
            let phase = text(run, "/status/phase");
            let is_over = crate::operator::witness::is_final(phase);
            let is_queued = phase.is_empty() || phase == "Queued";
            let waits = flag(run, "/spec/suspend") && is_queued;
            let uses = !(is_over || waits);
            (uses, uses && phase == "Running" && !text(run, "/status/job").is_empty())
        });
        self.open.remove(name);
        self.open.extend(state.map(|state| (name.to_owned(), state)));
        let any = |of: fn(&(bool, bool)) -> bool| self.open.values().any(of);
        let now = (any(|run| run.0), any(|run| run.1));
        self.runs.set(now);
    }

    /// It is deleted by its own word, when nobody has used it.
    fn cluster_goes(&mut self) -> Result<(), String> {
        self.spec.set(None);
        let was_asleep = self.asleep.seen().any(|asleep| *asleep);
        self.asleep.set(false);
        law(was_asleep, || "the cluster is deleted, and did not rest".to_owned())
    }

    fn take_cluster(&mut self, object: &Value) -> Result<(), String> {
        let cluster: DaskCluster = serde_json::from_value(object.clone()).unwrap();
        if self.spec.last() == Some(&None) {
            // Before it there was none, which is not what it was.
            self.spec = Recent::new(Some(cluster.spec.clone()), self.memory);
        }
        self.spec.set(Some(cluster.spec.clone()));
        self.status = object["status"].clone();
        let was_asleep = self.asleep.last() == Some(&true);
        let is_asleep = flag(object, "/status/idle/asleep");
        let rests = if is_asleep && !was_asleep { self.rest_is_lawful() } else { Ok(()) };
        self.asleep.set(is_asleep);
        rests?;
        let bytes = self.status.to_string().len();
        law(bytes < STATUS_BYTES_MAX, || format!("the status of the cluster has {bytes} bytes"))?;
        sizes_are_lawful(&cluster, was_asleep)?;
        if let Some(sizes) = &mut self.sizes {
            sizes.note(&cluster)?;
        }
        Ok(())
    }

    /// A cluster in use is not put to rest.
    fn rest_is_lawful(&self) -> Result<(), String> {
        let has_run = self.runs.seen().all(|(uses, _)| *uses);
        law(!has_run, || "the cluster is put to rest with a run on it".to_owned())?;
        let has_task = self.load.seen().all(|(task, _)| *task);
        law(!has_task, || "the cluster is put to rest with tasks on it".to_owned())
    }

    /// Whether all pods are to go, whatever they have, or were a moment ago.
    pub(super) fn do_all_pods_go(&self) -> bool {
        let goes = |spec: &Option<DaskClusterSpec>| {
            let Some(spec) = spec else { return true };
            let action = spec.idle.as_ref().map(|idle| idle.action);
            let is_asleep = self.asleep.seen().any(|asleep| *asleep);
            spec.suspend || (is_asleep && action != Some(IdleAction::ScaleToZero))
        };
        self.spec.seen().any(goes)
    }

    /// Whether the scheduler may be replaced now, which has this name.
    pub(super) fn replaces_scheduler(&self, name: &str) -> Result<(), String> {
        let Some(pod) = self.pods.get(name) else { return Ok(()) };
        let specs = || self.spec.seen().flatten();
        let is_outdated = specs().any(|spec| scheduler::template_hash(spec, None) != pod.hash);
        law(is_outdated, || "the scheduler is deleted, and is as it should be".to_owned())?;
        if specs().any(|spec| spec.rollout == Rollout::Immediate) {
            return Ok(());
        }
        let is_at_work = self.runs.seen().all(|(_, works)| *works);
        law(!is_at_work, || "the scheduler is replaced under a run".to_owned())?;
        let is_used = self.load.seen().all(|(task, client)| *task || *client);
        law(!is_used, || "the scheduler is replaced while it is in use".to_owned())
    }

    /// A worker's pod comes to be: its group has no more than is wanted and the surge.
    fn grows(&self, name: &str, pod: &Pod) -> Result<(), String> {
        if pod.is_scheduler {
            return Ok(());
        }
        let most = self.spec.seen().flatten().map(|spec| bounds(group_of(spec, &pod.group)).1).max();
        let most = most.unwrap_or_default();
        let group = || self.pods.values().filter(|other| other.group == pod.group && !other.is_scheduler);
        let is_replaced = group().any(|other| other.hash != pod.hash || other.is_closed);
        let surge = if is_replaced { most.div_ceil(4) } else { 0 };
        let alive = 1 + group().filter(|other| !other.is_over).count();
        law(alive <= most + surge, || {
            format!("{name} is one of {alive} workers of {}, at the most {most} and {surge}", pod.group)
        })
    }

    /// Whether its status says that it is to have no workers.
    pub(super) fn wants_no_workers(&self) -> bool {
        self.status.pointer("/workers/desired").and_then(Value::as_i64) == Some(0)
    }

    /// Something ended by itself or by people, and took with it what it had.
    pub(super) fn forgive(&mut self) {
        self.before = None;
        let count = self.ended.last().copied().unwrap_or_default();
        self.ended.set(count + 1);
    }

    /// From now on nothing happens any more.
    pub(super) fn calms_down(&mut self) {
        self.sizes = Some(Sizes::default());
    }

    /// The scheduler that runs.
    fn scheduler(&self) -> Option<SchedulerState> {
        let mut pods = self.pods.values();
        let pod = pods.find(|pod| pod.is_scheduler && pod.runs && !pod.address.is_empty())?;
        self.schedulers.at(&pod.address)
    }

    /// Looks at the scheduler, and at what was asked of it since.
    pub(super) fn look(&mut self, now: Timestamp) -> Result<(), String> {
        let state = self.scheduler();
        let load = state.as_ref().map(|state| (!state.is_idle(), !state.clients.is_empty()));
        self.load.set(load.unwrap_or_default());
        let before = std::mem::replace(&mut self.before, state);
        let orders = self.schedulers.orders();
        let new = orders.get(self.orders..).unwrap_or_default();
        self.orders = orders.len();
        let (Some(before), Some(state)) = (before, &self.before) else { return Ok(()) };
        if before.id != state.id || self.do_all_pods_go() {
            return Ok(());
        }
        let lost: BTreeSet<_> =
            before.results.keys().filter(|key| !state.results.contains_key(key)).collect();
        law(lost.is_empty(), || format!("the results {lost:?} are lost"))?;
        self.leave_lawfully(&before, state)?;
        self.are_asked_lawfully(&before, new, now)
    }
}

/// The sizes that are told of the spec that is told.
fn sizes_are_lawful(cluster: &DaskCluster, was_asleep: bool) -> Result<(), String> {
    let Some(status) = &cluster.status else { return Ok(()) };
    if status.observed_generation != cluster.metadata.generation {
        return Ok(());
    }
    let is_asleep = was_asleep && status.idle.as_ref().is_some_and(|idle| idle.asleep);
    for group in &status.groups {
        let (least, most) = bounds(group_of(&cluster.spec, &group.name));
        let size = usize::try_from(group.desired).unwrap_or_default();
        let rests = (is_asleep || cluster.spec.suspend) && size == 0;
        law(rests || (least..=most).contains(&size), || {
            format!("the group {} is to have {size} workers, of {least} to {most}", group.name)
        })?;
    }
    Ok(())
}
