//! One clock of a schedule: checked once, then asked for its ticks.

use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use super::budget::Budget;
use super::cron::{CronError, CronFields, ZonedCron};
use super::dates::{DATES_MAX, Dates};
use super::filter::Filter;
use super::interval::{Calendar, Elapsed};
use super::rrule::{RruleError, ZonedRrule};
use super::sieve::{Sieve, Source};
use super::zone::Zone;
use crate::api::interval::{CalendarStep, Every};
use crate::api::schedule::{Adjustment, DaylightSaving, TickFilter};

/// When a clock ticks, as its user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Timing {
    /// Every so much elapsed time, in whole seconds, at least one.
    Interval(Duration),
    /// Every so many days or months on the wall of the zone.
    Calendar(CalendarStep),
    /// The text of a cron schedule, not yet read.
    Cron(String),
    /// The text of a recurrence rule, not yet read.
    Rrule(String),
    /// Instants, in any order; at most [`DATES_MAX`].
    Dates(Vec<Timestamp>),
}

impl From<Every> for Timing {
    fn from(every: Every) -> Self {
        match every {
            Every::Elapsed(interval) => Self::Interval(interval),
            Every::Calendar(step) => Self::Calendar(step),
        }
    }
}

/// What a clock says, independent of the kind of object that says it.
#[derive(Debug, Clone)]
pub struct ClockSpec<'a> {
    /// The clock's name, unique in its schedule.
    pub name: &'a str,
    /// When it ticks.
    pub timing: Timing,
    /// The IANA name of the zone in which it is read, such as `Europe/Paris`. Elapsed intervals and dates have no use
    /// for it, yet a name that is no zone is refused there too.
    pub zone: &'a str,
    /// The first instant that may be a tick. It is also the anchor of an interval, which otherwise is
    /// 1970-01-01T00:00:00 (in UTC, or on the wall of the zone for a step of the calendar). A fraction of a second is
    /// dropped.
    pub start_at: Option<Timestamp>,
    /// The last instant that may be a tick.
    pub end_at: Option<Timestamp>,
    /// Nothing is due while this is set; see [`super::due`].
    pub suspend: bool,
    /// What cron does where the zone skips or repeats an hour.
    pub daylight_saving: DaylightSaving,
    /// A tick has to be in each group that is given here.
    pub only: Option<&'a TickFilter>,
    /// A tick must not be in anything that is given here.
    pub except: Option<&'a TickFilter>,
    /// Where ticks are moved to that have passed.
    pub adjust: Option<Adjustment>,
}

impl<'a> ClockSpec<'a> {
    /// A clock that says nothing more: without bounds and filters, not suspended, each fixed time once a day.
    pub fn new(name: &'a str, timing: Timing, zone: &'a str) -> Self {
        Self {
            name,
            timing,
            zone,
            start_at: None,
            end_at: None,
            suspend: false,
            daylight_saving: DaylightSaving::default(),
            only: None,
            except: None,
            adjust: None,
        }
    }
}

/// Why a [`ClockSpec`] is no clock. Each message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// The cron text is at fault.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The recurrence rule is at fault.
    #[error(transparent)]
    Rrule(#[from] RruleError),
    /// The interval is less than a second.
    #[error("the interval {0:?} is too short; write at least 1s")]
    IntervalTooShort(Duration),
    /// The step of the calendar is not at least one.
    #[error("the interval is too short; write at least 1d or 1mo")]
    StepTooShort,
    /// The interval is not a whole number of seconds, which is the resolution of the names of runs.
    #[error("the interval {0:?} has a fraction of a second; write whole seconds")]
    IntervalFraction(Duration),
    /// The interval is longer than time is represented.
    #[error("the interval {0:?} is too long")]
    IntervalTooLong(Duration),
    /// No dates, or more than [`DATES_MAX`].
    #[error("{0} dates were given; write 1 to {max}, or use several clocks", max = DATES_MAX)]
    DatesCount(usize),
    /// No zone has this name.
    #[error("the time zone `{zone}` is unknown; write an IANA name such as {suggestion}")]
    UnknownZone {
        /// What was written.
        zone: String,
        /// A zone with a like name, or an example.
        suggestion: String,
    },
    /// The clock stops before it starts.
    #[error("endAt {end} is before startAt {start}; write a later endAt")]
    EndBeforeStart {
        /// The `startAt` that was written.
        start: Timestamp,
        /// The `endAt` that was written.
        end: Timestamp,
    },
    /// A filter names a time that no day has.
    #[error("`{written}` is no time of day; write HH:MM, such as 09:00")]
    TimeOfDay {
        /// `only` or `except`.
        field: &'static str,
        /// What was written.
        written: String,
    },
    /// A filter names a day that no year has.
    #[error("`{written}` is no day of the year; write MM-DD, such as 12-24")]
    DayOfYear {
        /// `only` or `except`.
        field: &'static str,
        /// What was written.
        written: String,
    },
    /// The times of day of `only` are all in `except`.
    #[error("except.between leaves no time of day of only.between; correct one of them")]
    NoTimePasses,
    /// The clock has ticks, and the filters let none of them through.
    #[error("no tick of the clock {clock} passes the filters only and except; correct them or the clock")]
    NothingPasses {
        /// The clock's name.
        clock: String,
        /// `only`, or `except` where that stands alone.
        field: &'static str,
    },
    /// All ticks of the clock are of a weekend, and `endAt` is before the Monday.
    #[error("adjust moves every tick of the clock {clock} beyond its endAt; write a later endAt")]
    MovedBeyondEnd {
        /// The clock's name.
        clock: String,
    },
}

impl ScheduleError {
    /// The field at fault, as users write it: one of a clock (`cron`, `rrule`, `interval`, `dates`, `timeZone`,
    /// `endAt`) or one of the schedule (`only`, `except`).
    pub fn field(&self) -> &'static str {
        match self {
            Self::Cron(_) => "cron",
            Self::Rrule(_) => "rrule",
            Self::IntervalTooShort(_)
            | Self::IntervalFraction(_)
            | Self::IntervalTooLong(_)
            | Self::StepTooShort => "interval",
            Self::DatesCount(_) => "dates",
            Self::UnknownZone { .. } => "timeZone",
            Self::EndBeforeStart { .. } | Self::MovedBeyondEnd { .. } => "endAt",
            Self::TimeOfDay { field, .. }
            | Self::DayOfYear { field, .. }
            | Self::NothingPasses { field, .. } => field,
            Self::NoTimePasses => "except",
        }
    }
}

/// A clock whose every answer is right by construction: it exists only if its [`ClockSpec`] was valid.
#[derive(Debug, Clone)]
pub struct Clock {
    name: String,
    source: Source,
    zone: Zone,
    /// What the schedule lets through; none if that is everything.
    filter: Option<Filter>,
    /// Whether ticks of a weekend move to the Monday after it.
    moves: bool,
    end: Option<Timestamp>,
    suspended: bool,
}

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
    fn parse(spec: &ClockSpec<'_>, zone: &Zone) -> Result<Self, ScheduleError> {
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

impl Clock {
    /// Checks what a clock says.
    ///
    /// # Errors
    ///
    /// The first fault found, see [`ScheduleError`]: also a cron that no date satisfies (`0 0 30 2 *`), and filters
    /// that let no tick through.
    pub fn parse(spec: &ClockSpec<'_>) -> Result<Self, ScheduleError> {
        let zone = Zone::find(spec.zone)?;
        let start = spec.start_at.map(whole_second);
        if let (Some(start), Some(end)) = (spec.start_at, spec.end_at)
            && end < start
        {
            return Err(ScheduleError::EndBeforeStart { start, end });
        }
        let filters = spec.only.is_some() || spec.except.is_some() || spec.adjust.is_some();
        let clock = Self {
            name: spec.name.to_owned(),
            source: Source {
                ticks: Ticks::parse(spec, &zone)?,
                before_start: start.map(|start| second(start.as_second() - 1).unwrap_or(Timestamp::MIN)),
            },
            zone,
            filter: filters.then(|| Filter::parse(spec.only, spec.except)).transpose()?,
            moves: spec.adjust == Some(Adjustment::NextWeekday),
            end: spec.end_at,
            suspended: spec.suspend,
        };
        if clock.filter.is_some() && clock.source_ticks() && clock.next_after(EPOCH_OF_CLOCKS).is_none() {
            return Err(match (spec.only, spec.except) {
                (Some(_), _) => ScheduleError::NothingPasses { clock: clock.name, field: "only" },
                (None, Some(_)) => ScheduleError::NothingPasses { clock: clock.name, field: "except" },
                (None, None) => ScheduleError::MovedBeyondEnd { clock: clock.name },
            });
        }
        Ok(clock)
    }

    /// The clock's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the user has suspended this clock. Its ticks can still be asked for; none of them is [`super::due`].
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// The first tick strictly later than `t`; none when the clock has ended.
    pub fn next_after(&self, t: Timestamp) -> Option<Timestamp> {
        self.next_within(t, &mut Budget::question())
    }

    /// The latest tick that is later than `after` and not later than `until`.
    ///
    /// It is searched for backwards from `until`, so the length of the gap costs nothing.
    pub fn latest_in(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        self.latest_within(after, until, &mut Budget::question())
    }

    /// How many ticks are later than `after` and not later than `until`. Counting stops at `limit`, which bounds the
    /// work, and earlier where filters let so few ticks through that looking for them takes too long.
    pub fn count_in(&self, after: Timestamp, until: Timestamp, limit: u32) -> u32 {
        if let (Ticks::Elapsed(interval), None) = (&self.source.ticks, &self.filter) {
            let start = self.source.before_start.map_or(after, |start| start.max(after));
            let count = interval.count(whole_second(start), self.not_after_end(until));
            return u32::try_from(count).unwrap_or(u32::MAX).min(limit);
        }
        let mut purse = Budget::counting();
        let mut count = 0;
        let mut last = after;
        while count < limit {
            let found = purse.question_from(|budget| self.next_within(last, budget));
            match found {
                Some(tick) if tick <= until => (count, last) = (count + 1, tick),
                _ => break,
            }
        }
        count
    }

    fn next_within(&self, t: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let after = whole_second(t);
        let tick = match self.sieve() {
            Some(sieve) => sieve.next_after(after, budget),
            None => self.source.next_after(after, budget),
        };
        tick.filter(|tick| self.end.is_none_or(|end| *tick <= end))
    }

    fn latest_within(&self, after: Timestamp, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let (after, until) = (whole_second(after), self.not_after_end(until));
        if until <= after {
            return None;
        }
        let tick = match self.sieve() {
            Some(sieve) => sieve.latest_until(until, budget),
            None => self.source.latest_until(until, budget),
        };
        tick.filter(|tick| *tick > after)
    }

    fn sieve(&self) -> Option<Sieve<'_>> {
        let (source, zone, moves) = (&self.source, &self.zone, self.moves);
        self.filter.as_ref().map(|filter| Sieve { source, zone, filter, moves })
    }

    /// Whether the clock ticks at all within its bounds, were it not for its filters.
    fn source_ticks(&self) -> bool {
        let first = self.source.next_after(EPOCH_OF_CLOCKS, &mut Budget::question());
        first.is_some_and(|tick| self.end.is_none_or(|end| tick <= end))
    }

    fn not_after_end(&self, t: Timestamp) -> Timestamp {
        whole_second(self.end.map_or(t, |end| end.min(t)))
    }
}

/// Where the search begins for any tick at all: the year in which zones settled on whole minutes, and long before any
/// cluster.
const EPOCH_OF_CLOCKS: Timestamp = Timestamp::UNIX_EPOCH;

/// The second that `t` is in.
fn whole_second(t: Timestamp) -> Timestamp {
    let seconds = t.as_second();
    second(if t.subsec_nanosecond() < 0 { seconds - 1 } else { seconds }).unwrap_or(Timestamp::MIN)
}

fn second(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod bounded;
#[cfg(test)]
mod tests;
