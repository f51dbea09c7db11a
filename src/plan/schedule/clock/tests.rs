//! One clock: its bounds, its faults, its arithmetic.

mod bounded;

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::plan::schedule::Timing;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(text: &str) -> ClockSpec<'static> {
    let timing = Timing::Cron(text.to_owned());
    ClockSpec::new("clock", timing, "Etc/UTC")
}

fn every(seconds: u64) -> ClockSpec<'static> {
    ClockSpec { timing: Timing::Interval(Duration::from_secs(seconds)), ..cron("") }
}

#[test]
fn an_interval_counts_from_1970_unless_told_otherwise() {
    let clock = Clock::parse(&every(7)).unwrap();
    assert_eq!(clock.next_after(at("1970-01-01T00:00:00Z")), Some(at("1970-01-01T00:00:07Z")));
    assert_eq!(clock.next_after(at("1969-12-31T23:59:58Z")), Some(at("1970-01-01T00:00:00Z")));
    assert_eq!(clock.next_after(at("1969-12-31T23:59:53Z")), Some(at("1970-01-01T00:00:00Z")));
}

#[test]
fn an_interval_begins_with_its_anchor() {
    let spec = ClockSpec { start_at: Some(at("2027-01-01T00:00:10.9Z")), ..every(60) };
    let clock = Clock::parse(&spec).unwrap();
    // The fraction is dropped, since names of runs have whole seconds.
    assert_eq!(clock.next_after(at("2020-01-01T00:00:00Z")), Some(at("2027-01-01T00:00:10Z")));
    assert_eq!(clock.next_after(at("2027-01-01T00:00:10Z")), Some(at("2027-01-01T00:01:10Z")));
    assert_eq!(clock.latest_in(at("2020-01-01T00:00:00Z"), at("2027-01-01T00:00:09Z")), None);
    assert_eq!(clock.count_in(at("2020-01-01T00:00:00Z"), at("2027-01-01T00:02:10Z"), 10), 3);
}

#[test]
fn both_bounds_are_ticks_themselves() {
    let (start_at, end_at) = (Some(at("2027-01-02T02:00:00Z")), Some(at("2027-01-04T02:00:00Z")));
    let clock = Clock::parse(&ClockSpec { start_at, end_at, ..cron("0 2 * * *") }).unwrap();
    let (before, after) = (at("2026-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z"));
    assert_eq!(clock.next_after(before), start_at);
    assert_eq!(clock.next_after(at("2027-01-04T01:59:59Z")), end_at);
    assert_eq!(clock.next_after(at("2027-01-04T02:00:00Z")), None);
    assert_eq!(clock.latest_in(before, after), end_at);
    assert_eq!(clock.count_in(before, after, 100), 3);
    assert_eq!(clock.count_in(before, after, 2), 2);
}

#[test]
fn an_end_before_the_first_tick_leaves_none() {
    let (start_at, end_at) = (Some(at("2027-01-02T03:00:00Z")), Some(at("2027-01-02T04:00:00Z")));
    let clock = Clock::parse(&ClockSpec { start_at, end_at, ..cron("0 2 * * *") }).unwrap();
    assert_eq!(clock.next_after(Timestamp::MIN), None);
    assert_eq!(clock.latest_in(Timestamp::MIN, Timestamp::MAX), None);
}

#[test]
fn fractions_of_seconds_are_no_ticks() {
    let clock = Clock::parse(&cron("* * * * *")).unwrap();
    assert_eq!(clock.next_after(at("2027-01-01T00:00:00.5Z")), Some(at("2027-01-01T00:01:00Z")));
    assert_eq!(clock.next_after(at("2026-12-31T23:59:59.5Z")), Some(at("2027-01-01T00:00:00Z")));
    assert_eq!(clock.next_after(at("1969-12-31T23:59:59.5Z")), Some(at("1970-01-01T00:00:00Z")));
    let range = (at("2026-12-31T23:59:59.9Z"), at("2027-01-01T00:00:00.1Z"));
    assert_eq!(clock.latest_in(range.0, range.1), Some(at("2027-01-01T00:00:00Z")));
}

#[test]
fn the_rarest_day_is_found_from_either_side() {
    // 2100 is no leap year.
    let clock = Clock::parse(&cron("0 0 29 2 *")).unwrap();
    let (before, after) = (at("2096-02-29T00:00:00Z"), at("2104-02-29T00:00:00Z"));
    assert_eq!(clock.next_after(before), Some(after));
    assert_eq!(clock.latest_in(Timestamp::MIN, at("2104-02-28T23:59:59Z")), Some(before));
    let clock = Clock::parse(&ClockSpec { zone: "America/New_York", ..cron("*/30 * 29 2 *") }).unwrap();
    assert_eq!(clock.next_after(at("2096-03-01T12:00:00Z")), Some(at("2104-02-29T05:00:00Z")));
    assert_eq!(clock.latest_in(Timestamp::MIN, at("2104-02-29T04:00:00Z")), Some(at("2096-03-01T04:30:00Z")));
}

#[rstest]
#[case(cron("* * * * *"))]
#[case(cron("0 0 29 2 *"))]
#[case(every(1))]
#[case(every(u64::MAX / 2))]
fn the_ends_of_time_are_no_trouble(#[case] spec: ClockSpec<'_>) {
    for zone in ["Etc/UTC", "America/New_York", "Pacific/Apia"] {
        let clock = Clock::parse(&ClockSpec { zone, ..spec.clone() }).unwrap();
        assert_eq!(clock.next_after(Timestamp::MAX), None);
        assert_eq!(clock.latest_in(Timestamp::MIN, Timestamp::MIN), None);
        let _ = clock.next_after(Timestamp::MIN);
        let _ = clock.latest_in(Timestamp::MIN, Timestamp::MAX);
        let _ = clock.count_in(Timestamp::MIN, Timestamp::MAX, 10);
    }
}

#[rstest]
#[case(every(0), "interval", "the interval is too short; write at least 1s")]
#[case(
    ClockSpec { timing: Timing::Interval(Duration::from_millis(1500)), ..every(1) },
    "interval",
    "the interval 1.5s has a fraction of a second; write whole seconds"
)]
#[case(every(u64::MAX), "interval", "the interval 18446744073709551615s is too long")]
#[case(
    cron("0 0 2 * * *"),
    "cron",
    "the cron schedule has 6 fields and needs five: minute, hour, day of month, month, day of week (seconds and years are not supported)"
)]
#[case(
    ClockSpec { zone: "Paris", ..every(1) },
    "timeZone",
    "the time zone `Paris` is unknown; write an IANA name such as Europe/Paris"
)]
#[case(
    ClockSpec { zone: "US/New York", ..every(1) },
    "timeZone",
    "the time zone `US/New York` is unknown; write an IANA name such as America/New_York"
)]
#[case(
    ClockSpec { zone: "", ..every(1) },
    "timeZone",
    "the time zone `` is unknown; write an IANA name such as Europe/Paris"
)]
#[case(
    ClockSpec { zone: "Local", ..every(1) },
    "timeZone",
    "the time zone `Local` is unknown; write an IANA name such as Europe/Paris"
)]
#[case(
    ClockSpec { zone: "Etc/Unknown", ..every(1) },
    "timeZone",
    "the time zone `Etc/Unknown` is unknown; write an IANA name such as Europe/Paris"
)]
#[case(
    ClockSpec { start_at: Some(at("2027-01-02T00:00:00Z")), end_at: Some(at("2027-01-01T00:00:00Z")), ..every(1) },
    "endAt",
    "endAt 2027-01-01T00:00:00Z is before startAt 2027-01-02T00:00:00Z; write a later endAt"
)]
fn faults_name_their_field_and_the_way_out(
    #[case] spec: ClockSpec<'_>,
    #[case] field: &str,
    #[case] message: &str,
) {
    let error = Clock::parse(&spec).unwrap_err();
    assert_eq!((error.field(), error.to_string().as_str()), (field, message));
}

#[test]
fn looking_back_a_moved_tick_behind_the_mondays_own_is_found() {
    // The 18th of March 2029 is a Sunday: its tick moves to behind that of the Monday itself.
    let dates = vec![at("2029-03-18T02:00:00Z"), at("2029-03-19T00:00:00Z")];
    let adjust = Some(Adjustment::NextWeekday);
    let clock = Clock::parse(&ClockSpec { timing: Timing::Dates(dates), adjust, ..cron("") }).unwrap();
    let moved = at("2029-03-19T02:00:00Z");
    for until in
        ["2029-03-19T02:00:00Z", "2029-03-21T00:00:00Z", "2029-03-26T00:00:00Z", "2029-05-01T00:00:00Z"]
    {
        assert_eq!(clock.latest_in(Timestamp::MIN, at(until)), Some(moved), "until {until}");
    }
    assert_eq!(clock.latest_in(Timestamp::MIN, at("2029-03-19T01:59:59Z")), Some(at("2029-03-19T00:00:00Z")));
}
