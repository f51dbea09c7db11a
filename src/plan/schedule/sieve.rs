//! The ticks that are left of a clock's: within its start, past its filter, moved off the weekend.
//!
//! A tick that does not pass shows the next moment that could, and the search goes on from there, back and forth between
//! clock and filter. Each turn is paid for, so that a clock and a filter that never meet end the search.
//!
//! A tick that is moved keeps its time of day, and so three days come together on a Monday: its own and those of
//! the Saturday and the Sunday before it. The earliest of them is looked up day by day, and inside a day by stretches
//! of constant offset, where time and wall run in step.

use jiff::civil::{Date, Time};
use jiff::{Span, Timestamp};

use super::budget::Budget;
use super::clock::Ticks;
use super::filter::{Filter, LAST_TIME, Part};
use super::zone::{SECOND, Zone};

/// What a turn between clock and filter costs, in looks.
const TURN: u32 = 20;

/// Stretches of constant offset that one day may have.
const STRETCHES_MAX: usize = 4;

/// Weekends that a search for a moved tick looks at; more than one only where a zone skips a Monday.
const WEEKENDS_MAX: usize = 4;

/// A clock's ticks from its start on.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) ticks: Ticks,
    /// The last second before the clock starts.
    pub(super) before_start: Option<Timestamp>,
}

impl Source {
    pub(super) fn next_after(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        self.ticks.next_after(self.before_start.map_or(after, |start| start.max(after)), budget)
    }

    pub(super) fn latest_until(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        self.ticks.latest_until(until, budget).filter(|tick| Some(*tick) > self.before_start)
    }
}

/// A clock's ticks through its schedule's filter and adjustment.
#[derive(Debug)]
pub(super) struct Sieve<'a> {
    pub(super) source: &'a Source,
    pub(super) zone: &'a Zone,
    pub(super) filter: &'a Filter,
    /// Whether ticks of a weekend move to the Monday after it.
    pub(super) moves: bool,
}

impl Sieve<'_> {
    /// The first tick later than `after`.
    pub(super) fn next_after(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        if !self.moves {
            return self.next_passing(after, Part::All, budget);
        }
        let moved = self.next_moved(after, budget);
        let own = self.next_passing(after, Part::Weekdays, budget);
        [own, moved].into_iter().flatten().min()
    }

    /// The last tick that is not later than `until`.
    pub(super) fn latest_until(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        if !self.moves {
            return self.latest_passing(until, Part::All, budget);
        }
        let moved = self.latest_moved(until, budget);
        self.latest_passing(until, Part::Weekdays, budget).max(moved)
    }

    fn next_passing(&self, after: Timestamp, part: Part, budget: &mut Budget) -> Option<Timestamp> {
        let mut after = after;
        while budget.spend(TURN) {
            let tick = self.source.next_after(after, budget)?;
            let passes = self.filter.first_from(self.zone, tick, part, budget)?;
            if passes == tick {
                return Some(tick);
            }
            after = passes.checked_sub(SECOND).ok()?;
        }
        None
    }

    fn latest_passing(&self, until: Timestamp, part: Part, budget: &mut Budget) -> Option<Timestamp> {
        let mut until = until;
        while budget.spend(TURN) {
            let tick = self.source.latest_until(until, budget)?;
            let passes = self.filter.last_until(self.zone, tick, part, budget)?;
            if passes == tick {
                return Some(tick);
            }
            until = passes;
        }
        None
    }

    /// The first tick later than `after` that comes from a weekend.
    fn next_moved(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let reached = self.zone.reached(after);
        let mut monday = monday_from(reached.date())?;
        let mut above = (monday == reached.date()).then(|| reached.time());
        for _ in 0..WEEKENDS_MAX {
            let days = weekend_before(monday)?;
            let found = days.into_iter().filter_map(|day| self.first_on(day, above, budget)).min();
            let tick = found.and_then(|time| self.zone.instant(monday.to_datetime(time)));
            if let Some(tick) = tick.filter(|tick| *tick > after) {
                return Some(tick);
            }
            let passed = self.zone.instant(monday.at(12, 0, 0, 0)).unwrap_or(after).max(after);
            let tick = self.next_passing(passed, Part::Weekends, budget)?;
            monday = monday_from(self.zone.wall(tick).date())?;
            above = None;
        }
        None
    }

    /// The last tick not later than `until` that comes from a weekend.
    fn latest_moved(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let reached = self.zone.reached(until);
        let back = reached.date().weekday().to_monday_zero_offset();
        let mut monday = reached.date().checked_sub(Span::new().days(i64::from(back))).ok()?;
        let mut last = if monday == reached.date() { reached.time() } else { LAST_TIME };
        for _ in 0..WEEKENDS_MAX {
            let days = weekend_before(monday)?;
            let found = days.into_iter().filter_map(|day| self.last_on(day, last, budget)).max();
            let tick = found.and_then(|time| self.zone.instant(monday.to_datetime(time)));
            if let Some(tick) = tick.filter(|tick| *tick <= until) {
                return Some(tick);
            }
            let friday = monday.checked_sub(Span::new().days(3)).ok()?;
            let passed = self.zone.instant(friday.at(12, 0, 0, 0)).unwrap_or(until).min(until);
            let tick = self.latest_passing(passed, Part::Weekends, budget)?;
            monday = monday_from(self.zone.wall(tick).date())?;
            last = LAST_TIME;
        }
        None
    }

    /// The earliest time of day, later than `above`, that the wall shows at a tick of that date.
    fn first_on(&self, date: Date, above: Option<Time>, budget: &mut Budget) -> Option<Time> {
        let first = above.map_or(Some(Time::midnight()), |above| above.checked_add(SECOND).ok())?;
        let mut start = self.zone.instant(date.at(0, 0, 0, 0))?;
        let mut found = None;
        for _ in 0..STRETCHES_MAX {
            let (offset, end) = (self.zone.offset(start), self.zone.change_after(start));
            let from = offset.to_timestamp(date.to_datetime(first)).ok()?.max(start);
            if end.is_none_or(|end| from < end)
                && let Some(tick) = self.next_passing(from.checked_sub(SECOND).ok()?, Part::All, budget)
                && end.is_none_or(|end| tick < end)
                && offset.to_datetime(tick).date() == date
            {
                let time = offset.to_datetime(tick).time();
                found = Some(found.map_or(time, |found: Time| found.min(time)));
            }
            match end {
                Some(end) if self.zone.wall(end).date() <= date => start = end,
                _ => break,
            }
        }
        found
    }

    /// The latest time of day, `last` at most, that the wall shows at a tick of that date.
    fn last_on(&self, date: Date, last: Time, budget: &mut Budget) -> Option<Time> {
        let mut start = self.zone.instant(date.at(0, 0, 0, 0))?;
        let mut found = None;
        for _ in 0..STRETCHES_MAX {
            let (offset, end) = (self.zone.offset(start), self.zone.change_after(start));
            let shown = offset.to_timestamp(date.to_datetime(last)).ok()?;
            let until = end.and_then(|end| end.checked_sub(SECOND).ok()).map_or(shown, |end| end.min(shown));
            if until >= start
                && let Some(tick) = self.latest_passing(until, Part::All, budget)
                && tick >= start
                && offset.to_datetime(tick).date() == date
            {
                found = found.max(Some(offset.to_datetime(tick).time()));
            }
            match end {
                Some(end) if self.zone.wall(end).date() <= date => start = end,
                _ => break,
            }
        }
        found
    }
}

/// The Monday that a tick of that date moves to, or the date itself if it is a Monday.
fn monday_from(date: Date) -> Option<Date> {
    let ahead = (7 - date.weekday().to_monday_zero_offset()).rem_euclid(7);
    date.checked_add(Span::new().days(i64::from(ahead))).ok()
}

/// The Saturday and the Sunday before a Monday.
fn weekend_before(monday: Date) -> Option<[Date; 2]> {
    let sunday = monday.yesterday().ok()?;
    Some([sunday.yesterday().ok()?, sunday])
}
