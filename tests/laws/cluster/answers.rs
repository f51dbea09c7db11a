//! Answers of a scheduler that come late, or to an operator that has started anew. Each case is one history,
//! in which all laws are looked at as in any other.

use std::collections::BTreeSet;

use daskflow::api::{DaskClusterSpec, labels};
use daskflow::plan::pods::state::{self, PodLife};

use super::Edit;
use super::Happening::{
    self, AllStart, CacheCatchesUp, Compute, Look, Pass, Restart, Retires, SchedulerDies,
};
use super::dask::Answers;
use super::world::World;

fn replicas(replicas: i32) -> Happening {
    Happening::Edit(Edit::Replicas { other: false, replicas })
}

impl World {
    fn live(&mut self, history: &[Happening]) {
        for happening in history {
            self.happen(happening);
        }
    }

    /// What the operator does when something has changed.
    fn looks(&mut self) {
        self.live(&[Pass(1), CacheCatchesUp, Look(100)]);
    }

    /// The workers whose pods are to stay.
    fn alive(&self) -> BTreeSet<String> {
        let workers = self.truth.pods.values().filter(|pod| state::is_component(pod, labels::WORKER));
        workers
            .filter(|pod| state::life(pod) == PodLife::Alive)
            .map(|pod| state::name(pod).to_owned())
            .collect()
    }

    fn registered(&self) -> BTreeSet<String> {
        self.dask.as_ref().unwrap().registered()
    }
}

/// Three workers with results, of which one is not wanted any more and is asked to go. The scheduler answers
/// like this.
fn asked(answers: Answers) -> World {
    let mut world = World::new(DaskClusterSpec { image: "a".into(), ..DaskClusterSpec::default() });
    world.live(&[replicas(3)]);
    for _ in 0..3 {
        world.looks();
        world.live(&[AllStart]);
    }
    world.live(&[Compute(0), Compute(1), Compute(2), Happening::TasksEnd]);
    assert_eq!(world.registered().len(), 3);
    world.live(&[Retires(answers), replicas(2)]);
    world.looks();
    assert_eq!(world.alive().len(), 3, "nobody is deleted before the answer");
    world
}

#[test]
fn an_answer_is_heard_once_and_its_worker_is_deleted() {
    let mut world = asked(Answers::Prompt);
    let left = world.registered();
    world.looks();
    assert_eq!((left.len(), world.alive()), (2, left));
    world.settle();
}

#[test]
fn an_answer_that_comes_after_the_operator_was_restarted_is_not_needed() {
    for wanted in [2, 3] {
        let mut world = asked(Answers::NotYet);
        world.live(&[Restart]);
        for _ in 0..3 {
            world.looks();
        }
        assert_eq!(
            (world.dask.as_ref().unwrap().closing.len(), world.alive().len()),
            (1, 3),
            "it is not asked again"
        );
        world.live(&[Happening::TheyRetire, replicas(i32::try_from(wanted).unwrap())]);
        let left = world.registered();
        assert_eq!(left.len(), 2);
        world.looks();
        // Where it is wanted again it looks like one that starts, and ends by itself.
        world.live(&[AllStart]);
        world.looks();
        let alive = world.alive();
        assert!(alive.is_superset(&left) && alive.len() <= wanted, "{alive:?}");
        world.settle();
    }
}

#[test]
fn a_worker_that_was_let_go_is_replaced_when_the_group_has_grown_again_before_the_answer() {
    let mut world = asked(Answers::TooLate);
    let (all, left) = (world.alive(), world.registered());
    assert_eq!(left.len(), 2, "the scheduler has let it go already");
    world.live(&[replicas(3)]);
    world.looks();
    assert_eq!(world.alive(), all, "nobody knows that");
    world.live(&[Happening::TheyRetire]);
    world.looks();
    let alive = world.alive();
    assert_eq!(
        (alive.len(), alive.intersection(&all).cloned().collect()),
        (3, left),
        "it leaves, and another one comes"
    );
    world.settle();
}

#[test]
fn a_worker_that_is_kept_stays_when_the_group_has_grown_again_before_the_answer() {
    let mut world = asked(Answers::NotYet);
    let all = world.alive();
    world.live(&[replicas(3)]);
    world.looks();
    // Nothing comes of it: the others have no room for what it has.
    world.dask.as_mut().unwrap().closing.clear();
    world.live(&[Happening::TheyRetire]);
    for _ in 0..3 {
        world.looks();
    }
    assert_eq!((world.alive(), world.registered()), (all.clone(), all));
    world.settle();
}

#[test]
fn an_answer_of_an_earlier_start_of_the_scheduler_counts_for_nothing() {
    let [comes, dies] = [Happening::TheyRetire, SchedulerDies(true)];
    for order in [[&comes, &dies], [&dies, &comes]] {
        let mut world = asked(Answers::TooLate);
        let all = world.alive();
        world.live(&[replicas(3), order[0].clone(), order[1].clone(), AllStart]);
        assert_eq!(world.registered(), all, "whoever runs looks for the next scheduler");
        for _ in 0..3 {
            world.looks();
        }
        assert_eq!(world.alive(), all);
        world.settle();
    }
}

#[test]
fn a_worker_that_was_let_go_and_came_back_stays() {
    let mut world = asked(Answers::TooLate);
    let all = world.alive();
    let away = all.difference(&world.registered()).next().cloned().unwrap();
    let index = all.iter().position(|name| *name == away).unwrap();
    world.live(&[replicas(3), Happening::Crash(index), AllStart]);
    assert_eq!(world.registered(), all, "its container was started again");
    world.live(&[Happening::TheyRetire]);
    for _ in 0..3 {
        world.looks();
    }
    assert_eq!(world.alive(), all);
    world.settle();
}
