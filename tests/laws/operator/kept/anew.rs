//! Histories in which runs are deleted at work, and no watch has told that their runners are.

use daskflow::api::flow::Concurrency;

use super::super::history::{Happening, History, Rules, Shared};
use super::super::must_hold;
use super::super::wire::{Fault, On};
use super::{PLAIN, arm};

/// A run begins while no watch tells of pods. It is deleted, and then that happens.
fn is_deleted_unseen(rules: Rules, then: &[Happening]) {
    for seed in 1..3 {
        let before = [
            Happening::Pass(8_000),
            Happening::Silence("pods", 40),
            Happening::Pass(12_500),
            Happening::DeleteRun(0),
        ];
        must_hold(&History { seed, rules, happenings: [&before[..], then].concat() });
    }
}

/// The next tick comes while the runner has its grace period.
#[test]
fn a_runner_that_no_watch_has_told_keeps_the_place_of_its_run() {
    is_deleted_unseen(PLAIN, &[Happening::Pass(25_000)]);
}

#[test]
fn a_runner_that_no_watch_has_told_keeps_its_place_on_the_cluster() {
    let cluster = Some(Shared { max_active_runs: Some(1), workers: 1 });
    let rules = Rules { concurrency: Concurrency::Allow, cluster, ..PLAIN };
    is_deleted_unseen(rules, &[Happening::Pass(25_000)]);
}

/// A backfill makes the run anew, under the same name.
#[test]
fn a_run_that_is_made_anew_waits_for_the_runner_of_the_one_before() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    is_deleted_unseen(rules, &[Happening::Backfill, Happening::Pass(25_000)]);
}

/// The status of a Flow cannot be written, so that nothing but the run tells of its tick, when somebody
/// deletes it: the clock makes it again. Once the tick is written, it does not.
#[test]
fn a_tick_is_run_again_only_if_its_run_was_deleted_before_the_tick_was_written() {
    let rules = Rules { concurrency: Concurrency::Allow, kept: 100, ..PLAIN };
    for broken in [0, 6] {
        let mut happenings = vec![Happening::Pass(8_000)];
        happenings.extend(vec![arm(Fault::Broken, On::FlowStatus, 0); broken]);
        happenings.extend([Happening::Pass(2_000), Happening::DeleteRun(0), Happening::Pass(30_000)]);
        must_hold(&History { seed: 1, rules, happenings });
    }
}
