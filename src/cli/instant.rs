//! Instants of the command line.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Reads an instant, or a date, which is its midnight in UTC.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    let instant = text.parse::<Timestamp>().ok();
    // jiff reads a date also from a longer text, whose time it would pass over.
    let midnight = || {
        let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text)?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let hint = "write a date, or a date, a time and a zone, such as 2027-01-01T00:00:00Z";
    instant.or_else(midnight).ok_or_else(|| hint.to_owned())
}
