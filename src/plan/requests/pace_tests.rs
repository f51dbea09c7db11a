//! The rule of the pace, against API servers that are simulated.

use proptest::prelude::*;

use super::pace::{CLOSED_MAX, Cost, FIRST, LEAST, MOST, Outcome, Pace};
use std::time::Duration;

const WRITE: Outcome = Outcome::Done(Cost::Write);

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A client that always has more to ask, for so many requests, of an API server that takes `takes` for a request when so many
/// are under way. Gives the limit at the end, and the time.
fn ask(
    pace: &mut Pace,
    from: Duration,
    requests: usize,
    takes: impl Fn(usize) -> Duration,
) -> (usize, Duration) {
    let mut now = from;
    let mut under_way: Vec<(Duration, Duration)> = Vec::new();
    for _ in 0..requests {
        while under_way.len() < pace.limit() {
            under_way.push((now + takes(under_way.len() + 1), now));
        }
        pace.is_full();
        under_way.sort();
        let (ends, sent) = under_way.remove(0);
        now = now.max(ends);
        pace.ended(WRITE, sent, now);
    }
    (pace.limit(), now)
}

/// One core that takes 10 ms for a request: more at the same time make each slower, and nothing faster.
fn one_core(under_way: usize) -> Duration {
    ms(10) * u32::try_from(under_way).unwrap()
}

#[test]
fn an_api_server_that_stays_fast_gets_more_at_the_same_time() {
    let mut pace = Pace::default();
    let (limit, _) = ask(&mut pace, Duration::ZERO, 5_000, |_| ms(20));
    assert_eq!(limit, MOST);
}

#[test]
fn an_api_server_that_becomes_slower_with_more_gets_less() {
    let mut pace = Pace::default();
    // It was seen alone first.
    pace.ended(WRITE, Duration::ZERO, ms(10));
    let (mut most, mut now) = (0, ms(10));
    for _ in 0..50 {
        let (limit, until) = ask(&mut pace, now, 100, one_core);
        (most, now) = (most.max(limit), until);
    }
    // What is slow begins at 100 ms: ten at the same time.
    assert!((LEAST..=14).contains(&most), "{most}");
}

#[test]
fn a_burst_ends_and_the_pace_recovers() {
    let mut pace = Pace::default();
    pace.ended(WRITE, Duration::ZERO, ms(5));
    let (slow, now) = ask(&mut pace, ms(5), 70, |_| ms(900));
    assert!(slow < FIRST / 2, "{slow}");
    let (recovered, _) = ask(&mut pace, now, 3_000, |_| ms(5));
    assert!(recovered > FIRST, "{recovered}");
}

#[test]
fn an_etcd_that_is_slow_whatever_is_asked_of_it_is_no_reason_to_ask_less_for_ever() {
    let mut pace = Pace::default();
    pace.ended(WRITE, Duration::ZERO, ms(5));
    let (limit, _) = ask(&mut pace, ms(5), 4_000, |_| ms(2_750));
    assert!(limit > FIRST, "{limit}");
}

#[test]
fn a_single_slow_answer_changes_nothing() {
    let mut pace = Pace::default();
    for at in 0..100 {
        let sent = ms(10 * at);
        let took = if at == 50 { ms(5_000) } else { ms(9) };
        pace.ended(WRITE, sent, sent + took);
    }
    assert_eq!(pace.limit(), FIRST);
}

#[test]
fn refusals_halve_once_for_all_that_was_under_way() {
    let mut pace = Pace::default();
    for _ in 0..10 {
        pace.ended(Outcome::Busy(None), ms(10), ms(30));
    }
    assert_eq!(pace.limit(), FIRST / 2);
    pace.ended(Outcome::Lost, ms(40), ms(30_040));
    assert_eq!(pace.limit(), LEAST);
    pace.ended(Outcome::Lost, ms(30_050), ms(60_050));
    assert_eq!(pace.limit(), LEAST);
}

#[test]
fn nothing_is_asked_for_as_long_as_the_api_server_wishes() {
    let mut pace = Pace::default();
    assert_eq!(pace.closed_until(ms(0)), None);
    pace.ended(Outcome::Busy(Some(ms(2_000))), ms(10), ms(30));
    pace.ended(Outcome::Busy(Some(ms(1_000))), ms(10), ms(40));
    assert_eq!(pace.closed_until(ms(50)), Some(ms(2_030)));
    assert_eq!(pace.closed_until(ms(2_030)), None);
    pace.ended(Outcome::Busy(Some(Duration::from_secs(86_400))), ms(10), ms(3_000));
    assert_eq!(pace.closed_until(ms(3_000)), Some(ms(3_000) + CLOSED_MAX));
}

#[test]
fn reads_that_are_fast_do_not_make_writes_slow() {
    let mut pace = Pace::default();
    let mut now = Duration::ZERO;
    for _ in 0..500 {
        pace.is_full();
        pace.ended(Outcome::Done(Cost::Read), now, now + ms(1));
        pace.ended(WRITE, now, now + ms(150));
        now += ms(160);
    }
    assert!(pace.limit() > FIRST, "{}", pace.limit());
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(WRITE),
        2 => Just(Outcome::Done(Cost::Read)),
        1 => Just(Outcome::Answered),
        1 => Just(Outcome::Lost),
        1 => proptest::option::of(0_u64..10_000_000).prop_map(|wait| Outcome::Busy(wait.map(ms))),
    ]
}

proptest! {
    #[test]
    fn the_limit_stays_within_its_bounds_and_no_wait_is_longer_than_the_longest(
        outcomes in proptest::collection::vec((outcome(), 0_u64..40_000, 0_u64..500, any::<bool>()), 0..400),
    ) {
        let (mut pace, mut now) = (Pace::default(), Duration::ZERO);
        for (outcome, took, pause, full) in outcomes {
            now += ms(pause);
            let before = pace.limit();
            if full {
                pace.is_full();
            }
            pace.ended(outcome, now.saturating_sub(ms(took)), now);
            prop_assert!((LEAST..=MOST).contains(&pace.limit()));
            prop_assert!(pace.limit() <= before + 1, "it grows one by one");
            prop_assert!(pace.closed_until(now).is_none_or(|until| until <= now + CLOSED_MAX));
        }
    }
}
