//! Laws of backfills that hold over any history: of crashes between any two writes, stale caches, runs that
//! end well or badly, suspensions, cancellations, resumptions and deletions, and a Flow that forgets its
//! finished runs at once.
//!
//! The world below is the API server as far as the planner can tell it apart from the real one: names are
//! unique, what is deleted or cancelled is told by its uid, a status is written only over the version that it
//! was read with, and a cache may be behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use daskflow::api::flow::{ClockEntry, History, Schedule};
use daskflow::api::flow_backfill::{BackfillOrder, SkippedTicks};
use daskflow::api::{
    Flow, FlowBackfill, FlowBackfillSpec, FlowRun, FlowRunSpec, FlowRunStatus, FlowSpec, Phase, labels,
};
use daskflow::plan::backfill::{is_unfinished, runs_counted_on};
use daskflow::plan::facts::phase_of;
use daskflow::plan::{Object, Step, VictimKind, Wants, backfill, flow};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use proptest::prelude::*;

use super::wants::planned;
use super::words::{Words, decide_nothing};

/// Histories of the law: always, and in a long search.
const HISTORIES: [u32; 2] = [500, 25_000];
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const NAME: &str = "october";

/// What is asked for, and what is there before.
#[derive(Clone, Debug)]
struct Begin {
    ticks: u8,
    parallelism: usize,
    newest_first: bool,
    skip_ran: bool,
    /// Hours from the first tick to the beginning; ticks may lie ahead.
    passed: i64,
    /// Runs that the Flow's clock made before, by tick, and how they stand.
    earlier: BTreeMap<u8, Phase>,
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Happening {
    /// The backfill is reconciled, from the caches or from the truth, and the operator dies after so many
    /// writes.
    LookAtBackfill { stale: bool, writes: usize },
    /// The same for the Flow, which forgets finished runs.
    LookAtFlow { stale: bool, writes: usize },
    /// The unfinished run of this index ends.
    RunEnds { index: usize, well: bool },
    /// A user cancels the unfinished run of this index.
    UserCancels(usize),
    /// A user deletes the run of this index, so that its tick is run again.
    UserDeletes(usize),
    /// A user writes `suspend` and `cancel` of the backfill.
    UserWrites { suspend: bool, cancel: bool },
    /// The cache of runs, or the one of backfills, catches up.
    CacheCatchesUp { runs: bool },
    /// An hour passes.
    HourPasses,
}

fn begin() -> impl Strategy<Value = Begin> {
    let phase = prop_oneof![Just(Phase::Succeeded), Just(Phase::Failed), Just(Phase::Running)];
    (1..9_u8, 1..4_usize, any::<bool>(), any::<bool>(), 0..12_i64).prop_flat_map(
        move |(ticks, parallelism, newest_first, skip_ran, passed)| {
            let earlier = prop::collection::btree_map(0..ticks, phase.clone(), 0..4);
            earlier.prop_map(move |earlier| Begin {
                ticks,
                parallelism,
                newest_first,
                skip_ran,
                passed,
                earlier,
            })
        },
    )
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        8 => (any::<bool>(), 0..5_usize)
            .prop_map(|(stale, writes)| Happening::LookAtBackfill { stale, writes }),
        3 => (any::<bool>(), 0..5_usize).prop_map(|(stale, writes)| Happening::LookAtFlow { stale, writes }),
        6 => (0..4_usize, any::<bool>()).prop_map(|(index, well)| Happening::RunEnds { index, well }),
        1 => (0..4_usize).prop_map(Happening::UserCancels),
        1 => (0..8_usize).prop_map(Happening::UserDeletes),
        2 => (any::<bool>(), any::<bool>())
            .prop_map(|(suspend, cancel)| Happening::UserWrites { suspend, cancel }),
        1 => Just(Happening::UserWrites { suspend: false, cancel: false }),
        4 => any::<bool>().prop_map(|runs| Happening::CacheCatchesUp { runs }),
        2 => Just(Happening::HourPasses),
    ];
    prop::collection::vec(one, 1..80)
}

/// What the API server holds, or a cache of it.
#[derive(Clone)]
struct Stored {
    backfill: FlowBackfill,
    version: u64,
    runs: BTreeMap<String, FlowRun>,
}

struct World {
    now: Timestamp,
    flow: Flow,
    truth: Stored,
    cache: Stored,
    parallelism: usize,
    /// The names of the ticks' runs.
    ticks: Vec<String>,
    /// How many runs were ever made, for uids.
    made: u32,
    /// Runs that have succeeded once.
    succeeded: BTreeSet<String>,
    /// Runs of the backfill that are gone, by name.
    gone: BTreeMap<String, Vec<FlowRun>>,
}

impl World {
    fn new(begin: &Begin) -> Self {
        let first: Timestamp = "2026-10-01T00:00:00Z".parse().unwrap();
        let instant = |index: u8| first + HOUR * i32::from(index);
        let clock = ClockEntry { name: "c".into(), interval: Some("1h".into()), ..ClockEntry::default() };
        let spec = FlowSpec {
            suspend: true,
            history: History { succeeded: 0.into(), failed: 0.into(), older_than: None },
            schedule: Some(Schedule { clocks: vec![clock], ..Schedule::default() }),
            ..FlowSpec::default()
        };
        let mut flow = Flow::new("etl", spec);
        flow.metadata.uid = Some("flow".into());
        let spec = FlowBackfillSpec {
            parallelism: u32::try_from(begin.parallelism).unwrap().into(),
            order: if begin.newest_first { BackfillOrder::NewestFirst } else { BackfillOrder::OldestFirst },
            skip: if begin.skip_ran { SkippedTicks::Ran } else { SkippedTicks::Succeeded },
            ..FlowBackfillSpec::new("etl", Time(first), Time(instant(begin.ticks - 1)))
        };
        let mut backfill = FlowBackfill::new(NAME, spec);
        backfill.metadata.uid = Some("backfill".into());
        let name = |index: u8| format!("etl-20261001t{index:02}0000");
        let earlier = |(index, phase): (&u8, &Phase)| {
            let spec = FlowRunSpec {
                flow: "etl".into(),
                clock: Some("c".into()),
                scheduled_time: Some(Time(instant(*index))),
                ..FlowRunSpec::default()
            };
            let mut run = FlowRun::new(&name(*index), spec);
            run.metadata.uid = Some(format!("earlier-{index}"));
            run.status = Some(FlowRunStatus { phase: *phase, ..FlowRunStatus::default() });
            (name(*index), run)
        };
        // No clock makes a run before its tick has passed.
        let passed = begin.earlier.iter().filter(|(index, _)| i64::from(**index) <= begin.passed);
        let truth = Stored { backfill, version: 0, runs: passed.map(earlier).collect() };
        let mut world = Self {
            now: first + HOUR * i32::try_from(begin.passed).unwrap(),
            flow,
            cache: truth.clone(),
            truth,
            parallelism: begin.parallelism,
            ticks: (0..begin.ticks).map(name).collect(),
            made: 0,
            succeeded: BTreeSet::new(),
            gone: BTreeMap::new(),
        };
        // What had succeeded before is known to the first look at the Flow, and may be deleted after that.
        world.note_successes();
        world
    }

    fn happen(&mut self, happening: &Happening) {
        self.happens(happening);
        self.note_successes();
    }

    fn note_successes(&mut self) {
        let good = self.truth.runs.values().filter(|run| phase_of(run) == Phase::Succeeded);
        self.succeeded.extend(good.map(ResourceExt::name_any));
    }

    fn happens(&mut self, happening: &Happening) {
        match happening {
            Happening::LookAtBackfill { stale, writes } => self.look_at_backfill(*stale, *writes),
            Happening::LookAtFlow { stale, writes } => self.look_at_flow(*stale, *writes),
            Happening::RunEnds { index, well } => {
                if let Some(run) = self.unfinished().nth(*index) {
                    end(run, *well);
                }
            }
            Happening::UserCancels(index) => {
                if let Some(run) = self.unfinished().nth(*index) {
                    run.spec.cancel = true;
                }
            }
            Happening::UserDeletes(index) => {
                // What has succeeded is known by then, and is not run again for that.
                self.look_at_flow(false, 100);
                let name = self.truth.runs.keys().nth(*index).cloned();
                // What is deleted after the end is not run again.
                if let Some(name) = name.filter(|_| is_unfinished(&self.truth.backfill)) {
                    self.truth.runs.remove(&name);
                }
            }
            Happening::UserWrites { suspend, cancel } => {
                self.truth.backfill.spec.suspend = *suspend;
                self.truth.backfill.spec.cancel = *cancel;
                self.truth.version += 1;
            }
            Happening::CacheCatchesUp { runs: true } => self.cache.runs.clone_from(&self.truth.runs),
            Happening::CacheCatchesUp { runs: false } => {
                self.cache.backfill.clone_from(&self.truth.backfill);
                self.cache.version = self.truth.version;
            }
            Happening::HourPasses => self.now += HOUR,
        }
    }

    fn unfinished(&mut self) -> impl Iterator<Item = &mut FlowRun> {
        self.truth.runs.values_mut().filter(|run| !phase_of(run).is_final())
    }

    fn look_at_backfill(&mut self, stale: bool, writes: usize) {
        let look = |known: Wants| {
            let seen = if stale && known.is_nothing() { &self.cache } else { &self.truth };
            Some((seen.version, self.plan_backfill(seen)))
        };
        let Some((version, plan)) = planned(stale, look) else { return };
        let was = self.truth.backfill.status.as_ref().and_then(|status| status.finished_at.clone());
        let complete = self.carry_out(&plan.steps, writes, "the backfill");
        if complete && version == self.truth.version {
            assert!(was.is_none() || was == plan.status.finished_at, "it had ended, and did so again");
            if was.is_none() && plan.status.finished_at.is_some() {
                self.all_is_done();
            }
            self.truth.backfill.status = Some(plan.status);
            self.truth.version += 1;
        }
    }

    fn plan_backfill(&self, seen: &Stored) -> daskflow::plan::Plan<daskflow::api::FlowBackfillStatus> {
        let runs = seen.runs.values().cloned().map(Arc::new).collect();
        let observed = backfill::Observed { flow: Some(Arc::new(self.flow.clone())), runs };
        let plan = backfill::plan(&seen.backfill, &observed, self.now);
        let silent = backfill::plan(&seen.backfill.clone().silent(), &observed.silent(), self.now);
        decide_nothing(&plan, silent);
        plan
    }

    fn look_at_flow(&mut self, stale: bool, writes: usize) {
        let seen = if stale { self.cache.clone() } else { self.truth.clone() };
        let observed = flow::Observed {
            runs: seen.runs.values().cloned().map(Arc::new).collect(),
            cluster_exists: true,
            backfills: [NAME.to_owned()].into(),
            backfilled: runs_counted_on(&seen.backfill, &self.flow).into_iter().collect(),
            ..flow::Observed::default()
        };
        let plan = flow::plan(&self.flow, &observed, self.now);
        if self.carry_out(&plan.steps, writes, "the Flow") {
            self.flow.status = Some(plan.status);
        }
    }

    /// Carries out the steps, dying after `writes` of them. Says whether it came to the status.
    fn carry_out(&mut self, steps: &[Step], writes: usize, who: &str) -> bool {
        for step in steps.iter().take(writes) {
            match step {
                Step::Create(object) => {
                    let Object::Run(run) = object.as_ref() else { panic!("not expected here: {object:?}") };
                    self.create(run);
                }
                Step::Delete(victim) => {
                    assert_eq!(victim.kind, VictimKind::Run);
                    self.delete(&victim.name, victim.uid.as_ref(), who);
                }
                Step::Cancel { run, uid, annotations } => {
                    let Some(run) = self.truth.runs.get_mut(run).filter(|run| run.metadata.uid == *uid)
                    else {
                        return false;
                    };
                    run.spec.cancel = true;
                    run.annotations_mut().extend(annotations.clone());
                }
                other => panic!("not expected here: {other:?}"),
            }
        }
        steps.len() < writes
    }

    /// Creating what exists already is done.
    fn create(&mut self, run: &FlowRun) {
        if self.truth.runs.contains_key(&run.name_any()) {
            return;
        }
        assert!(run.spec.scheduled_time.as_ref().unwrap().0 <= self.now, "its time has not come");
        let repeats = self.truth.backfill.spec.skip == SkippedTicks::Succeeded
            && self.succeeded.contains(&run.name_any());
        assert!(!repeats, "{} has succeeded", run.name_any());
        self.made += 1;
        let mut run = run.clone();
        run.metadata.uid = Some(format!("made-{}", self.made));
        self.truth.runs.insert(run.name_any(), run);
        let unfinished = self.unfinished().filter(|run| is_own(run)).count();
        assert!(unfinished <= self.parallelism, "{unfinished} at once");
    }

    fn delete(&mut self, name: &str, uid: Option<&String>, who: &str) {
        if self.truth.runs.get(name).is_none_or(|run| run.metadata.uid.as_ref() != uid) {
            return;
        }
        let run = self.truth.runs.remove(name).unwrap();
        let phase = phase_of(&run);
        if who == "the Flow" {
            assert!(!is_unfinished(&self.truth.backfill), "{name} is forgotten while it counts");
            assert!(!is_own(&run), "{name} is forgotten while its backfill is there");
        } else {
            assert!(phase.is_final() && phase != Phase::Succeeded, "{name} is replaced though {phase:?}");
            assert!(!is_own(&run) || is_taken_back(&run), "{name} has had its turn");
        }
        if is_own(&run) {
            self.gone.entry(name.to_owned()).or_default().push(run);
        }
    }

    /// Each tick has exactly one run that counts: of this backfill, or one that it was left out for.
    fn all_is_done(&self) {
        let ran = self.truth.backfill.spec.skip == SkippedTicks::Ran;
        for name in &self.ticks {
            let Some(run) = self.truth.runs.get(name) else {
                assert!(self.succeeded.contains(name), "{name} has no run");
                continue;
            };
            let turns = self.gone.get(name).into_iter().flatten().filter(|run| !is_taken_back(run)).count();
            assert_eq!(turns, 0, "{name} ran before");
            if is_own(run) {
                assert!(phase_of(run).is_final() && !is_taken_back(run), "{name} is {:?}", phase_of(run));
            } else {
                assert!(ran || phase_of(run) == Phase::Succeeded, "{name} is {:?}", phase_of(run));
            }
        }
    }

    /// No more faults, and nobody holds it back: it ends.
    fn settle(&mut self) {
        self.happen(&Happening::UserWrites { suspend: false, cancel: false });
        self.now += HOUR * 24;
        // Each round ends a run at least.
        for _ in 0..3 * self.ticks.len() + 3 {
            self.cache = self.truth.clone();
            self.look_at_backfill(false, 100);
            if !is_unfinished(&self.truth.backfill) {
                return;
            }
            self.unfinished().for_each(|run| end(run, true));
            self.note_successes();
        }
        panic!("it does not end: {:?}", self.truth.backfill.status);
    }
}

fn is_own(run: &FlowRun) -> bool {
    run.spec.backfill.as_deref() == Some(NAME)
}

/// Whether the backfill cancelled the run, so that its tick is to be run anew.
fn is_taken_back(run: &FlowRun) -> bool {
    phase_of(run) == Phase::Cancelled && run.annotations().contains_key(labels::CANCELLED_BY)
}

/// A run that is cancelled may still come to an end of its own.
fn end(run: &mut FlowRun, well: bool) {
    let phase = match (well, run.spec.cancel) {
        (true, _) => Phase::Succeeded,
        (false, true) => Phase::Cancelled,
        (false, false) => Phase::Failed,
    };
    run.status.get_or_insert_default().phase = phase;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::histories(HISTORIES), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_tick_has_one_run_that_counts_never_too_many_at_once_and_it_ends(
        begin in begin(),
        history in happenings(),
    ) {
        let mut world = World::new(&begin);
        for happening in &history {
            world.happen(happening);
        }
        world.settle();
        let status = world.truth.backfill.status.clone().unwrap();
        let done = status.succeeded + status.failed + status.skipped;
        prop_assert_eq!((done, status.active, status.remaining), (status.total, 0, 0));
        prop_assert_eq!(usize::try_from(status.total).unwrap(), world.ticks.len());
        // What is forgotten from now on is not run again.
        world.unfinished().for_each(|run| end(run, true));
        world.note_successes();
        // The status that holds a success is read before its run is deleted.
        for _ in 0..4 {
            world.look_at_flow(false, 100);
        }
        let made = world.made;
        world.look_at_backfill(false, 100);
        prop_assert_eq!(world.made, made);
        prop_assert!(world.truth.runs.values().all(is_own), "nothing but the backfill spares any");
        // Without the backfill they are forgotten as well, and another one comes to its end too.
        world.truth.runs.clear();
        world.gone.clear();
        world.truth.backfill.metadata.uid = Some("again".into());
        world.truth.backfill.status = None;
        world.truth.backfill.spec.skip = SkippedTicks::Succeeded;
        world.settle();
        let status = world.truth.backfill.status.clone().unwrap();
        prop_assert_eq!(status.succeeded + status.skipped, status.total);
    }
}
