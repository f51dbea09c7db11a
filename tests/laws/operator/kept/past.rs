//! Histories in which caches are of long ago, and those in which only the last of several nets holds.

use daskflow::api::flow::Concurrency;

use super::super::actions::{Act, Asked};
use super::super::history::{Happening, History, Rules};
use super::super::must_hold;
use super::super::past::Past;
use super::super::wire::{Fault, On};
use super::{PLAIN, arm};

fn lives_as(seed: u64, rules: Rules, happenings: &[Happening]) {
    must_hold(&History { seed, rules, happenings: happenings.to_vec() });
}

/// A runner ends while no watch tells of it, neither of its Job nor of its pod, and then that is forgotten.
#[test]
fn the_end_of_a_runner_that_no_watch_told_is_listed() {
    for seed in 1..4 {
        let history = [Happening::Pass(11_000), Happening::Past(Past::Missed(44)), Happening::Pass(20_000)];
        lives_as(seed, PLAIN, &history);
    }
}

/// A run is there, and its tick is not in the status of its Flow, which cannot be written until the run has
/// ended, and not for a while after.
#[test]
fn a_run_that_ended_before_its_tick_was_remembered_is_not_made_again() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    for seed in 1..4 {
        let mut history = vec![Happening::Pass(8_000)];
        history.extend([arm(Fault::Broken, On::FlowStatus, 0); 60]);
        history.push(Happening::Pass(50_000));
        lives_as(seed, rules, &history);
    }
}

/// The operator dies when it has made a run, which is deleted before the next one comes. That one has lists
/// of before the deletion, and starts nothing.
#[test]
fn a_run_that_has_gone_is_started_by_nobody() {
    let rules = Rules { concurrency: Concurrency::Allow, kept: 100, ..PLAIN };
    let history = [
        arm(Fault::DiesAfter, On::Create, 0),
        Happening::Pass(9_500),
        Happening::DeleteRun(0),
        Happening::Past(Past::Returns { versions: 1, seconds: 30 }),
        Happening::Pass(40_000),
    ];
    // Of this seed the next operator comes seven seconds later.
    lives_as(4, rules, &history);
}

/// A backfill comes to an operator whose lists are of before what has succeeded, and was forgotten since.
#[test]
fn a_backfill_asks_what_has_succeeded() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    for (seed, versions) in [(1, 15), (2, 20), (3, 25)] {
        let history = [
            Happening::Pass(20_000),
            Happening::Past(Past::Returns { versions, seconds: 60 }),
            Happening::Backfill,
            Happening::Pass(40_000),
        ];
        lives_as(seed, rules, &history);
    }
}

/// The Flow is suspended, so that nothing is written to it, and a backfill has run some of its ticks and was
/// deleted with their runs. The next operator sees the Flow as it was before all that, when the same backfill
/// is asked for once more.
#[test]
fn a_backfill_asks_for_the_record_of_its_flow() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    let (from_s, to_s, of_first, parallelism) = (-20, 0, true, 3);
    let asked = Asked { from_s, to_s, of_first, parallelism, newest_first: false, skip: "Succeeded" };
    for versions in [38, 40, 42] {
        let history = [
            Happening::SuspendFlow(true),
            Happening::Pass(10_000),
            Happening::People(Act::Ask(asked)),
            Happening::Pass(40_000),
            Happening::People(Act::Drop),
            Happening::Pass(5_000),
            Happening::Past(Past::Returns { versions, seconds: 60 }),
            Happening::People(Act::Ask(asked)),
            Happening::Pass(20_000),
        ];
        lives_as(1, rules, &history);
    }
}

/// Ticks that nobody looked at in time are counted as missed by the first look after them, and by no other.
#[test]
fn what_was_missed_is_missed_once() {
    use daskflow::api::count::Count;
    use daskflow::api::flow::{CatchUp, CatchUpPolicy};
    let catch_up = CatchUp { policy: CatchUpPolicy::None, limit: Count::new(1) };
    for seconds in [40, 60, 90] {
        let rules = Rules { catch_up, concurrency: Concurrency::Allow, ..PLAIN };
        let history = [Happening::Pass(1_000), Happening::Away(seconds), Happening::Pass(100_000)];
        lives_as(1, rules, &history);
    }
}

/// An operator whose clock is ahead makes the run of a tick that is still to come, and dies. The next one's
/// clock is right: the run ends before its tick, which no status remembers yet.
#[test]
fn a_run_that_came_before_its_tick_is_kept_until_then() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    for seed in [5, 10, 15, 20, 25, 30] {
        let history = [
            Happening::SetClock(18),
            arm(Fault::DiesAfter, On::Create, 0),
            Happening::Kill(0),
            Happening::Pass(700),
            Happening::SetClock(0),
            Happening::Pass(60_000),
        ];
        lives_as(seed, rules, &history);
    }
}
