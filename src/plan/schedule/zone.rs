//! The time zone of a clock: wall time to instants, through gaps and overlaps.
//!
//! The map from wall to instant is made total: a time in a gap becomes the first instant after it, a repeated
//! time its first pass. That map never runs backwards, so a search along the wall is a search along time.
//! Only the times of a calendar day that a zone skips altogether have no instant.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

#[cfg(test)]
use super::budget::work;
use super::error::ScheduleError;

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
                suggestion: zone_meant(name)
                    .or_else(|| similar_zone(name))
                    .unwrap_or_else(|| "Europe/Paris".to_owned()),
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

    /// The latest wall time whose instant is not later than `t`. On a second pass that is the end of the
    /// first one.
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

/// Zones by what people write for them: minutes ahead of UTC, or letters. Of several that are meant by the
/// same letters the one that most people live in. Those by offset never change their clocks.
const MEANT: &[(i32, &str, &str)] = &[
    (-660, "", "Pacific/Pago_Pago"),
    (-600, "HST", "Pacific/Honolulu"),
    (-540, "", "Pacific/Gambier"),
    (-480, "", "Pacific/Pitcairn"),
    (-420, "", "America/Phoenix"),
    (-360, "", "America/Costa_Rica"),
    (-300, "", "America/Bogota"),
    (-240, "", "America/Puerto_Rico"),
    (-180, "ART", "America/Argentina/Buenos_Aires"),
    (-120, "", "America/Noronha"),
    (-60, "", "Atlantic/Cape_Verde"),
    (0, "", "Africa/Abidjan"),
    (60, "WAT", "Africa/Lagos"),
    (120, "SAST CAT", "Africa/Johannesburg"),
    (180, "EAT", "Africa/Nairobi"),
    (210, "IRST", "Asia/Tehran"),
    (240, "GST", "Asia/Dubai"),
    (270, "", "Asia/Kabul"),
    (300, "PKT", "Asia/Karachi"),
    (330, "IST", "Asia/Kolkata"),
    (345, "NPT", "Asia/Kathmandu"),
    (360, "", "Asia/Dhaka"),
    (390, "", "Asia/Yangon"),
    (420, "ICT WIB", "Asia/Bangkok"),
    (480, "SGT HKT", "Asia/Singapore"),
    (540, "JST", "Asia/Tokyo"),
    (570, "ACST", "Australia/Darwin"),
    (600, "", "Australia/Brisbane"),
    (660, "", "Pacific/Guadalcanal"),
    (720, "", "Pacific/Fiji"),
    (780, "", "Pacific/Tongatapu"),
];

/// The same of zones that change their clocks, which no offset means.
const LETTERS: &[(&str, &str)] = &[
    ("AKST AKDT", "America/Anchorage"),
    ("PST PDT PT", "America/Los_Angeles"),
    ("MDT MT", "America/Denver"),
    ("CST CDT CT", "America/Chicago"),
    ("EDT ET", "America/New_York"),
    ("BST", "Europe/London"),
    ("CEST", "Europe/Paris"),
    ("EEST", "Europe/Athens"),
    ("AEST AEDT", "Australia/Sydney"),
    ("NZST NZDT", "Pacific/Auckland"),
    ("BRT", "America/Sao_Paulo"),
];

/// The zone that an offset such as `GMT+5`, `UTC+02:00` and `-0330`, or letters such as `PST` stand for. The
/// sign is the usual one, ahead of UTC: only in IANA's own `Etc/GMT+5` it is reversed.
fn zone_meant(name: &str) -> Option<String> {
    let upper = name.trim().to_ascii_uppercase();
    let has = |letters: &str| letters.split(' ').any(|known| known == upper);
    let by_letters = LETTERS.iter().find(|(letters, _)| has(letters)).map(|(_, zone)| *zone);
    let listed =
        || MEANT.iter().find(|(_, letters, _)| !upper.is_empty() && has(letters)).map(|(_, _, zone)| *zone);
    let by_offset = || {
        let offset = minutes_ahead(&upper)?;
        MEANT.iter().find(|(minutes, _, _)| *minutes == offset).map(|(_, _, zone)| *zone)
    };
    by_letters.or_else(listed).or_else(by_offset).map(str::to_owned)
}

/// The minutes of an offset from UTC.
fn minutes_ahead(text: &str) -> Option<i32> {
    let rest = ["GMT", "UTC", "UT", "Z"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    let rest = rest.trim_start();
    let (sign, digits) = match (rest.strip_prefix('+'), rest.strip_prefix(['-', '−'])) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i32>().ok()).flatten()
    };
    Some(sign * (number(hours)?.checked_mul(60)?.checked_add(number(minutes)?)?))
}

/// A zone whose city is what was written: `Paris`, `Europe/Tokyo`, `new york`.
fn similar_zone(name: &str) -> Option<String> {
    let city = name.rsplit('/').next()?.trim().replace(' ', "_");
    let mut zones = ZONES.available();
    zones
        .find(|zone| zone.as_str().rsplit_once('/').is_some_and(|(_, last)| last.eq_ignore_ascii_case(&city)))
        .map(|zone| zone.to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("GMT+5", "Asia/Karachi")]
    #[case("UTC+2", "Africa/Johannesburg")]
    #[case("UTC+05:30", "Asia/Kolkata")]
    #[case("+0545", "Asia/Kathmandu")]
    #[case("GMT-3", "America/Argentina/Buenos_Aires")]
    #[case("utc -8", "Pacific/Pitcairn")]
    #[case("PST", "America/Los_Angeles")]
    #[case("IST", "Asia/Kolkata")]
    #[case("CEST", "Europe/Paris")]
    #[case("Paris", "Europe/Paris")]
    #[case("new york", "America/New_York")]
    #[case("GMT+99", "Europe/Paris")]
    #[case("+", "Europe/Paris")]
    fn a_zone_that_is_none_gets_the_one_that_is_meant(#[case] written: &str, #[case] meant: &str) {
        let Err(ScheduleError::UnknownZone { suggestion, .. }) = Zone::find(written) else {
            panic!("{written}")
        };
        assert_eq!(suggestion, meant);
        assert!(Zone::find(&suggestion).is_ok());
    }

    #[test]
    fn zones_that_stand_for_an_offset_have_it() {
        let winter: Timestamp = "2027-01-15T00:00:00Z".parse().unwrap();
        let summer: Timestamp = "2027-07-15T00:00:00Z".parse().unwrap();
        for (minutes, _, name) in MEANT {
            let zone = Zone::find(name).unwrap();
            for instant in [winter, summer] {
                assert_eq!(zone.offset(instant).seconds(), minutes * 60, "{name}");
            }
        }
        assert!(LETTERS.iter().all(|(_, zone)| Zone::find(zone).is_ok()));
    }
}
