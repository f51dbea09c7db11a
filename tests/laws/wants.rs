//! A law over all the others: a plan asks for all that it rests on. So an object is planned twice at most,
//! and what a cache was behind with keeps the second plan from being carried out, whatever it is.

use std::fmt::Debug;

use daskflow::plan::{Plan, Wants};

/// Plans from the caches and, if the plan wants to know anything, once more, as `reconcile` does: from what
/// each plan begins, and the plan that is carried out. None: none is. `is_behind`: a cache may be.
pub fn planned<T, S: Debug>(
    is_behind: bool,
    mut plan: impl FnMut(Wants) -> Option<(T, Plan<S>)>,
) -> Option<(T, Plan<S>)> {
    let first = plan(Wants::NOTHING)?;
    let wants = first.1.wants;
    if wants.is_nothing() {
        return Some(first);
    }
    assert!(wants.covers(Wants::OBJECT), "what is looked at live begins with the object: {wants:?}");
    let (begun, plan) = plan(wants)?;
    let is_enough = wants.covers(plan.wants);
    assert!(is_enough || is_behind, "{:?} is needed and was not asked for: {plan:?}", plan.wants);
    is_enough.then_some((begun, plan))
}

/// What a plan asks for is enough for the plan that follows, if all is found as it was.
pub fn is_enough<S: Debug>(plan: &Plan<S>, known: Wants, again: impl FnOnce(Wants) -> Plan<S>) {
    let known = known | plan.wants;
    let again = again(known);
    assert!(known.covers(again.wants), "{:?} is needed and was not asked for: {again:?}", again.wants);
}

/// A plan that wants no more than the object at first, and its runs when that was read.
fn asks_too_late(known: Wants) -> Plan<()> {
    let wants = if known.is_nothing() { Wants::OBJECT } else { Wants::OBJECT | Wants::RUNS };
    Plan { wants, ..Plan::status_only(()) }
}

#[test]
#[should_panic(expected = "was not asked for")]
fn a_plan_that_asks_too_late_is_found() {
    planned(false, |known| Some(((), asks_too_late(known))));
}

#[test]
#[should_panic(expected = "was not asked for")]
fn a_plan_that_asks_too_late_is_found_before_it_is_made_again() {
    is_enough(&asks_too_late(Wants::NOTHING), Wants::NOTHING, asks_too_late);
}

#[test]
fn a_plan_that_asks_too_late_is_not_carried_out_where_a_cache_was_behind() {
    assert!(planned(true, |known| Some(((), asks_too_late(known)))).is_none());
}
