//! The vectors of robfig/cron, which Kubernetes' own scheduled jobs are read and run by: 58 next ticks, 4
//! more with offsets, 29 activations, and the texts of its parser. The data and their source are in
//! `robfig_data.rs`.
//!
//! With `daylightSaving: CronJob` every row holds as it is. Where fixed times happen once, five of them are
//! answered otherwise; a table says which, and by what rule.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "robfig_data.rs"]
mod data;

use self::data::{ACTIVATION, FIELDS, NEXT, NEXT_WITH_OFFSET, Read, SIX, TEXTS, ZONE};
use daskflow::plan::schedule::{Clock, ClockSpec, CronError, DaylightSaving, ScheduleError, Timing};
use jiff::{SignedDuration, Timestamp};

fn parse(cron: &str, zone: &str) -> Result<Clock, ScheduleError> {
    parse_with(DaylightSaving::Once, cron, zone)
}

fn parse_with(daylight_saving: DaylightSaving, cron: &str, zone: &str) -> Result<Clock, ScheduleError> {
    let spec = ClockSpec::new("c", Timing::Cron(cron.to_owned()), zone);
    Clock::parse(&ClockSpec { daylight_saving, ..spec })
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A schedule of robfig/cron in our terms.
struct Translated<'a> {
    zone: &'a str,
    cron: &'a str,
    /// It has seconds other than 0: the rest of it ticks at the start of the minute.
    seconds: bool,
}

/// Moves the zone to where it belongs, and takes the seconds off.
fn translate<'a>(zone: &'a str, schedule: &'a str) -> Translated<'a> {
    let (zone, fields) = match schedule.split_once('=') {
        Some((_, rest)) => rest.split_once(' ').unwrap(),
        None => (zone, schedule),
    };
    let (seconds, cron) = fields.split_once(' ').unwrap();
    Translated { zone, cron, seconds: seconds != "0" }
}

fn next(daylight_saving: DaylightSaving, zone: &str, from: &str, cron: &str) -> Option<Timestamp> {
    match parse_with(daylight_saving, cron, zone) {
        Ok(clock) => clock.next_after(at(from)),
        Err(ScheduleError::Cron(CronError::NeverFires(_))) => None,
        Err(error) => panic!("{cron}: {error}"),
    }
}

/// What robfig/cron answers, to the minute where its schedule has seconds that ours has not.
fn theirs(expected: &str, seconds: bool) -> Option<Timestamp> {
    let tick = Some(expected).filter(|text| !text.is_empty()).map(at)?;
    let into_minute = if seconds { tick.as_second().rem_euclid(60) } else { 0 };
    Some(tick - SignedDuration::from_secs(into_minute))
}

/// The rows that `Once` answers otherwise: from, cron, our answer, and the rule.
const DIFFERENT_ONCE: [(&str, &str, &str, &str); 5] = [
    // A fixed time in a gap happens at the first instant after it, on its own day.
    ("2012-03-11T00:00:00-05:00", "30 2 11 Mar ?", "2012-03-11T03:00:00-04:00", GAP),
    ("2012-03-11T00:00:00-05:00", "0 2 * * ?", "2012-03-11T03:00:00-04:00", GAP),
    // A fixed time that is repeated happens on the first pass only.
    ("2012-11-04T01:45:00-04:00", "30 1 04 Nov ?", "2013-11-04T01:30:00-05:00", OVERLAP),
    ("2012-11-04T01:00:00-04:00", "0 1 * * ?", "2012-11-05T01:00:00-05:00", OVERLAP),
    ("2012-11-04T01:00:00-04:00", "0 1 * * ?", "2012-11-05T01:00:00-05:00", OVERLAP),
];
const GAP: &str = "a fixed time in a gap happens at its end";
const OVERLAP: &str = "a fixed time that is repeated happens once";

/// The rows of [`NEXT`] that are answered otherwise: from, cron, and our answer.
fn different(daylight_saving: DaylightSaving) -> Vec<(&'static str, &'static str, Option<Timestamp>)> {
    let mut different = Vec::new();
    for (zone, from, schedule, expected) in NEXT {
        let row = translate(zone, schedule);
        let ours = next(daylight_saving, row.zone, from, row.cron);
        if ours != theirs(expected, row.seconds) {
            different.push((from, row.cron, ours));
        }
    }
    different
}

#[test]
fn next_ticks_of_a_cron_job() {
    assert_eq!(different(DaylightSaving::CronJob), []);
}

#[test]
fn next_ticks_where_fixed_times_happen_once() {
    let expected = DIFFERENT_ONCE.map(|(from, cron, tick, _)| (from, cron, Some(at(tick))));
    assert_eq!(different(DaylightSaving::Once), expected);
}

#[test]
fn next_ticks_with_offsets() {
    for (zone, from, cron, expected) in NEXT_WITH_OFFSET {
        for daylight_saving in [DaylightSaving::CronJob, DaylightSaving::Once] {
            assert_eq!(next(daylight_saving, zone, from, cron), Some(at(expected)), "{cron} from {from}");
        }
    }
}

/// As robfig/cron's own vectors write them, they are refused here: with seconds, or with a zone in front.
#[test]
fn seconds_and_zones_inside_the_schedule_are_refused() {
    for (zone, _, schedule, _) in NEXT {
        let message = parse(schedule, zone).unwrap_err().to_string();
        let expected = if schedule.contains('=') { ZONE } else { SIX };
        assert!(message.ends_with(expected), "{schedule}: {message}");
    }
}

#[test]
fn activations() {
    for (tick, cron, expected) in ACTIVATION {
        let before = at(tick) - SignedDuration::from_secs(1);
        for daylight_saving in [DaylightSaving::CronJob, DaylightSaving::Once] {
            let clock = parse_with(daylight_saving, cron, "UTC").unwrap();
            assert_eq!(clock.next_after(before) == Some(at(tick)), expected, "{cron} at {tick}");
            assert_eq!(clock.latest_in(before, at(tick)).is_some(), expected, "{cron} at {tick}, backwards");
        }
    }
}

#[test]
fn texts() {
    for (text, read) in TEXTS {
        let ours = parse(text, "UTC");
        match read {
            Read::As(plain) => {
                let plain = parse(plain, "UTC").unwrap();
                let start = at("2026-12-30T00:00:00Z");
                let ticks = |clock: &Clock| {
                    std::iter::successors(clock.next_after(start), |tick| clock.next_after(*tick))
                        .take(50)
                        .collect::<Vec<_>>()
                };
                assert_eq!(ticks(&ours.unwrap()), ticks(&plain), "{text}");
            }
            Read::Refused(message) | Read::RefusedHere(message) => {
                let error = ours.unwrap_err().to_string();
                assert!(error.contains(message), "{text}: {error}");
            }
        }
    }
}

#[test]
fn fields() {
    // A Sunday.
    let sunday = at("2026-11-29T00:00:00Z");
    for (field, expected) in FIELDS {
        let ours = parse(&format!("0 0 * * {field}"), "UTC");
        match expected {
            Ok(days) => {
                let clock = ours.unwrap();
                let ticks = |day: i8| {
                    let midnight = sunday + SignedDuration::from_hours(24 * i64::from(day));
                    clock.latest_in(midnight - SignedDuration::from_secs(1), midnight).is_some()
                };
                let found: Vec<i8> = (0..7).filter(|day| ticks(*day)).collect();
                assert_eq!(&found, days, "{field}");
            }
            Err(message) => {
                let error = ours.unwrap_err().to_string();
                assert!(error.contains(message), "{field}: {error}");
            }
        }
    }
}
