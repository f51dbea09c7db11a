//! Clocks to ticks: when a Flow is due.
//!
//! What it is: the arithmetic of schedules. A [`ClockSpec`] is checked once by [`Clock::parse`]; a [`Clock`]
//! then answers which instants it ticks at, and [`due`] which of them counts now.
//!
//! What it is not: it reads no clock, no zone files and no cluster. `now` comes in as an argument and the
//! zones are the ones compiled into the program, so the same question has the same answer on every machine.
//!
//! Invariants:
//! - every tick is a whole second, because the name of a run has seconds and nothing finer;
//! - one question costs bounded work, whatever the text of the schedule and however long ago the last tick
//!   was;
//! - nothing here panics, for any input.
//!
//! Daylight saving: a *fixed time* (`30 2 * * *`, `0 1,13 * * *`) happens once on each of its days: where the
//! clocks skip it, at the first instant after the gap; where they repeat it, on the first pass. A *repeating*
//! cron (one with a `*`, a `?` or a step in its minute or hour, such as `*/30 * * * *`) ticks whenever the
//! clock on the wall shows a matching time: on both passes, and not in a gap. A calendar day that a zone
//! skips altogether has no ticks. An elapsed interval is bent by no clock change; a step of the calendar
//! (`1d`) and a recurrence rule follow the rule of fixed times.

mod budget;
mod calendar;
mod clock;
mod cron;
mod dates;
mod due;
mod error;
mod filter;
mod interval;
mod rrule;
mod sieve;
mod spec;
mod ticks;
mod zone;

pub use clock::Clock;
pub use cron::{CRON_LENGTH_MAX, CronError, both_days};
pub use due::{CatchUp, ClockState, Due, MISSED_MAX, ON_TIME, Rules, due};
pub use error::ScheduleError;
pub use rrule::{RRULE_COUNT_MAX, RRULE_LENGTH_MAX, RruleError, idle_exdates};
pub use spec::{ClockSpec, DATES_MAX, Timing};
pub use zone::find_zone;

pub use crate::api::interval::CalendarStep;
pub use crate::api::schedule::{Adjustment, DateSpan, Day, DaylightSaving, TickFilter, TimeSpan};
