//! A recurrence rule on the wall clock: which times it names, found from either side.
//!
//! A rule divides the calendar into periods (years, months, weeks, days, hours, minutes), of which it takes
//! every n-th from its start. The period that contains a time is computed, not walked to, and its times are
//! looked up in sets: dates by a test, times of day by bits. So the cost of a question does not depend on how
//! long ago the rule started.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};

use super::days::{Days, weekday_number};
use super::times::Times;
use crate::plan::schedule::budget::Budget;
#[cfg(test)]
use crate::plan::schedule::budget::work;
use crate::plan::schedule::calendar::{highest_to, lowest_from};
use crate::plan::schedule::cron::bit;
use crate::plan::schedule::zone::SECOND;

const HOUR_SECONDS: i64 = 3600;
const MINUTE_SECONDS: i64 = 60;

/// The last second of a day.
const LAST_TIME: Time = Time::constant(23, 59, 59, 0);

/// How often a rule repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Frequency {
    Yearly,
    Monthly,
    Weekly,
    Daily,
    Hourly,
    Minutely,
}

/// A rule without its COUNT.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) frequency: Frequency,
    /// Every so many periods; at least 1.
    pub(super) interval: i64,
    /// No time before this one is in the rule, and its periods are counted from here.
    pub(super) start: DateTime,
    /// No time after this one is in the rule.
    pub(super) until: Option<DateTime>,
    /// The day that begins a week, Monday being 0.
    pub(super) week_start: i8,
    pub(super) days: Days,
    pub(super) times: Times,
    /// BYSETPOS: places among the times of a period, counted from 1, or from the end where negative.
    pub(super) positions: Vec<i16>,
}

impl Rule {
    /// The first time later than `after`.
    pub(super) fn next(&self, after: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let after = self.start.checked_sub(SECOND).ok()?.max(after);
        let found = if self.frequency < Frequency::Hourly {
            self.next_by_date(after, budget)
        } else {
            self.next_by_time(after, budget)
        };
        found.filter(|found| self.until.is_none_or(|until| *found <= until))
    }

    /// The last time that is not later than `until`.
    pub(super) fn latest(&self, until: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let until = self.until.map_or(until, |end| end.min(until));
        if until < self.start {
            return None;
        }
        let found = if self.frequency < Frequency::Hourly {
            self.latest_by_date(until, budget)
        } else {
            self.latest_by_time(until, budget)
        };
        found.filter(|found| *found >= self.start)
    }

    fn next_by_date(&self, after: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let mut index = self.index_of(after.date())?.max(0);
        let from = after.checked_add(SECOND).ok()?;
        while budget.spend(1) {
            let (first, last) = self.period(index)?;
            if self.until.is_some_and(|until| until.date() < first) {
                return None;
            }
            let found = if self.positions.is_empty() {
                self.first_in(first, last, from, budget)
            } else {
                self.placed(first, last, self.times, budget).into_iter().find(|found| *found >= from)
            };
            if found.is_some() {
                return found;
            }
            index += 1;
        }
        None
    }

    fn latest_by_date(&self, until: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let mut index = self.index_of(until.date())?;
        while index >= 0 && budget.spend(1) {
            let (first, last) = self.period(index)?;
            let found = if self.positions.is_empty() {
                self.last_in(first, last, until, budget)
            } else {
                self.placed(first, last, self.times, budget).into_iter().rfind(|found| *found <= until)
            };
            if found.is_some() {
                return found;
            }
            index -= 1;
        }
        None
    }

    /// The first time of a period's dates that is not before `from`.
    fn first_in(&self, first: Date, last: Date, from: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let mut date = self.days.first(first.max(from.date()), last, budget)?;
        if date == from.date() {
            if let Some(time) = self.times.first_from(from.time()) {
                return Some(date.to_datetime(time));
            }
            date = self.days.first(date.tomorrow().ok()?, last, budget)?;
        }
        Some(date.to_datetime(self.times.first_from(Time::midnight())?))
    }

    /// The last time of a period's dates that is not after `until`.
    fn last_in(&self, first: Date, last: Date, until: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let mut date = self.days.last(first, last.min(until.date()), budget)?;
        if date == until.date() {
            if let Some(time) = self.times.last_until(until.time()) {
                return Some(date.to_datetime(time));
            }
            date = self.days.last(first, date.yesterday().ok()?, budget)?;
        }
        Some(date.to_datetime(self.times.last_until(LAST_TIME)?))
    }

    /// The times at the places of BYSETPOS among all of a period, in order.
    fn placed(&self, first: Date, last: Date, times: Times, budget: &mut Budget) -> Vec<DateTime> {
        let mut dates = Vec::new();
        let mut from = Some(first);
        while let Some(date) = from.and_then(|from| self.days.first(from, last, budget)) {
            dates.push(date);
            from = date.tomorrow().ok();
        }
        let count = times.len();
        let total = u32::try_from(dates.len()).unwrap_or(u32::MAX).saturating_mul(count);
        let place = |position: i16| {
            let distance = u32::from(position.unsigned_abs());
            if position > 0 {
                distance.checked_sub(1).filter(|place| *place < total)
            } else {
                total.checked_sub(distance)
            }
        };
        let time = |place: u32| {
            let date = dates.get(usize::try_from(place.checked_div(count)?).ok()?)?;
            Some(date.to_datetime(times.at(place.checked_rem(count)?)?))
        };
        // A long list costs nothing where a period has few times.
        let nearest = i16::try_from(total).unwrap_or(i16::MAX);
        let beyond = self.positions.partition_point(|position| *position < -nearest);
        let positions = self.positions.iter().skip(beyond).take_while(|position| **position <= nearest);
        let mut found: Vec<_> = positions.filter_map(|position| time(place(*position)?)).collect();
        #[cfg(test)]
        work::done(found.len());
        found.sort_unstable();
        found
    }

    /// The number of the period of `date` among those that the rule takes, or of the last one before it.
    fn index_of(&self, date: Date) -> Option<i64> {
        let units = match self.frequency {
            Frequency::Yearly => i64::from(date.year()) - i64::from(self.start.year()),
            Frequency::Monthly => months(date) - months(self.start.date()),
            Frequency::Weekly => (day_number(date)? - day_number(self.first_week()?)?).div_euclid(7),
            _ => day_number(date)? - day_number(self.start.date())?,
        };
        Some(units.div_euclid(self.interval))
    }

    /// The first and the last date of the period of that number.
    fn period(&self, index: i64) -> Option<(Date, Date)> {
        let units = index.checked_mul(self.interval)?;
        match self.frequency {
            Frequency::Yearly => {
                let year = i16::try_from(units.checked_add(self.start.year().into())?).ok()?;
                Some((Date::new(year, 1, 1).ok()?, Date::new(year, 12, 31).ok()?))
            }
            Frequency::Monthly => {
                let month = units.checked_add(months(self.start.date()))?;
                let (year, month) = (i16::try_from(month.div_euclid(12)).ok()?, month.rem_euclid(12) + 1);
                let first = Date::new(year, i8::try_from(month).ok()?, 1).ok()?;
                Some((first, first.last_of_month()))
            }
            Frequency::Weekly => {
                let first = self.first_week()?.checked_add(Span::new().try_weeks(units).ok()?).ok()?;
                let last = first.checked_add(Span::new().days(6)).ok()?;
                // As in dateutil, the places of BYSETPOS count from the rule's start in its first week.
                Some((first.max(self.start.date()), last))
            }
            _ => {
                let date = self.start.date().checked_add(Span::new().try_days(units).ok()?).ok()?;
                Some((date, date))
            }
        }
    }

    /// The first day of the week of the rule's start.
    fn first_week(&self) -> Option<Date> {
        let into = (weekday_number(self.start.date()) - self.week_start).rem_euclid(7);
        self.start.date().checked_sub(Span::new().days(i64::from(into))).ok()
    }

    /// Seconds from one period to the next, where periods are hours or minutes.
    fn step(&self) -> i64 {
        self.unit().saturating_mul(self.interval)
    }

    fn unit(&self) -> i64 {
        if self.frequency == Frequency::Hourly { HOUR_SECONDS } else { MINUTE_SECONDS }
    }

    /// The second on the wall at which the first period begins, where periods are hours or minutes.
    fn base(&self) -> Option<i64> {
        let start = seconds(self.start)?;
        Some(start - start.rem_euclid(self.unit()))
    }

    fn next_by_time(&self, after: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let (base, step) = (self.base()?, self.step());
        let from = after.checked_add(SECOND).ok()?;
        let mut at = base + (seconds(from)? - base).div_euclid(step).max(0) * step;
        while budget.spend(1) {
            let begin = wall(at)?;
            if self.until.is_some_and(|until| until < begin) {
                return None;
            }
            let target = match self.next_begin(begin, budget)? {
                Some(target) => seconds(target)?,
                None => match self.first_of(begin, from, budget) {
                    Some(found) => return Some(found),
                    None => at + 1,
                },
            };
            // The first period that begins at the target or later.
            at = base + (target - base + step - 1).div_euclid(step) * step;
        }
        None
    }

    fn latest_by_time(&self, until: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let (base, step) = (self.base()?, self.step());
        let mut at = base + (seconds(until)? - base).div_euclid(step) * step;
        while at >= base && budget.spend(1) {
            let begin = wall(at)?;
            let target = match self.previous_begin(begin, budget)? {
                Some(target) => seconds(target)?,
                None => match self.last_of(begin, until, budget) {
                    Some(found) => return Some(found),
                    None => at - 1,
                },
            };
            at = base + (target - base).div_euclid(step) * step;
        }
        None
    }

    /// Where the next period may be that the rule has, if the one that begins at `begin` is not in it.
    #[expect(clippy::option_option, reason = "nothing ahead, or no need to move")]
    fn next_begin(&self, begin: DateTime, budget: &mut Budget) -> Option<Option<DateTime>> {
        let (date, hour, minute) = (begin.date(), number(begin.hour()), number(begin.minute()));
        if !self.days.has(date) {
            let date = self.days.first(date.tomorrow().ok()?, Date::MAX, budget)?;
            return Some(Some(date.at(0, 0, 0, 0)));
        }
        let next_day = || date.tomorrow().ok().map(|date| date.at(0, 0, 0, 0));
        let at = |hour: Option<u32>, minute: u32| match hour {
            Some(hour) => at_time(date, hour, minute, 0),
            None => next_day(),
        };
        if self.times.hours & bit(hour) == 0 {
            return Some(Some(at(lowest_from(self.times.hours, hour), 0)?));
        }
        if self.frequency == Frequency::Minutely && self.times.minutes & bit(minute) == 0 {
            return match lowest_from(self.times.minutes, minute) {
                Some(minute) => Some(Some(at(Some(hour), minute)?)),
                None => Some(Some(at(lowest_from(self.times.hours, hour + 1), 0)?)),
            };
        }
        Some(None)
    }

    /// The mirror image of [`Self::next_begin`]: the last second of what may be in the rule.
    #[expect(clippy::option_option, reason = "nothing behind, or no need to move")]
    fn previous_begin(&self, begin: DateTime, budget: &mut Budget) -> Option<Option<DateTime>> {
        let (date, hour, minute) = (begin.date(), number(begin.hour()), number(begin.minute()));
        if !self.days.has(date) {
            let date = self.days.last(self.start.date(), date.yesterday().ok()?, budget)?;
            return Some(Some(date.to_datetime(LAST_TIME)));
        }
        let day_before = || date.yesterday().ok().map(|date| date.to_datetime(LAST_TIME));
        let at = |hour: Option<u32>, minute: u32| match hour {
            Some(hour) => at_time(date, hour, minute, 59),
            None => day_before(),
        };
        let hour_before = || hour.checked_sub(1).and_then(|to| highest_to(self.times.hours, to));
        if self.times.hours & bit(hour) == 0 {
            return Some(Some(at(hour_before(), 59)?));
        }
        if self.frequency == Frequency::Minutely && self.times.minutes & bit(minute) == 0 {
            return match minute.checked_sub(1).and_then(|to| highest_to(self.times.minutes, to)) {
                Some(minute) => Some(Some(at(Some(hour), minute)?)),
                None => Some(Some(at(hour_before(), 59)?)),
            };
        }
        Some(None)
    }

    /// The times of day that the hour or minute has that begins at `begin`.
    fn times_of(&self, begin: DateTime) -> Times {
        let times = Times { hours: bit(number(begin.hour())), ..self.times };
        if self.frequency == Frequency::Minutely {
            return Times { minutes: bit(number(begin.minute())), ..times };
        }
        times
    }

    /// The first time of the hour or minute that begins at `begin`, not before `from`.
    fn first_of(&self, begin: DateTime, from: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let (date, times, from) = (begin.date(), self.times_of(begin), from.max(begin));
        if self.positions.is_empty() {
            return times
                .first_from(from.time())
                .filter(|_| from.date() == date)
                .map(|time| date.to_datetime(time));
        }
        self.placed(date, date, times, budget).into_iter().find(|found| *found >= from)
    }

    /// The last time of the hour or minute that begins at `begin`, not after `until`.
    fn last_of(&self, begin: DateTime, until: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let (date, times) = (begin.date(), self.times_of(begin));
        if self.positions.is_empty() {
            let until = if until.date() == date { until.time() } else { LAST_TIME };
            return times.last_until(until).map(|time| date.to_datetime(time));
        }
        self.placed(date, date, times, budget).into_iter().rfind(|found| *found <= until)
    }
}

fn months(date: Date) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month()) - 1
}

fn number(part: i8) -> u32 {
    u32::from(part.unsigned_abs())
}

/// A count of seconds on the wall, which has no gaps and no overlaps.
fn seconds(wall: DateTime) -> Option<i64> {
    Offset::UTC.to_timestamp(wall).ok().map(Timestamp::as_second)
}

fn wall(seconds: i64) -> Option<DateTime> {
    Timestamp::from_second(seconds).ok().map(|t| Offset::UTC.to_datetime(t))
}

fn day_number(date: Date) -> Option<i64> {
    seconds(date.at(0, 0, 0, 0)).map(|seconds| seconds.div_euclid(24 * HOUR_SECONDS))
}

fn at_time(date: Date, hour: u32, minute: u32, second: i8) -> Option<DateTime> {
    let (hour, minute) = (i8::try_from(hour).ok()?, i8::try_from(minute).ok()?);
    DateTime::new(date.year(), date.month(), date.day(), hour, minute, second, 0).ok()
}
