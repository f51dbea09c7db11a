//! The ticks that are left of a clock's: within its start, past its filter, moved off the weekend.
//!
//! A tick that does not pass shows the next moment that could, and the search goes on from there, back and
//! forth between clock and filter. Each turn is paid for, so that a clock and a filter that never meet end
//! the search.
//!
//! A tick that is moved keeps its time of day, and so three days come together on a Monday: its own and those
//! of the Saturday and the Sunday before it. The earliest of them is looked up day by day, and inside a day
//! by stretches of constant offset, where time and wall run in step.

use jiff::civil::{Date, Time};
use jiff::{Span, Timestamp};

use super::budget::Budget;
use super::filter::{Filter, LAST_TIME, is_weekend};
use super::ticks::Source;
use super::zone::{SECOND, Zone};

/// What a turn between clock and filter costs, in looks.
const TURN: u32 = 20;

/// Stretches of constant offset that one day may have.
const STRETCHES_MAX: usize = 4;

/// Weekends that a search for a moved tick looks at; one or two, and more only where a zone skips a Monday.
const WEEKENDS_MAX: usize = 4;

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
        if self.moves { self.next_moved(after, budget) } else { self.next_passing(after, budget) }
    }

    /// The last tick that is not later than `until`.
    pub(super) fn latest_until(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        if self.moves { self.latest_moved(until, budget) } else { self.latest_passing(until, budget) }
    }

    fn next_passing(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let mut after = after;
        while budget.spend(TURN) {
            let tick = self.source.next_after(after, budget)?;
            let passes = self.filter.first_from(self.zone, tick, budget)?;
            if passes == tick {
                return Some(tick);
            }
            after = passes.checked_sub(SECOND).ok()?;
        }
        None
    }

    fn latest_passing(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let mut until = until;
        while budget.spend(TURN) {
            let tick = self.source.latest_until(until, budget)?;
            let passes = self.filter.last_until(self.zone, tick, budget)?;
            if passes == tick {
                return Some(tick);
            }
            until = passes;
        }
        None
    }

    /// The first tick later than `after`, whether it is moved or not.
    fn next_moved(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let reached = self.zone.reached(after);
        let monday = monday_from(reached.date())?;
        let above = (monday == reached.date()).then(|| reached.time());
        // Of a weekend that has begun, what is still to come on its Monday.
        let begun = self.first_moved_to(monday, above, budget).filter(|tick| *tick > after);
        let mut passed = after;
        for _ in 0..WEEKENDS_MAX {
            let Some(tick) = self.next_passing(passed, budget) else { return begun };
            let date = self.zone.wall(tick).date();
            if !is_weekend(date) {
                return Some(begun.map_or(tick, |begun| begun.min(tick)));
            }
            // The first that passes is of a weekend: it meets its Monday's own, and nothing comes before
            // them.
            let monday = monday_from(date)?;
            let moved = self.first_moved_to(monday, None, budget);
            passed =
                self.zone.instant(monday.at(0, 0, 0, 0)).and_then(|t| t.checked_sub(SECOND).ok())?.max(tick);
            let own =
                self.next_passing(passed, budget).filter(|tick| !is_weekend(self.zone.wall(*tick).date()));
            let found = [begun, moved, own].into_iter().flatten().filter(|tick| *tick > after).min();
            if found.is_some() {
                return found;
            }
        }
        begun
    }

    /// The last tick that is not later than `until`, whether it is moved or not.
    fn latest_moved(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let reached = self.zone.reached(until);
        let back = reached.date().weekday().to_monday_zero_offset();
        let current = reached.date().checked_sub(Span::new().days(i64::from(back))).ok()?;
        let last = if current == reached.date() { reached.time() } else { LAST_TIME };
        let moved = self.last_moved_to(current, last, budget).filter(|tick| *tick <= until);
        let mut cursor = until;
        for _ in 0..WEEKENDS_MAX {
            let Some(tick) = self.latest_passing(cursor, budget) else { return moved };
            let date = self.zone.wall(tick).date();
            if !is_weekend(date) {
                // On a Monday, ticks of the weekend before it may have been moved to behind its own.
                let met = if monday_from(date)? == date {
                    self.last_moved_to(date, LAST_TIME, budget).filter(|tick| *tick <= until)
                } else {
                    None
                };
                return moved.max(met).max(Some(tick));
            }
            let monday = monday_from(date)?;
            if monday <= current {
                // Nothing that is not moved lies between this weekend and the current Monday's moved ticks.
                let found =
                    moved.max(self.last_moved_to(monday, LAST_TIME, budget).filter(|tick| *tick <= until));
                if found.is_some() {
                    return found;
                }
            }
            let saturday = monday.checked_sub(Span::new().days(2)).ok()?;
            cursor = self.zone.instant(saturday.at(0, 0, 0, 0))?.checked_sub(SECOND).ok()?;
        }
        moved
    }

    /// The first instant of that Monday to which a tick of the weekend before it moves, of those later than
    /// `above`.
    fn first_moved_to(&self, monday: Date, above: Option<Time>, budget: &mut Budget) -> Option<Timestamp> {
        let days = weekend_before(monday)?.into_iter();
        let time = days.filter_map(|day| self.first_on(day, above, budget)).min()?;
        self.zone.instant(monday.to_datetime(time))
    }

    /// The last instant of that Monday to which a tick of the weekend before it moves, up to the time `last`.
    fn last_moved_to(&self, monday: Date, last: Time, budget: &mut Budget) -> Option<Timestamp> {
        let days = weekend_before(monday)?.into_iter();
        let time = days.filter_map(|day| self.last_on(day, last, budget)).max()?;
        self.zone.instant(monday.to_datetime(time))
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
                && let Some(tick) = self.next_passing(from.checked_sub(SECOND).ok()?, budget)
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
                && let Some(tick) = self.latest_passing(until, budget)
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
