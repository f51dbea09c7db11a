//! What counts now.

use rstest::rstest;

use super::super::{ClockSpec, Timing};
use super::*;

fn at(text: &str) -> Timestamp {
    format!("2027-01-01T{text}Z").parse().unwrap()
}

fn clock(cron: &str, suspend: bool) -> Clock {
    let timing = Timing::Cron(cron.to_owned());
    Clock::parse(&ClockSpec { suspend, ..ClockSpec::new("c", timing, "UTC") }).unwrap()
}

fn state(since: &str, last: Option<&str>) -> ClockState {
    ClockState { since: at(since), last_tick: last.map(at) }
}

#[test]
fn nothing_counts_up_to_since() {
    let clock = clock("0 * * * *", false);
    // Edited at the very tick: that tick belongs to the schedule as it was before.
    let answer = due(&clock, &state("10:00:00", None), at("10:00:30"), None);
    assert_eq!(answer, Due { next: Some(at("11:00:00")), ..Due::default() });
    // Resumed at 12:30 after the last run at 10:00: the ticks in between are not made up for.
    let answer = due(&clock, &state("12:30:00", Some("10:00:00")), at("12:31:00"), None);
    assert_eq!(answer, Due { next: Some(at("13:00:00")), ..Due::default() });
}

#[rstest]
#[case::just_in_time("10:05:00", Some("10:00:00"), 0)]
#[case::too_late("10:05:01", None, 1)]
fn a_deadline_is_inclusive(#[case] now: &str, #[case] tick: Option<&str>, #[case] missed: u32) {
    let deadline = Some(Duration::from_secs(300));
    let answer = due(&clock("0 * * * *", false), &state("09:30:00", None), at(now), deadline);
    assert_eq!((answer.tick, answer.missed), (tick.map(at), missed));
    assert_eq!(answer.latest, Some(at("10:00:00")), "considered either way");
}

#[test]
fn a_missed_tick_is_counted_once() {
    let clock = clock("0 * * * *", false);
    let deadline = Some(Duration::from_secs(60));
    let mut state = state("07:30:00", None);
    let first = due(&clock, &state, at("10:30:00"), deadline);
    assert_eq!((first.tick, first.missed), (None, 3));
    state.last_tick = first.latest;
    let second = due(&clock, &state, at("10:31:00"), deadline);
    assert_eq!(second, Due { next: Some(at("11:00:00")), ..Due::default() });
}

#[test]
fn a_clock_set_back_repeats_nothing() {
    let clock = clock("0 * * * *", false);
    let answer = due(&clock, &state("08:30:00", Some("12:00:00")), at("10:30:00"), None);
    assert_eq!(answer, Due { next: Some(at("13:00:00")), ..Due::default() });
    let answer = due(&clock, &state("12:30:00", None), at("10:30:00"), None);
    assert_eq!(answer, Due { next: Some(at("13:00:00")), ..Due::default() });
}

#[test]
fn a_suspended_clock_has_nothing() {
    let answer = due(&clock("0 * * * *", true), &state("08:30:00", None), at("10:30:00"), None);
    assert_eq!(answer, Due::default());
}

#[test]
fn the_count_of_missed_ticks_is_bounded() {
    let clock = clock("* * * * *", false);
    let since = "1990-01-01T00:00:00Z".parse().unwrap();
    let answer = due(&clock, &ClockState { since, last_tick: None }, at("10:30:20"), None);
    assert_eq!(answer.tick, Some(at("10:30:00")));
    assert_eq!(answer.missed, MISSED_MAX - 1);
}

#[rstest]
// 07:00, 08:00 and 09:00 are too late, 10:00 starts.
#[case::deadline(CatchUp::Latest, Some(3600), "10:30:00", (3, 3))]
// 09:00 is in time, but 10:00 is newer.
#[case::newer_one(CatchUp::Latest, Some(5400), "10:30:00", (3, 2))]
#[case::no_deadline(CatchUp::Latest, None, "10:30:00", (3, 0))]
#[case::as_many_as_it_may(CatchUp::All(2), None, "10:30:00", (2, 0))]
#[case::not_on_time(CatchUp::None, None, "10:00:31", (4, 4))]
#[case::on_time(CatchUp::None, None, "10:00:30", (3, 3))]
fn missed_ticks_were_too_late_or_gave_way(
    #[case] catch_up: CatchUp,
    #[case] deadline_s: Option<u64>,
    #[case] now: &str,
    #[case] expected: (u32, u32),
) {
    let rules =
        Rules { catch_up, starting_deadline: deadline_s.map(Duration::from_secs), ..Rules::default() };
    let answer = due(&clock("0 * * * *", false), &state("06:30:00", None), at(now), rules);
    assert_eq!((answer.missed, answer.too_late), expected);
}
