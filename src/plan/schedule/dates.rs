//! Dates: instants that were written down one by one.

use jiff::Timestamp;

use super::clock::ScheduleError;

/// The most dates that a clock may have: a leap year of days.
pub const DATES_MAX: usize = 366;

/// Instants in order, none of them twice.
#[derive(Debug, Clone)]
pub(super) struct Dates {
    instants: Vec<Timestamp>,
}

impl Dates {
    /// Sorts the dates; they are whole seconds.
    pub(super) fn new(mut instants: Vec<Timestamp>) -> Result<Self, ScheduleError> {
        if instants.is_empty() || instants.len() > DATES_MAX {
            return Err(ScheduleError::DatesCount(instants.len()));
        }
        instants.sort_unstable();
        instants.dedup();
        Ok(Self { instants })
    }

    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.instants.get(self.passed(after)).copied()
    }

    pub(super) fn latest_until(&self, until: Timestamp) -> Option<Timestamp> {
        self.instants.get(self.passed(until).checked_sub(1)?).copied()
    }

    /// How many dates are not later than `t`.
    fn passed(&self, t: Timestamp) -> usize {
        self.instants.partition_point(|instant| *instant <= t)
    }
}
