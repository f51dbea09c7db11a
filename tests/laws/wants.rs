//! A law over all the others: a plan asks for all that it rests on. So an object is planned twice at most,
//! and what a cache was behind with keeps the second plan from being carried out, whatever it is.

use std::fmt::Debug;

use daskflow::plan::{Plan, Wants};

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
    is_enough(&asks_too_late(Wants::NOTHING), Wants::NOTHING, asks_too_late);
}
