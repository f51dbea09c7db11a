//! Histories in which people edit schedules and write backfills, each written out.

use std::collections::BTreeSet;

use daskflow::api::flow::Concurrency;

use super::actions::{Act, Asked};
use super::history::{Happening, History, Rules, Shared};
use super::kept::PLAIN;
use super::wire::{Armed, Fault, On};
use super::{must_hold, outcome};

const ASKED: Asked =
    Asked { from_s: -40, to_s: 35, of_first: true, parallelism: 1, newest_first: false, skip: "Succeeded" };

fn lives(rules: Rules, happenings: &[Happening]) {
    must_hold(&History { seed: 1, rules, happenings: happenings.to_vec() });
}

const fn pass(seconds: u64) -> Happening {
    Happening::Pass(seconds * 1_000)
}

const fn acts(act: Act) -> Happening {
    Happening::People(act)
}

/// While a Flow was suspended, or its clock was another one, ticks passed that are no runs.
#[test]
fn nothing_starts_for_a_time_before_an_edit_or_a_resumption() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    for (silent, seconds) in [(None, 17), (Some("flows"), 20), (Some("flowruns"), 20)] {
        let mut history = vec![pass(5), Happening::SuspendFlow(true), pass(1)];
        history.extend(silent.map(|kind| Happening::Silence(kind, 18)));
        history.extend([pass(seconds), Happening::SuspendFlow(false), pass(12)]);
        history.extend([acts(Act::Interval(7)), Happening::Kill(0), acts(Act::Rename), pass(20)]);
        lives(rules, &history);
    }
}

/// The ticks of a clock that has another name are those of another clock.
#[test]
fn a_clock_that_is_renamed_and_gets_its_name_back_runs_no_tick_twice() {
    let rules = Rules { concurrency: Concurrency::Allow, kept: 100, ..PLAIN };
    let edits = [acts(Act::Rename), pass(2), acts(Act::Rename), pass(12), acts(Act::Rename), pass(15)];
    lives(rules, &[&[pass(9)][..], &edits, &[Happening::Away(20)], &edits].concat());
}

/// Parameters change while runs wait and while others are tried again.
#[test]
fn a_runner_gets_the_parameters_of_its_tick() {
    let rules = Rules { concurrency: Concurrency::Queue, max_active: Some(1), attempts: 2, ..PLAIN };
    for dies in [Fault::DiesAfter, Fault::DiesBefore] {
        let dies = Happening::Arm(Armed { fault: dies, on: On::Create, after: 1 });
        let change = |value| [acts(Act::Parameters(value)), pass(6)];
        lives(rules, &[&[pass(9)][..], &change(1), &[dies], &change(2), &change(3), &change(4)].concat());
    }
}

/// It dies between the deletion of an earlier run and the creation of the next, and before it has written
/// what it began.
#[test]
fn a_backfill_that_is_interrupted_runs_each_tick_once() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    let dies = |on, after| Happening::Arm(Armed { fault: Fault::DiesAfter, on, after });
    for skip in ["Succeeded", "Ran", "None"] {
        let asked = Asked { skip, of_first: skip == "Ran", parallelism: 2, ..ASKED };
        let history = [
            pass(20),
            dies(On::Create, 0),
            dies(On::Delete, 0),
            acts(Act::Ask(asked)),
            pass(5),
            dies(On::Status, 0),
            pass(20),
        ];
        lives(rules, &history);
    }
}

/// Of what has succeeded and was forgotten the record of its Flow alone tells.
#[test]
fn a_backfill_runs_nothing_of_which_only_the_record_tells() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    for seed in 2..4 {
        let asked = Asked { from_s: -5, parallelism: 3, ..ASKED };
        let happenings = vec![pass(48), acts(Act::Ask(asked)), pass(20)];
        must_hold(&History { seed, rules, happenings });
    }
}

/// What a backfill cancelled itself is run anew when it goes on; what people cancelled is not.
#[test]
fn a_backfill_that_was_cancelled_goes_on() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    let hold = |suspend, cancel| acts(Act::Hold { suspend, cancel });
    for cancel in [false, true] {
        let history = [
            pass(5),
            acts(Act::Ask(Asked { parallelism: 2, ..ASKED })),
            pass(4),
            Happening::Cancel(0),
            hold(true, cancel),
            pass(6),
            hold(false, false),
            pass(3),
            hold(false, cancel),
            Happening::Kill(0),
            pass(9),
        ];
        lives(rules, &history);
    }
}

/// The next one of the same name begins with what the first has left.
#[test]
fn a_second_backfill_of_the_same_ticks_comes_to_its_end() {
    let rules = Rules { concurrency: Concurrency::Allow, ..PLAIN };
    for newest_first in [false, true] {
        let first = Asked { parallelism: 3, newest_first, ..ASKED };
        let next = Asked { skip: "None", ..first };
        let history =
            [pass(8), acts(Act::Ask(first)), pass(15), acts(Act::Drop), acts(Act::Ask(next)), pass(25)];
        lives(rules, &history);
    }
}

/// The scheduler that the runs have in common starts anew while they run.
#[test]
fn a_run_whose_scheduler_started_anew_ends_once() {
    let rules = Rules { attempts: 1, ..PLAIN };
    for seconds in [1, 3, 8] {
        lives(
            rules,
            &[pass(13), acts(Act::SchedulerStartsAnew), pass(seconds), acts(Act::SchedulerStartsAnew)],
        );
    }
}

/// The same history with and without other words in its statuses: the same runs and Jobs, which end alike.
#[test]
fn other_words_change_no_history() {
    let shared = Some(Shared { max_active_runs: Some(1), workers: 1 });
    for (seed, cluster) in [(1, None), (2, shared), (3, None)] {
        let rules = Rules { attempts: 1, kept: 100, cluster, ..PLAIN };
        let ask = acts(Act::Ask(Asked { to_s: 20, ..ASKED }));
        let lived = |other: &[Happening]| -> BTreeSet<String> {
            // What is about to be done is done, with and without a look that other words bring about.
            let step = |happening: Happening| [&[happening][..], other, &[pass(2)]].concat();
            let happenings =
                [pass(3), ask, pass(5), pass(6), Happening::Cancel(0), pass(7), pass(8)].map(step).concat();
            outcome(&History { seed, rules, happenings })
        };
        let (usual, silent) = (lived(&[]), lived(&[acts(Act::OtherWords)]));
        assert!(usual.len() > 5, "{usual:?}");
        assert_eq!(usual, silent, "seed {seed}");
    }
}
