//! Laws that hold over any history: of ticks, crashes between any two writes, stale caches, a clock that steps back,
//! suspensions, cancellations, and runners that end well or badly.
//!
//! The world below is the API server as far as the planner can tell it apart from the real one: names are unique,
//! a status is written only over the version that it was read with, and a cache may be behind.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may end in a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use daskflow::api::common::NameRef;
use daskflow::api::flow::{ClockEntry, ClusterSource, Concurrency, History, Schedule};
use daskflow::api::{DaskCluster, DaskClusterSpec, DaskClusterStatus, Flow, FlowRun, FlowSpec, Phase};
use daskflow::plan::run::phase_of;
use daskflow::plan::{Object, Plan, Step, VictimKind, flow, run};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt;
use proptest::prelude::*;

const INTERVAL_S: i64 = 60;

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// Time passes, in seconds; a negative number is a clock that was set back.
    Pass(i64),
    /// The Flow is reconciled, from the cache or from the truth, and the operator dies after so many writes.
    LookAtFlow { stale: bool, writes: usize },
    /// The same for the run of this index.
    LookAtRun { index: usize, stale: bool, writes: usize },
    /// The runner of this index ends.
    RunnerEnds { index: usize, well: bool },
    /// The caches catch up.
    CacheCatchesUp,
    /// The operator starts anew: its caches are fresh, and its time is the machine's again.
    Restart,
    /// Somebody cancels the run of this index.
    Cancel(usize),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        4 => (1..150_i64).prop_map(Happening::Pass),
        1 => (-20..-1_i64).prop_map(Happening::Pass),
        6 => (any::<bool>(), 0..4_usize).prop_map(|(stale, writes)| Happening::LookAtFlow { stale, writes }),
        8 => (0..8_usize, any::<bool>(), 0..4_usize)
            .prop_map(|(index, stale, writes)| Happening::LookAtRun { index, stale, writes }),
        3 => (0..8_usize, any::<bool>()).prop_map(|(index, well)| Happening::RunnerEnds { index, well }),
        3 => Just(Happening::CacheCatchesUp),
        1 => Just(Happening::Restart),
        1 => (0..8_usize).prop_map(Happening::Cancel),
    ];
    prop::collection::vec(one, 1..80)
}

#[derive(Clone)]
struct Versioned<T> {
    object: T,
    version: u64,
}

/// What the API server holds.
#[derive(Clone)]
struct Stored {
    flow: Versioned<Flow>,
    runs: BTreeMap<String, Versioned<FlowRun>>,
    jobs: BTreeMap<String, Job>,
}

struct World {
    /// The machine's time.
    machine: Timestamp,
    /// The operator's time, which never goes back while it lives.
    now: Timestamp,
    latest: Timestamp,
    created: Timestamp,
    truth: Stored,
    cache: Stored,
    next_version: u64,
    /// How often each Job was created.
    started: BTreeMap<String, u32>,
    /// Ticks that ever became a run.
    ticks: BTreeSet<Timestamp>,
}

impl World {
    fn new(concurrency: Concurrency) -> Self {
        let created: Timestamp = "2026-12-01T09:00:30Z".parse().unwrap();
        let clock = ClockEntry { name: "c".into(), interval: Some("1m".into()), ..ClockEntry::default() };
        let spec = FlowSpec {
            concurrency,
            history: History { succeeded: 1000, failed: 1000 },
            cluster: ClusterSource {
                ref_: Some(NameRef { name: "analytics".into() }),
                ..ClusterSource::default()
            },
            schedule: Some(Schedule { clocks: vec![clock], ..Schedule::default() }),
            command: vec!["true".into()],
            ..FlowSpec::default()
        };
        let mut flow = Flow::new("etl", spec);
        flow.metadata.uid = Some("flow".into());
        flow.metadata.creation_timestamp = Some(Time(created));
        let truth = Stored {
            flow: Versioned { object: flow, version: 0 },
            runs: BTreeMap::new(),
            jobs: BTreeMap::new(),
        };
        let cache = truth.clone();
        let (next_version, started, ticks) = (1, BTreeMap::new(), BTreeSet::new());
        let mut world = Self {
            machine: created,
            now: created,
            latest: created,
            created,
            truth,
            cache,
            next_version,
            started,
            ticks,
        };
        // Of a Flow that was never looked at nobody can tell a tick that was missed from one whose run is forgotten.
        world.look_at_flow(false, 1);
        world
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Pass(seconds) => {
                self.machine = self.machine.saturating_add(SignedDuration::from_secs(*seconds)).unwrap();
                self.now = self.now.max(self.machine);
                self.latest = self.latest.max(self.now);
            }
            Happening::CacheCatchesUp => self.cache = self.truth.clone(),
            Happening::Restart => {
                self.cache = self.truth.clone();
                self.now = self.machine;
            }
            Happening::LookAtFlow { stale, writes } => self.look_at_flow(*stale, *writes),
            Happening::LookAtRun { index, stale, writes } => {
                if let Some(name) = self.run_name(*index) {
                    self.look_at_run(&name, *stale, *writes);
                }
            }
            Happening::RunnerEnds { index, well } => {
                if let Some(job) = self.truth.jobs.values_mut().filter(|job| !has_ended(job)).nth(*index) {
                    end(job, *well);
                }
            }
            Happening::Cancel(index) => {
                if let Some(name) = self.run_name(*index) {
                    let version = self.version();
                    let run = self.truth.runs.get_mut(&name).unwrap();
                    run.object.spec.cancel = true;
                    run.version = version;
                }
            }
        }
    }

    fn run_name(&self, index: usize) -> Option<String> {
        // The newest first: they are the interesting ones.
        self.truth.runs.keys().rev().nth(index).cloned()
    }

    fn version(&mut self) -> u64 {
        self.next_version += 1;
        self.next_version
    }

    fn look_at_flow(&mut self, stale: bool, writes: usize) {
        let seen = if stale { self.cache.clone() } else { self.truth.clone() };
        let mut flow = seen.flow.clone();
        let mut plan = self.plan_flow(&flow.object, &seen, false);
        if plan.look_again {
            // The Flow and its runs are read anew.
            flow = self.truth.flow.clone();
            plan = self.plan_flow(&flow.object, &self.truth, true);
        }
        let news = flow.object.status.as_ref() != Some(&plan.status);
        if self.carry_out(&plan, writes) && news && self.truth.flow.version == flow.version {
            let version = self.version();
            self.truth.flow.object.status = Some(plan.status);
            self.truth.flow.version = version;
        }
    }

    fn plan_flow(&self, flow: &Flow, seen: &Stored, live: bool) -> Plan<daskflow::api::FlowStatus> {
        let runs: Vec<_> = seen.runs.values().map(|run| Arc::new(run.object.clone())).collect();
        let admitted = flow.status.as_ref().map(|status| status.admitted.clone()).unwrap_or_default();
        let unfinished =
            |name: &String| self.truth.runs.get(name).is_some_and(|run| !phase_of(&run.object).is_final());
        let unseen = |name: &&String| !runs.iter().any(|run| run.name_any() == **name);
        let found = admitted.iter().filter(unseen).filter(|name| unfinished(name)).cloned().collect();
        let observed =
            flow::Observed { runs, live, found, cluster_exists: true, ..flow::Observed::default() };
        flow::plan(flow, &observed, self.now)
    }

    fn look_at_run(&mut self, name: &str, stale: bool, writes: usize) {
        let seen = if stale { self.cache.clone() } else { self.truth.clone() };
        let Some(mut seen_run) = seen.runs.get(name).cloned() else { return };
        let mut plan = self.plan_run(&seen_run.object, &seen, false);
        if plan.look_again {
            // The run itself is read anew; all else may still be stale.
            seen_run = self.truth.runs[name].clone();
            plan = self.plan_run(&seen_run.object, &seen, true);
        }
        let was = phase_of(&self.truth.runs[name].object);
        let current = self.truth.runs[name].version == seen_run.version;
        let news = seen_run.object.status.as_ref() != Some(&plan.status);
        if self.carry_out(&plan, writes) && news && current {
            assert!(
                !was.is_final() || plan.status.phase == was,
                "{name} left {was:?} for {:?}",
                plan.status.phase
            );
            let version = self.version();
            let run = self.truth.runs.get_mut(name).unwrap();
            run.object.status = Some(plan.status);
            run.version = version;
        }
    }

    fn plan_run(&self, run: &FlowRun, seen: &Stored, live: bool) -> Plan<daskflow::api::FlowRunStatus> {
        let job_name = format!("{}-1", run.name_any());
        // A Job that the status knows is asked for when no cache has it.
        let told = run.status.as_ref().is_some_and(|status| status.job.is_some());
        let job = seen.jobs.get(&job_name).or_else(|| self.truth.jobs.get(&job_name).filter(|_| told));
        let waiting = seen
            .runs
            .values()
            .map(|other| &other.object)
            .filter(|other| other.name_any() != run.name_any() && phase_of(other) == Phase::Queued);
        let observed = run::Observed {
            flow: Some(Arc::new(seen.flow.object.clone())),
            cluster: Some(Arc::new(ready_cluster())),
            waiting: waiting.map(|other| (other.name_any(), run::logical_time(other))).collect(),
            job: job.cloned().map(Arc::new),
            live,
            ..run::Observed::default()
        };
        run::plan(run, &observed, self.now)
    }

    /// Carries out the steps, dying after `writes` of them. Says whether it came to the status.
    fn carry_out<S>(&mut self, plan: &Plan<S>, writes: usize) -> bool {
        for step in plan.steps.iter().take(writes) {
            match step {
                Step::Create(object) => self.create(object),
                Step::Delete(victim) if victim.kind == VictimKind::Job => {
                    self.truth.jobs.remove(&victim.name);
                }
                Step::Adopt { .. } | Step::Delete(_) => {}
                other => panic!("not expected here: {other:?}"),
            }
        }
        plan.steps.len() < writes
    }

    /// Creating what exists already is done.
    fn create(&mut self, object: &Object) {
        match object {
            Object::Run(run) => {
                let version = self.version();
                self.ticks.insert(run.spec.scheduled_time.as_ref().unwrap().0);
                let mut run = run.clone();
                run.metadata.uid = Some(run.name_any());
                run.metadata.creation_timestamp = Some(Time(self.now));
                self.truth.runs.entry(run.name_any()).or_insert(Versioned { object: run, version });
            }
            Object::Job(job) => {
                if self.truth.jobs.insert(job.name_any(), job.clone()).is_none() {
                    *self.started.entry(job.name_any()).or_default() += 1;
                }
            }
            other => panic!("not expected here: {other:?}"),
        }
    }

    fn live_runners(&self) -> usize {
        self.truth.jobs.values().filter(|job| !has_ended(job)).count()
    }

    /// No more faults: everything is looked at until nothing changes.
    fn settle(&mut self) {
        let mut before = 0;
        while before != self.next_version {
            before = self.next_version;
            self.cache = self.truth.clone();
            self.look_at_flow(false, 100);
            for name in self.truth.runs.keys().cloned().collect::<Vec<_>>() {
                self.look_at_run(&name, false, 100);
            }
        }
    }
}

fn ready_cluster() -> DaskCluster {
    let mut cluster =
        DaskCluster::new("analytics", DaskClusterSpec { image: "flows:1".into(), ..Default::default() });
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

fn end(job: &mut Job, well: bool) {
    let type_ = if well { "Complete" } else { "Failed" };
    let condition = JobCondition { type_: type_.into(), status: "True".into(), ..JobCondition::default() };
    job.status = Some(JobStatus { conditions: Some(vec![condition]), ..JobStatus::default() });
}

fn holds_always(concurrency: Concurrency, history: &[Happening]) {
    let mut world = World::new(concurrency);
    for happening in history {
        world.happen(happening);
        assert!(
            world.started.values().all(|times| *times == 1),
            "a Job was created twice: {:?}",
            world.started
        );
        if concurrency == Concurrency::Forbid {
            assert!(world.live_runners() <= 1, "two runners at once: {:?}", world.truth.jobs.keys());
        }
    }
    // The clock is right again, and has passed every moment that was ever seen.
    world.now = world.latest;
    world.settle();
    every_tick_is_accounted_for(&world);
    for job in world.truth.jobs.values_mut() {
        end(job, true);
    }
    world.settle();
    while world.live_runners() > 0 {
        world.truth.jobs.values_mut().for_each(|job| end(job, true));
        world.settle();
    }
    let open: Vec<_> = world.truth.runs.values().filter(|run| !phase_of(&run.object).is_final()).collect();
    assert!(open.is_empty(), "{} runs never end", open.len());
}

/// Each tick since the Flow was created is a run or was counted as missed, never both, never neither.
fn every_tick_is_accounted_for(world: &World) {
    let due =
        (world.latest.as_second().div_euclid(INTERVAL_S)) - world.created.as_second().div_euclid(INTERVAL_S);
    let missed = world.truth.flow.object.status.as_ref().map_or(0, |status| status.missed);
    let ran = i64::try_from(world.ticks.len()).unwrap();
    assert_eq!(ran + missed, due, "{ran} ran and {missed} were missed of {due} ticks");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn under_forbid_one_runner_lives_at_a_time_and_no_tick_is_lost_or_doubled(history in happenings()) {
        holds_always(Concurrency::Forbid, &history);
    }

    #[test]
    fn under_allow_no_tick_is_lost_or_doubled(history in happenings()) {
        holds_always(Concurrency::Allow, &history);
    }
}
