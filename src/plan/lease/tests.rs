use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn candidate() -> Candidate {
    Candidate::new("me", Timing::of_seconds(Timing::LEASE_S))
}

fn lease(version: u32, holder: &str) -> ObservedLease {
    ObservedLease {
        version: version.to_string(),
        holder: holder.into(),
        duration: Some(s(12)),
        transitions: 3,
    }
}

/// A candidate that leads since 100 s.
fn leader() -> Candidate {
    let mut candidate = candidate();
    candidate.saw(None, s(100), 1.0);
    candidate.wrote(lease(1, "me"), s(100), s(101));
    candidate
}

#[test]
fn the_figures_keep_the_promises() {
    let timing = Timing::of_seconds(Timing::LEASE_S);
    // A kill right after a renewal that the other one sees as late as can be, and takes with a slow request.
    assert!(timing.retry + timing.lease + Duration::from_secs(1) <= s(15));
    // A release that the other one sees as late as can be.
    assert!(timing.retry + Duration::from_millis(500) <= s(2));
    // Two renewals in a row may fail with all their time spent, and there is still time for another.
    assert!(timing.renew_interval + (timing.request + timing.retry) * 2 < timing.renew_deadline);
    assert!(timing.renew_deadline + timing.request < timing.lease);
    assert_eq!(timing.lease_seconds(), 12);
}

#[test]
fn the_first_candidate_reads_and_creates() {
    let mut candidate = candidate();
    assert_eq!(candidate.decide(s(0)), Decision::Read);
    candidate.saw(None, s(1), 1.0);
    assert_eq!(candidate.decide(s(1)), Decision::Create);
    assert_eq!(candidate.transitions(), 0);
    candidate.wrote(lease(1, "me"), s(1), s(2));
    assert_eq!(candidate.leads_until(), Some(s(10)), "counted from the sending");
    assert_eq!(candidate.decide(s(2)), Decision::Wait(Duration::from_millis(3_400)));
    assert_eq!(candidate.decide(s(4)), Decision::Renew);
}

#[test]
fn a_lease_is_over_when_it_was_unchanged_for_its_duration_by_my_clock() {
    let mut candidate = candidate();
    candidate.saw(Some(lease(7, "other")), s(50), 1.0);
    assert_eq!(candidate.decide(s(50)), Decision::Wait(s(51)));
    assert_eq!(candidate.decide(s(51)), Decision::Read);
    candidate.saw(Some(lease(7, "other")), Duration::from_millis(61_500), 1.0);
    assert_eq!(
        candidate.decide(Duration::from_millis(61_999)),
        Decision::Wait(s(62)),
        "awake when it is over"
    );
    assert_eq!(candidate.decide(s(62)), Decision::Acquire);
    assert_eq!(candidate.transitions(), 4);
}

#[test]
fn every_change_is_a_sign_of_life() {
    let mut candidate = candidate();
    candidate.saw(Some(lease(7, "other")), s(50), 1.0);
    candidate.saw(Some(lease(8, "other")), s(61), 1.0);
    assert_eq!(candidate.decide(s(62)), Decision::Read);
    candidate.saw(Some(lease(8, "other")), s(73), 1.0);
    assert_eq!(candidate.decide(s(73)), Decision::Acquire);
}

#[test]
fn the_duration_is_the_one_that_the_holder_wrote() {
    let mut candidate = candidate();
    candidate.saw(Some(ObservedLease { duration: Some(s(40)), ..lease(7, "other") }), s(50), 1.0);
    assert_eq!(candidate.decide(s(80)), Decision::Read);
    candidate.saw(Some(ObservedLease { duration: Some(s(40)), ..lease(7, "other") }), s(90), 1.0);
    assert_eq!(candidate.decide(s(90)), Decision::Acquire);

    let mut candidate = self::candidate();
    candidate.saw(Some(ObservedLease { duration: None, ..lease(7, "other") }), s(50), 1.0);
    assert_eq!(candidate.decide(s(61)), Decision::Read);
    assert_eq!(candidate.decide(s(62)), Decision::Acquire, "without one, my own counts");
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let mut candidate = candidate();
    candidate.saw(Some(lease(7, "other")), s(50), 1.0);
    candidate.saw(Some(lease(8, "")), s(51), 1.0);
    assert_eq!(candidate.decide(s(51)), Decision::Acquire);
    assert_eq!(candidate.transitions(), 4);
}

#[test]
fn a_lease_of_my_own_name_is_taken_back_at_once() {
    let mut candidate = candidate();
    candidate.saw(Some(lease(7, "me")), s(50), 1.0);
    assert_eq!(candidate.decide(s(50)), Decision::Renew);
    assert_eq!(candidate.transitions(), 3, "it has not changed hands");
    assert_eq!(candidate.leads_until(), None, "reading is not leading");
}

#[test]
fn whoever_is_refused_looks_again_at_once() {
    let mut candidate = candidate();
    candidate.saw(Some(lease(7, "other")), s(50), 1.0);
    assert_eq!(candidate.decide(s(62)), Decision::Acquire);
    candidate.conflicted(s(63));
    assert_eq!(candidate.decide(s(63)), Decision::Read);
    candidate.saw(Some(lease(8, "other")), s(63), 0.0);
    assert_eq!(candidate.decide(s(63)), Decision::Wait(Duration::from_millis(63_750)));
}

#[test]
fn a_leader_whose_renewals_fail_tries_again_and_then_is_lost() {
    let mut leader = leader();
    assert_eq!(leader.decide(s(103)), Decision::Renew);
    leader.failed(s(105), 1.0);
    assert_eq!(leader.decide(s(105)), Decision::Wait(s(106)));
    assert_eq!(leader.decide(s(106)), Decision::Renew);
    leader.failed(Duration::from_millis(108_500), 1.0);
    assert_eq!(
        leader.decide(Duration::from_millis(108_500)),
        Decision::Wait(s(109)),
        "not past the deadline"
    );
    assert_eq!(leader.decide(s(109)), Decision::Lost(Loss::Deadline));
    leader.wrote(lease(2, "me"), s(99), s(108));
    assert_eq!(
        leader.decide(s(108)),
        Decision::Lost(Loss::Deadline),
        "an answer that comes late saves nobody"
    );
}

#[test]
fn a_leader_that_was_stopped_for_long_knows_before_it_does_anything() {
    assert_eq!(leader().decide(s(3600)), Decision::Lost(Loss::Deadline));
}

#[test]
fn a_leader_that_sees_another_name_is_lost() {
    let mut leader = leader();
    leader.conflicted(s(103));
    assert_eq!(leader.decide(s(103)), Decision::Read);
    leader.saw(Some(lease(9, "other")), s(103), 1.0);
    assert_eq!(leader.decide(s(103)), Decision::Lost(Loss::Taken("other".into())));
}

#[test]
fn a_leader_whose_lease_was_touched_goes_on() {
    let mut leader = leader();
    leader.conflicted(s(103));
    leader.saw(Some(lease(9, "me")), s(103), 1.0);
    assert_eq!(leader.decide(s(103)), Decision::Renew);
    assert_eq!(leader.leads_until(), Some(s(109)), "only a write of its own prolongs a claim");
}

#[test]
fn a_deleted_lease_is_made_anew_by_the_leader_and_by_others_only_when_it_would_be_over() {
    let mut leader = leader();
    leader.conflicted(s(103));
    leader.saw(None, s(103), 1.0);
    assert_eq!(leader.decide(s(103)), Decision::Create);

    let mut standby = candidate();
    standby.saw(Some(lease(7, "other")), s(100), 1.0);
    standby.saw(None, s(103), 1.0);
    assert_eq!(standby.decide(s(103)), Decision::Wait(s(104)));
    assert_eq!(standby.decide(s(111)), Decision::Read);
    assert_eq!(standby.decide(s(112)), Decision::Create);
}

#[test]
fn a_candidate_that_stops_holds_what_it_has_still_to_release() {
    let mut leader = leader();
    leader.stopped();
    assert!(leader.holds());
    assert_eq!(leader.leads_until(), None);
}

#[test]
fn an_observer_takes_nothing_until_it_stands_and_then_at_once() {
    let mut observer = Candidate::observer("me", Timing::of_seconds(Timing::LEASE_S));
    for second in 0..60 {
        assert_eq!(observer.decide(s(second)), Decision::Read);
        observer.saw(if second < 30 { None } else { Some(lease(7, "other")) }, s(second), 1.0);
        assert_eq!(observer.decide(s(second)), Decision::Wait(s(second + 1)));
    }
    observer.stand();
    assert_eq!(observer.decide(s(59)), Decision::Acquire, "what it saw before counts");
}
