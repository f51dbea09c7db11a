//! What holds for every clock: ticks move forward, both directions of search agree, counting agrees with
//! walking, and around every change of every clock the ticks are those of a slow and obvious definition.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use daskflow::plan::schedule::{Clock, ClockSpec, ClockState, Timing, due};
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const ZONES: [&str; 14] = [
    "Etc/UTC",
    "America/New_York",
    "Europe/Paris",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Nuuk",
    "America/Havana",
    "Asia/Kolkata",
    "Asia/Gaza",
    "Antarctica/Troll",
];

fn clock(timing: Timing, zone: &str) -> Clock {
    Clock::parse(&ClockSpec::new("c", timing, zone)).unwrap()
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// More minutes than any stretch of time below has.
const TICKS_MAX: usize = 10_000;

fn walk(clock: &Clock, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    std::iter::successors(clock.next_after(after), |tick| clock.next_after(*tick))
        .take_while(|tick| *tick <= until)
        .take(TICKS_MAX)
        .collect()
}

/// A cron as sets, next to its text.
#[derive(Debug, Clone)]
struct Cron {
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    weekdays: BTreeSet<i8>,
    repeats: bool,
    text: String,
}

fn list(values: &BTreeSet<i8>) -> String {
    values.iter().map(i8::to_string).collect::<Vec<_>>().join(",")
}

fn weekday_text(weekdays: &BTreeSet<i8>) -> String {
    if weekdays.len() == 7 { "*".to_owned() } else { list(weekdays) }
}

fn weekdays() -> impl Strategy<Value = BTreeSet<i8>> {
    prop_oneof![Just((0..7).collect()), proptest::collection::btree_set(0i8..7, 1..4)]
}

/// Hours near the changes of clocks, which happen at night.
fn hours() -> impl Strategy<Value = BTreeSet<i8>> {
    proptest::collection::btree_set(prop_oneof![0i8..5, 0i8..5, 22i8..24, 0i8..24], 1..4)
}

fn fixed() -> impl Strategy<Value = Cron> {
    (proptest::collection::btree_set(0i8..60, 1..4), hours(), weekdays()).prop_map(
        |(minutes, hours, weekdays)| {
            let text = format!("{} {} * * {}", list(&minutes), list(&hours), weekday_text(&weekdays));
            Cron { minutes, hours, weekdays, repeats: false, text }
        },
    )
}

fn repeating() -> impl Strategy<Value = Cron> {
    let hours = prop_oneof![Just((0..24).collect::<BTreeSet<i8>>()), hours()];
    (1i8..60, hours, weekdays()).prop_map(|(step, hours, weekdays)| {
        let minutes = (0..60).step_by(usize::try_from(step).unwrap()).collect();
        let hour_text = if hours.len() == 24 { "*".to_owned() } else { list(&hours) };
        let text = format!("*/{step} {hour_text} * * {}", weekday_text(&weekdays));
        Cron { minutes, hours, weekdays, repeats: true, text }
    })
}

fn any_cron() -> impl Strategy<Value = Cron> {
    prop_oneof![fixed(), repeating()]
}

impl Cron {
    fn has(&self, wall: DateTime) -> bool {
        wall.second() == 0
            && self.minutes.contains(&wall.minute())
            && self.hours.contains(&wall.hour())
            && self.weekdays.contains(&wall.weekday().to_sunday_zero_offset())
    }

    /// The definition: look at the wall at every minute. A repeating schedule ticks whenever it shows a time
    /// of the schedule. A fixed time ticks when the wall first shows it or something later, on a date that
    /// exists.
    fn by_definition(&self, zone: &TimeZone, first: Timestamp, minutes: i64) -> BTreeSet<Timestamp> {
        let at = |minute| first.checked_add(SignedDuration::from_mins(minute)).unwrap();
        let shown: Vec<_> = (0..minutes).map(|minute| (at(minute), zone.to_datetime(at(minute)))).collect();
        if self.repeats {
            return shown.iter().filter(|(_, wall)| self.has(*wall)).map(|(tick, _)| *tick).collect();
        }
        let dates: BTreeSet<_> = shown.iter().map(|(_, wall)| wall.date()).collect();
        let times = || self.hours.iter().flat_map(|h| self.minutes.iter().map(move |m| (*h, *m)));
        let walls = dates.iter().flat_map(|date| times().map(|(h, m)| date.at(h, m, 0, 0)));
        walls
            .filter(|wall| self.has(*wall))
            .filter_map(|wall| shown.iter().find(|(_, shown)| *shown >= wall))
            .map(|(tick, _)| *tick)
            .collect()
    }
}

/// A change of the clocks of `zone` near `around`, or `around` itself in a zone without any.
fn change_near(zone: &TimeZone, around: i64) -> Timestamp {
    let around = second(around);
    let changes = zone.preceding(around).map(|change| change.timestamp());
    changes.take(1).next().unwrap_or(around).max(second(YEARS.start))
}

/// 1990 to 2060, in seconds: whole-minute offsets everywhere, and years beyond what zone files list one by
/// one.
const YEARS: std::ops::Range<i64> = 631_152_000..2_840_140_800;

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ticks_are_those_of_the_definition(
        cron in any_cron(),
        zone in proptest::sample::select(&ZONES[..]),
        around in YEARS,
    ) {
        const DAY: i64 = 24 * 60;
        let clock = clock(Timing::Cron(cron.text.clone()), zone);
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let change = change_near(&zone, around);
        let first = second(change.as_second() - change.as_second().rem_euclid(60) - 3 * DAY * 60);
        // A day on either side belongs to the definition alone, for dates that the zone cuts in two.
        let (after, until) = (second(first.as_second() + DAY * 60), second(first.as_second() + 5 * DAY * 60));
        let expected: Vec<_> = cron
            .by_definition(&zone, first, 6 * DAY)
            .into_iter()
            .filter(|tick| *tick > after && *tick <= until)
            .collect();
        prop_assert_eq!(&walk(&clock, after, until), &expected);
        let mut backwards = Vec::new();
        let mut last = until;
        while let Some(tick) = clock.latest_in(after, last) {
            backwards.push(tick);
            last = second(tick.as_second() - 1);
        }
        backwards.reverse();
        prop_assert_eq!(&backwards, &expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn searches_and_counts_agree_with_walking(
        cron in any_cron(),
        zone in proptest::sample::select(&ZONES[..]),
        after in YEARS,
        length in 0i64..500_000,
        limit in 0u32..300,
    ) {
        let clock = clock(Timing::Cron(cron.text), zone);
        agree(&clock, second(after), second(after + length), limit)?;
    }

    #[test]
    fn intervals_agree_with_walking(
        step in 1u64..100_000,
        start in proptest::option::of(YEARS),
        after in YEARS,
        ticks in 0u64..200,
        limit in 0u32..300,
    ) {
        let timing = Timing::Interval(Duration::from_secs(step));
        let start_at = start.map(second);
        let spec = ClockSpec { start_at, ..ClockSpec::new("c", timing, "UTC") };
        let until = second(after).checked_add(Duration::from_secs(step * ticks)).unwrap();
        agree(&Clock::parse(&spec).unwrap(), second(after), until, limit)?;
    }

    #[test]
    fn the_next_tick_is_later_and_monotonic(
        cron in any_cron(),
        zone in proptest::sample::select(&ZONES[..]),
        one in YEARS,
        ahead in 0i64..10_000,
    ) {
        let clock = clock(Timing::Cron(cron.text), zone);
        let (t, later) = (second(one), second(one + ahead));
        let next = clock.next_after(t).unwrap();
        prop_assert!(next > t);
        prop_assert!(clock.next_after(later).unwrap() >= next);
        prop_assert_eq!(clock.latest_in(t, next), Some(next));
        prop_assert_eq!(clock.latest_in(t, second(next.as_second() - 1)), None);
    }

    /// However often it is asked, and however the clock jumps, each tick is considered at most once and in
    /// order.
    #[test]
    fn due_considers_each_tick_once(
        cron in any_cron(),
        zone in proptest::sample::select(&ZONES[..]),
        since in YEARS,
        moves in proptest::collection::vec(-5000i64..40_000, 1..20),
        deadline in proptest::option::of(0u64..10_000),
    ) {
        let clock = clock(Timing::Cron(cron.text), zone);
        let mut state = ClockState { since: second(since), last_tick: None };
        let (mut now, mut furthest, mut considered) = (since, since, 0);
        for step in moves {
            now += step;
            furthest = furthest.max(now);
            let answer = due(&clock, &state, second(now), deadline.map(Duration::from_secs));
            considered += answer.missed + u32::from(answer.tick.is_some());
            prop_assert!(answer.tick.is_none_or(|tick| Some(tick) > state.last_tick && tick <= second(now)));
            prop_assert!(answer.next > answer.latest.max(state.last_tick));
            state.last_tick = answer.latest.or(state.last_tick);
        }
        prop_assert_eq!(considered, clock.count_in(second(since), second(furthest), u32::MAX));
    }

    #[test]
    fn any_text_costs_little(text in "[@0-9*/,?#LWa-z-]{1,12}( [0-9*/,?-]{1,12}){2,5}", t in YEARS) {
        costs_little(&text, t)?;
    }

    #[test]
    fn any_valid_text_costs_little(
        minute in field(0..60), hour in field(0..24), day in field(1..32), month in field(1..13), weekday in field(0..7),
        t in YEARS,
    ) {
        costs_little(&format!("{minute} {hour} {day} {month} {weekday}"), t)?;
    }
}

/// A field as users write it; backward ranges among them are refused.
fn field(values: std::ops::Range<u32>) -> impl Strategy<Value = String> {
    let value = || values.clone();
    prop_oneof![
        Just("*".to_owned()),
        value().prop_map(|a| a.to_string()),
        (value(), value()).prop_map(|(a, b)| format!("{a}-{b}")),
        (value(), 1u32..70).prop_map(|(a, step)| format!("{a}/{step}")),
        (1u32..70).prop_map(|step| format!("*/{step}")),
        (value(), value()).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn agree(clock: &Clock, after: Timestamp, until: Timestamp, limit: u32) -> Result<(), TestCaseError> {
    let ticks = walk(clock, after, until);
    prop_assert!(ticks.is_sorted_by(|one, other| one < other));
    prop_assert!(ticks.iter().all(|tick| tick.subsec_nanosecond() == 0));
    prop_assert!(ticks.len() < TICKS_MAX);
    prop_assert_eq!(clock.latest_in(after, until), ticks.last().copied());
    let count = u32::try_from(ticks.len()).unwrap();
    prop_assert_eq!(clock.count_in(after, until, limit), count.min(limit));
    Ok(())
}

/// The bound is wide, for a debug build on a busy machine; what it would catch takes minutes.
fn costs_little(text: &str, t: i64) -> Result<(), TestCaseError> {
    let begin = Instant::now();
    for zone in ["America/New_York", "Africa/Casablanca"] {
        let timing = Timing::Cron(text.to_owned());
        let spec = ClockSpec::new("c", timing, zone);
        if let Ok(clock) = Clock::parse(&spec) {
            prop_assert!(clock.next_after(second(t)).is_some());
            prop_assert!(clock.latest_in(Timestamp::MIN, second(t)).is_some());
        }
    }
    prop_assert!(begin.elapsed() < Duration::from_secs(1), "{text} took {:?}", begin.elapsed());
    Ok(())
}
