//! Durations as users write them: `90s`, `5m`, `1h30m`.
//!
//! The form is Go's, as everywhere in Kubernetes, restricted to whole hours, minutes and seconds. It is elapsed time:
//! calendar units (days, weeks, months) mean different lengths on different dates and are no durations.

use std::time::Duration;

use thiserror::Error;

/// The longest text that is read as a duration, in bytes.
pub const DURATION_LENGTH_MAX: usize = 32;

/// The longest duration, in seconds: about 292 years, the limit of Go's own durations.
pub(in crate::plan) const SECONDS_MAX: u64 = 9_223_372_036;

/// Why a text is no duration. Each message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("the duration is empty; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
    Empty,
    /// The text is longer than [`DURATION_LENGTH_MAX`].
    #[error("the duration has {0} characters and may have {max}; write it like 1h30m", max = DURATION_LENGTH_MAX)]
    TooLong(usize),
    /// A number has no unit behind it.
    #[error("`{0}` lacks a unit; write h, m or s after every number, such as 90s or 1h30m")]
    NoUnit(String),
    /// A unit of the calendar, whose length depends on the date.
    #[error(
        "`{text}`: the calendar unit `{unit}` is not supported here; write elapsed time in hours, such as 24h"
    )]
    Calendar {
        /// What was written.
        text: String,
        /// The unit in it: `d`, `w`, `mo` or `y`.
        unit: String,
    },
    /// A unit of the calendar beside other units, where an interval is wanted.
    #[error(
        "`{0}` mixes units of the calendar with others; write one of them alone, such as 1d or 36h, or use several clocks"
    )]
    Mixed(String),
    /// Anything else that is not in the form.
    #[error("`{0}` is not a duration; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
    Malformed(String),
    /// The sum is beyond what a duration can hold.
    #[error("`{0}` is too long; a duration is at most 292 years")]
    TooLarge(String),
}

/// Reads a duration in Go's form, made of whole hours (`h`), minutes (`m`) and seconds (`s`): `90s`, `1h30m`.
///
/// `0s` is a duration; a caller that needs a minimum checks it. As in Go, the units may come in any order and
/// repeatedly.
///
/// # Errors
///
/// Fractions, signs, spaces, sub-second units and calendar units (`1d`) are refused, with what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text.len() > DURATION_LENGTH_MAX {
        return Err(DurationError::TooLong(text.chars().count()));
    }
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, behind) = split_where(rest, |c| !c.is_ascii_digit());
        let (unit, next) = split_where(behind, |c| !c.is_alphabetic());
        if digits.is_empty() {
            return Err(DurationError::Malformed(text.to_owned()));
        }
        let scale = seconds_in(unit, text)?;
        // A number of 32 digits may not fit; that is a length too, only a too large one.
        let part = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
        seconds = part
            .and_then(|part| seconds.checked_add(part))
            .filter(|sum| *sum <= SECONDS_MAX)
            .ok_or_else(|| DurationError::TooLarge(text.to_owned()))?;
        rest = next;
    }
    Ok(Duration::from_secs(seconds))
}

fn seconds_in(unit: &str, text: &str) -> Result<u64, DurationError> {
    match unit {
        "s" => Ok(1),
        "m" => Ok(60),
        "h" => Ok(3600),
        "" if text.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Err(DurationError::NoUnit(text.to_owned()))
        }
        "d" | "w" | "mo" | "y" => {
            Err(DurationError::Calendar { text: text.to_owned(), unit: unit.to_owned() })
        }
        _ => Err(DurationError::Malformed(text.to_owned())),
    }
}

/// The text before the first character for which `stop` holds, and the text from there on.
fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.find(stop).and_then(|at| text.split_at_checked(at)).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1m", 60)]
    #[case("90s", 90)]
    #[case("1h30m", 5400)]
    #[case("36h", 129_600)]
    #[case("30m1h", 5400)]
    #[case("0s", 0)]
    #[case("007s", 7)]
    #[case("2562047h", 9_223_369_200)]
    fn reads(#[case] text: &str, #[case] seconds: u64) {
        assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
    }

    #[rstest]
    #[case("", "the duration is empty; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
    #[case("60", "`60` lacks a unit; write h, m or s after every number, such as 90s or 1h30m")]
    #[case("1h30", "`1h30` lacks a unit; write h, m or s after every number, such as 90s or 1h30m")]
    #[case(
        "1d",
        "`1d`: the calendar unit `d` is not supported here; write elapsed time in hours, such as 24h"
    )]
    #[case(
        "1mo",
        "`1mo`: the calendar unit `mo` is not supported here; write elapsed time in hours, such as 24h"
    )]
    #[case(
        "1.5h",
        "`1.5h` is not a duration; write whole hours, minutes and seconds such as 90s, 5m or 1h30m"
    )]
    #[case("-1h", "`-1h` is not a duration; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
    #[case(
        "500ms",
        "`500ms` is not a duration; write whole hours, minutes and seconds such as 90s, 5m or 1h30m"
    )]
    #[case("1M", "`1M` is not a duration; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
    #[case("1 h", "`1 h` is not a duration; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
    #[case("2562048h", "`2562048h` is too long; a duration is at most 292 years")]
    #[case(
        "99999999999999999999999h",
        "`99999999999999999999999h` is too long; a duration is at most 292 years"
    )]
    fn refuses(#[case] text: &str, #[case] message: &str) {
        assert_eq!(parse_duration(text).unwrap_err().to_string(), message);
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in "\\PC{0,40}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn parts_add_up(h in 0u64..5000, m in 0u64..5000, s in 0u64..5000) {
            let read = parse_duration(&format!("{h}h{m}m{s}s")).unwrap();
            prop_assert_eq!(read.as_secs(), h * 3600 + m * 60 + s);
        }
    }
}
