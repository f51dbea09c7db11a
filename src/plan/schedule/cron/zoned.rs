//! Cron in a time zone: minutes on the wall to instants, through gaps and overlaps.
//!
//! Two readings, chosen by the schedule itself:
//!
//! - **Fixed times** happen once, by the map of [`Zone::instant`].
//! - **Repeating schedules** tick whenever the wall shows one of their minutes. Time is cut into stretches of
//!   constant offset, inside which wall and time run in step, and the search goes stretch by stretch.
//!
//! `daylightSaving: CronJob` reads every schedule the second way. That is what Kubernetes' CronJob does,
//! whose library (robfig/cron) steps through instants and compares what the wall shows: a time in a gap does
//! not come that day, and one in an overlap comes twice. Where a zone changes by half an hour, that library
//! may lose a time right after the gap, depending on where its search began; that is not copied, since an
//! answer here depends on the schedule alone.

use jiff::Timestamp;

use super::CronFields;
use crate::api::schedule::DaylightSaving;
use crate::plan::schedule::budget::Budget;
use crate::plan::schedule::zone::{SECOND, Zone};

/// A day of minutes (the longest that any zone has ever repeated or skipped), twice.
const CANDIDATES_MAX: usize = 2 * 24 * 60;

/// Stretches of constant offset that a search crosses at most: more than any zone has in the years that are
/// searched.
const STRETCHES_MAX: usize = 256;

/// A cron schedule on the clocks of one zone.
#[derive(Debug, Clone)]
pub(in crate::plan::schedule) struct ZonedCron {
    fields: CronFields,
    zone: Zone,
    repeats: bool,
}

impl ZonedCron {
    pub(in crate::plan::schedule) fn new(fields: CronFields, zone: Zone, rule: DaylightSaving) -> Self {
        Self { fields, zone, repeats: fields.repeats || rule == DaylightSaving::CronJob }
    }

    /// The first tick later than `after`, a whole second.
    pub(in crate::plan::schedule) fn next_after(
        &self,
        after: Timestamp,
        budget: &mut Budget,
    ) -> Option<Timestamp> {
        if self.repeats { self.next_repeating(after, budget) } else { self.next_fixed(after, budget) }
    }

    /// The last tick that is not later than `until`, a whole second.
    pub(in crate::plan::schedule) fn latest_until(
        &self,
        until: Timestamp,
        budget: &mut Budget,
    ) -> Option<Timestamp> {
        if self.repeats { self.latest_repeating(until, budget) } else { self.latest_fixed(until, budget) }
    }

    fn next_fixed(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let mut wall = self.zone.reached(after);
        // Only times of a skipped day have no instant.
        for _ in 0..CANDIDATES_MAX {
            if !budget.spend(1) {
                return None;
            }
            wall = self.fields.next_after(wall, budget)?;
            if let Some(tick) = self.zone.instant(wall).filter(|tick| *tick > after) {
                return Some(tick);
            }
        }
        None
    }

    fn latest_fixed(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let mut wall = self.zone.reached(until);
        for _ in 0..CANDIDATES_MAX {
            if !budget.spend(1) {
                return None;
            }
            let candidate = self.fields.latest_until(wall, budget)?;
            if let Some(tick) = self.zone.instant(candidate).filter(|tick| *tick <= until) {
                return Some(tick);
            }
            wall = candidate.checked_sub(SECOND).ok()?;
        }
        None
    }

    fn next_repeating(&self, after: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let (mut start, mut passed) = (after, after);
        for _ in 0..STRETCHES_MAX {
            if !budget.spend(1) {
                return None;
            }
            let offset = self.zone.offset(start);
            let end = self.zone.change_after(start);
            let found = self.fields.next_after(offset.to_datetime(passed), budget);
            let tick = found.and_then(|wall| offset.to_timestamp(wall).ok());
            match (tick, end) {
                (Some(tick), Some(end)) if tick < end => return Some(tick),
                (tick, None) => return tick,
                // The change itself is the first instant of the next stretch.
                (_, Some(end)) => (start, passed) = (end, end.checked_sub(SECOND).ok()?),
            }
        }
        None
    }

    fn latest_repeating(&self, until: Timestamp, budget: &mut Budget) -> Option<Timestamp> {
        let mut last = until;
        for _ in 0..STRETCHES_MAX {
            if !budget.spend(1) {
                return None;
            }
            let offset = self.zone.offset(last);
            let start = self.zone.change_until(last);
            let found = self.fields.latest_until(offset.to_datetime(last), budget);
            let tick = found.and_then(|wall| offset.to_timestamp(wall).ok());
            match (tick, start) {
                (Some(tick), Some(start)) if tick >= start => return Some(tick),
                (tick, None) => return tick,
                (_, Some(start)) => last = start.checked_sub(SECOND).ok()?,
            }
        }
        None
    }
}
