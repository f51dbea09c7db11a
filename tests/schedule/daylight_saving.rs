//! Ticks around changes of the clocks. Each case lists every tick in a stretch of time, in UTC, and is
//! searched in both directions.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::too_many_arguments, reason = "the columns of a table")]

use std::time::Duration;

use daskflow::api::interval::parse_interval;
use daskflow::plan::schedule::{Clock, ClockSpec, Timing};
use jiff::Timestamp;
use rstest::rstest;

fn clock(timing: Timing, zone: &str) -> Clock {
    Clock::parse(&ClockSpec::new("c", timing, zone)).unwrap()
}

fn forwards(clock: &Clock, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    std::iter::successors(clock.next_after(after), |tick| clock.next_after(*tick))
        .take_while(|tick| *tick <= until)
        .collect()
}

fn backwards(clock: &Clock, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let second = Duration::from_secs(1);
    let mut ticks: Vec<_> = std::iter::successors(clock.latest_in(after, until), |tick| {
        clock.latest_in(after, tick.checked_sub(second).unwrap())
    })
    .collect();
    ticks.reverse();
    ticks
}

fn instant(year: &str, text: &str) -> Timestamp {
    format!("{year}-{text}:00Z").parse().unwrap()
}

/// `from` (exclusive) and `to` (inclusive) and the ticks are written as `MM-DDThh:mm` in UTC.
fn check(timing: Timing, zone: &str, year: &str, range: (&str, &str), expected: &str) {
    check_clock(&clock(timing, zone), year, range, expected);
}

fn check_clock(clock: &Clock, year: &str, (from, to): (&str, &str), expected: &str) {
    let at = |text: &str| instant(year, text);
    let expected: Vec<_> = expected.split_whitespace().map(at).collect();
    assert_eq!(forwards(clock, at(from), at(to)), expected, "forwards");
    assert_eq!(backwards(clock, at(from), at(to)), expected, "backwards");
    assert_eq!(clock.count_in(at(from), at(to), u32::MAX), u32::try_from(expected.len()).unwrap());
}

/// New York 2027: 02:00 to 03:00 is skipped on 14 March (at 07:00Z), 01:00 to 02:00 repeated on 7 November
/// (at 06:00Z).
#[rstest]
#[case::gap_runs_at_its_end("30 2 * * *", "03-13T12:00", "03-15T12:00", "03-14T07:00 03-15T06:30")]
#[case::gap_start("0 2 * * *", "03-13T12:00", "03-15T12:00", "03-14T07:00 03-15T06:00")]
#[case::several_in_the_gap_are_one("10,20,30 2 * * *", "03-13T12:00", "03-14T12:00", "03-14T07:00")]
#[case::gap_end_meets_a_time_of_its_own("0 2,3 * * *", "03-13T12:00", "03-14T12:00", "03-14T07:00")]
#[case::twice_a_day_keeps_both("0 2,14 * * *", "03-13T20:00", "03-14T20:00", "03-14T07:00 03-14T18:00")]
#[case::only_sundays("30 2 * * 0", "03-13T12:00", "03-15T12:00", "03-14T07:00")]
#[case::before_the_gap("30 1 * * *", "03-13T12:00", "03-15T12:00", "03-14T06:30 03-15T05:30")]
#[case::hourly_has_no_gap("0 * * * *", "03-14T05:30", "03-14T08:30", "03-14T06:00 03-14T07:00 03-14T08:00")]
#[case::all_hours_is_hourly(
    "0 0-23 * * *",
    "03-14T05:30",
    "03-14T08:30",
    "03-14T06:00 03-14T07:00 03-14T08:00"
)]
#[case::every_other_hour_skips("0 */2 * * *", "03-14T04:30", "03-14T09:30", "03-14T05:00 03-14T08:00")]
#[case::overlap_runs_first_pass("30 1 * * *", "11-06T12:00", "11-08T12:00", "11-07T05:30 11-08T06:30")]
#[case::overlap_twice_a_day("0 1,13 * * *", "11-06T20:00", "11-07T20:00", "11-07T05:00 11-07T18:00")]
#[case::overlap_several("15,45 1 * * *", "11-07T00:00", "11-07T12:00", "11-07T05:15 11-07T05:45")]
#[case::after_the_overlap("0 2 * * *", "11-06T12:00", "11-07T12:00", "11-07T07:00")]
#[case::half_hours_run_in_both_passes(
    "*/30 * * * *",
    "11-07T04:45",
    "11-07T07:00",
    "11-07T05:00 11-07T05:30 11-07T06:00 11-07T06:30 11-07T07:00"
)]
#[case::stepped_minutes_of_an_hour(
    "0/30 1 * * *",
    "11-07T00:00",
    "11-07T12:00",
    "11-07T05:00 11-07T05:30 11-07T06:00 11-07T06:30"
)]
#[case::from_inside_the_second_pass("50 1,2 * * *", "11-07T06:10", "11-07T12:00", "11-07T07:50")]
#[case::until_inside_the_second_pass("50 1 * * *", "11-07T00:00", "11-07T06:10", "11-07T05:50")]
fn new_york(#[case] cron: &str, #[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    check(Timing::Cron(cron.to_owned()), "America/New_York", "2027", (from, to), expected);
}

#[rstest]
// 02:00 to 03:00 is skipped on 28 March at 01:00Z and repeated on 31 October at 01:00Z.
#[case::paris_gap(
    "Europe/Paris",
    "2027",
    "30 2 * * *",
    "03-27T12:00",
    "03-29T12:00",
    "03-28T01:00 03-29T00:30"
)]
#[case::paris_overlap(
    "Europe/Paris",
    "2027",
    "30 2 * * *",
    "10-30T12:00",
    "11-01T12:00",
    "10-31T00:30 11-01T01:30"
)]
// Half an hour: 02:00 to 02:30 is skipped on 3 October at 15:30Z the day before, 01:30 to 02:00 repeated on 4
// April at 15:00Z.
#[case::lord_howe_gap(
    "Australia/Lord_Howe",
    "2027",
    "15 2 * * *",
    "10-01T15:45",
    "10-03T15:45",
    "10-02T15:30 10-03T15:15"
)]
#[case::lord_howe_overlap(
    "Australia/Lord_Howe",
    "2027",
    "45 1 * * *",
    "04-03T00:00",
    "04-05T00:00",
    "04-03T14:45 04-04T15:15"
)]
#[case::lord_howe_both_passes(
    "Australia/Lord_Howe",
    "2027",
    "*/15 * * * *",
    "04-03T14:20",
    "04-03T15:30",
    "04-03T14:30 04-03T14:45 04-03T15:00 04-03T15:15 04-03T15:30"
)]
// Offsets of 12:45 and 13:45: 02:45 to 03:45 is skipped on 26 September and repeated on 4 April, each at
// 14:00Z the day before.
#[case::chatham_gap(
    "Pacific/Chatham",
    "2027",
    "0 3 * * *",
    "09-24T20:00",
    "09-26T20:00",
    "09-25T14:00 09-26T13:15"
)]
#[case::chatham_overlap(
    "Pacific/Chatham",
    "2027",
    "0 3 * * *",
    "04-02T20:00",
    "04-04T20:00",
    "04-03T13:15 04-04T14:15"
)]
// The gap begins at midnight: Cairo, last Friday of April, at 22:00Z the day before.
#[case::cairo_midnight_gap(
    "Africa/Cairo",
    "2027",
    "@daily",
    "04-28T23:00",
    "04-30T23:00",
    "04-29T22:00 04-30T21:00"
)]
// The gap ends at midnight: Nuuk skips 23:00 to 24:00 on Saturday 27 March, at 01:00Z. Saturday's run is not
// lost.
#[case::nuuk_gap_before_midnight(
    "America/Nuuk",
    "2027",
    "30 23 * * 6",
    "03-26T12:00",
    "03-29T12:00",
    "03-28T01:00"
)]
// Apia had no 30 December 2011, so nothing ran on it.
#[case::apia_lost_day(
    "Pacific/Apia",
    "2011",
    "0 9 * * *",
    "12-28T00:00",
    "12-31T00:00",
    "12-28T19:00 12-29T19:00 12-30T19:00"
)]
#[case::apia_lost_day_hourly(
    "Pacific/Apia",
    "2011",
    "0 */6 * * *",
    "12-30T00:00",
    "12-30T20:00",
    "12-30T04:00 12-30T10:00 12-30T16:00"
)]
// Casablanca puts its clocks back for Ramadan: 02:00 to 03:00 is repeated on 10 March 2024, at 02:00Z.
#[case::casablanca_ramadan(
    "Africa/Casablanca",
    "2024",
    "30 2 * * *",
    "03-09T12:00",
    "03-11T12:00",
    "03-10T01:30 03-11T02:30"
)]
// ... and forward again: 02:00 to 03:00 is skipped on 14 April, at 02:00Z.
#[case::casablanca_after_ramadan(
    "Africa/Casablanca",
    "2024",
    "30 2 * * *",
    "04-13T12:00",
    "04-15T12:00",
    "04-14T02:00 04-15T01:30"
)]
// For good: from 20 September 2026 Morocco is on UTC, and 01:00 to 02:00 was repeated on that day, at 01:00Z.
#[case::casablanca_for_good(
    "Africa/Casablanca",
    "2026",
    "30 1 * * *",
    "09-19T00:00",
    "09-21T12:00",
    "09-19T00:30 09-20T00:30 09-21T01:30"
)]
#[case::casablanca_for_good_both_passes(
    "Africa/Casablanca",
    "2026",
    "*/30 1 * * *",
    "09-19T12:00",
    "09-21T00:00",
    "09-20T00:00 09-20T00:30 09-20T01:00 09-20T01:30"
)]
#[case::lord_howe_gap_repeating(
    "Australia/Lord_Howe",
    "2027",
    "*/15 * * * *",
    "10-02T15:00",
    "10-02T16:00",
    "10-02T15:15 10-02T15:30 10-02T15:45 10-02T16:00"
)]
// Half past one is repeated, and half past two is the end of the gap: both are fixed times on the edge.
#[case::lord_howe_edges(
    "Australia/Lord_Howe",
    "2027",
    "30 1,2 * * *",
    "10-02T14:00",
    "10-02T16:00",
    "10-02T15:00 10-02T15:30"
)]
// The gap from 02:45 to 03:45 has parts of two hours in it.
#[case::chatham_gap_repeating(
    "Pacific/Chatham",
    "2027",
    "*/30 2-4 * * *",
    "09-25T13:00",
    "09-25T16:00",
    "09-25T13:15 09-25T13:45 09-25T14:15 09-25T14:45"
)]
#[case::chatham_before_and_in_the_gap(
    "Pacific/Chatham",
    "2027",
    "30,50 2 * * *",
    "09-25T13:00",
    "09-25T16:00",
    "09-25T13:45 09-25T14:00"
)]
// A Friday that did not exist; the one a week later did.
#[case::apia_lost_friday("Pacific/Apia", "2011", "0 9 * * 5", "12-20T00:00", "12-31T23:00", "12-23T19:00")]
#[case::apia_lost_thirtieth(
    "Pacific/Apia",
    "2011",
    "0 0 29,30,31 12 *",
    "12-28T00:00",
    "12-31T23:00",
    "12-29T10:00 12-30T10:00"
)]
fn elsewhere(
    #[case] zone: &str,
    #[case] year: &str,
    #[case] cron: &str,
    #[case] from: &str,
    #[case] to: &str,
    #[case] expected: &str,
) {
    check(Timing::Cron(cron.to_owned()), zone, year, (from, to), expected);
}

/// New York in 2026, where 02:00 to 03:00 is skipped on 8 March (at 07:00Z) and 01:00 to 02:00 repeated on 1
/// November (at 06:00Z): what two releases of Prefect do there, as measured, and what is done here. They
/// differ from each other and from their own documents, so neither is copied.
#[rstest]
// Prefect 1.4.1: 06, 07, 08, so 05:00Z is lost. Prefect 3: 05, 07, 08, so 06:00Z is lost. Here: elapsed time,
// none is lost.
#[case::hourly_interval_fold(
    hours(1),
    "11-01T04:30",
    "11-01T08:00",
    "11-01T05:00 11-01T06:00 11-01T07:00 11-01T08:00"
)]
// All agree.
#[case::hourly_interval_gap(hours(1), "03-08T05:30", "03-08T08:00", "03-08T06:00 03-08T07:00 03-08T08:00")]
// Both keep 09:00 and 21:00 local. Here: 36 hours that have passed, counted from 1970.
#[case::interval_of_36_hours_gap(hours(36), "03-07T00:00", "03-10T00:00", "03-08T00:00 03-09T12:00")]
#[case::interval_of_36_hours_fold(hours(36), "10-31T00:00", "11-03T00:00", "11-01T12:00 11-03T00:00")]
// Prefect 1.4.1: 06, 07, 08, the second 01:00 only. Prefect 3: 05, 07, 08, the first only. Here: it repeats,
// on both passes.
#[case::hourly_cron_fold(
    cron("0 * * * *"),
    "11-01T04:30",
    "11-01T08:00",
    "11-01T05:00 11-01T06:00 11-01T07:00 11-01T08:00"
)]
// Prefect 1.4.1: nothing from 05:00Z to 05:45Z. Prefect 3: nothing from 06:00Z to 06:45Z. Here: on both
// passes.
#[case::quarters_fold(
    cron("*/15 * * * *"),
    "11-01T04:50",
    "11-01T07:00",
    "11-01T05:00 11-01T05:15 11-01T05:30 11-01T05:45 11-01T06:00 11-01T06:15 11-01T06:30 11-01T06:45 11-01T07:00"
)]
// Both: 07:30Z, which is 03:30; Prefect 3.8.8: 06:30Z, which is 01:30. Here: the first instant after the gap.
#[case::fixed_time_gap(cron("30 2 * * *"), "03-07T12:00", "03-09T12:00", "03-08T07:00 03-09T06:30")]
// Prefect 1.4.1: 06:30Z, the second pass. Prefect 3: 05:30Z, the first. Here: the first.
#[case::fixed_time_fold(cron("30 1 * * *"), "10-31T12:00", "11-02T12:00", "11-01T05:30 11-02T06:30")]
fn where_prefect_differs(
    #[case] timing: Timing,
    #[case] from: &str,
    #[case] to: &str,
    #[case] expected: &str,
) {
    check(timing, "America/New_York", "2026", (from, to), expected);
}

/// A day on the wall of New York in 2026, from an anchor on the day before the clocks change: 02:30 in the
/// gap, 01:30 in the fold, and 09:00 across both.
#[rstest]
// Prefect 1.4.1: 07:30Z, which is 03:30, then 02:30 again; Prefect 3: 07:30Z, and 03:30 from then on. Here:
// the first instant after the gap, then 02:30 again.
#[case::gap("03-07T07:30", "03-07T12:00", "03-10T12:00", "03-08T07:00 03-09T06:30 03-10T06:30")]
// Both: 06:30Z, the second pass. Here: the first.
#[case::fold("10-31T05:30", "10-31T12:00", "11-03T12:00", "11-01T05:30 11-02T06:30 11-03T06:30")]
// All agree.
#[case::nine_across_the_gap(
    "03-07T14:00",
    "03-07T12:00",
    "03-09T14:00",
    "03-07T14:00 03-08T13:00 03-09T13:00"
)]
#[case::nine_across_the_fold(
    "10-31T13:00",
    "10-31T12:00",
    "11-02T14:00",
    "10-31T13:00 11-01T14:00 11-02T14:00"
)]
fn a_day_where_prefect_differs(
    #[case] anchor: &str,
    #[case] from: &str,
    #[case] to: &str,
    #[case] expected: &str,
) {
    let spec = ClockSpec::new("c", parse_interval("1d").unwrap().into(), "America/New_York");
    let start_at = Some(instant("2026", anchor));
    let clock = Clock::parse(&ClockSpec { start_at, ..spec }).unwrap();
    check_clock(&clock, "2026", (from, to), expected);
}

fn hours(hours: u64) -> Timing {
    Timing::Interval(Duration::from_secs(hours * 3600))
}

fn cron(text: &str) -> Timing {
    Timing::Cron(text.to_owned())
}

/// An interval is elapsed time: the hour that is repeated is two hours.
#[test]
fn an_interval_does_not_bend() {
    let hourly = Timing::Interval(Duration::from_secs(3600));
    let range = ("11-07T04:30", "11-07T08:00");
    let expected = "11-07T05:00 11-07T06:00 11-07T07:00 11-07T08:00";
    check(hourly, "America/New_York", "2027", range, expected);
}
