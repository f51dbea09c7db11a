//! The dates of a recurrence rule: which of them have all that the rule asks for.
//!
//! Each date is judged by itself, and in constant time however long the lists are: they are sets.

use jiff::Span;
use jiff::civil::Date;

use crate::plan::schedule::budget::Budget;
#[cfg(test)]
use crate::plan::schedule::budget::work;
use crate::plan::schedule::cron::bit;

/// What a date needs to be in a rule. A part that is empty asks for nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Days {
    /// Bits 1 to 12.
    pub(super) months: u64,
    /// Days of the month, from its end where negative; sorted, as are the other lists.
    pub(super) of_month: Vec<i16>,
    /// Days of the year, from its end where negative.
    pub(super) of_year: Vec<i16>,
    /// Weeks of the year, from its end where negative.
    pub(super) weeks: Vec<i16>,
    /// Bits 0 (Monday) to 6.
    pub(super) weekdays: u64,
    /// The n-th such weekday.
    pub(super) nth_weekdays: NthWeekdays,
    /// The n-th of the month, rather than of the year.
    pub(super) nth_of_month: bool,
    /// The day that begins a week, Monday being 0.
    pub(super) week_start: i8,
}

/// Weekdays with a number, counted from the end where it is negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NthWeekdays {
    /// For each weekday from Monday on, bits 1 to 53.
    from_start: [u64; 7],
    from_end: [u64; 7],
}

impl NthWeekdays {
    /// Adds a number of up to 53 either way.
    pub(super) fn insert(&mut self, nth: i16, weekday: i8) {
        let days = if nth < 0 { &mut self.from_end } else { &mut self.from_start };
        if let Some(numbers) = usize::try_from(weekday).ok().and_then(|weekday| days.get_mut(weekday)) {
            *numbers |= bit(nth.unsigned_abs().into());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn has(&self, nth: i16, weekday: i8) -> bool {
        let days = if nth < 0 { &self.from_end } else { &self.from_start };
        let numbers = usize::try_from(weekday).ok().and_then(|weekday| days.get(weekday));
        numbers.is_some_and(|numbers| numbers & bit(nth.unsigned_abs().into()) != 0)
    }
}

impl Days {
    /// Whether a date has all that is asked for.
    pub(super) fn has(&self, date: Date) -> bool {
        #[cfg(test)]
        work::done(1);
        let back = date.day() - date.days_in_month() - 1;
        let either = |list: &[i16], one: i16, other: i16| {
            list.is_empty() || list.binary_search(&one).is_ok() || list.binary_search(&other).is_ok()
        };
        self.has_month(date)
            && either(&self.of_month, date.day().into(), back.into())
            && either(&self.of_year, date.day_of_year(), date.day_of_year() - date.days_in_year() - 1)
            && (self.weeks.is_empty() || self.has_week(date))
            && self.has_weekday(date)
    }

    fn has_month(&self, date: Date) -> bool {
        self.months == 0 || self.months & bit(date.month().unsigned_abs().into()) != 0
    }

    /// Week 1 is the first one with four days of the year, as in ISO 8601, whichever day begins a week.
    fn has_week(&self, date: Date) -> bool {
        let week = |date: Date| {
            let into = (weekday_number(date) - self.week_start).rem_euclid(7);
            let middle = date.checked_add(Span::new().days(i64::from(3 - into))).ok()?;
            Some((middle.year(), (middle.day_of_year() - 1) / 7 + 1))
        };
        let Some((year, number)) = week(date) else { return false };
        let count = Date::new(year, 12, 28).ok().and_then(week).map_or(52, |(_, number)| number);
        self.weeks.binary_search(&number).is_ok() || self.weeks.binary_search(&(number - count - 1)).is_ok()
    }

    /// Any of the weekdays suffices, with a number or without.
    fn has_weekday(&self, date: Date) -> bool {
        if self.weekdays == 0 && self.nth_weekdays.is_empty() {
            return true;
        }
        let weekday = weekday_number(date);
        if self.weekdays & bit(weekday.unsigned_abs().into()) != 0 {
            return true;
        }
        let (day, length) = if self.nth_of_month {
            (date.day().into(), date.days_in_month().into())
        } else {
            (date.day_of_year(), date.days_in_year())
        };
        let (nth, from_end) = ((day - 1) / 7 + 1, -((length - day) / 7 + 1));
        self.nth_weekdays.has(nth, weekday) || self.nth_weekdays.has(from_end, weekday)
    }

    /// The first date from `from` to `to` that is in the rule.
    pub(super) fn first(&self, from: Date, to: Date, budget: &mut Budget) -> Option<Date> {
        let mut date = from;
        while date <= to && budget.spend(1) {
            if self.has(date) {
                return Some(date);
            }
            let passed = if self.has_month(date) { date } else { date.last_of_month() };
            date = passed.tomorrow().ok()?;
        }
        None
    }

    /// The last date from `from` to `to` that is in the rule.
    pub(super) fn last(&self, from: Date, to: Date, budget: &mut Budget) -> Option<Date> {
        let mut date = to;
        while date >= from && budget.spend(1) {
            if self.has(date) {
                return Some(date);
            }
            let passed = if self.has_month(date) { date } else { date.first_of_month() };
            date = passed.yesterday().ok()?;
        }
        None
    }
}

/// The number of a weekday, Monday being 0.
pub(super) fn weekday_number(date: Date) -> i8 {
    date.weekday().to_monday_zero_offset()
}
