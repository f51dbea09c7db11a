//! Finds the minutes of the calendar that a cron schedule names, before any zone comes in.
//!
//! Everything here is the clock on the wall. Forwards and backwards are mirror images, and both look at each
//! month and day once at most, so a schedule that comes once in eight years is found as surely as one of
//! every minute.

use jiff::civil::{Date, DateTime};

use super::budget::Budget;
#[cfg(test)]
use super::budget::work;
use super::cron::{CronFields, bit};

/// How far a search looks, in years. The rarest schedule, a 29th of February, comes at least every eight.
const SEARCH_YEARS: i16 = 28;

impl CronFields {
    /// The first minute of the schedule later than `wall`.
    pub(super) fn next_after(&self, wall: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let today = wall.date();
        let minute = minute_of_day(wall) + 1;
        if self.has_date(today)
            && let Some(time) = self.first_time(minute)
        {
            return at(today, time);
        }
        at(self.next_date(today.tomorrow().ok()?, budget)?, self.first_time(0)?)
    }

    /// The last minute of the schedule that is not later than `wall`.
    pub(super) fn latest_until(&self, wall: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let today = wall.date();
        if self.has_date(today)
            && let Some(time) = self.last_time(minute_of_day(wall))
        {
            return at(today, time);
        }
        at(self.previous_date(today.yesterday().ok()?, budget)?, self.last_time(MINUTES_PER_DAY - 1)?)
    }

    fn has_date(&self, date: Date) -> bool {
        #[cfg(test)]
        work::done(1);
        let day = self.days & bit(date.day().unsigned_abs().into()) != 0;
        let weekday = self.weekdays & bit(date.weekday().to_sunday_zero_offset().unsigned_abs().into()) != 0;
        self.has_month(date) && if self.either_day { day || weekday } else { day && weekday }
    }

    fn has_month(&self, date: Date) -> bool {
        self.months & bit(date.month().unsigned_abs().into()) != 0
    }

    fn next_date(&self, from: Date, budget: &mut Budget) -> Option<Date> {
        let last_year = from.year().saturating_add(SEARCH_YEARS);
        let mut date = from;
        while date.year() <= last_year && budget.spend(1) {
            if self.has_date(date) {
                return Some(date);
            }
            let passed = if self.has_month(date) { date } else { date.last_of_month() };
            date = passed.tomorrow().ok()?;
        }
        None
    }

    fn previous_date(&self, from: Date, budget: &mut Budget) -> Option<Date> {
        let first_year = from.year().saturating_sub(SEARCH_YEARS);
        let mut date = from;
        while date.year() >= first_year && budget.spend(1) {
            if self.has_date(date) {
                return Some(date);
            }
            let passed = if self.has_month(date) { date } else { date.first_of_month() };
            date = passed.yesterday().ok()?;
        }
        None
    }

    /// The first minute of the day from `from` on, itself included.
    fn first_time(&self, from: u32) -> Option<u32> {
        let (hour, minute) = (from / 60, from % 60);
        if self.hours & bit(hour) != 0
            && let Some(found) = lowest_from(self.minutes, minute)
        {
            return Some(hour * 60 + found);
        }
        Some(lowest_from(self.hours, hour + 1)? * 60 + lowest_from(self.minutes, 0)?)
    }

    /// The last minute of the day up to `until`, itself included.
    fn last_time(&self, until: u32) -> Option<u32> {
        let (hour, minute) = (until / 60, until % 60);
        if self.hours & bit(hour) != 0
            && let Some(found) = highest_to(self.minutes, minute)
        {
            return Some(hour * 60 + found);
        }
        Some(highest_to(self.hours, hour.checked_sub(1)?)? * 60 + highest_to(self.minutes, 59)?)
    }
}

const MINUTES_PER_DAY: u32 = 24 * 60;

fn minute_of_day(wall: DateTime) -> u32 {
    u32::from(wall.hour().unsigned_abs()) * 60 + u32::from(wall.minute().unsigned_abs())
}

fn at(date: Date, minute_of_day: u32) -> Option<DateTime> {
    let (hour, minute) = (i8::try_from(minute_of_day / 60).ok()?, i8::try_from(minute_of_day % 60).ok()?);
    DateTime::new(date.year(), date.month(), date.day(), hour, minute, 0, 0).ok()
}

/// The lowest value of a set that is at least `from`.
pub(super) fn lowest_from(bits: u64, from: u32) -> Option<u32> {
    let rest = bits.checked_shr(from)?;
    (rest != 0).then(|| from + rest.trailing_zeros())
}

/// The highest value of a set that is at most `to`.
pub(super) fn highest_to(bits: u64, to: u32) -> Option<u32> {
    (bits & u64::MAX.checked_shr(63_u32.saturating_sub(to))?).checked_ilog2()
}
