//! A small Kubernetes: the API server as far as the planner can tell it apart from the real one, the Job
//! controller, and runners that live on for a while after their Job was deleted.
//!
//! Names are unique, a status is written only over the version that it was read with, and each kind has a
//! cache that may be behind the truth, each for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use daskflow::api::common::NameRef;
use daskflow::api::flow::{CatchUp, ClockEntry, ClusterSource, Concurrency, History, Retries, Schedule};
use daskflow::api::interval::Interval;
use daskflow::api::{
    DaskCluster, DaskClusterSpec, DaskClusterStatus, Flow, FlowRun, FlowRunStatus, FlowSpec, Phase,
};
use daskflow::plan::facts::{attempt_of, phase_of};
use daskflow::plan::run::ForeignScheduler;
use daskflow::plan::{Object, Plan, Step, Urgency, VictimKind, Wants, cluster, flow, run};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ManagedFieldsEntry, Time};
use kube::{Resource, ResourceExt};

use super::Happening;
use crate::wants::planned;
use crate::words::{Words, decide_nothing};

/// What a Flow says, as far as the laws differ by it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub concurrency: Concurrency,
    pub max_active: Option<u32>,
    pub max_active_runs: Option<u32>,
    pub catch_up: CatchUp,
    pub attempts: i32,
    pub history: u32,
    /// Whether the Flow runs on a scheduler at an address, rather than on a `DaskCluster`.
    pub outside: bool,
}

/// The clocks with the seconds between their ticks. Some ticks are of one instant; all but those of the first
/// clock have parameters of their own.
pub const CLOCKS: [(&str, i64); 3] = [("c", 60), ("d", 60), ("e", 180)];

/// What the API server holds, or a cache of it.
#[derive(Clone)]
struct Stored {
    flow: Arc<Flow>,
    cluster: Arc<DaskCluster>,
    runs: BTreeMap<String, Arc<FlowRun>>,
    jobs: BTreeMap<String, Arc<Job>>,
    pods: BTreeMap<String, Arc<Pod>>,
}

/// Where a look takes its facts from, kind by kind.
#[allow(clippy::struct_excessive_bools, reason = "one for each kind")]
#[derive(Clone, Copy, Debug)]
pub struct Stale {
    pub flow: bool,
    pub runs: bool,
    pub jobs: bool,
    pub pods: bool,
}

impl Stale {
    fn is_any(self) -> bool {
        self.flow || self.runs || self.jobs || self.pods
    }
}

pub struct World {
    rules: Rules,
    /// The machine's time.
    pub machine: Timestamp,
    /// The operator's time, which never goes back while it lives.
    pub now: Timestamp,
    pub latest: Timestamp,
    pub created: Timestamp,
    truth: Stored,
    cache: Stored,
    next_version: u64,
    /// The statuses of runs that the operator has not written yet, each with what it is to be written over.
    unwritten: BTreeMap<String, (Option<FlowRunStatus>, FlowRunStatus)>,
    /// Which start of the Dask scheduler is at work.
    scheduler: u32,
    /// How often each Job was created.
    started: BTreeMap<String, u32>,
    /// Every run that a clock ever made, by its clock and tick.
    pub ticks: BTreeSet<(String, Timestamp)>,
    /// The parameters that a run had when it was made.
    given: BTreeMap<String, serde_json::Value>,
    /// Every run that was given up before it started.
    skipped: BTreeSet<String>,
    /// What the schedule was from when on, by generation.
    edits: BTreeMap<i64, (Timing, Timestamp)>,
    /// The schedule that the operator knows, and since when each clock is so. A change that is taken back
    /// before the operator looks was never seen by anybody.
    known: (i64, Timing, BTreeMap<String, Timestamp>),
}

/// What decides when a Flow ticks: of each clock its interval, and whether it is suspended.
type Timing = BTreeMap<String, (Option<Interval>, bool)>;

fn timing(flow: &Flow) -> Timing {
    let clocks = flow.spec.schedule.iter().flat_map(|schedule| &schedule.clocks);
    clocks.map(|clock| (clock.name.clone(), (clock.interval.clone(), flow.spec.suspend))).collect()
}

fn touch<K: Resource + Clone>(object: &mut Arc<K>, version: u64) -> &mut K {
    let object = Arc::make_mut(object);
    object.meta_mut().resource_version = Some(version.to_string());
    object
}

impl World {
    pub fn new(rules: Rules) -> Self {
        let created: Timestamp = "2026-12-01T09:00:30Z".parse().unwrap();
        let mut flow = Flow::new("etl", spec(rules));
        flow.metadata.uid = Some("flow".into());
        flow.metadata.generation = Some(1);
        flow.metadata.creation_timestamp = Some(Time(created));
        let first = timing(&flow);
        let truth = Stored {
            flow: Arc::new(flow),
            cluster: Arc::new(ready_cluster(rules.max_active_runs)),
            runs: BTreeMap::new(),
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
        };
        let mut world = Self {
            rules,
            machine: created,
            now: created,
            latest: created,
            created,
            cache: truth.clone(),
            truth,
            next_version: 1,
            unwritten: BTreeMap::new(),
            scheduler: 0,
            started: BTreeMap::new(),
            ticks: BTreeSet::new(),
            edits: BTreeMap::new(),
            given: BTreeMap::new(),
            skipped: BTreeSet::new(),
            known: (1, first, CLOCKS.iter().map(|(name, _)| ((*name).to_owned(), created)).collect()),
        };
        // Of a Flow that was never looked at nobody can tell a tick that was missed from one whose run is
        // forgotten.
        world.look_at_flow(fresh(), 1);
        world
    }

    pub fn happen(&mut self, happening: &Happening) {
        match *happening {
            Happening::Pass(seconds) => {
                self.machine = self.machine.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
                self.now = self.now.max(self.machine);
                self.latest = self.latest.max(self.now);
            }
            Happening::CacheCatchesUp => self.cache = self.truth.clone(),
            Happening::Restart => {
                self.cache = self.truth.clone();
                self.unwritten.clear();
                self.now = self.machine;
                // With the clock set back nobody can tell what was before an edit.
                self.edits.values_mut().for_each(|(_, edited)| *edited = self.now.min(*edited));
                let now = self.now;
                self.known.2.values_mut().for_each(|since| *since = now.min(*since));
            }
            Happening::LookAtFlow { stale, writes } => self.look_at_flow(stale, writes),
            Happening::LookAtCluster { stale } => self.look_at_cluster(stale),
            Happening::LookAtRun { index, stale, writes } => {
                if let Some(name) = self.run_name(index) {
                    self.look_at_run(&name, stale, writes);
                }
            }
            Happening::RunnerEnds { index, exit_code } => self.runner_ends(index, exit_code),
            Happening::SchedulerIsLost => self.scheduler += 1,
            Happening::Cancel(index) => self.change_run(index, |run| run.spec.cancel = true),
            Happening::SuspendRun { index, suspend } => {
                self.change_run(index, |run| run.spec.suspend = suspend);
            }
            Happening::SuspendFlow(suspend) => self.edit(|spec| spec.suspend = suspend),
            Happening::Edit(seconds) => self.edit(|spec| {
                let clock = spec.schedule.as_mut().and_then(|schedule| schedule.clocks.first_mut()).unwrap();
                clock.interval = Some(format!("{seconds}s").into());
            }),
            Happening::Rename => self.edit(|spec| {
                let clock = spec.schedule.as_mut().and_then(|schedule| schedule.clocks.get_mut(1)).unwrap();
                clock.name = if clock.name == "d" { "renamed" } else { "d" }.into();
            }),
            Happening::Parameters(value) => self.edit(|spec| {
                spec.parameters = Some(serde_json::json!({"base": value}));
                let clock = spec.schedule.as_mut().and_then(|schedule| schedule.clocks.get_mut(1)).unwrap();
                clock.parameters = Some(serde_json::json!({"of": value}));
            }),
        }
    }

    fn version(&mut self) -> u64 {
        self.next_version += 1;
        self.next_version
    }

    fn run_name(&self, index: usize) -> Option<String> {
        // The newest first: they are the interesting ones.
        self.truth.runs.keys().rev().nth(index).cloned()
    }

    fn change_run(&mut self, index: usize, change: impl FnOnce(&mut FlowRun)) {
        let Some(name) = self.run_name(index) else { return };
        let version = self.version();
        change(touch(self.truth.runs.get_mut(&name).unwrap(), version));
    }

    fn edit(&mut self, change: impl FnOnce(&mut FlowSpec)) {
        let version = self.version();
        let flow = touch(&mut self.truth.flow, version);
        let before = flow.spec.clone();
        change(&mut flow.spec);
        if flow.spec != before {
            let generation = flow.metadata.generation.unwrap() + 1;
            flow.metadata.generation = Some(generation);
            // The API server notes who wrote the spec when, in whole seconds.
            let writer = ManagedFieldsEntry {
                manager: Some("kubectl".into()),
                operation: Some("Update".into()),
                time: Some(Time(Timestamp::from_second(self.machine.as_second()).unwrap())),
                ..ManagedFieldsEntry::default()
            };
            flow.metadata.managed_fields = Some(vec![writer]);
            let timing = timing(flow);
            self.edits.insert(generation, (timing, self.machine));
        }
    }

    fn view(&self, stale: Stale) -> Stored {
        let (truth, cache) = (&self.truth, &self.cache);
        let of = |stale: bool| if stale { cache } else { truth };
        Stored {
            flow: of(stale.flow).flow.clone(),
            cluster: of(stale.flow).cluster.clone(),
            runs: of(stale.runs).runs.clone(),
            jobs: of(stale.jobs).jobs.clone(),
            pods: of(stale.pods).pods.clone(),
        }
    }

    fn look_at_flow(&mut self, stale: Stale, writes: usize) {
        let seen = self.view(stale);
        let look = |known: Wants| {
            let object = if known.covers(Wants::OBJECT) { &self.truth.flow } else { &seen.flow };
            Some((object.clone(), self.plan_flow(object, &seen, known)))
        };
        let Some((object, plan)) = planned(stale.is_any(), look) else { return };
        let news = object.status.as_ref() != Some(&plan.status);
        let current = self.truth.flow.resource_version() == object.resource_version();
        if self.carry_out(&plan, writes, Some(&object)) && news && current {
            let version = self.version();
            touch(&mut self.truth.flow, version).status = Some(plan.status);
            let generation = self.truth.flow.metadata.generation.unwrap();
            let timing = timing(&self.truth.flow);
            let since = timing.keys().map(|clock| (clock.clone(), self.began(clock, generation))).collect();
            self.known = (generation, timing, since);
        }
    }

    /// Since when a clock is as it is in this generation.
    fn began(&self, clock: &str, generation: i64) -> Timestamp {
        let (known, timing, since) = &self.known;
        let mut newer = self.edits.range(..=generation).filter(|(edited, _)| *edited > known);
        let newest = newer.next_back().filter(|(_, (now, _))| now.get(clock) != timing.get(clock));
        newest.map_or_else(|| since.get(clock).copied().unwrap_or(self.created), |(_, (_, edited))| *edited)
    }

    fn plan_flow(&self, flow: &Flow, seen: &Stored, known: Wants) -> Plan<daskflow::api::FlowStatus> {
        let runs = if known.covers(Wants::RUNS) { &self.truth.runs } else { &seen.runs };
        let admitted = flow.status.as_ref().map(|status| status.admitted.clone()).unwrap_or_default();
        let unfinished =
            |name: &String| self.truth.runs.get(name).is_some_and(|run| !phase_of(run).is_final());
        let unseen = |name: &&String| !runs.contains_key(*name);
        let observed = flow::Observed {
            runs: runs.values().cloned().collect(),
            found: admitted.iter().filter(unseen).filter(|name| unfinished(name)).cloned().collect(),
            runners: runners(&seen.pods),
            cluster_exists: true,
            ..flow::Observed::default()
        };
        let plan = flow::plan(flow, &observed, self.now);
        decide_nothing(&plan, flow::plan(&flow.clone().silent(), &observed.silent(), self.now));
        plan
    }

    /// Of the cluster only its places matter here.
    fn look_at_cluster(&mut self, stale: Stale) {
        let seen = self.view(stale);
        let observed = cluster::Observed {
            runs: seen.runs.values().filter(|run| !phase_of(run).is_final()).cloned().collect(),
            runners: runners(&seen.pods),
            ..cluster::Observed::default()
        };
        let current = self.truth.cluster.resource_version() == seen.cluster.resource_version();
        let plan = cluster::plan(&seen.cluster, &observed, self.now);
        let admitted = plan.status.admitted.clone();
        decide_nothing(&plan, cluster::plan(&seen.cluster.silent(), &observed.silent(), self.now));
        if current && self.truth.cluster.status.as_ref().unwrap().admitted != admitted {
            let version = self.version();
            touch(&mut self.truth.cluster, version).status.as_mut().unwrap().admitted = admitted;
        }
    }

    fn look_at_run(&mut self, name: &str, stale: Stale, writes: usize) {
        let seen = self.view(stale);
        let mut stored = seen.runs.get(name).cloned();
        let mut is_behind = stale.is_any();
        while let Some(run) = stored {
            let before = self.next_version;
            stored = self.turn_of_run(&run, (&seen, is_behind), writes);
            // What was written is not in what is seen.
            is_behind |= self.next_version != before;
        }
    }

    /// The run as the next plan begins from it.
    fn begun(&mut self, stored: &Arc<FlowRun>) -> Arc<FlowRun> {
        let name = stored.name_any();
        let kept = self.unwritten.get(&name).filter(|(over, _)| *over == stored.status);
        let Some((_, status)) = kept.cloned() else {
            self.unwritten.remove(&name);
            return stored.clone();
        };
        let mut run = stored.clone();
        Arc::make_mut(&mut run).status = Some(status);
        run
    }

    /// One turn; what it goes on from at once, if it does.
    fn turn_of_run(
        &mut self,
        stored: &Arc<FlowRun>,
        (seen, is_behind): (&Stored, bool),
        writes: usize,
    ) -> Option<Arc<FlowRun>> {
        let name = &stored.name_any();
        let ((stored, object), plan) = planned(is_behind, |known| {
            let live = known.covers(Wants::OBJECT).then(|| self.truth.runs.get(name).cloned());
            let stored = live.unwrap_or_else(|| Some(stored.clone()))?;
            let object = self.begun(&stored);
            let plan = self.plan_run(&object, seen, known);
            Some(((stored, object), plan))
        })?;
        let truth = self.truth.runs.get(name)?;
        let was = phase_of(truth);
        let current = truth.resource_version() == stored.resource_version();
        let news = stored.status.as_ref() != Some(&plan.status);
        let moves = object.status.as_ref() != Some(&plan.status);
        if !self.carry_out(&plan, writes, None) {
            // Who has died has forgotten.
            self.unwritten.clear();
            return None;
        }
        if let Urgency::By(by) | Urgency::GoOn(by) = plan.urgency
            && by > self.now
            && news
        {
            self.unwritten.insert(name.to_owned(), (stored.status.clone(), plan.status));
            return (moves && matches!(plan.urgency, Urgency::GoOn(_))).then_some(stored);
        }
        if !news {
            self.unwritten.remove(name);
        } else if current {
            self.unwritten.remove(name);
            let phase = plan.status.phase;
            if phase == Phase::Skipped {
                self.skipped.insert(name.to_owned());
            }
            assert!(!was.is_final() || phase == was, "{name} left {was:?} for {phase:?}");
            let version = self.version();
            touch(self.truth.runs.get_mut(name).unwrap(), version).status = Some(plan.status);
        }
        None
    }

    fn plan_run(&self, run: &FlowRun, seen: &Stored, known: Wants) -> Plan<FlowRunStatus> {
        let observed = self.observe_run(run, seen, known);
        let plan = run::plan(run, &observed, self.now);
        decide_nothing(&plan, run::plan(&run.clone().silent(), &observed.silent(), self.now));
        plan
    }

    fn observe_run(&self, object: &FlowRun, seen: &Stored, known: Wants) -> run::Observed {
        let attempt = attempt_of(object);
        let job_name = format!("{}-{attempt}", object.name_any());
        // A Job that the status knows is asked for when no cache has it.
        let asks =
            known.covers(Wants::JOB) || object.status.as_ref().is_some_and(|status| status.job.is_some());
        let job = seen.jobs.get(&job_name).or_else(|| self.truth.jobs.get(&job_name).filter(|_| asks));
        let flow = if known.covers(Wants::FLOW) { &self.truth.flow } else { &seen.flow };
        let runs = if known.covers(Wants::RUNS) { &self.truth.runs } else { &seen.runs };
        let others = |run: &&Arc<FlowRun>| run.name_any() != object.name_any() && !phase_of(run).is_final();
        let cached = seen.pods.get(&job_name);
        let behind = job.is_some_and(|job| has_ended(job)) && cached.is_none_or(|pod| is_alive(pod));
        let pods = if behind || (known.covers(Wants::PODS) && job.is_none()) {
            &self.truth.pods
        } else {
            &seen.pods
        };
        let of_run = format!("{}-", object.name_any());
        let another =
            pods.iter().any(|(name, pod)| name.starts_with(&of_run) && *name != job_name && is_alive(pod));
        let outside = self.rules.outside;
        let answering = ForeignScheduler::Answering { workers: 1, tls: None };
        run::Observed {
            flow: Some(flow.clone()),
            cluster: Some(seen.cluster.clone()).filter(|_| !outside),
            foreign: if outside { answering } else { ForeignScheduler::NotAsked },
            siblings: runs.values().filter(others).cloned().collect(),
            pod: pods.get(&job_name).or(cached).cloned(),
            job: job.cloned(),
            another_runner: another,
            scheduler: Some(format!("scheduler/{}", self.scheduler)).filter(|_| !outside),
            unwritten: self.unwritten.contains_key(&object.name_any()),
            ..run::Observed::default()
        }
    }

    /// Carries out the steps, dying after `writes` of them. Says whether it came to the status.
    fn carry_out<S>(&mut self, plan: &Plan<S>, writes: usize, by: Option<&Flow>) -> bool {
        for step in plan.steps.iter().take(writes) {
            match step {
                Step::Create(object) => self.create(object, by),
                Step::Delete(victim) if victim.kind == VictimKind::Job => {
                    // The runner has its grace period; it ends when it ends.
                    self.truth.jobs.remove(&victim.name);
                }
                Step::Delete(victim) if victim.kind == VictimKind::Run => {
                    let run = self.truth.runs.remove(&victim.name);
                    assert!(run.is_none_or(|run| phase_of(&run).is_final()), "{} was not over", victim.name);
                }
                Step::Adopt { .. } | Step::Delete(_) | Step::Try(_) => {}
                other => panic!("not expected here: {other:?}"),
            }
        }
        plan.steps.len() < writes
    }

    /// Creating what exists already is done.
    fn create(&mut self, object: &Object, by: Option<&Flow>) {
        match object {
            Object::Run(run) if self.truth.runs.contains_key(&run.name_any()) => {}
            Object::Run(run) => {
                let tick = run.spec.scheduled_time.as_ref().unwrap().0;
                let clock = run.spec.clock.clone().unwrap();
                assert!(
                    self.ticks.insert((clock.clone(), tick)),
                    "the tick {tick} of {clock} became a run twice"
                );
                // An operator whose cache is behind acts on what was so.
                let by = by.unwrap();
                let generation = by.metadata.generation.unwrap();
                let since = (generation >= self.known.0).then(|| self.began(&clock, generation));
                assert!(since.is_none_or(|since| tick > since), "{tick} is before {since:?}, the last edit");
                self.given.insert(run.name_any(), expected_parameters(by, &clock));
                let version = self.version();
                let mut run = Arc::new(run.clone());
                let meta = &mut touch(&mut run, version).metadata;
                meta.uid = meta.name.clone();
                meta.creation_timestamp = Some(Time(self.now));
                self.truth.runs.insert(run.name_any(), run);
            }
            Object::Job(job) if self.truth.jobs.contains_key(&job.name_any()) => {}
            Object::Job(job) => {
                let name = job.name_any();
                *self.started.entry(name.clone()).or_default() += 1;
                assert_eq!(self.given[&job.labels()["daskflow.dev/run"]], parameters_of(job), "{name}");
                let mut job = job.clone();
                job.metadata.creation_timestamp = Some(Time(self.now));
                let job = &job;
                self.truth.jobs.insert(name.clone(), Arc::new(job.clone()));
                self.truth.pods.insert(name.clone(), Arc::new(pod(job, None)));
            }
            other => panic!("not expected here: {other:?}"),
        }
    }

    /// The runner of this index ends, and its Job with it, if that is still there.
    fn runner_ends(&mut self, index: usize, exit_code: i32) {
        let alive = self.truth.pods.iter().filter(|(_, pod)| is_alive(pod));
        let Some(name) = alive.map(|(name, _)| name.clone()).nth(index) else { return };
        let pod_ = self.truth.pods.get_mut(&name).unwrap();
        Arc::make_mut(pod_).status = Some(ended_status(exit_code));
        if let Some(job) = self.truth.jobs.get_mut(&name) {
            let type_ = if exit_code == 0 { "Complete" } else { "Failed" };
            let condition = JobCondition { type_: type_.into(), status: "True".into(), ..Default::default() };
            Arc::make_mut(job).status =
                Some(JobStatus { conditions: Some(vec![condition]), ..Default::default() });
        } else {
            self.truth.pods.remove(&name);
        }
    }

    /// What must hold after everything that happens.
    pub fn check(&self) {
        let twice: Vec<_> = self.started.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "a Job was created twice: {twice:?}");
        let policy = self.rules.concurrency;
        for run in self.truth.runs.values() {
            let status = run.status.as_ref().filter(|status| status.phase == Phase::Queued);
            assert!(status.is_none_or(|status| status.waits_for.is_some()), "for what does it wait? {run:?}");
            let reason = run.status.as_ref().and_then(|status| status.reason.as_deref());
            assert!(reason != Some("Replaced") || policy == Concurrency::Replace, "{policy:?}: {run:?}");
            let newest_only = matches!(policy, Concurrency::Forbid | Concurrency::Replace);
            let asked = run.spec.cancel || policy == Concurrency::Replace;
            assert!(asked || phase_of(run) != Phase::Cancelled, "nobody stopped it: {run:?}");
            assert!(reason != Some("Superseded") || newest_only, "{policy:?}: {run:?}");
            let (clock, tick) = (run.spec.clock.clone().unwrap(), run.spec.scheduled_time.clone().unwrap().0);
            let is_newer = |other: &(String, Timestamp)| other.0 == clock && other.1 > tick;
            let gave_way = matches!(reason, Some("Superseded" | "Replaced"));
            assert!(!gave_way || self.ticks.iter().any(is_newer), "it gave way to another clock: {run:?}");
        }
        let alive = runners_of_pods(&self.truth.pods);
        let runs: BTreeSet<&String> = alive.iter().collect();
        assert_eq!(runs.len(), alive.len(), "two runners of one run: {alive:?}");
        let places = [self.places(), self.rules.max_active_runs.filter(|_| !self.rules.outside)]
            .into_iter()
            .flatten()
            .min();
        let count = u32::try_from(alive.len()).unwrap();
        assert!(places.is_none_or(|places| count <= places), "{alive:?} are alive together");
    }

    fn places(&self) -> Option<u32> {
        match self.rules.concurrency {
            Concurrency::Allow => None,
            Concurrency::Forbid | Concurrency::Replace => Some(1),
            Concurrency::Queue => Some(self.rules.max_active.unwrap_or(1)),
        }
    }

    /// No more faults: everything is looked at until nothing changes.
    pub fn settle(&mut self) {
        let mut before = 0;
        while before != self.next_version {
            before = self.next_version;
            self.cache = self.truth.clone();
            self.look_at_flow(fresh(), 100);
            self.look_at_cluster(fresh());
            for name in self.unfinished() {
                self.look_at_run(&name, fresh(), 100);
            }
            self.check();
        }
    }

    /// Lets all that is under way come to its end: runners succeed, waits pass, holds are taken off. Without
    /// clocks nothing new comes; a suspended Flow would keep its ticks waiting.
    pub fn finish(&mut self) {
        for index in 0..self.truth.runs.len() {
            self.change_run(index, |run| run.spec.suspend = false);
        }
        self.edit(|spec| {
            spec.suspend = false;
            spec.schedule = None;
        });
        self.settle();
        for _ in 0..4 * (self.truth.runs.len() + 1) {
            if self.unfinished().is_empty() {
                break;
            }
            while !runners_of_pods(&self.truth.pods).is_empty() {
                self.runner_ends(0, 0);
            }
            // Past every wait between two attempts.
            self.now = self.now.saturating_add(SignedDuration::from_secs(30)).unwrap();
            self.settle();
        }
        let counted = self.truth.flow.status.as_ref().map_or(0, |status| status.skipped);
        assert_eq!(counted, i64::try_from(self.skipped.len()).unwrap(), "given up: {:?}", self.skipped);
        let open = self.unfinished();
        assert!(open.is_empty(), "{open:?} never end: {:?}", self.truth.runs[&open[0]]);
    }

    fn unfinished(&self) -> Vec<String> {
        let open = self.truth.runs.iter().filter(|(_, run)| !phase_of(run).is_final());
        open.map(|(name, _)| name.clone()).collect()
    }

    pub fn missed(&self) -> i64 {
        self.truth.flow.status.as_ref().map_or(0, |status| status.missed)
    }
}

/// What a run of this clock is to be given by a Flow.
fn expected_parameters(flow: &Flow, clock: &str) -> serde_json::Value {
    let mut all = flow.spec.parameters.clone().unwrap();
    let clocks = flow.spec.schedule.iter().flat_map(|schedule| &schedule.clocks);
    let own =
        clocks.filter(|entry| entry.name == clock).find_map(|entry| entry.parameters.as_ref()?.as_object());
    all.as_object_mut().unwrap().extend(own.cloned().unwrap_or_default());
    all
}

/// What a Job hands to its runner.
fn parameters_of(job: &Job) -> serde_json::Value {
    let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let mut variables = pod.containers[0].env.iter().flatten();
    let text = variables.find(|variable| variable.name == "DASKFLOW_PARAMETERS").unwrap().value.clone();
    serde_json::from_str(&text.unwrap()).unwrap()
}

/// Everything as it is.
pub fn fresh() -> Stale {
    Stale { flow: false, runs: false, jobs: false, pods: false }
}

fn spec(rules: Rules) -> FlowSpec {
    let clock = |(name, seconds): (&str, i64)| ClockEntry {
        name: name.into(),
        interval: Some(format!("{seconds}s").into()),
        parameters: (name != "c").then(|| serde_json::json!({"of": name})),
        ..ClockEntry::default()
    };
    FlowSpec {
        concurrency: rules.concurrency,
        max_active: rules.max_active.map(Into::into),
        catch_up: rules.catch_up,
        history: History { succeeded: rules.history.into(), failed: rules.history.into(), older_than: None },
        retries: Some(Retries {
            limit: rules.attempts,
            infrastructure: rules.attempts,
            ..Retries::default()
        }),
        cluster: ClusterSource {
            ref_: Some(NameRef { name: "analytics".into() }).filter(|_| !rules.outside),
            address: Some("tcp://elsewhere:8786".into()).filter(|_| rules.outside),
            ..ClusterSource::default()
        },
        parameters: Some(serde_json::json!({"base": 0})),
        schedule: Some(Schedule { clocks: CLOCKS.map(clock).into(), ..Schedule::default() }),
        command: vec!["true".into()],
        ..FlowSpec::default()
    }
}

fn ready_cluster(max_active_runs: Option<u32>) -> DaskCluster {
    let max_active_runs = max_active_runs.map(Into::into);
    let spec = DaskClusterSpec { image: "flows:1".into(), max_active_runs, ..Default::default() };
    let mut cluster = DaskCluster::new("analytics", spec);
    let ready = Condition {
        type_: "Ready".into(),
        status: "True".into(),
        reason: "Ready".into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    };
    cluster.status = Some(DaskClusterStatus { conditions: vec![ready], ..DaskClusterStatus::default() });
    cluster
}

fn has_ended(job: &Job) -> bool {
    job.status.is_some()
}

/// The runner's pod of a Job, which has the Job's name here.
fn pod(job: &Job, status: Option<PodStatus>) -> Pod {
    let mut pod = Pod { status, ..Pod::default() };
    pod.metadata.name.clone_from(&job.metadata.name);
    pod.metadata.labels.clone_from(&job.metadata.labels);
    pod
}

fn ended_status(exit_code: i32) -> PodStatus {
    let terminated = ContainerStateTerminated { exit_code, ..ContainerStateTerminated::default() };
    let state = ContainerState { terminated: Some(terminated), ..ContainerState::default() };
    let container =
        ContainerStatus { name: "runner".into(), state: Some(state), ..ContainerStatus::default() };
    PodStatus {
        phase: Some(if exit_code == 0 { "Succeeded" } else { "Failed" }.into()),
        container_statuses: Some(vec![container]),
        ..PodStatus::default()
    }
}

fn is_alive(pod: &Pod) -> bool {
    pod.status.is_none()
}

fn runners_of_pods(pods: &BTreeMap<String, Arc<Pod>>) -> Vec<String> {
    let alive = pods.values().filter(|pod| is_alive(pod));
    alive.filter_map(|pod| pod.labels().get("daskflow.dev/run").cloned()).collect()
}

fn runners(pods: &BTreeMap<String, Arc<Pod>>) -> BTreeSet<String> {
    runners_of_pods(pods).into_iter().collect()
}
