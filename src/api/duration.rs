//! Durations as users write them: `90s`, `5m`, `1h30m`.
//!
//! The form is Go's, as everywhere in Kubernetes, restricted to whole hours, minutes and seconds. It is
//! elapsed time: calendar units (days, weeks, months) mean different lengths on different dates and are no
//! durations. An age (`30d`, `1d12h`) has days of 24 hours besides.
//!
//! A text is read once, when its object is decoded ([`Written`]); the schema and the rules of such fields are
//! here, too.

use std::borrow::Cow;
use std::{fmt, time};

use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A length of time as a user wrote it, and what was read in it.
///
/// A text in which nothing can be read is kept, with the reason: the API server may have taken it under the
/// rules of an older CRD, and no rule refuses a number that is too large. The object decodes all the same,
/// the violations of its spec name the field, and a planner leaves undone what only that field could decide
/// (ADR 0037).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T>(Box<Content<T>>);

/// In a box: a spec has many such fields, and most are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content<T> {
    text: String,
    read: Result<T, DurationError>,
}

/// A length of time that is read from the text of a field.
pub trait FromText: Sized {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// Says what to write instead.
    fn from_text(text: &str) -> Result<Self, DurationError>;
}

/// Elapsed time, such as `90s` or `1h30m`.
pub type Duration = Written<time::Duration>;

/// Elapsed time that may begin with days of 24 hours, such as `30d` or `1d12h`.
pub type Age = Written<Days>;

/// What was read in an [`Age`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days(pub time::Duration);

impl<T: Copy> Written<T> {
    /// What was read. None: nothing could be.
    pub fn get(&self) -> Option<T> {
        self.read().ok()
    }

    /// What was read, or why nothing could be.
    ///
    /// # Errors
    ///
    /// Says what to write instead.
    pub fn read(&self) -> Result<T, &DurationError> {
        self.0.read.as_ref().copied()
    }
}

impl<T> Written<T> {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }
}

impl<T: FromText> From<String> for Written<T> {
    fn from(text: String) -> Self {
        Self(Box::new(Content { read: T::from_text(&text), text }))
    }
}

impl<T: FromText> From<&str> for Written<T> {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl<T> fmt::Display for Written<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: FromText> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl<T> JsonSchema for Written<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Written".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": DURATION_LENGTH_MAX})
    }
}

/// The rule of a duration that may not be zero. `examples` are what its message recommends.
pub(super) fn at_least_a_second(examples: &str) -> Rule {
    let message =
        format!("write a duration of at least one second in hours, minutes and seconds, such as {examples}");
    Rule::new("self.matches('^([0-9]+(h|m|s))+$') && self.matches('[1-9]')").message(message.as_str())
}

/// The rule of a duration that may be `0s`. `examples` are what its message recommends.
pub(super) fn from_zero(examples: &str) -> Rule {
    let message = format!("write a duration in hours, minutes and seconds, such as {examples}");
    Rule::new("self.matches('^([0-9]+(h|m|s))+$')").message(message.as_str())
}

/// The rule of an [`Age`].
pub(super) fn of_an_age() -> Rule {
    Rule::new("self.matches('^([0-9]+d)?([0-9]+(h|m|s))*$') && self.matches('[1-9]')")
        .message("write an age in days, hours, minutes and seconds, such as 30d or 12h")
}

/// The longest text that is read as a duration, in bytes.
pub const DURATION_LENGTH_MAX: usize = 32;

/// The longest duration, in seconds: about 292 years, the limit of Go's own durations.
const SECONDS_MAX: u64 = 9_223_372_036;

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
    /// The text is no interval.
    #[error(
        "`{0}` is no interval; write hours, minutes and seconds such as 90s or 1h30m, or days, weeks, months or years alone such as 1d"
    )]
    NoInterval(String),
    /// A number has no unit behind it, where an interval is wanted.
    #[error("`{0}` lacks a unit; write one of h, m and s, or d, w, mo and y, behind it, such as 90s or 1d")]
    NoUnitOfInterval(String),
    /// The sum is beyond what a duration can hold.
    #[error("`{0}` is too long; a duration is at most 292 years")]
    TooLarge(String),
    /// The text is no age.
    #[error("`{0}` is no age: write days, hours, minutes and seconds, such as 30d, of at most 292 years")]
    NoAge(String),
}

/// Reads a duration in Go's form, made of whole hours (`h`), minutes (`m`) and seconds (`s`): `90s`, `1h30m`.
///
/// `0s` is a duration; a caller that needs a minimum checks it. As in Go, the units may come in any order and
/// repeatedly.
///
/// # Errors
///
/// Fractions, signs, spaces, sub-second units and calendar units (`1d`) are refused, with what to write
/// instead.
pub fn parse_duration(text: &str) -> Result<time::Duration, DurationError> {
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
    Ok(time::Duration::from_secs(seconds))
}

impl FromText for time::Duration {
    fn from_text(text: &str) -> Result<Self, DurationError> {
        parse_duration(text)
    }
}

impl FromText for Days {
    fn from_text(text: &str) -> Result<Self, DurationError> {
        parse_age(text).map(Self).ok_or_else(|| DurationError::NoAge(text.to_owned()))
    }
}

fn parse_age(text: &str) -> Option<time::Duration> {
    let Some((days, rest)) = text.split_once('d') else { return parse_duration(text).ok() };
    let days = time::Duration::from_secs(days.parse::<u64>().ok()?.checked_mul(86_400)?);
    let rest = if rest.is_empty() { time::Duration::ZERO } else { parse_duration(rest).ok()? };
    days.checked_add(rest).filter(|age| age.as_secs() <= SECONDS_MAX)
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
    use serde_json::json;

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
        assert_eq!(parse_duration(text), Ok(time::Duration::from_secs(seconds)));
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

    #[rstest]
    #[case("30d", 30 * 86_400)]
    #[case("1d2h", 26 * 3600)]
    #[case("90m", 5400)]
    #[case("0d1s", 1)]
    fn reads_ages(#[case] text: &str, #[case] seconds: u64) {
        assert_eq!(Age::from(text).get(), Some(Days(time::Duration::from_secs(seconds))));
    }

    #[rstest]
    #[case("")]
    #[case("30")]
    #[case("2h1d")]
    #[case("1w")]
    #[case("106752d")]
    #[case("99999999999999999999d")]
    fn refuses_ages(#[case] text: &str) {
        let message = format!(
            "`{text}` is no age: write days, hours, minutes and seconds, such as 30d, of at most 292 years"
        );
        assert_eq!(Age::from(text).read().unwrap_err().to_string(), message);
    }

    #[rstest]
    #[case("90s")]
    #[case("30m1h")]
    #[case("9999999999999h")]
    #[case("soon")]
    fn a_text_stays_as_it_was_written(#[case] text: &str) {
        let written: Duration = serde_json::from_value(json!(text)).unwrap();
        assert_eq!(written.get(), parse_duration(text).ok());
        assert_eq!(serde_json::to_value(&written).unwrap(), json!(text));
        assert_eq!((written.to_string().as_str(), &written), (text, &Duration::from(text)));
    }

    #[test]
    fn what_is_no_text_does_not_decode() {
        let refused = |error: serde_json::Error| error.to_string();
        assert_eq!(
            serde_json::from_value::<Duration>(json!(90)).map_err(refused),
            Err("invalid type: integer `90`, expected a string".to_owned())
        );
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in "\\PC{0,40}") {
            let _ = parse_duration(&text);
            let _ = Age::from(text);
        }

        #[test]
        fn parts_add_up(h in 0u64..5000, m in 0u64..5000, s in 0u64..5000) {
            let read = parse_duration(&format!("{h}h{m}m{s}s")).unwrap();
            prop_assert_eq!(read.as_secs(), h * 3600 + m * 60 + s);
        }
    }
}
