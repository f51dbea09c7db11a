//! Filters: which ticks of a clock count, by the day and the time that the wall shows.
//!
//! A filter is two questions that do not depend on each other, one about the date and one about the time of
//! day. So the next moment that passes is computed, not walked to: a clock of every minute with one day in
//! the year costs no more than one of every day.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};

use super::budget::Budget;
#[cfg(test)]
use super::budget::work;
use super::error::ScheduleError;
use super::zone::{SECOND, Zone};
use crate::api::schedule::{Day, TickFilter};

/// Stretches of constant offset that a search for a passing moment crosses at most.
const STRETCHES_MAX: usize = 256;

/// The last second of a day.
pub(super) const LAST_TIME: Time = Time::constant(23, 59, 59, 0);

/// What `only` and `except` of a schedule say.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    only: Dates,
    except: Dates,
    /// Spans of the day that pass, first and last second, in order and apart from each other.
    times: Vec<(Time, Time)>,
}

/// The groups of a filter that are about dates.
#[derive(Debug, Clone, Default)]
struct Dates {
    days: Vec<Day>,
    /// The days of all spans, a bit each, month by month from January; none where no span was written.
    spans: Option<[u32; 12]>,
}

/// A month and a day, as they compare in a year.
type MonthDay = (i8, i8);

impl Filter {
    /// Reads what a schedule says. Without `only` and `except` everything passes.
    pub(super) fn parse(
        only: Option<&TickFilter>,
        except: Option<&TickFilter>,
    ) -> Result<Self, ScheduleError> {
        let nothing = TickFilter::default();
        let (only, except) = (only.unwrap_or(&nothing), except.unwrap_or(&nothing));
        let times = allowed(&time_spans("only", only)?, &time_spans("except", except)?);
        if times.is_empty() {
            return Err(ScheduleError::NoTimePasses);
        }
        Ok(Self { only: Dates::parse("only", only)?, except: Dates::parse("except", except)?, times })
    }

    /// The first instant from `from` on at which the wall shows what passes.
    pub(super) fn first_from(&self, zone: &Zone, from: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let mut t = from;
        for _ in 0..STRETCHES_MAX {
            if !budget.spend(1) {
                return None;
            }
            let offset = zone.offset(t);
            let wall = offset.to_datetime(t);
            let target = self.first_wall(wall, budget)?;
            if target == wall {
                return Some(t);
            }
            let passes = offset.to_timestamp(target).ok();
            match (passes, zone.change_after(t)) {
                (Some(passes), Some(end)) if passes < end => return Some(passes),
                (passes, None) => return passes,
                (_, Some(end)) => t = end,
            }
        }
        None
    }

    /// The last instant until `until` at which the wall shows what passes.
    pub(super) fn last_until(&self, zone: &Zone, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let mut t = until;
        for _ in 0..STRETCHES_MAX {
            if !budget.spend(1) {
                return None;
            }
            let offset = zone.offset(t);
            let wall = offset.to_datetime(t);
            let target = self.last_wall(wall, budget)?;
            if target == wall {
                return Some(t);
            }
            let passes = offset.to_timestamp(target).ok();
            match (passes, zone.change_until(t)) {
                (Some(passes), Some(start)) if passes >= start => return Some(passes),
                (passes, None) => return passes,
                (_, Some(start)) => t = start.checked_sub(SECOND).ok()?,
            }
        }
        None
    }

    fn first_wall(&self, from: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let mut date = from.date();
        if self.has_date(date)
            && let Some((start, _)) = self.times.iter().find(|(_, end)| *end >= from.time())
        {
            return Some(date.to_datetime(from.time().max(*start)));
        }
        while budget.spend(1) {
            date = date.tomorrow().ok()?;
            if self.has_date(date) {
                return Some(date.to_datetime(self.times.first()?.0));
            }
        }
        None
    }

    fn last_wall(&self, until: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let mut date = until.date();
        if self.has_date(date)
            && let Some((_, end)) = self.times.iter().rfind(|(start, _)| *start <= until.time())
        {
            return Some(date.to_datetime(until.time().min(*end)));
        }
        while budget.spend(1) {
            date = date.yesterday().ok()?;
            if self.has_date(date) {
                return Some(date.to_datetime(self.times.last()?.1));
            }
        }
        None
    }

    fn has_date(&self, date: Date) -> bool {
        #[cfg(test)]
        work::done(1);
        let (only, except) = (&self.only, &self.except);
        (only.days.is_empty() || only.has_day(date))
            && (only.spans.is_none() || only.has_span(date))
            && !except.has_day(date)
            && !except.has_span(date)
    }
}

impl Dates {
    fn parse(field: &'static str, filter: &TickFilter) -> Result<Self, ScheduleError> {
        let month_day = |text: &str| {
            month_day(text)
                .ok_or_else(|| ScheduleError::DayOfYear { field, written: text.chars().take(20).collect() })
        };
        let mut spans = None;
        for span in &filter.dates {
            mark(spans.get_or_insert_default(), month_day(&span.from)?, month_day(&span.to)?);
        }
        Ok(Self { days: filter.days.clone(), spans })
    }

    fn has_day(&self, date: Date) -> bool {
        self.days.iter().any(|day| match day {
            Day::Monday => date.weekday() == Weekday::Monday,
            Day::Tuesday => date.weekday() == Weekday::Tuesday,
            Day::Wednesday => date.weekday() == Weekday::Wednesday,
            Day::Thursday => date.weekday() == Weekday::Thursday,
            Day::Friday => date.weekday() == Weekday::Friday,
            Day::Saturday => date.weekday() == Weekday::Saturday,
            Day::Sunday => date.weekday() == Weekday::Sunday,
            Day::Weekday => !is_weekend(date),
            Day::Weekend => is_weekend(date),
            Day::MonthStart => date.day() == 1,
            Day::MonthEnd => date.day() == date.days_in_month(),
        })
    }

    fn has_span(&self, date: Date) -> bool {
        let month = usize::try_from(date.month() - 1).ok();
        let days = month.and_then(|month| self.spans.as_ref()?.get(month));
        days.is_some_and(|days| days & day_bit(date.day()) != 0)
    }
}

/// Adds the days from month and day to month and day, both included; across the end of the year where the
/// first is later.
fn mark(months: &mut [u32; 12], from: MonthDay, to: MonthDay) {
    for (month, days) in (1..).zip(months) {
        for day in 1..=31 {
            let (after, before) = (from <= (month, day), (month, day) <= to);
            if if from <= to { after && before } else { after || before } {
                *days |= day_bit(day);
            }
        }
    }
}

fn day_bit(day: i8) -> u32 {
    1_u32.checked_shl(day.unsigned_abs().into()).unwrap_or(0)
}

/// Whether a date is a Saturday or a Sunday.
pub(super) fn is_weekend(date: Date) -> bool {
    matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// Reads `MM-DD`; the 29th of February is a day of the year.
fn month_day(text: &str) -> Option<MonthDay> {
    let (month, day) = text.split_once('-')?;
    let (month, day) = (two_digits(month)?, two_digits(day)?);
    Date::new(2000, month, day).ok().map(|_| (month, day))
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::new(two_digits(hour)?, two_digits(minute)?, 0, 0).ok()
}

fn two_digits(text: &str) -> Option<i8> {
    let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn time_spans(field: &'static str, filter: &TickFilter) -> Result<Vec<(Time, Time)>, ScheduleError> {
    let time = |text: &str| {
        time_of_day(text)
            .ok_or_else(|| ScheduleError::TimeOfDay { field, written: text.chars().take(20).collect() })
    };
    filter.between.iter().map(|span| Ok((time(&span.from)?, time(&span.to)?))).collect()
}

/// The spans of the day that are in one of `only`, if there are any, and in none of `except`. Both ends of a
/// span belong to it; one whose end is before its start runs across midnight.
fn allowed(only: &[(Time, Time)], except: &[(Time, Time)]) -> Vec<(Time, Time)> {
    let within =
        |spans: &[(Time, Time)], time: Time| {
            spans.iter().any(|(from, to)| {
                if from <= to { *from <= time && time <= *to } else { *from <= time || time <= *to }
            })
        };
    // What passes changes at the start of a span and a second after its end, and nowhere else.
    let spans = || only.iter().chain(except);
    let mut starts: Vec<Time> = spans()
        .flat_map(|(from, to)| [Some(*from), to.checked_add(SECOND).ok()])
        .flatten()
        .chain([Time::midnight()])
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let ends = starts.iter().skip(1).map(|next| *next - SECOND).chain([LAST_TIME]);
    let pieces = starts.iter().copied().zip(ends);
    pieces.filter(|(start, _)| (only.is_empty() || within(only, *start)) && !within(except, *start)).collect()
}

#[cfg(test)]
mod tests;
