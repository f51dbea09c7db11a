//! The laws of clocks, for every kind of clock and with every kind of filter; and filters and adjustment
//! against a slow and obvious definition of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "any_clock.rs"]
mod any_clock;

use std::collections::BTreeSet;

use self::any_clock::{AnyClock, YEARS, ZONES, any_clock, any_filter, any_timing, second};
use daskflow::plan::schedule::{Adjustment, Clock, Day, DaylightSaving, TickFilter, Timing};
use jiff::civil::{DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

/// Ticks that a law looks at.
const TICKS: usize = 30;

fn ahead(clock: &Clock, after: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(clock.next_after(after), |tick| clock.next_after(*tick))
}

fn behind(clock: &Clock, after: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let before = |tick: Timestamp| clock.latest_in(after, tick - SignedDuration::from_secs(1));
    let mut ticks: Vec<_> =
        std::iter::successors(clock.latest_in(after, until), |tick| before(*tick)).collect();
    ticks.reverse();
    ticks
}

/// A moment near a change of the clocks of the zone, where half of the faults would be.
fn near_a_change(zone: &str, around: i64, offset: i64) -> Timestamp {
    let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
    let change =
        zone.preceding(second(around)).next().map_or(around, |change| change.timestamp().as_second());
    second(change.max(YEARS.start) + offset)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_directions_and_counting_agree(
        spec in any_clock(),
        around in YEARS,
        offset in -400_000i64..400_000,
        limit in 0u32..50,
    ) {
        let Ok(clock) = spec.parse() else { return Ok(()) };
        let after = near_a_change(spec.zone, around, offset);
        // A clock and filters that meet once in years may end a search in one direction and not in the other.
        let filtered = spec.only.is_some() || spec.except.is_some();
        let near = |tick: &Timestamp, last: &mut Timestamp| {
            let gap = tick.duration_since(std::mem::replace(last, *tick));
            !filtered || gap < SignedDuration::from_hours(24 * 400)
        };
        let ticks = ahead(&clock, after).take(TICKS);
        let ticks: Vec<_> = ticks.scan(after, |last, tick| near(&tick, last).then_some(tick)).collect();
        prop_assert!(ticks.is_sorted_by(|one, other| one < other), "{:?}", ticks);
        prop_assert!(ticks.iter().all(|tick| *tick > after && tick.subsec_nanosecond() == 0));
        let Some(last) = ticks.last() else { return Ok(()) };
        prop_assert_eq!(&behind(&clock, after, *last), &ticks);
        let count = u32::try_from(ticks.len()).unwrap();
        prop_assert_eq!(clock.count_in(after, *last, u32::MAX), count);
        prop_assert_eq!(clock.count_in(after, *last, limit), count.min(limit));
        prop_assert_eq!(clock.latest_in(after, ticks[0] - SignedDuration::from_secs(1)), None);
    }

    #[test]
    fn the_next_tick_never_moves_back(spec in any_clock(), one in YEARS, ahead in 0i64..1_000_000) {
        let Ok(clock) = spec.parse() else { return Ok(()) };
        if let (Some(next), Some(later)) = (clock.next_after(second(one)), clock.next_after(second(one + ahead))) {
            prop_assert!(next > second(one));
            prop_assert!(later >= next);
        }
    }

    /// Every other clock with these filters is the same clock without them, its ticks judged and moved one by
    /// one.
    #[test]
    fn filters_and_adjustment_are_those_of_the_definition(
        timing in any_timing(),
        zone in proptest::sample::select(&ZONES[..]),
        only in any_filter(),
        except in any_filter(),
        adjust in proptest::option::of(Just(Adjustment::NextWeekday)),
        around in YEARS,
    ) {
        // A clock of every second has too many ticks to judge each of them.
        if let Timing::Interval(interval) = &timing && interval.as_secs() < 300 {
            return Ok(());
        }
        let spec = AnyClock {
            timing,
            zone,
            start_at: None,
            daylight_saving: DaylightSaving::Once,
            only: Some(only.clone()),
            except: Some(except.clone()),
            adjust,
        };
        let Ok(clock) = spec.parse() else { return Ok(()) };
        let plain = AnyClock { only: None, except: None, adjust: None, ..spec }.parse().unwrap();
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let after = near_a_change(spec.zone, around, 0) - SignedDuration::from_hours(24 * 3);
        let until = after + SignedDuration::from_hours(24 * 12);
        // A tick that is moved comes from a few days before.
        let expected: BTreeSet<_> = ahead(&plain, after - SignedDuration::from_hours(24 * 4))
            .take_while(|tick| *tick <= until)
            .filter(|tick| passes(zone.to_datetime(*tick), &only, &except))
            .filter_map(|tick| if adjust.is_some() { moved(tick, &zone) } else { Some(tick) })
            .filter(|tick| *tick > after && *tick <= until)
            .collect();
        let found: Vec<_> = ahead(&clock, after).take_while(|tick| *tick <= until).collect();
        prop_assert_eq!(&found, &expected.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(behind(&clock, after, until), found);
    }
}

fn passes(wall: DateTime, only: &TickFilter, except: &TickFilter) -> bool {
    let groups = [in_days, in_between, in_dates];
    groups.iter().all(|group| group(wall, only).unwrap_or(true))
        && groups.iter().all(|group| !group(wall, except).unwrap_or(false))
}

fn in_days(wall: DateTime, filter: &TickFilter) -> Option<bool> {
    let weekend = matches!(wall.weekday(), Weekday::Saturday | Weekday::Sunday);
    let is = |day: &Day| match day {
        Day::Weekday => !weekend,
        Day::Weekend => weekend,
        Day::MonthStart => wall.day() == 1,
        Day::MonthEnd => wall.day() == wall.date().last_of_month().day(),
        named => format!("{named:?}") == format!("{:?}", wall.weekday()),
    };
    (!filter.days.is_empty()).then(|| filter.days.iter().any(is))
}

fn in_between(wall: DateTime, filter: &TickFilter) -> Option<bool> {
    let shown = wall.strftime("%H:%M:%S").to_string();
    let spans = filter.between.iter().map(|span| (format!("{}:00", span.from), format!("{}:00", span.to)));
    (!filter.between.is_empty()).then(|| spans.into_iter().any(|(from, to)| within(&shown, &from, &to)))
}

fn in_dates(wall: DateTime, filter: &TickFilter) -> Option<bool> {
    let shown = wall.strftime("%m-%d").to_string();
    (!filter.dates.is_empty()).then(|| filter.dates.iter().any(|span| within(&shown, &span.from, &span.to)))
}

fn within(shown: &str, from: &str, to: &str) -> bool {
    if from <= to { from <= shown && shown <= to } else { from <= shown || shown <= to }
}

/// The Monday after a tick of a weekend, at the time that the wall shows: at the end of a gap, on the first
/// pass.
fn moved(tick: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let wall = zone.to_datetime(tick);
    let days = match wall.weekday() {
        Weekday::Saturday => 2,
        Weekday::Sunday => 1,
        _ => return Some(tick),
    };
    let wall = wall.checked_add(days.days()).unwrap();
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Gap { after, .. } => {
            let before = after.to_timestamp(wall).unwrap();
            zone.following(before).next().map(|change| change.timestamp())
        }
        _ => zone.to_ambiguous_timestamp(wall).compatible().ok(),
    }
}

fn next(spec: &AnyClock, after: &str) -> Option<String> {
    spec.parse().unwrap().next_after(after.parse().unwrap()).map(|tick| tick.to_string())
}

fn plain(timing: Timing, zone: &'static str) -> AnyClock {
    AnyClock {
        timing,
        zone,
        start_at: None,
        daylight_saving: DaylightSaving::Once,
        only: None,
        except: None,
        adjust: None,
    }
}

#[test]
fn a_filter_without_weekends_leaves_nothing_to_move() {
    let only = Some(TickFilter { days: vec![Day::Weekday], ..TickFilter::default() });
    let cron = plain(Timing::Cron("0 9 * * *".to_owned()), "UTC");
    let spec = AnyClock { only, adjust: Some(Adjustment::NextWeekday), ..cron };
    assert_eq!(next(&spec, "2027-01-01T09:00:00Z").as_deref(), Some("2027-01-04T09:00:00Z"));
}

#[test]
fn one_day_of_the_year_is_found_by_a_clock_of_every_minute() {
    let span = daskflow::plan::schedule::DateSpan { from: "12-24".to_owned(), to: "12-24".to_owned() };
    let only = Some(TickFilter { dates: vec![span], ..TickFilter::default() });
    let spec = AnyClock { only, ..plain(Timing::Cron("* * * * *".to_owned()), "Europe/Paris") };
    assert_eq!(next(&spec, "2027-01-01T00:00:00Z").as_deref(), Some("2027-12-23T23:00:00Z"));
}

#[test]
fn as_a_cronjob_a_time_in_a_gap_is_skipped_and_one_in_an_overlap_runs_twice() {
    let cron = |text: &str| AnyClock {
        daylight_saving: DaylightSaving::CronJob,
        ..plain(Timing::Cron(text.to_owned()), "America/New_York")
    };
    assert_eq!(next(&cron("0 2 * * ?"), "2012-03-11T05:00:00Z").as_deref(), Some("2012-03-12T06:00:00Z"));
    assert_eq!(next(&cron("0 1 * * ?"), "2012-11-04T04:00:00Z").as_deref(), Some("2012-11-04T05:00:00Z"));
    assert_eq!(next(&cron("0 1 * * ?"), "2012-11-04T05:00:00Z").as_deref(), Some("2012-11-04T06:00:00Z"));
    assert_eq!(next(&cron("30 2 11 Mar ?"), "2012-03-11T05:00:00Z").as_deref(), Some("2013-03-11T06:30:00Z"));
}

#[test]
fn a_month_clamps_to_its_end_and_comes_back() {
    let month = plain(Timing::Calendar(daskflow::plan::schedule::CalendarStep::Months(1)), "Europe/Paris");
    let spec = AnyClock { start_at: Some("2027-01-31T08:00:00Z".parse().unwrap()), ..month };
    let ticks: Vec<_> =
        ahead(&spec.parse().unwrap(), Timestamp::MIN).take(4).map(|t| t.to_string()).collect();
    let wanted =
        ["2027-01-31T08:00:00Z", "2027-02-28T08:00:00Z", "2027-03-31T07:00:00Z", "2027-04-30T07:00:00Z"];
    assert_eq!(ticks, wanted);
}

/// 30 December 2011 does not exist in Apia.
#[test]
fn a_lost_day_has_no_ticks() {
    for timing in [
        Timing::Calendar(daskflow::plan::schedule::CalendarStep::Days(1)),
        Timing::Rrule("FREQ=DAILY".to_owned()),
    ] {
        let spec = plain(timing, "Pacific/Apia");
        assert_eq!(next(&spec, "2011-12-29T10:00:00Z").as_deref(), Some("2011-12-30T10:00:00Z"));
        assert_eq!(next(&spec, "2011-12-30T10:00:00Z").as_deref(), Some("2011-12-31T10:00:00Z"));
    }
}
