//! The cases that Kubernetes' own CronJob controller decides, as data: which tick is due, how much was
//! missed, how long until the next one. Times are of May 2016 in UTC, `DD hh:mm`; the 19th is a Thursday.
//!
//! Row B5 differs from that controller on purpose: it estimates where this program searches.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::too_many_arguments, reason = "the columns of a table")]

use std::time::Duration;

use daskflow::api::duration::parse_duration;
use daskflow::plan::schedule::{Clock, ClockSpec, ClockState, CronError, Due, ScheduleError, Timing, due};
use jiff::Timestamp;
use rstest::rstest;

/// An instant written as `19 10:00` or `19 10:00:30`, or `06-07 11:30` in another month.
fn at(text: &str) -> Timestamp {
    let (day, time) = text.split_once(' ').unwrap();
    let date = if day.contains('-') { day.to_owned() } else { format!("05-{day}") };
    let seconds = if time.len() == 5 { ":00" } else { "" };
    format!("2016-{date}T{time}{seconds}Z").parse().unwrap()
}

fn maybe(text: &str) -> Option<Timestamp> {
    (text != "-").then(|| at(text))
}

fn parse(schedule: &str) -> Result<Clock, ScheduleError> {
    let timing = Timing::Cron(schedule.to_owned());
    Clock::parse(&ClockSpec::new("clock", timing, "Etc/UTC"))
}

fn ask(schedule: &str, (created, last): (&str, &str), deadline: &str, now: &str) -> Due {
    let state = ClockState { since: at(created), last_tick: maybe(last) };
    let deadline = (deadline != "-").then(|| parse_duration(deadline).unwrap());
    due(&parse(schedule).unwrap(), &state, at(now), deadline)
}

/// Table A: the latest tick that is due.
#[rstest]
#[case::a1("19 09:50", "-", "-", "19 09:53", "-", 0)]
#[case::a2("19 09:50", "-", "-", "19 10:00:02", "19 10:00", 0)]
#[case::a3("19 09:50", "19 10:00", "-", "19 10:02", "-", 0)]
#[case::a4("19 09:50", "19 10:00", "-", "19 11:05", "19 11:00", 0)]
#[case::a5_one_run_not_two("19 08:00", "19 09:00", "-", "19 11:05", "19 11:00", 1)]
#[case::a6_ten_days("19 08:00", "19 09:00", "-", "29 11:00", "29 11:00", 241)]
#[case::a7_ten_days("19 08:00", "19 09:00", "2h", "29 11:00", "29 11:00", 241)]
fn table_a(
    #[case] created: &str,
    #[case] last: &str,
    #[case] deadline: &str,
    #[case] now: &str,
    #[case] expected: &str,
    #[case] missed: u32,
) {
    let answer = ask("0 * * * ?", (created, last), deadline, now);
    assert_eq!((answer.tick, answer.missed), (maybe(expected), missed));
}

/// A8 and B9: a schedule that no date satisfies is refused when it is read.
#[test]
fn a_schedule_that_never_comes_is_refused() {
    let schedule = "59 23 31 2 *";
    let error = parse(schedule).unwrap_err();
    assert_eq!(error, ScheduleError::Cron(CronError::NeverFires(schedule.to_owned())));
}

/// Table B: the latest tick in the gap, and how many there are.
#[rstest]
#[case::b1("0 * * * *", "19 10:00", "-", "-", "19 10:00:30", "-", 0)]
#[case::b2("0 * * * *", "19 10:00", "-", "-", "19 11:01", "19 11:00", 1)]
#[case::b3("0 * * * *", "19 10:00:10", "-", "-", "19 15:01", "19 15:00", 5)]
#[case::b4("30 6-16/4 * * 1-5", "19 10:00", "19 10:30", "-", "20 10:31", "20 10:30", 3)]
// The controller's estimate from the first two ticks finds nothing here; there were five, and 12:30 is the
// latest.
#[case::b5_exact("30 10,11,12 * * 1-5", "19 10:00", "19 10:30", "-", "20 16:30", "20 12:30", 5)]
#[case::b6("30 6-16/4 * * 1-5", "19 10:00", "19 10:30", "-", "23 10:31", "23 10:30", 6)]
#[case::b7("30 6-16/4 * * 1-5", "19 10:00", "-", "-", "20 10:31", "20 10:30", 4)]
#[case::b10("0 * * * *", "19 10:00", "19 10:00", "-", "19 10:00:30", "-", 0)]
#[case::b11("*/5 * * * *", "19 10:00", "19 10:30", "-", "19 10:31", "-", 0)]
#[case::b12("*/5 * * * *", "19 10:00", "19 10:30", "60s", "19 10:31", "-", 0)]
#[case::b13("*/5 * * * *", "19 10:00", "19 10:30", "60s", "19 10:32", "-", 0)]
fn table_b(
    #[case] schedule: &str,
    #[case] created: &str,
    #[case] last: &str,
    #[case] deadline: &str,
    #[case] now: &str,
    #[case] latest: &str,
    #[case] passed: u32,
) {
    let answer = ask(schedule, (created, last), deadline, now);
    assert_eq!((answer.latest, answer.tick), (maybe(latest), maybe(latest)));
    assert_eq!(answer.missed, passed.saturating_sub(1));
}

/// B8, where `@every 1h` is an interval here: a week of hours costs no more than one.
#[test]
fn b8_an_interval_after_a_week() {
    let interval = Timing::Interval(Duration::from_secs(3600));
    let start_at = Some(at("19 09:01"));
    let spec = ClockSpec { start_at, ..ClockSpec::new("hourly", interval, "UTC") };
    let state = ClockState { since: at("19 09:01"), last_tick: Some(at("19 10:01")) };
    let answer = due(&Clock::parse(&spec).unwrap(), &state, at("26 10:00"), Some(Duration::from_secs(10)));
    // Too late for its deadline, so it is counted with the others and not started.
    assert_eq!((answer.latest, answer.tick), (Some(at("26 09:01")), None));
    assert_eq!(answer.missed, 167);
    assert_eq!(answer.next, Some(at("26 10:01")));
}

/// Table E, where `@every 1h` is an interval that is anchored at the creation: what is due now, and how long
/// until the next one. A row of a CronJob whose run is active is here once, because that is not for a clock
/// to know.
///
/// Row E8 is disabled in the controller's own tests: it counts from the deadline, and forgets the tick that
/// is 9 s late.
#[rstest]
#[case::e1("19 09:59", "-", "-", "19 10:00", "-", "59m")]
#[case::e2("19 08:59", "-", "-", "19 09:59", "19 09:59", "1h")]
#[case::e3_too_late("19 08:59", "-", "10s", "19 09:59:11", "-", "59m49s")]
#[case::e4("19 08:59", "-", "1000000s", "19 09:59:09", "19 09:59", "59m51s")]
#[case::e5_e9("19 08:59", "19 09:59", "-", "19 10:00", "-", "59m")]
#[case::e6("19 08:59", "19 09:59", "-", "19 11:00", "19 10:59", "59m")]
#[case::e7_e11_too_late("19 08:59", "19 09:59", "10s", "19 10:59:11", "-", "59m49s")]
#[case::e8_in_time("19 08:59", "19 09:59", "10s", "19 10:59:09", "19 10:59", "59m51s")]
#[case::e10("19 08:59", "19 08:59", "-", "19 10:01", "19 09:59", "58m")]
#[case::e12("19 08:59", "19 09:59", "1000000s", "19 10:59:09", "19 10:59", "59m51s")]
#[case::e13_a_week("19 09:01", "19 10:01", "-", "26 10:00", "26 09:01", "1m")]
#[case::e14_a_week_too_late("19 09:01", "19 10:01", "10s", "26 10:01:11", "-", "59m49s")]
fn table_e(
    #[case] created: &str,
    #[case] last: &str,
    #[case] deadline: &str,
    #[case] now: &str,
    #[case] tick: &str,
    #[case] wait: &str,
) {
    let timing = Timing::Interval(Duration::from_secs(3600));
    let spec = ClockSpec { start_at: Some(at(created)), ..ClockSpec::new("hourly", timing, "UTC") };
    let state = ClockState { since: at(created), last_tick: maybe(last) };
    let deadline = (deadline != "-").then(|| parse_duration(deadline).unwrap());
    let answer = due(&Clock::parse(&spec).unwrap(), &state, at(now), deadline);
    assert_eq!(answer.tick, maybe(tick));
    let ahead = answer.next.unwrap().duration_since(at(now));
    assert_eq!(ahead.unsigned_abs(), parse_duration(wait).unwrap());
}

/// Table C: from now to the next tick.
#[rstest]
#[case::c1("30 6-16/4 * * 1-5", "19 10:30", "20 10:31", "3h59m")]
#[case::c2_over_the_weekend("30 10,11,12 * * 1-5", "19 10:30", "20 16:30", "66h")]
#[case::c3("0 12 * * 4", "19 12:00", "06-07 11:30", "48h30m")]
#[case::c4("0 12 * * 5", "-", "19 16:00", "20h")]
fn table_c(#[case] schedule: &str, #[case] last: &str, #[case] now: &str, #[case] wait: &str) {
    let answer = ask(schedule, ("19 00:00", last), "-", now);
    let ahead = answer.next.unwrap().duration_since(at(now));
    assert_eq!(ahead.unsigned_abs(), parse_duration(wait).unwrap());
}
