//! Recurrence rules against dateutil, the implementation that Prefect uses: what it finds is written down in
//! `rrule_dateutil.txt`, for the examples of RFC 5545 and for rules put together at random.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use daskflow::plan::schedule::{Clock, ClockSpec, Timing};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

const TABLE: &str = include_str!("rrule_dateutil.txt");

/// What the table lists at most, and how far it looks ahead.
const LISTED: usize = 5;
const HORIZON: SignedDuration = SignedDuration::from_hours(24 * 366 * 12);

fn at(text: &str) -> Timestamp {
    Offset::UTC.to_timestamp(DateTime::strptime("%Y%m%dT%H%M%S", text).unwrap()).unwrap()
}

fn differences(line: &str) -> Vec<String> {
    let columns: Vec<_> = line.split(" | ").collect();
    let &[start, rule, time, after, before] = columns.as_slice() else { return vec!["columns".to_owned()] };
    let timing = Timing::Rrule(format!("DTSTART:{start}\nRRULE:{rule}"));
    let clock = match Clock::parse(&ClockSpec::new("c", timing, "UTC")) {
        Ok(clock) => clock,
        Err(error) => return vec![format!("{line}: {error}")],
    };
    let time = at(time);
    let listed: Vec<_> = after.split(' ').filter(|text| *text != "-").map(at).collect();
    let ours = std::iter::successors(clock.next_after(time), |tick| clock.next_after(*tick));
    let ours: Vec<_> = ours.take_while(|tick| *tick < time + HORIZON).take(LISTED).collect();
    let latest = clock.latest_in(Timestamp::MIN, time);
    let mut found = Vec::new();
    if ours != listed {
        found.push(format!("{line}\n  ahead: {ours:?}"));
    }
    if latest != (before != "-").then(|| at(before)) {
        found.push(format!("{line}\n  behind: {latest:?}"));
    }
    found
}

#[test]
fn occurrences_are_those_of_dateutil() {
    let lines: Vec<_> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(lines.len() > 300, "only {} rules", lines.len());
    let wrong: Vec<_> = lines.iter().flat_map(|line| differences(line)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
}
