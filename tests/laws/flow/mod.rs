//! Laws that hold over any history: of ticks, crashes between any two writes, caches that are behind, each by
//! itself, a clock that steps back, edits, suspensions, cancellations, lost schedulers, and runners that end
//! well or badly, at once or after their grace period.
//!
//! Always: a tick becomes a run once at the most; no Job is created twice; no run has two runners alive, and
//! no more runs than their Flow's policy and their cluster allow are alive together; a final phase is never
//! left; history deletes nothing that has not ended; nothing starts for a time before an edit or a
//! resumption; a tick gives way only to a newer tick of its own clock; a runner gets the parameters that its
//! run had at its tick. And when faults stop: every tick of every clock is a run or was counted as missed,
//! never both, what was given up was counted, and every run ends.

mod world;

use daskflow::api::flow::{CatchUp, CatchUpPolicy, Concurrency};
use proptest::prelude::*;
use world::{CLOCKS, Rules, Stale, World};

/// Histories of each law: always, and in a long search.
const HISTORIES: [u32; 2] = [1_500, 500_000];

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Time passes, in seconds; a negative number is a clock that was set back.
    Pass(i64),
    /// The Flow is reconciled, and the operator dies after so many writes.
    LookAtFlow { stale: Stale, writes: usize },
    /// The same for the run of this index.
    LookAtRun { index: usize, stale: Stale, writes: usize },
    /// The cluster is reconciled.
    LookAtCluster { stale: Stale },
    /// The runner of this index ends.
    RunnerEnds { index: usize, exit_code: i32 },
    /// The Dask scheduler is started anew.
    SchedulerIsLost,
    /// The caches catch up.
    CacheCatchesUp,
    /// The operator starts anew: its caches are fresh, and its time is the machine's again.
    Restart,
    /// Somebody cancels the run of this index.
    Cancel(usize),
    /// Somebody suspends or resumes the run of this index.
    SuspendRun { index: usize, suspend: bool },
    /// Somebody suspends or resumes the Flow.
    SuspendFlow(bool),
    /// Somebody changes the interval of the first clock to so many seconds.
    Edit(i64),
    /// Somebody renames the second clock, or gives it back its name.
    Rename,
    /// Somebody changes the parameters of the Flow and of the second clock.
    Parameters(u8),
}

fn stale() -> impl Strategy<Value = Stale> {
    any::<(bool, bool, bool, bool)>().prop_map(|(flow, runs, jobs, pods)| Stale { flow, runs, jobs, pods })
}

/// What happens by itself.
fn by_itself() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1..150_i64).prop_map(Happening::Pass),
        1 => (-20..-1_i64).prop_map(Happening::Pass),
        6 => (stale(), 0..5_usize).prop_map(|(stale, writes)| Happening::LookAtFlow { stale, writes }),
        9 => (0..6_usize, stale(), 0..4_usize)
            .prop_map(|(index, stale, writes)| Happening::LookAtRun { index, stale, writes }),
        2 => stale().prop_map(|stale| Happening::LookAtCluster { stale }),
        3 => (0..4_usize, prop_oneof![Just(0), Just(1), Just(143)])
            .prop_map(|(index, exit_code)| Happening::RunnerEnds { index, exit_code }),
        1 => Just(Happening::SchedulerIsLost),
        3 => Just(Happening::CacheCatchesUp),
        1 => Just(Happening::Restart),
    ]
}

/// What people do besides.
fn by_people() -> impl Strategy<Value = Happening> {
    prop_oneof![
        16 => by_itself(),
        1 => (0..6_usize).prop_map(Happening::Cancel),
        1 => (0..6_usize, any::<bool>()).prop_map(|(index, suspend)| Happening::SuspendRun { index, suspend }),
        1 => any::<bool>().prop_map(Happening::SuspendFlow),
        1 => (1..90_i64).prop_map(Happening::Edit),
        1 => Just(Happening::Rename),
        1 => any::<u8>().prop_map(Happening::Parameters),
    ]
}

fn histories(one: impl Strategy<Value = Happening>) -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(one, 1..45)
}

fn rules() -> impl Strategy<Value = Rules> {
    let policy = prop_oneof![
        Just((Concurrency::Allow, None)),
        Just((Concurrency::Forbid, None)),
        Just((Concurrency::Replace, None)),
        (1..3_u32).prop_map(|places| (Concurrency::Queue, Some(places))),
    ];
    let catch_up = prop_oneof![
        3 => Just(CatchUp::default()),
        1 => Just(CatchUp { policy: CatchUpPolicy::None, limit: 1.into() }),
        1 => Just(CatchUp { policy: CatchUpPolicy::All, limit: 3.into() }),
    ];
    let limit = prop_oneof![2 => Just(None), 1 => (1..3_u32).prop_map(Some)];
    (policy, catch_up, limit, 0..3_i32, prop_oneof![Just(0_u32), Just(1), Just(1000)], any::<bool>())
        .prop_map(|((concurrency, max_active), catch_up, max_active_runs, attempts, history, outside)| {
            Rules { concurrency, max_active, max_active_runs, catch_up, attempts, history, outside }
        })
}

fn live_through(rules: Rules, history: &[Happening]) -> World {
    let mut world = World::new(rules);
    for happening in history {
        world.happen(happening);
        world.check();
    }
    // The clock is right again, and has passed every moment that was ever seen.
    world.now = world.latest;
    world.settle();
    world
}

/// Each tick since the Flow was created is a run or was counted as missed, never both, never neither.
fn every_tick_is_accounted_for(world: &World) {
    let passed = |time: jiff::Timestamp, interval: i64| time.as_second().div_euclid(interval);
    let of_clock =
        |(_, interval): &(&str, i64)| passed(world.latest, *interval) - passed(world.created, *interval);
    let due: i64 = CLOCKS.iter().map(of_clock).sum();
    let (ran, missed) = (i64::try_from(world.ticks.len()).unwrap(), world.missed());
    assert_eq!(ran + missed, due, "{ran} ran and {missed} were missed of {due} ticks");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::histories(HISTORIES), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn left_alone_no_tick_is_lost_or_doubled_and_all_ends(rules in rules(), history in histories(by_itself())) {
        let mut world = live_through(rules, &history);
        every_tick_is_accounted_for(&world);
        world.finish();
    }

    #[test]
    fn whatever_people_do_nothing_is_doubled_and_all_ends(rules in rules(), history in histories(by_people())) {
        live_through(rules, &history).finish();
    }
}
