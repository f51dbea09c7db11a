//! Histories of a cluster, each written out: answers of its scheduler that come late, or to an operator that
//! has started anew, and edits that go wrong.

use std::time::Duration;

use super::actions::{Act, BAD, Edit, OnCluster};
use super::history::{Happening, History, Rules, Shared};
use super::kept::PLAIN;
use super::must_hold;
use crate::dask::{Fault, Operation};

/// A Flow whose cluster has three workers.
const THREE: Rules = Rules { cluster: Some(Shared { max_active_runs: None, workers: 3 }), ..PLAIN };

fn lives(rules: Rules, happenings: &[Happening]) {
    must_hold(&History { seed: 1, rules, happenings: happenings.to_vec() });
}

const fn pass(seconds: u64) -> Happening {
    Happening::Pass(seconds * 1_000)
}

const fn acts(act: OnCluster) -> Happening {
    Happening::People(Act::Cluster(act))
}

const fn edits(edit: Edit) -> Happening {
    acts(OnCluster::Edit(edit))
}

/// Three workers with results, of which one is not wanted any more and is asked to go. The scheduler answers
/// like this, and then that happens.
fn is_asked(answer: Fault, then: &[Happening]) {
    let asked = [
        Happening::SuspendFlow(true),
        pass(12),
        Happening::Compute(0),
        Happening::Compute(1),
        Happening::Compute(2),
        Happening::TasksEnd,
        acts(OnCluster::Answer(Operation::RetireWorkers, answer)),
        Happening::Workers(2),
        pass(2),
    ];
    lives(THREE, &[&asked[..], then, &[pass(25)]].concat());
}

/// How long an answer takes that comes late.
const LATE: Duration = Duration::from_secs(8);

#[test]
fn an_answer_that_comes_after_the_operator_was_restarted_is_not_needed() {
    for wanted in [2, 3] {
        is_asked(Fault::Slow(LATE), &[Happening::Kill(0), pass(4), Happening::Workers(wanted)]);
    }
}

#[test]
fn a_group_may_grow_again_before_the_answer() {
    for answer in [Fault::Late(LATE), Fault::Slow(LATE), Fault::RetiresNone] {
        is_asked(answer, &[Happening::Workers(3)]);
    }
}

#[test]
fn an_answer_of_an_earlier_start_of_the_scheduler_counts_for_nothing() {
    for (before, after) in [(0, 10), (7, 0), (9, 3)] {
        let dies = Happening::SchedulerEnds { with_pod: false };
        is_asked(Fault::Late(LATE), &[Happening::Workers(3), pass(before), dies, pass(after)]);
    }
}

#[test]
fn a_worker_that_was_let_go_and_came_back_stays() {
    for index in 0..3 {
        is_asked(Fault::Late(LATE), &[Happening::Workers(3), acts(OnCluster::Crash(index))]);
    }
}

/// Workers of an image that never starts take no place from those that run.
#[test]
fn a_bad_image_leaves_the_workers_that_run() {
    let history = [
        Happening::SuspendFlow(true),
        pass(10),
        Happening::Compute(1),
        edits(Edit::Image(BAD)),
        pass(15),
        Happening::Kill(0),
        pass(10),
        Happening::TasksEnd,
        edits(Edit::Replicas { other: false, replicas: 4 }),
        pass(10),
        edits(Edit::Image("flows:2")),
        pass(20),
    ];
    lives(THREE, &history);
}

/// Nobody uses it, it rests, and a run wakes it; once at work it does not rest.
#[test]
fn a_cluster_at_rest_is_woken_by_a_run() {
    for action in ["ScaleToZero", "Suspend"] {
        let history = [
            edits(Edit::Idle(Some(action))),
            Happening::SuspendFlow(true),
            pass(30),
            Happening::SuspendFlow(false),
            pass(25),
            Happening::Kill(0),
            pass(20),
        ];
        lives(THREE, &history);
    }
}

/// A run that has no task on its scheduler keeps its cluster awake all the same.
#[test]
fn a_cluster_with_a_run_on_it_does_not_rest() {
    for seed in 1..3 {
        let happenings = [edits(Edit::Idle(Some("ScaleToZero"))), pass(45)];
        must_hold(&History { seed, rules: THREE, happenings: happenings.to_vec() });
    }
}

/// A client that was there before the edit keeps the scheduler that there is.
#[test]
fn a_scheduler_with_a_client_is_not_replaced() {
    let history = [
        Happening::SuspendFlow(true),
        pass(10),
        acts(OnCluster::Client(true)),
        pass(6),
        edits(Edit::SchedulerArgs(1)),
        pass(10),
    ];
    lives(THREE, &history);
}

/// So does a run that is at work, though its scheduler has neither a client nor a task.
#[test]
fn a_scheduler_with_a_run_is_not_replaced() {
    for seed in 1..3 {
        let happenings = [pass(20), edits(Edit::SchedulerArgs(1)), pass(20)];
        must_hold(&History { seed, rules: THREE, happenings: happenings.to_vec() });
    }
}

/// A new spec of the scheduler waits until nobody uses it; what is wanted at once is done at once.
#[test]
fn a_scheduler_is_replaced_when_nobody_uses_it() {
    for rollout in ["WhenIdle", "Immediate"] {
        let history = [
            pass(10),
            acts(OnCluster::Client(true)),
            edits(Edit::Rollout(rollout)),
            edits(Edit::SchedulerArgs(1)),
            pass(20),
            Happening::Compute(0),
            acts(OnCluster::Client(false)),
            pass(8),
            Happening::TasksEnd,
            pass(20),
        ];
        lives(THREE, &history);
    }
}

/// The quota has no room for the pods of the new spec, and then has.
#[test]
fn a_quota_without_room_takes_no_worker_away() {
    let history = [
        Happening::SuspendFlow(true),
        pass(10),
        Happening::Compute(0),
        Happening::TasksEnd,
        acts(OnCluster::Quota(Some(4))),
        edits(Edit::WorkerArgs(1)),
        edits(Edit::Rollout("Immediate")),
        pass(20),
        acts(OnCluster::Quota(Some(5))),
        edits(Edit::Replicas { other: false, replicas: 4 }),
        pass(30),
    ];
    lives(THREE, &history);
}

/// Busy workers have their time, and what they are closed for is written down.
#[test]
fn a_busy_worker_is_waited_for() {
    let history = [
        Happening::SuspendFlow(true),
        edits(Edit::Drain { other: false, waits: true }),
        pass(10),
        Happening::Compute(0),
        Happening::Compute(1),
        Happening::Compute(2),
        edits(Edit::Replicas { other: false, replicas: 1 }),
        pass(8),
        Happening::Kill(0),
        pass(40),
        edits(Edit::Image("flows:3")),
        pass(20),
    ];
    lives(THREE, &history);
}

/// A closed worker has ended what it ran, and what lies with it besides never begins there: it goes before
/// its time is over, so that this begins elsewhere.
#[test]
fn what_never_begins_at_a_closed_worker_does_not_keep_it() {
    let history = [
        Happening::SuspendFlow(true),
        edits(Edit::Drain { other: false, waits: true }),
        pass(10),
        Happening::Compute(0),
        Happening::Compute(0),
        edits(Edit::Replicas { other: false, replicas: 0 }),
        pass(8),
        Happening::TasksEnd,
        pass(10),
    ];
    lives(THREE, &history);
}

/// A scheduler starts anew, and no watch tells of it. The operator goes on following it while it looks at its
/// caches, in which there is an earlier one, and live, in turns.
#[test]
fn a_scheduler_that_no_watch_has_told_is_followed_once() {
    for seed in 1..4 {
        let happenings = [
            pass(8),
            Happening::Silence("pods", 30),
            Happening::SchedulerEnds { with_pod: true },
            Happening::Workers(4),
            pass(20),
            Happening::Workers(2),
            pass(20),
        ];
        must_hold(&History { seed, rules: THREE, happenings: happenings.to_vec() });
    }
}
