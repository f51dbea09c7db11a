//! The election as a model: every state that candidates, the API server and what goes wrong can reach
//! together, up to the bound that each test states. In none of them do two lead, by their own clocks; and
//! from each, if nothing goes wrong any more, one comes to lead and stays.
//!
//! The candidates are the real ones. Only time is coarse: it goes in ticks, and the clocks of two processes
//! go at two rates that are as far apart as the timing allows. States are the same when they have the same
//! future, so a history may be of any length. What is bounded is how many
//! [troubles](rules::Event::is_trouble) there are in one.
//!
//! The random histories of `plan::lease::tests::laws` are beside this, with many more troubles and with times
//! as fine as they are. With `DASKFLOW_LAWS=long` there is one trouble more here.
#![allow(clippy::print_stdout, reason = "how much was looked at")]

mod choices;
mod explore;
mod fingerprint;
mod rules;
mod world;

use std::time::{Duration, Instant};

use daskflow::plan::lease::{Loss, Timing};

use super::is_long;
use explore::{Broken, explore};
use rules::{Fault, Mishap, Planted, Rules, Troubles};

/// A claim that lasts as long as the Lease: the rule alone, and no room between them, keeps two from leading.
const TIGHT: Timing = Timing {
    lease: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(3),
    renew_interval: Duration::from_secs(1),
    retry: Duration::from_secs(1),
    patience: Duration::from_secs(1),
};

const TWO_LEAD: Broken = Broken::Fault(Fault::TwoLead);
const LOST: Broken = Broken::Fault(Fault::Lost(Loss::Deadline));

/// As it is shipped: a claim of 9 s, a Lease of 12 s.
fn shipped() -> Timing {
    Timing::of_seconds(Timing::LEASE_S)
}

fn rules(timing: Timing, clocks: &[u64], troubles: Troubles) -> Rules {
    let clocks = clocks.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
    Rules { timing, clocks, troubles, planted: Planted::Nothing }
}

/// So many troubles always, and one more in a long search.
fn troubles(always: u8) -> Troubles {
    Troubles::Any(always + u8::from(is_long()))
}

/// That one leads for good after so many ticks without trouble at the latest, and that two never do.
fn holds(rules: &Rules, ticks: u32) {
    let begin = Instant::now();
    let explored = explore(rules).unwrap_or_else(|(broken, path)| panic!("{broken:?} after {path:?}"));
    let (states, troubles) = (explored.states, rules.troubles);
    println!("{} candidates, {troubles:?}: {states} states in {:?}", rules.clocks.len(), begin.elapsed());
    assert!(explored.ticks <= ticks, "{} ticks without a leader", explored.ticks);
}

fn breaks(rules: Rules, planted: Planted) -> Broken {
    let (broken, path) = explore(&Rules { planted, ..rules }).expect_err("the fault was not found");
    println!("{planted:?}: {broken:?} after {path:?}");
    broken
}

/// A tick is 3 s of the one and 4 s of the other: a claim of 9 s lasts as long as a Lease of 12 s. If the one
/// that leads ends for good, the other looks within a tick, and waits for 4 of them if its clock is slow.
#[test]
fn two_candidates_whose_clocks_differ_as_far_as_the_promise_allows() {
    holds(&rules(shipped(), &[3, 4], troubles(2)), 5);
}

#[test]
fn two_candidates_whose_lease_lasts_no_longer_than_a_claim() {
    holds(&rules(TIGHT, &[1, 1], troubles(1)), 4);
}

#[test]
fn three_candidates() {
    holds(&rules(shipped(), &[3, 4, 4], troubles(1)), 5);
}

#[test]
fn a_leader_keeps_the_lease_while_each_answer_comes_within_4_s() {
    let clocks: &[u64] = if is_long() { &[1, 1, 1] } else { &[1, 1] };
    holds(&rules(shipped(), clocks, Troubles::LateBy(4, Mishap::Nothing)), 0);
    let later = breaks(rules(shipped(), &[1], Troubles::LateBy(5, Mishap::Nothing)), Planted::Nothing);
    assert_eq!(later, LOST, "that is all that is promised");
}

/// A second of a Lease of 24 s is what half a second is of one of 12 s.
fn in_half_seconds(halves: u8, mishap: Mishap) -> Rules {
    rules(Timing::of_seconds(24), &[1], Troubles::LateBy(halves, mishap))
}

#[test]
fn a_leader_alone_keeps_the_lease_in_half_seconds_as_well() {
    holds(&in_half_seconds(8, Mishap::Nothing), 0);
}

#[test]
fn a_leader_keeps_the_lease_although_a_request_gets_lost() {
    holds(&in_half_seconds(3, Mishap::Loss), 0);
    assert_eq!(breaks(in_half_seconds(4, Mishap::Loss), Planted::Nothing), LOST, "too late for that");
}

#[test]
fn a_leader_keeps_the_lease_although_a_renewal_meets_itself() {
    holds(&in_half_seconds(5, Mishap::Doubling), 0);
    assert_eq!(breaks(in_half_seconds(6, Mishap::Doubling), Planted::Nothing), LOST, "too late for that");
}

#[test]
fn a_claim_that_lasts_a_second_too_long_is_found() {
    let too_long = Timing { renew_deadline: Duration::from_secs(10), ..shipped() };
    let broken = breaks(rules(too_long, &[3, 4], Troubles::Any(1)), Planted::Nothing);
    assert_eq!(broken, TWO_LEAD);
}

#[test]
fn a_clock_that_is_too_slow_is_found() {
    // 2 s and 3 s: the promise is for 3 s and 4 s.
    let broken = breaks(rules(shipped(), &[2, 3], Troubles::Any(1)), Planted::Nothing);
    assert_eq!(broken, TWO_LEAD);
}

#[test]
fn writes_without_a_version_are_found() {
    let broken = breaks(rules(shipped(), &[3, 4], Troubles::Any(1)), Planted::NoVersion);
    assert_eq!(broken, TWO_LEAD);
}

#[test]
fn a_claim_that_counts_from_the_answer_is_found() {
    // Without a look beside a renewal, it takes one trouble less.
    let patient = Timing { patience: Duration::from_secs(9), ..shipped() };
    let broken = breaks(rules(patient, &[3, 4], Troubles::Any(1)), Planted::CountsFromAnswer);
    assert_eq!(broken, TWO_LEAD);
}

#[test]
fn a_candidate_that_trusts_its_name_is_found() {
    let broken = breaks(rules(shipped(), &[3, 4], Troubles::Any(1)), Planted::TrustsItsName);
    assert_eq!(broken, TWO_LEAD);
}

#[test]
fn a_candidate_that_waits_for_ever_is_found() {
    let broken = breaks(rules(shipped(), &[3], Troubles::Any(1)), Planted::Waits);
    assert_eq!(broken, Broken::NobodyLeads);
}

#[test]
fn a_leader_that_gives_its_renewals_up_is_found() {
    let broken = breaks(rules(shipped(), &[1], Troubles::LateBy(4, Mishap::Nothing)), Planted::GivesUp);
    assert_eq!(broken, LOST);
}
