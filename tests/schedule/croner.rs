//! Against another implementation: wherever croner means the same by a schedule, it finds the same ticks.
//!
//! It means something else, and is left out here, for
//! - several fixed times a day (`0 2,14 * * *`): to croner a schedule that repeats, so it loses the one in a
//!   gap and doubles the one in an overlap; here each happens once;
//! - a gap that reaches midnight (Nuuk): croner drops the run when the next day is not in the schedule;
//! - a gap of more than two hours (Apia's lost day): croner gives up the search.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use daskflow::plan::schedule::{Clock, ClockSpec, Timing};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use proptest::prelude::*;

const ZONES: [&str; 9] = [
    "Etc/UTC",
    "America/New_York",
    "Europe/Paris",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Antarctica/Troll",
];

/// 1990 to 2060, in seconds.
const YEARS: std::ops::Range<i64> = 631_152_000..2_840_140_800;

fn minute_and_hour() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..60, 0..24).prop_map(|(minute, hour)| format!("{minute} {hour}")),
        (0..60, 0..5).prop_map(|(minute, hour)| format!("{minute} {hour}")),
        (1..60).prop_map(|step| format!("*/{step} *")),
        (1..60, 0..5, 5..24).prop_map(|(step, first, last)| format!("*/{step} {first}-{last}")),
        (0..60).prop_map(|minute| format!("{minute} *")),
        (0..60, 2..12).prop_map(|(minute, step)| format!("{minute} */{step}")),
    ]
}

fn days() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("* * *".to_owned()),
        (0..7).prop_map(|weekday| format!("* * {weekday}")),
        (1..5, 5..8).prop_map(|(first, last)| format!("? * {first}-{last}")),
        (1..32).prop_map(|day| format!("{day} * *")),
        (1..29, 0..7).prop_map(|(day, weekday)| format!("{day} * {weekday}")),
        (1..29, 1..13).prop_map(|(day, month)| format!("{day} {month} *")),
        Just("29 2 *".to_owned()),
        Just("*/10 jan-jun mon".to_owned()),
    ]
}

fn croner(text: &str) -> Cron {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Optional).build();
    parser.parse(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn croner_finds_the_same_ticks(
        times in minute_and_hour(),
        days in days(),
        zone in proptest::sample::select(&ZONES[..]),
        t in YEARS,
    ) {
        let text = format!("{times} {days}");
        let timing = Timing::Cron(text.clone());
        let spec = ClockSpec::new("c", timing, zone);
        let (ours, theirs) = (Clock::parse(&spec).unwrap(), croner(&text));
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let start = change_near(&zone, t);
        let (mut next, mut previous) = (start.clone(), start);
        for _ in 0..12 {
            let ours_next = ours.next_after(next.timestamp()).unwrap();
            next = theirs.find_next_occurrence(&next, false).unwrap();
            prop_assert_eq!(ours_next, next.timestamp(), "{} forwards to {}", text, next);
            let until = Timestamp::from_second(previous.timestamp().as_second() - 1).unwrap();
            let ours_previous = ours.latest_in(Timestamp::MIN, until).unwrap();
            previous = theirs.find_previous_occurrence(&previous, false).unwrap();
            prop_assert_eq!(ours_previous, previous.timestamp(), "{} backwards to {}", text, previous);
        }
    }
}

/// Some hours from a change of the clocks of `zone`, where there is one.
fn change_near(zone: &TimeZone, around: i64) -> Zoned {
    let around_timestamp = Timestamp::from_second(around).unwrap();
    let change =
        zone.preceding(around_timestamp).next().map_or(around, |change| change.timestamp().as_second());
    let offset = around.rem_euclid(36 * 3600) - 18 * 3600;
    Timestamp::from_second(change + offset).unwrap().to_zoned(zone.clone())
}
