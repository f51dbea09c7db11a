//! What a clock says, before it is checked.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::interval::{CalendarStep, Every};
use crate::api::schedule::{Adjustment, DaylightSaving, TickFilter};

/// The most dates that a clock may have: a leap year of days.
pub const DATES_MAX: usize = 366;

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
    /// The IANA name of the zone in which it is read, such as `Europe/Paris`. Elapsed intervals and dates
    /// have no use for it, yet a name that is no zone is refused there too.
    pub zone: &'a str,
    /// The first instant that may be a tick. It is also the anchor of an interval, which otherwise is
    /// 1970-01-01T00:00:00 (in UTC, or on the wall of the zone for a step of the calendar). A fraction of a
    /// second is dropped.
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
