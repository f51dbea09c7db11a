//! The instants that a timing names, whatever its kind.

use jiff::Timestamp;

use super::budget::Budget;
use super::cron::{CronFields, ZonedCron};
use super::dates::Dates;
use super::error::ScheduleError;
use super::interval::{Calendar, Elapsed};
use super::rrule::ZonedRrule;
use super::spec::{ClockSpec, Timing};
use super::zone::Zone;

/// The instants that a timing names, before any bound or filter.
#[derive(Debug, Clone)]
pub(super) enum Ticks {
    Elapsed(Elapsed),
    Calendar(Calendar),
    Cron(ZonedCron),
    Rrule(Box<ZonedRrule>),
    Dates(Dates),
}

impl Ticks {
    /// Those that a clock asks for.
    pub(super) fn parse(spec: &ClockSpec<'_>, zone: &Zone) -> Result<Self, ScheduleError> {
        let (zone, start) = (zone.clone(), spec.start_at.map(whole_second));
        Ok(match &spec.timing {
            Timing::Interval(interval) => Self::Elapsed(Elapsed::new(*interval, start)?),
            Timing::Calendar(step) => Self::Calendar(Calendar::new(*step, zone, start)?),
            Timing::Cron(text) => {
                Self::Cron(ZonedCron::new(CronFields::parse(text)?, zone, spec.daylight_saving))
            }
            Timing::Rrule(text) => Self::Rrule(Box::new(ZonedRrule::parse(text, zone, start)?)),
            Timing::Dates(dates) => {
                Self::Dates(Dates::new(dates.iter().map(|date| whole_second(*date)).collect())?)
            }
        })
    }

    /// The first tick later than `after`, a whole second.
    pub(super) fn next_after(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        match self {
            Self::Elapsed(interval) => interval.next_after(after),
            Self::Calendar(interval) => interval.next_after(after),
            Self::Cron(cron) => cron.next_after(after, budget),
            Self::Rrule(rrule) => rrule.next_after(after, budget),
            Self::Dates(dates) => dates.next_after(after),
        }
    }

    /// The last tick that is not later than `until`, a whole second.
    pub(super) fn latest_until(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        match self {
            Self::Elapsed(interval) => interval.latest_until(until),
            Self::Calendar(interval) => interval.latest_until(until),
            Self::Cron(cron) => cron.latest_until(until, budget),
            Self::Rrule(rrule) => rrule.latest_until(until, budget),
            Self::Dates(dates) => dates.latest_until(until),
        }
    }
}

/// A clock's ticks from its start on.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) ticks: Ticks,
    /// The last second before the clock starts.
    pub(super) before_start: Option<Timestamp>,
}

impl Source {
    pub(super) fn next_after(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        self.ticks.next_after(self.before_start.map_or(after, |start| start.max(after)), budget)
    }

    pub(super) fn latest_until(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        self.ticks.latest_until(until, budget).filter(|tick| Some(*tick) > self.before_start)
    }
}

/// The second that `t` is in.
pub(super) fn whole_second(t: Timestamp) -> Timestamp {
    let seconds = t.as_second();
    second(if t.subsec_nanosecond() < 0 { seconds - 1 } else { seconds }).unwrap_or(Timestamp::MIN)
}

/// The instant of so many seconds after 1970, where time is represented.
pub(super) fn second(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}
