//! Ticks of an interval: of elapsed time (`90s`, `36h`), and of steps of the calendar (`1d`, `2w`, `1mo`,
//! `1y`).
//!
//! Elapsed time is a grid of seconds that no clock change bends. A step of the calendar keeps the time on the
//! wall: it is the anchor plus n steps, each computed from the anchor, so that `1mo` from a 31st clamps to
//! the end of shorter months and comes back to the 31st.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::{Span, Timestamp};

use super::error::ScheduleError;
use super::zone::Zone;
use crate::api::interval::CalendarStep;

/// Ticks around the estimated one that a search looks at: the estimate is off by one, and by one more at a
/// date that the zone skips.
const AROUND: i64 = 4;

/// Every so many seconds, counted from an anchor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elapsed {
    /// Seconds since 1970.
    anchor: i64,
    /// Seconds; at least one.
    step: i64,
}

impl Elapsed {
    pub(super) fn new(interval: Duration, start: Option<Timestamp>) -> Result<Self, ScheduleError> {
        if interval.as_secs() == 0 {
            return Err(ScheduleError::IntervalTooShort(interval));
        }
        if interval.subsec_nanos() != 0 {
            return Err(ScheduleError::IntervalFraction(interval));
        }
        let step = i64::try_from(interval.as_secs()).map_err(|_| ScheduleError::IntervalTooLong(interval))?;
        Ok(Self { anchor: start.unwrap_or(Timestamp::UNIX_EPOCH).as_second(), step })
    }

    pub(super) fn next_after(self, after: Timestamp) -> Option<Timestamp> {
        self.tick(after.as_second().checked_sub(self.anchor)?.div_euclid(self.step).checked_add(1)?)
    }

    pub(super) fn latest_until(self, until: Timestamp) -> Option<Timestamp> {
        self.tick(until.as_second().checked_sub(self.anchor)?.div_euclid(self.step))
    }

    /// How many ticks are later than `after` and not later than `until`.
    pub(super) fn count(self, after: Timestamp, until: Timestamp) -> i64 {
        let passed = |t: Timestamp| t.as_second().saturating_sub(self.anchor).div_euclid(self.step);
        passed(until).saturating_sub(passed(after)).max(0)
    }

    fn tick(self, n: i64) -> Option<Timestamp> {
        Timestamp::from_second(n.checked_mul(self.step)?.checked_add(self.anchor)?).ok()
    }
}

/// Every so many days or months on the wall of a zone, counted from an anchor.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    step: CalendarStep,
    zone: Zone,
    anchor: DateTime,
    /// The anchor itself: on a second pass it is later than the instant of its wall time.
    first: Option<Timestamp>,
}

impl Calendar {
    pub(super) fn new(
        step: CalendarStep,
        zone: Zone,
        start: Option<Timestamp>,
    ) -> Result<Self, ScheduleError> {
        if let CalendarStep::Days(..1) | CalendarStep::Months(..1) = step {
            return Err(ScheduleError::StepTooShort);
        }
        let anchor = start.map_or(jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0), |start| zone.wall(start));
        Ok(Self { step, zone, anchor, first: start })
    }

    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let estimate = self.steps_until(after);
        (-AROUND..=AROUND).find_map(|ahead| self.tick(estimate + ahead).filter(|tick| *tick > after))
    }

    pub(super) fn latest_until(&self, until: Timestamp) -> Option<Timestamp> {
        let estimate = self.steps_until(until);
        (-AROUND..=AROUND).rev().find_map(|ahead| self.tick(estimate + ahead).filter(|tick| *tick <= until))
    }

    /// The number of steps from the anchor to `t`, off by one at most.
    fn steps_until(&self, t: Timestamp) -> i64 {
        let wall = self.zone.wall(t);
        match self.step {
            CalendarStep::Days(days) => {
                let elapsed = self.anchor.date().duration_until(wall.date()).as_hours() / 24;
                elapsed.div_euclid(days)
            }
            CalendarStep::Months(months) => {
                let index = |date: DateTime| i64::from(date.year()) * 12 + i64::from(date.month());
                (index(wall) - index(self.anchor)).div_euclid(months)
            }
        }
    }

    /// The tick that many steps from the anchor; none on a date that the zone skips, and beyond the end of
    /// time.
    fn tick(&self, n: i64) -> Option<Timestamp> {
        if n == 0 && self.first.is_some() {
            return self.first;
        }
        let span = match self.step {
            CalendarStep::Days(days) => Span::new().try_days(n.checked_mul(days)?).ok()?,
            CalendarStep::Months(months) => Span::new().try_months(n.checked_mul(months)?).ok()?,
        };
        self.zone.instant(self.anchor.checked_add(span).ok()?)
    }
}

#[cfg(test)]
mod tests;
