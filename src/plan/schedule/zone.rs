//! Cron in a time zone: minutes on the wall to instants, through gaps and overlaps.
//!
//! Two readings, chosen by the schedule itself:
//!
//! - **Fixed times** happen once. The map from wall to instant is made total: a time in a gap becomes the first
//!   instant after it, a repeated time its first pass. That map never runs backwards, so a search along the wall is a
//!   search along time.
//! - **Repeating schedules** tick whenever the wall shows one of their minutes. Time is cut into stretches of constant
//!   offset, inside which wall and time run in step, and the search goes stretch by stretch.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::cron::CronFields;

/// A day of minutes (the longest that any zone has ever repeated or skipped), twice.
const CANDIDATES_MAX: usize = 2 * 24 * 60;

/// Stretches of constant offset that a search crosses at most: more than any zone has in the years that are searched.
const STRETCHES_MAX: usize = 256;

/// No zone repeats more than a day.
const OVERLAP_MAX: SignedDuration = SignedDuration::from_hours(25);

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A cron schedule on the clocks of one zone.
#[derive(Debug, Clone)]
pub(super) struct ZonedCron {
    pub(super) fields: CronFields,
    pub(super) zone: TimeZone,
}

impl ZonedCron {
    /// The first tick later than `after`, a whole second.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if self.fields.repeats { self.next_repeating(after) } else { self.next_fixed(after) }
    }

    /// The last tick that is not later than `until`, a whole second.
    pub(super) fn latest_until(&self, until: Timestamp) -> Option<Timestamp> {
        if self.fields.repeats { self.latest_repeating(until) } else { self.latest_fixed(until) }
    }

    fn next_fixed(&self, after: Timestamp) -> Option<Timestamp> {
        let mut wall = self.zone.to_datetime(after);
        // Only on a second pass do times ahead on the wall lie behind in time, and only in a skipped day have they none.
        for _ in 0..CANDIDATES_MAX {
            wall = self.fields.next_after(wall)?;
            if let Some(tick) = self.instant(wall).filter(|tick| *tick > after) {
                return Some(tick);
            }
        }
        None
    }

    fn latest_fixed(&self, until: Timestamp) -> Option<Timestamp> {
        let mut wall = self.zone.to_datetime(until);
        // On a second pass, the rest of the first one is ahead on the wall and behind in time.
        if let Some(change) =
            self.last_change(until).filter(|change| until.duration_since(*change) < OVERLAP_MAX)
        {
            wall = wall.max(self.zone.to_datetime(change.checked_sub(SECOND).ok()?));
        }
        for _ in 0..CANDIDATES_MAX {
            let candidate = self.fields.latest_until(wall)?;
            if let Some(tick) = self.instant(candidate).filter(|tick| *tick <= until) {
                return Some(tick);
            }
            wall = candidate.checked_sub(SECOND).ok()?;
        }
        None
    }

    /// The one instant of a fixed time; none on a calendar day that the zone skips.
    fn instant(&self, wall: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
            AmbiguousOffset::Gap { before, after } => self.after_gap(wall, before, after),
        }
    }

    /// The instant at which the gap around `wall` ends, unless the gap swallows its whole day.
    fn after_gap(&self, wall: DateTime, before: Offset, after: Offset) -> Option<Timestamp> {
        // Read with the old offset, a time in the gap comes after the change; with the new one, before it.
        let change = self.last_change(before.to_timestamp(wall).ok()?)?;
        let (gap_start, gap_end) = (before.to_datetime(change), after.to_datetime(change));
        let midnight = DateTime::from_parts(wall.date(), jiff::civil::Time::midnight());
        let next_midnight = DateTime::from_parts(wall.date().tomorrow().ok()?, midnight.time());
        (gap_start > midnight || gap_end < next_midnight).then_some(change)
    }

    fn next_repeating(&self, after: Timestamp) -> Option<Timestamp> {
        let (mut start, mut passed) = (after, after);
        for _ in 0..STRETCHES_MAX {
            let offset = self.zone.to_offset(start);
            let end = self.zone.following(start).next().map(|change| change.timestamp());
            let found = self.fields.next_after(offset.to_datetime(passed));
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

    fn latest_repeating(&self, until: Timestamp) -> Option<Timestamp> {
        let mut last = until;
        for _ in 0..STRETCHES_MAX {
            let offset = self.zone.to_offset(last);
            let start = self.last_change(last);
            let found = self.fields.latest_until(offset.to_datetime(last));
            let tick = found.and_then(|wall| offset.to_timestamp(wall).ok());
            match (tick, start) {
                (Some(tick), Some(start)) if tick >= start => return Some(tick),
                (tick, None) => return tick,
                (_, Some(start)) => last = start.checked_sub(SECOND).ok()?,
            }
        }
        None
    }

    /// The last change of the zone's clocks that is not later than `at`.
    fn last_change(&self, at: Timestamp) -> Option<Timestamp> {
        self.zone.preceding(at.checked_add(SECOND).ok()?).next().map(|change| change.timestamp())
    }
}

#[cfg(test)]
mod tests;
