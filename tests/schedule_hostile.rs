//! Texts that are made to cost time, and texts at random: each gets an answer, and none costs much.
//!
//! The bound of the engine is a count of looks (`budget.rs`); the time here is a net under it, wide enough for a debug
//! build on a busy machine. What it would catch takes minutes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use daskflow::plan::schedule::{Clock, ClockSpec, Day, RRULE_LENGTH_MAX, TickFilter, Timing};
use jiff::Timestamp;
use proptest::prelude::*;

const TEXTS: &str = include_str!("schedule/hostile.txt");

/// Parses the text and asks for ticks on both sides of an instant, without and with a filter that rarely passes.
fn ask(text: &str, t: Timestamp) -> Duration {
    let begin = Instant::now();
    let only = TickFilter { days: vec![Day::Monday, Day::MonthEnd], ..TickFilter::default() };
    for zone in ["America/New_York", "Africa/Casablanca"] {
        for only in [None, Some(&only)] {
            let spec = ClockSpec { only, ..ClockSpec::new("c", Timing::Rrule(text.to_owned()), zone) };
            if let Ok(clock) = Clock::parse(&spec) {
                let next = clock.next_after(t);
                assert!(next.is_none_or(|tick| tick > t), "{text}");
                assert!(clock.latest_in(Timestamp::MIN, t).is_none_or(|tick| tick <= t), "{text}");
            }
        }
    }
    begin.elapsed()
}

#[test]
fn hostile_texts_cost_little() {
    for text in TEXTS.lines().filter(|line| !line.starts_with('#')) {
        for t in ["2027-03-14T12:00:00Z", "1969-12-31T23:59:59Z", "9999-12-01T00:00:00Z"] {
            let took = ask(text, t.parse().unwrap());
            assert!(took < Duration::from_secs(5), "{text} took {took:?}");
        }
    }
}

#[test]
fn a_text_beyond_the_limit_is_not_read() {
    let text = format!("FREQ=DAILY;BYMONTHDAY={}", ["1"; RRULE_LENGTH_MAX].join(","));
    let spec = ClockSpec::new("c", Timing::Rrule(text), "UTC");
    assert!(Clock::parse(&spec).unwrap_err().to_string().contains("and may have 1000"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gets_an_answer(text in "\\PC{0,80}", t in 0i64..4_000_000_000) {
        ask(&text, Timestamp::from_second(t).unwrap());
        ask(&format!("FREQ=DAILY;{text}"), Timestamp::from_second(t).unwrap());
    }

    #[test]
    fn any_text_like_a_rule_gets_an_answer(
        freq in "(YEARLY|MONTHLY|WEEKLY|DAILY|HOURLY|MINUTELY)",
        parts in "(;(INTERVAL|COUNT|BYMONTH|BYMONTHDAY|BYYEARDAY|BYWEEKNO|BYDAY|BYHOUR|BYSETPOS)=[-0-9,MOTUSA]{1,6}){0,4}",
        t in 0i64..4_000_000_000,
    ) {
        let took = ask(&format!("FREQ={freq}{parts}"), Timestamp::from_second(t).unwrap());
        prop_assert!(took < Duration::from_secs(5), "{freq}{parts} took {took:?}");
    }
}
