//! What may be wrong with a clock.

use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use super::cron::CronError;
use super::rrule::RruleError;
use super::spec::DATES_MAX;

/// Why a [`ClockSpec`](super::ClockSpec) is no clock. Each message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// The cron text is at fault.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The recurrence rule is at fault.
    #[error(transparent)]
    Rrule(#[from] RruleError),
    /// The interval is less than a second.
    #[error("the interval is too short; write at least 1s")]
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
    /// The field at fault, as users write it: one of a clock (`cron`, `rrule`, `interval`, `dates`,
    /// `timeZone`, `endAt`) or one of the schedule (`only`, `except`).
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
