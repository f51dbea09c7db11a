mod laws;

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
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
        mark: None,
    }
}

/// My Lease as the write with this mark has left it.
fn marked(version: u32, mark: i64) -> ObservedLease {
    ObservedLease { mark: Some(mark), ..lease(version, "me") }
}

/// Reads the Lease and is answered at once.
fn sees(candidate: &mut Candidate, lease: Option<ObservedLease>, at: Duration) {
    let asked = candidate.reads(at);
    candidate.saw(&asked, lease, at, 1.0);
}

/// Asks to write and is refused at once.
fn meets_a_conflict(candidate: &mut Candidate, at: Duration) {
    let asked = candidate.writes(-1, at);
    candidate.conflicted(&asked, at);
}

/// A candidate that leads since 100 s, as its first write says, whose mark is 1.
fn leader() -> Candidate {
    let mut candidate = candidate();
    sees(&mut candidate, None, s(100));
    let asked = candidate.writes(1, s(100));
    assert!(candidate.wrote(&asked, marked(1, 1), s(101)));
    candidate
}

#[test]
fn the_figures_keep_the_promises() {
    let timing = Timing::of_seconds(Timing::LEASE_S);
    // A kill right after a renewal that the other one sees as late as can be, and takes with a slow request.
    assert!(timing.retry + timing.lease + s(1) <= s(15));
    // The same, and the look gets lost with the connection to an API server that died as well.
    assert!(timing.retry + timing.patience + timing.lease <= s(15));
    // A release that the other one sees as late as can be.
    assert!(timing.retry + ms(500) <= s(2));
    // Each answer may be 4 s late, with time left for a busy operator: a renewal and the next one are
    // answered.
    assert!(timing.renew_interval < s(4) && s(4) < timing.lateness());
    assert!(s(4) * 2 + ms(900) < timing.renew_deadline);
    // A renewal may get lost on its way: when it is written anew there is still time.
    assert!(timing.renew_interval + timing.lateness() + s(2) < timing.renew_deadline);
    assert!(timing.renew_deadline + timing.patience < timing.lease);
    assert_eq!(timing.lease_seconds(), 12);
}

#[test]
fn the_first_candidate_reads_and_creates() {
    let mut candidate = candidate();
    assert_eq!(candidate.decide(s(0)), Decision::Read);
    sees(&mut candidate, None, s(1));
    assert_eq!(candidate.decide(s(1)), Decision::Create);
    assert_eq!((candidate.transitions(), candidate.rests_on()), (0, None));
    let asked = candidate.writes(1, s(1));
    assert!(candidate.wrote(&asked, marked(1, 1), s(2)));
    assert_eq!(candidate.leads_until(), Some(s(10)), "counted from the sending");
    assert_eq!(candidate.decide(s(2)), Decision::Wait(ms(3_400)));
    assert_eq!(candidate.decide(s(4)), Decision::Renew);
    assert_eq!(candidate.rests_on(), Some("1"));
}

#[test]
fn a_lease_is_over_when_it_was_unchanged_for_its_duration_by_my_clock() {
    let mut candidate = candidate();
    sees(&mut candidate, Some(lease(7, "other")), s(50));
    assert_eq!(candidate.decide(s(50)), Decision::Wait(s(51)));
    assert_eq!(candidate.decide(s(51)), Decision::Read);
    sees(&mut candidate, Some(lease(7, "other")), ms(61_500));
    assert_eq!(candidate.decide(ms(61_999)), Decision::Wait(s(62)), "awake when it is over");
    assert_eq!(candidate.decide(s(62)), Decision::Acquire);
    assert_eq!(candidate.transitions(), 4);
}

#[test]
fn every_change_is_a_sign_of_life() {
    let mut candidate = candidate();
    sees(&mut candidate, Some(lease(7, "other")), s(50));
    sees(&mut candidate, Some(lease(8, "other")), s(61));
    assert_eq!(candidate.decide(s(62)), Decision::Read);
    sees(&mut candidate, Some(lease(8, "other")), s(73));
    assert_eq!(candidate.decide(s(73)), Decision::Acquire);
}

#[test]
fn the_duration_is_the_one_that_the_holder_wrote() {
    let mut candidate = candidate();
    sees(&mut candidate, Some(ObservedLease { duration: Some(s(40)), ..lease(7, "other") }), s(50));
    assert_eq!(candidate.decide(s(80)), Decision::Read);
    sees(&mut candidate, Some(ObservedLease { duration: Some(s(40)), ..lease(7, "other") }), s(90));
    assert_eq!(candidate.decide(s(90)), Decision::Acquire);

    let mut candidate = self::candidate();
    sees(&mut candidate, Some(ObservedLease { duration: None, ..lease(7, "other") }), s(50));
    assert_eq!(candidate.decide(s(61)), Decision::Read);
    assert_eq!(candidate.decide(s(62)), Decision::Acquire, "without one, my own counts");
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let mut candidate = candidate();
    sees(&mut candidate, Some(lease(7, "other")), s(50));
    sees(&mut candidate, Some(lease(8, "")), s(51));
    assert_eq!(candidate.decide(s(51)), Decision::Acquire);
    assert_eq!(candidate.transitions(), 4);
}

#[test]
fn a_lease_of_my_own_name_is_taken_back_at_once() {
    let mut candidate = candidate();
    sees(&mut candidate, Some(marked(7, 1)), s(50));
    assert_eq!(candidate.decide(s(50)), Decision::Renew);
    assert_eq!(candidate.transitions(), 3, "it has not changed hands");
    assert_eq!(candidate.leads_until(), None, "what another life has written is no claim");
}

#[test]
fn whoever_is_refused_looks_again_at_once() {
    let mut candidate = candidate();
    sees(&mut candidate, Some(lease(7, "other")), s(50));
    assert_eq!(candidate.decide(s(62)), Decision::Acquire);
    meets_a_conflict(&mut candidate, s(63));
    assert_eq!(candidate.decide(s(63)), Decision::Read);
    let asked = candidate.reads(s(63));
    candidate.saw(&asked, Some(lease(8, "other")), s(63), 0.0);
    assert_eq!(candidate.decide(s(63)), Decision::Wait(ms(63_750)));
}

#[test]
fn a_leader_whose_renewals_fail_tries_again_and_then_is_lost() {
    let mut leader = leader();
    assert_eq!(leader.decide(s(103)), Decision::Renew);
    let asked = leader.writes(2, s(103));
    leader.failed(&asked, s(104), 1.0);
    assert_eq!(leader.decide(s(104)), Decision::Wait(s(105)));
    assert_eq!(leader.decide(s(105)), Decision::Renew);
    let asked = leader.writes(3, s(105));
    leader.failed(&asked, ms(108_500), 1.0);
    assert_eq!(leader.decide(ms(108_500)), Decision::Wait(s(109)), "not past the deadline");
    assert_eq!(leader.decide(s(109)), Decision::Lost(Loss::Deadline));
}

#[test]
fn an_answer_counts_as_long_as_the_claim_lasts() {
    let mut leader = leader();
    let asked = leader.writes(2, s(103));
    assert_eq!(leader.decide(s(104)), Decision::Wait(s(105)));
    assert_eq!(leader.decide(s(105)), Decision::Read, "beside it");
    let looked = leader.reads(s(105));
    assert_eq!(leader.decide(s(106)), Decision::Wait(s(107)));
    assert!(leader.wrote(&asked, marked(2, 2), ms(108_900)));
    assert_eq!(leader.leads_until(), Some(s(112)));
    assert_eq!(leader.decide(ms(108_900)), Decision::Renew);
    assert!(!leader.saw(&looked, Some(marked(1, 1)), s(109), 1.0), "it was asked before");
    assert_eq!(leader.rests_on(), Some("2"));
    assert_eq!(leader.decide(s(109)), Decision::Renew);
}

#[test]
fn a_renewal_that_the_lease_shows_counts_from_its_sending() {
    let mut leader = leader();
    let asked = leader.writes(2, s(103));
    let looked = leader.reads(s(105));
    assert!(leader.saw(&looked, Some(marked(2, 2)), s(106), 1.0));
    assert_eq!(leader.leads_until(), Some(s(112)));
    assert_eq!(leader.decide(s(106)), Decision::Renew, "2.4 s after the last one was sent");
    assert_eq!(leader.rests_on(), Some("2"));
    let next = leader.writes(3, s(106));
    assert!(!leader.wrote(&asked, marked(2, 2), s(107)), "known already");
    assert!(leader.wrote(&next, marked(3, 3), s(107)));
    assert_eq!(leader.rests_on(), Some("3"));
}

#[test]
fn a_conflict_with_my_own_earlier_write_is_its_success() {
    let mut leader = leader();
    let first = leader.writes(2, s(103));
    leader.failed(&first, s(104), 1.0);
    let second = leader.writes(3, s(105));
    leader.conflicted(&second, s(105));
    assert_eq!(leader.decide(s(105)), Decision::Read);
    sees(&mut leader, Some(marked(2, 2)), ms(105_100));
    assert_eq!(leader.leads_until(), Some(s(112)), "the first one counts, from its own sending");
    assert_eq!(leader.decide(ms(105_100)), Decision::Wait(ms(105_400)));
    assert_eq!(leader.decide(ms(105_400)), Decision::Renew);

    // Sent twice by something on the way: the second time it meets itself.
    let third = leader.writes(4, s(106));
    leader.conflicted(&third, s(107));
    sees(&mut leader, Some(marked(3, 4)), s(107));
    assert_eq!(leader.leads_until(), Some(s(115)));
}

#[test]
fn nothing_is_written_over_a_write_that_may_be_on_its_way() {
    let mut leader = leader();
    let lost = leader.writes(2, s(102));
    let looked = leader.reads(s(104));
    assert!(leader.saw(&looked, Some(marked(1, 1)), s(104), 1.0));
    assert_eq!(leader.decide(s(104)), Decision::Wait(ms(106_500)));
    assert_eq!(leader.decide(ms(106_500)), Decision::Renew, "whoever has waited so long has no other way");
    assert_eq!(leader.rests_on(), Some("1"));
    let again = leader.writes(3, ms(106_500));
    leader.conflicted(&lost, s(107));
    assert!(leader.wrote(&again, marked(2, 3), s(108)), "refused was the other one");
    assert_eq!(leader.rests_on(), Some("2"));
    assert_eq!(leader.decide(s(108)), Decision::Wait(ms(108_900)));
}

#[test]
fn an_answer_from_before_a_write_says_nothing_about_it() {
    let mut leader = leader();
    let early = leader.reads(ms(102_300));
    let asked = leader.writes(2, ms(102_400));
    assert!(!leader.saw(&early, Some(marked(1, 1)), s(103), 1.0));
    assert_eq!(leader.decide(s(103)), Decision::Wait(ms(104_400)));
    leader.conflicted(&asked, s(104));
    let late = leader.reads(s(104));
    assert!(!leader.saw(&early, Some(marked(1, 1)), s(104), 1.0), "older than the refusal");
    assert!(leader.saw(&late, Some(marked(3, 1)), s(105), 1.0));
    assert_eq!(leader.decide(s(105)), Decision::Renew);
}

#[test]
fn a_candidate_whose_write_was_carried_out_unanswered_leads() {
    let mut candidate = candidate();
    sees(&mut candidate, Some(lease(7, "")), s(50));
    let asked = candidate.writes(1, s(50));
    assert_eq!(candidate.decide(s(52)), Decision::Read);
    sees(&mut candidate, Some(marked(8, 1)), s(53));
    assert_eq!(candidate.leads_until(), Some(s(59)));
    assert_eq!(candidate.decide(s(53)), Decision::Renew);
    assert!(!candidate.wrote(&asked, marked(8, 1), s(54)));

    let mut late = self::candidate();
    sees(&mut late, Some(lease(7, "")), s(50));
    late.writes(1, s(50));
    sees(&mut late, Some(marked(8, 1)), s(59));
    assert_eq!(late.leads_until(), None, "that claim is over");
    assert_eq!(late.decide(s(59)), Decision::Renew);
}

#[test]
fn a_mark_under_another_name_is_no_renewal() {
    let mut leader = leader();
    leader.writes(2, s(103));
    sees(&mut leader, Some(ObservedLease { mark: Some(2), ..lease(2, "other") }), s(104));
    assert_eq!(leader.leads_until(), Some(s(109)));
    assert_eq!(leader.decide(s(104)), Decision::Lost(Loss::Taken("other".into())));
}

#[test]
fn a_leader_that_was_stopped_for_long_knows_before_it_does_anything() {
    assert_eq!(leader().decide(s(3600)), Decision::Lost(Loss::Deadline));
    let mut leader = leader();
    let asked = leader.writes(2, s(103));
    leader.wrote(&asked, marked(2, 2), s(3600));
    assert_eq!(leader.decide(s(3600)), Decision::Lost(Loss::Deadline), "that answer saves nobody");
}

#[test]
fn a_leader_that_sees_another_name_is_lost() {
    let mut leader = leader();
    meets_a_conflict(&mut leader, s(103));
    assert_eq!(leader.decide(s(103)), Decision::Read);
    sees(&mut leader, Some(lease(9, "other")), s(103));
    assert_eq!(leader.decide(s(103)), Decision::Lost(Loss::Taken("other".into())));
}

#[test]
fn a_leader_whose_lease_was_touched_goes_on() {
    let mut leader = leader();
    meets_a_conflict(&mut leader, s(103));
    sees(&mut leader, Some(marked(9, 1)), s(103));
    assert_eq!(leader.decide(s(103)), Decision::Renew);
    assert_eq!(leader.leads_until(), Some(s(109)), "only a write of its own prolongs a claim");
}

#[test]
fn a_deleted_lease_is_made_anew_by_the_leader_and_by_others_only_when_it_would_be_over() {
    let mut leader = leader();
    meets_a_conflict(&mut leader, s(103));
    sees(&mut leader, None, s(103));
    assert_eq!(leader.decide(s(103)), Decision::Create);
    assert_eq!(leader.rests_on(), None);

    let mut standby = candidate();
    sees(&mut standby, Some(lease(7, "other")), s(100));
    sees(&mut standby, None, s(103));
    assert_eq!(standby.decide(s(103)), Decision::Wait(s(104)));
    assert_eq!(standby.decide(s(111)), Decision::Read);
    assert_eq!(standby.decide(s(112)), Decision::Create);
}

#[test]
fn a_candidate_that_stops_releases_what_it_has() {
    let mut leader = leader();
    leader.stop(s(102));
    assert_eq!(leader.leads_until(), None);
    assert_eq!(leader.decide(s(102)), Decision::Release);
    let asked = leader.writes(2, s(102));
    assert_eq!(leader.decide(s(102)), Decision::Wait(s(104)));
    assert!(leader.wrote(&asked, lease(2, ""), s(103)));
    assert_eq!(leader.decide(s(103)), Decision::Stop);

    let mut standby = candidate();
    sees(&mut standby, Some(lease(7, "other")), s(100));
    standby.reads(s(101));
    standby.stop(s(102));
    assert_eq!(standby.decide(s(102)), Decision::Stop);
}

#[test]
fn a_candidate_that_stops_finds_out_whether_its_last_write_was_carried_out() {
    let mut leader = leader();
    leader.writes(2, ms(102_400));
    leader.stop(s(103));
    assert_eq!(leader.decide(s(103)), Decision::Wait(ms(104_400)));
    assert_eq!(leader.decide(ms(104_400)), Decision::Read);
    sees(&mut leader, Some(marked(2, 2)), ms(104_400));
    assert_eq!(leader.leads_until(), None);
    assert_eq!(leader.decide(ms(104_400)), Decision::Release);
    assert_eq!(leader.rests_on(), Some("2"));
    leader.writes(3, ms(104_400));
    assert_eq!(leader.decide(s(112)), Decision::Stop, "it is no use any longer");

    let mut candidate = candidate();
    sees(&mut candidate, Some(lease(7, "")), s(50));
    candidate.writes(1, s(50));
    candidate.stop(s(51));
    sees(&mut candidate, Some(marked(8, 1)), s(52));
    assert_eq!(candidate.decide(s(52)), Decision::Release, "it has never led, and holds it all the same");
}

#[test]
fn an_observer_takes_nothing_until_it_stands_and_then_at_once() {
    let mut observer = Candidate::observer("me", Timing::of_seconds(Timing::LEASE_S));
    for second in 0..60 {
        assert_eq!(observer.decide(s(second)), Decision::Read);
        sees(&mut observer, if second < 30 { None } else { Some(lease(7, "other")) }, s(second));
        assert_eq!(observer.decide(s(second)), Decision::Wait(s(second + 1)));
    }
    observer.stand();
    assert_eq!(observer.decide(s(59)), Decision::Acquire, "what it saw before counts");
}
