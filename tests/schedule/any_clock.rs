//! Clocks of every kind, with and without filters, for property tests.

use std::time::Duration;

use daskflow::plan::schedule::{
    Adjustment, CalendarStep, Clock, ClockSpec, DateSpan, Day, DaylightSaving, ScheduleError, TickFilter,
    TimeSpan, Timing,
};
use jiff::Timestamp;
use proptest::prelude::*;

/// Zones with the odd changes of clocks: by half an hour, at midnight, over a lost day, backwards in summer.
pub const ZONES: [&str; 15] = [
    "Etc/UTC",
    "America/New_York",
    "America/St_Johns",
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

/// 1990 to 2060, in seconds: whole-minute offsets everywhere, and years beyond what zone files list one by
/// one.
pub const YEARS: std::ops::Range<i64> = 631_152_000..2_840_140_800;

/// What a clock says, owned.
#[derive(Debug, Clone)]
pub struct AnyClock {
    pub timing: Timing,
    pub zone: &'static str,
    pub start_at: Option<Timestamp>,
    pub daylight_saving: DaylightSaving,
    pub only: Option<TickFilter>,
    pub except: Option<TickFilter>,
    pub adjust: Option<Adjustment>,
}

impl AnyClock {
    pub fn parse(&self) -> Result<Clock, ScheduleError> {
        Clock::parse(&ClockSpec {
            start_at: self.start_at,
            daylight_saving: self.daylight_saving,
            only: self.only.as_ref(),
            except: self.except.as_ref(),
            adjust: self.adjust,
            ..ClockSpec::new("c", self.timing.clone(), self.zone)
        })
    }
}

pub fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn cron() -> impl Strategy<Value = Timing> {
    let minute_and_hour = prop_oneof![
        (0..60, 0..24).prop_map(|(minute, hour)| format!("{minute} {hour}")),
        (0..60, 0..4).prop_map(|(minute, hour)| format!("{minute} {hour}")),
        (1..60).prop_map(|step| format!("*/{step} *")),
        (0..60, 0..5, 5..24).prop_map(|(minute, first, last)| format!("{minute} {first}-{last}")),
    ];
    let days = prop_oneof![
        Just("* * *".to_owned()),
        (0..7).prop_map(|weekday| format!("* * {weekday}")),
        (1..32).prop_map(|day| format!("{day} * *")),
        (1..29, 1..13).prop_map(|(day, month)| format!("{day} {month} *")),
    ];
    (minute_and_hour, days).prop_map(|(times, days)| Timing::Cron(format!("{times} {days}")))
}

fn calendar() -> impl Strategy<Value = Timing> {
    prop_oneof![
        (1i64..40).prop_map(CalendarStep::Days),
        (1i64..4).prop_map(|weeks| CalendarStep::Days(7 * weeks)),
        (1i64..30).prop_map(CalendarStep::Months),
    ]
    .prop_map(Timing::Calendar)
}

fn dates() -> impl Strategy<Value = Timing> {
    proptest::collection::vec(YEARS.prop_map(second), 1..30).prop_map(Timing::Dates)
}

fn rrule() -> impl Strategy<Value = Timing> {
    let frequency = prop_oneof![
        Just("YEARLY".to_owned()),
        Just("YEARLY;BYMONTH=3,11;BYDAY=1SU,-1SU".to_owned()),
        Just("YEARLY;BYWEEKNO=1,20,53;BYDAY=SU".to_owned()),
        Just("MONTHLY;BYMONTHDAY=-1".to_owned()),
        Just("MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-2".to_owned()),
        Just("MONTHLY;BYDAY=2SU".to_owned()),
        Just("WEEKLY;BYDAY=SA,SU,MO".to_owned()),
        (0usize..7)
            .prop_map(|day| format!("WEEKLY;WKST={}", ["MO", "TU", "WE", "TH", "FR", "SA", "SU"][day])),
        Just("DAILY".to_owned()),
        Just("DAILY;BYHOUR=1,2,3".to_owned()),
        Just("HOURLY".to_owned()),
        Just("HOURLY;BYHOUR=0,1,2,23".to_owned()),
        Just("MINUTELY;BYHOUR=1,2".to_owned()),
        Just("MINUTELY;BYSETPOS=-1;BYSECOND=0,30".to_owned()),
    ];
    let minutes = proptest::option::of(0..60);
    (frequency, 1..20, minutes, YEARS).prop_map(|(frequency, interval, minute, start)| {
        let start = second(start).strftime("%Y%m%dT%H%M%S").to_string();
        // Every so many minutes, and only at one of them, may be never.
        let minute = minute.filter(|_| !frequency.starts_with("MINUTELY"));
        let minute = minute.map(|minute| format!(";BYMINUTE={minute}")).unwrap_or_default();
        Timing::Rrule(format!("DTSTART:{start}\nRRULE:FREQ={frequency};INTERVAL={interval}{minute}"))
    })
}

fn interval() -> impl Strategy<Value = Timing> {
    prop_oneof![1u64..100_000, Just(60), Just(3600), Just(86_400)]
        .prop_map(|seconds| Timing::Interval(Duration::from_secs(seconds)))
}

pub fn any_timing() -> impl Strategy<Value = Timing> {
    prop_oneof![cron(), calendar(), dates(), rrule(), interval()]
}

fn days() -> impl Strategy<Value = Vec<Day>> {
    let day = proptest::sample::select(
        &[
            Day::Monday,
            Day::Wednesday,
            Day::Friday,
            Day::Saturday,
            Day::Sunday,
            Day::Weekday,
            Day::Weekend,
            Day::MonthStart,
            Day::MonthEnd,
        ][..],
    );
    proptest::collection::vec(day, 0..3)
}

pub fn any_filter() -> impl Strategy<Value = TickFilter> {
    let time = || (0..24, 0..60).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}"));
    let date = || (1..13, 1..29).prop_map(|(month, day)| format!("{month:02}-{day:02}"));
    let between =
        proptest::collection::vec((time(), time()).prop_map(|(from, to)| TimeSpan { from, to }), 0..3);
    let dates =
        proptest::collection::vec((date(), date()).prop_map(|(from, to)| DateSpan { from, to }), 0..3);
    (days(), between, dates).prop_map(|(days, between, dates)| TickFilter { days, between, dates })
}

/// A clock, with filters in two cases of three.
pub fn any_clock() -> impl Strategy<Value = AnyClock> {
    let filters = (
        proptest::option::of(any_filter()),
        proptest::option::of(any_filter()),
        proptest::option::of(Just(Adjustment::NextWeekday)),
    );
    let filters = prop_oneof![1 => Just((None, None, None)), 2 => filters];
    let rule = proptest::sample::select(&[DaylightSaving::Once, DaylightSaving::CronJob][..]);
    let start = proptest::option::of(YEARS.prop_map(second));
    (any_timing(), proptest::sample::select(&ZONES[..]), start, rule, filters).prop_map(
        |(timing, zone, start_at, daylight_saving, (only, except, adjust))| AnyClock {
            timing,
            zone,
            start_at,
            daylight_saving,
            only,
            except,
            adjust,
        },
    )
}
