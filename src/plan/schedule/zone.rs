//! The time zone of a clock: wall time to instants, through gaps and overlaps.
//!
//! The map from wall to instant is made total: a time in a gap becomes the first instant after it, a repeated time its
//! first pass. That map never runs backwards, so a search along the wall is a search along time. Only the times of a
//! calendar day that a zone skips altogether have no instant.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

#[cfg(test)]
use super::budget::work;
use super::clock::ScheduleError;

/// The resolution of ticks.
pub(super) const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The zones as they were when the program was built: no files are read, and no two machines differ.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone of this IANA name.
///
/// # Errors
///
/// [`ScheduleError::UnknownZone`], with a zone of a like name.
pub fn find_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    Ok(Zone::find(name)?.zone)
}

/// A time zone that exists.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    zone: TimeZone,
}

impl Zone {
    /// The zone of an IANA name, or the refusal that says which name may have been meant.
    pub(super) fn find(name: &str) -> Result<Self, ScheduleError> {
        match ZONES.get(name) {
            Ok(zone) if !zone.is_unknown() => Ok(Self { zone }),
            _ => Err(ScheduleError::UnknownZone {
                zone: name.chars().take(64).collect(),
                suggestion: similar_zone(name).unwrap_or_else(|| "Europe/Paris".to_owned()),
            }),
        }
    }

    /// Whether this is the zone of that name, in whatever case it is written.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.zone.iana_name().is_some_and(|own| own.eq_ignore_ascii_case(name))
    }

    /// What the clock on the wall shows at `t`.
    pub(super) fn wall(&self, t: Timestamp) -> DateTime {
        self.zone.to_datetime(t)
    }

    /// The offset from UTC at `t`.
    pub(super) fn offset(&self, t: Timestamp) -> Offset {
        #[cfg(test)]
        work::done(1);
        self.zone.to_offset(t)
    }

    /// The first change of the clocks that is later than `t`.
    pub(super) fn change_after(&self, t: Timestamp) -> Option<Timestamp> {
        #[cfg(test)]
        work::done(1);
        self.zone.following(t).next().map(|change| change.timestamp())
    }

    /// The last change of the clocks that is not later than `t`.
    pub(super) fn change_until(&self, t: Timestamp) -> Option<Timestamp> {
        #[cfg(test)]
        work::done(1);
        self.zone.preceding(t.checked_add(SECOND).ok()?).next().map(|change| change.timestamp())
    }

    /// The one instant of a wall time; none on a calendar day that the zone skips.
    pub(super) fn instant(&self, wall: DateTime) -> Option<Timestamp> {
        #[cfg(test)]
        work::done(1);
        match self.zone.to_ambiguous_timestamp(wall).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
            AmbiguousOffset::Gap { before, after } => self.after_gap(wall, before, after),
        }
    }

    /// The latest wall time whose instant is not later than `t`. On a second pass that is the end of the first one.
    pub(super) fn reached(&self, t: Timestamp) -> DateTime {
        let wall = self.wall(t);
        let before = self.change_until(t).and_then(|change| change.checked_sub(SECOND).ok());
        before.map_or(wall, |before| wall.max(self.wall(before)))
    }

    /// The instant at which the gap around `wall` ends, unless the gap swallows its whole day.
    fn after_gap(&self, wall: DateTime, before: Offset, after: Offset) -> Option<Timestamp> {
        // Read with the old offset, a time in the gap comes after the change; with the new one, before it.
        let change = self.change_until(before.to_timestamp(wall).ok()?)?;
        let (gap_start, gap_end) = (before.to_datetime(change), after.to_datetime(change));
        let midnight = DateTime::from_parts(wall.date(), jiff::civil::Time::midnight());
        let next_midnight = DateTime::from_parts(wall.date().tomorrow().ok()?, midnight.time());
        (gap_start > midnight || gap_end < next_midnight).then_some(change)
    }
}

/// A zone whose city is what was written: `Paris`, `Europe/Tokyo`, `new york`.
fn similar_zone(name: &str) -> Option<String> {
    let city = name.rsplit('/').next()?.trim().replace(' ', "_");
    let mut zones = ZONES.available();
    zones
        .find(|zone| zone.as_str().rsplit_once('/').is_some_and(|(_, last)| last.eq_ignore_ascii_case(&city)))
        .map(|zone| zone.to_string())
}
