//! Histories that find a fault, each written out, so that it is lived through whatever seeds mean later.

mod anew;
mod past;

use daskflow::api::count::Count;
use daskflow::api::flow::{CatchUp, CatchUpPolicy, Concurrency};

use super::history::{Happening, History, Rules, Shared};
use super::must_hold;
use super::wire::{Armed, Fault, On};

/// A Flow that keeps nothing and tries nothing again, with one operator.
pub(super) const PLAIN: Rules = Rules {
    concurrency: Concurrency::Forbid,
    max_active: None,
    catch_up: CatchUp { policy: CatchUpPolicy::Latest, limit: Count::new(10) },
    attempts: 0,
    kept: 0,
    cluster: None,
    stranger: false,
    operators: 1,
    election: false,
};

const fn arm(fault: Fault, on: On, after: u8) -> Happening {
    Happening::Arm(Armed { fault, on, after })
}

fn lives(rules: Rules, happenings: &[Happening]) {
    must_hold(&History { seed: 1, rules, happenings: happenings.to_vec() });
}

/// The creation of a Job arrives when its run has ended and was forgotten. The first search found it, and
/// that nothing in Kubernetes refuses it.
#[test]
fn a_job_may_arrive_when_its_run_has_been_deleted() {
    lives(PLAIN, &[arm(Fault::ArrivesLate(29), On::Create, 1), Happening::Pass(60_000)]);
}

/// Between the creation of a run and the status that remembers its tick.
#[test]
fn an_operator_that_dies_between_a_run_and_its_tick_makes_no_second_one() {
    for fault in [Fault::DiesAfter, Fault::AnswerIsLost, Fault::AnswerNeverComes] {
        lives(PLAIN, &[arm(fault, On::Create, 0), Happening::Pass(40_000)]);
        lives(PLAIN, &[arm(fault, On::Status, 0), Happening::Pass(40_000)]);
    }
}

/// A status that was sent by an operator that has died arrives when the next one has written others.
#[test]
fn a_late_status_is_over_no_newer_one() {
    let rules = Rules { concurrency: Concurrency::Allow, kept: 100, ..PLAIN };
    for after in 0..4 {
        let late = arm(Fault::ArrivesLate(29), On::Status, after);
        let history = [Happening::Pass(8_000), late, Happening::Pass(5_000), Happening::Kill(0)];
        lives(rules, &[&history[..], &[Happening::Pass(40_000)]].concat());
    }
}

/// The changes that a watch has not told are forgotten: what it is about is listed anew.
#[test]
fn what_was_forgotten_before_it_was_told_is_listed() {
    for kind in ["flowruns", "pods", "jobs"] {
        let history = [
            Happening::Pass(11_000),
            Happening::Silence(kind, 10),
            Happening::Pass(9_000),
            Happening::ChangesAreForgotten,
            Happening::Pass(30_000),
        ];
        lives(PLAIN, &history);
    }
}

/// A backfill comes while its cache has not heard yet which ticks have succeeded.
#[test]
fn a_backfill_runs_nothing_that_has_succeeded() {
    let rules = Rules { concurrency: Concurrency::Allow, kept: 100, ..PLAIN };
    for seconds in [16_000, 22_000, 34_000] {
        let history = [
            Happening::Pass(11_000),
            Happening::Silence("flowruns", 60),
            Happening::Pass(seconds),
            Happening::Backfill,
            Happening::Pass(20_000),
        ];
        lives(rules, &history);
    }
}

/// A run is deleted while its runner is at work, which goes on for a while.
#[test]
fn the_runner_of_a_run_that_was_deleted_keeps_its_place() {
    for seed in 1..5 {
        let happenings = [Happening::Pass(20_500), Happening::DeleteRun(0), Happening::Pass(25_000)];
        must_hold(&History { seed, rules: PLAIN, happenings: happenings.to_vec() });
    }
}

/// Ticks that passed while no operator was there, and are too late to run, are counted once.
#[test]
fn ticks_that_are_too_late_are_counted_once() {
    let catch_up = CatchUp { policy: CatchUpPolicy::None, limit: Count::new(1) };
    lives(Rules { catch_up, ..PLAIN }, &[Happening::Pass(4_000), Happening::Away(75)]);
}

/// A run ends before its tick stands in the status of its Flow, whose writes fail again and again.
#[test]
fn a_run_is_kept_until_its_tick_is_remembered() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    for seed in 1..5 {
        let broken = arm(Fault::Broken, On::FlowStatus, 0);
        let mut happenings = vec![Happening::Pass(8_000), arm(Fault::NeverArrives, On::FlowStatus, 0)];
        happenings.extend([broken; 4]);
        happenings.extend([arm(Fault::DiesBefore, On::FlowStatus, 0), Happening::Pass(80_000)]);
        must_hold(&History { seed, rules, happenings });
    }
}

/// The runs that an operator does not see have not ended for it, nor have they been created.
#[test]
fn an_operator_that_sees_no_runs_starts_none_twice() {
    let silent = ["flowruns", "jobs", "pods", "flows"].map(|kind| Happening::Silence(kind, 40));
    for kind in silent {
        lives(PLAIN, &[Happening::Pass(10_000), kind, Happening::Pass(20_000), Happening::Kill(0)]);
    }
}

/// Two operators that both work, as with a Lease that is off.
#[test]
fn two_operators_waste_work_and_break_nothing() {
    let rules = Rules { operators: 2, attempts: 1, ..PLAIN };
    lives(rules, &[Happening::Pass(20_000), Happening::Silence("flowruns", 15), Happening::Pass(20_000)]);
}

/// Two that stand for the Lease, and one that cannot renew it.
#[test]
fn who_cannot_renew_the_lease_writes_nothing_more() {
    let rules = Rules { operators: 2, election: true, ..PLAIN };
    let lost = [0, 0, 0, 0, 0, 0].map(|after| arm(Fault::NeverArrives, On::Lease, after));
    let mut history = vec![Happening::Pass(16_000)];
    history.extend(lost);
    history.push(Happening::Pass(30_000));
    lives(rules, &history);
}

/// A worker is too many, and its scheduler says that it let it go, and did not.
#[test]
fn a_worker_goes_when_its_scheduler_has_let_it_go() {
    use super::history::Fails;
    let rules = Rules { cluster: Some(Shared { max_active_runs: None, workers: 2 }), ..PLAIN };
    for fails in [Fails::Lost, Fails::Never, Fails::InWords, Fails::Others, Fails::None] {
        let history = [
            Happening::Pass(9_000),
            Happening::Compute(0),
            Happening::Retirement(fails),
            Happening::Workers(1),
            Happening::Pass(20_000),
            Happening::Kill(0),
            Happening::TasksEnd,
        ];
        lives(rules, &history);
    }
}

/// The pod of a scheduler is deleted too late, when another has taken its place and its name.
#[test]
fn a_late_deletion_does_not_end_the_next_scheduler() {
    let rules = Rules { cluster: Some(Shared { max_active_runs: Some(1), workers: 1 }), ..PLAIN };
    let history = [
        Happening::Pass(6_000),
        arm(Fault::ArrivesLate(20), On::Delete, 0),
        Happening::SchedulerEnds { with_pod: true },
        Happening::Pass(1_000),
        Happening::Kill(0),
        Happening::Pass(40_000),
    ];
    lives(rules, &history);
}

/// A Job of another owner has the name.
#[test]
fn a_job_of_another_owner_is_no_runs_own() {
    lives(Rules { stranger: true, attempts: 1, ..PLAIN }, &[Happening::Pass(30_000)]);
}
