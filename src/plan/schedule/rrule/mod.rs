//! Recurrence rules: the text of RFC 5545's RRULE to ticks.
//!
//! The meaning is that of dateutil, which Prefect uses: a rule runs on the wall clock from its DTSTART, which
//! is an occurrence only where the rule names it, and what a rule leaves open is taken from DTSTART.
//! Occurrences then become instants like any fixed time: one in a gap comes at the first instant after it, a
//! repeated one on its first pass, and two at one instant are one. Two differences: a weekday with a number
//! and one without (`BYDAY=MO,2TU`) are alternatives, as RFC 5545 has it, and dates that dateutil would look
//! for without end are refused.
//!
//! The rule is never walked from DTSTART. COUNT is the exception, as nothing else can tell when it is
//! reached: its occurrences are listed when the rule is read, and there is a greatest COUNT for that reason.

mod days;
mod error;
mod expand;
mod parse;
mod times;

use jiff::Timestamp;
use jiff::civil::{DateTime, Time, date};

pub use error::{RRULE_LENGTH_MAX, RruleError};
pub use parse::RRULE_COUNT_MAX;

use super::budget::Budget;
use super::zone::{SECOND, Zone};
use expand::Rule;

/// Days in a row that a zone may skip, and then some.
const SKIPPED_DAYS_MAX: usize = 16;

/// A recurrence rule on the clocks of one zone.
#[derive(Debug, Clone)]
pub(super) struct ZonedRrule {
    zone: Zone,
    rule: Rule,
    /// All occurrences of a rule with a COUNT, in order.
    counted: Option<Vec<DateTime>>,
    /// RDATE, in order.
    extra: Vec<DateTime>,
    /// EXDATE, in order.
    except: Vec<DateTime>,
}

impl ZonedRrule {
    /// Reads a rule, and refuses one that never comes. Without a DTSTART it starts at `start`, else with
    /// 1970.
    pub(super) fn parse(text: &str, zone: Zone, start: Option<Timestamp>) -> Result<Self, RruleError> {
        let start = start.map_or(date(1970, 1, 1).at(0, 0, 0, 0), |start| zone.wall(start));
        let parsed = parse::parse(text, &zone, start)?;
        let mut budget = Budget::question();
        let counted = match parsed.count {
            None => None,
            Some(count) => {
                let listed = list(&parsed.rule, count, &mut budget);
                if budget.is_spent() {
                    return Err(RruleError::CountTooFar(count));
                }
                Some(listed)
            }
        };
        let rrule = Self { zone, rule: parsed.rule, counted, extra: parsed.extra, except: parsed.except };
        if rrule.next_wall(DateTime::MIN, &mut budget).is_none() {
            return Err(RruleError::NeverComes(rrule.rule.start));
        }
        Ok(rrule)
    }

    /// The first tick later than `after`, a whole second.
    pub(super) fn next_after(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let mut wall = self.zone.reached(after);
        for _ in 0..SKIPPED_DAYS_MAX {
            wall = self.next_wall(wall, budget)?;
            if let Some(tick) = self.zone.instant(wall).filter(|tick| *tick > after) {
                return Some(tick);
            }
            // The zone skips this day altogether.
            wall = wall.date().to_datetime(LAST_TIME);
        }
        None
    }

    /// The last tick that is not later than `until`, a whole second.
    pub(super) fn latest_until(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let mut wall = self.zone.reached(until);
        for _ in 0..SKIPPED_DAYS_MAX {
            wall = self.latest_wall(wall, budget)?;
            if let Some(tick) = self.zone.instant(wall).filter(|tick| *tick <= until) {
                return Some(tick);
            }
            wall = wall.date().at(0, 0, 0, 0).checked_sub(SECOND).ok()?;
        }
        None
    }

    fn next_wall(&self, after: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let mut wall = after;
        // Each turn but the last meets an EXDATE.
        for _ in 0..=self.except.len() {
            let ruled = match &self.counted {
                Some(counted) => first_after(counted, wall),
                None => self.rule.next(wall, budget),
            };
            wall = [ruled, first_after(&self.extra, wall)].into_iter().flatten().min()?;
            if self.except.binary_search(&wall).is_err() {
                return Some(wall);
            }
        }
        None
    }

    fn latest_wall(&self, until: DateTime, budget: &mut Budget) -> Option<DateTime> {
        let mut wall = until;
        for _ in 0..=self.except.len() {
            let ruled = match &self.counted {
                Some(counted) => last_until(counted, wall),
                None => self.rule.latest(wall, budget),
            };
            let found = ruled.max(last_until(&self.extra, wall))?;
            if self.except.binary_search(&found).is_err() {
                return Some(found);
            }
            wall = found.checked_sub(SECOND).ok()?;
        }
        None
    }
}

/// The EXDATEs of a rule that take no occurrence away, each with the first occurrence on its day. Nothing for
/// a rule that cannot be read.
pub fn idle_exdates(text: &str, zone: &str, start: Option<Timestamp>) -> Vec<(DateTime, Option<DateTime>)> {
    let Some(mut rrule) = Zone::find(zone).ok().and_then(|zone| ZonedRrule::parse(text, zone, start).ok())
    else {
        return Vec::new();
    };
    let except = std::mem::take(&mut rrule.except);
    let mut budget = Budget::question();
    let mut first_from = |wall: DateTime| rrule.next_wall(wall.checked_sub(SECOND).ok()?, &mut budget);
    let mut idle = Vec::new();
    for date in except {
        if first_from(date) != Some(date) {
            let of_day = first_from(date.date().at(0, 0, 0, 0)).filter(|found| found.date() == date.date());
            idle.push((date, of_day));
        }
    }
    // What was not looked for to its end says nothing.
    if budget.is_spent() { Vec::new() } else { idle }
}

/// The last second of a day.
const LAST_TIME: Time = Time::constant(23, 59, 59, 0);

/// The first occurrences of a rule.
fn list(rule: &Rule, count: u32, budget: &mut Budget) -> Vec<DateTime> {
    let mut listed: Vec<DateTime> = Vec::new();
    for _ in 0..count {
        match rule.next(listed.last().copied().unwrap_or(DateTime::MIN), budget) {
            Some(wall) => listed.push(wall),
            None => break,
        }
    }
    listed
}

fn first_after(walls: &[DateTime], after: DateTime) -> Option<DateTime> {
    walls.get(walls.partition_point(|wall| *wall <= after)).copied()
}

fn last_until(walls: &[DateTime], until: DateTime) -> Option<DateTime> {
    walls.get(walls.partition_point(|wall| *wall <= until).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests;
