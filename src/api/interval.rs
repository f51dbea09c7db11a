//! Intervals as users write them: elapsed time (`90s`, `36h`) or a step of the calendar (`1d`, `2w`, `1mo`,
//! `1y`).
//!
//! What it is not: which ticks an interval has is for `plan::schedule` to say.

use std::time::Duration;

use kube::core::Rule;

use super::duration::{DurationError, FromText, Written, parse_duration};

/// The time between two ticks, such as `5m` or `1mo`.
pub type Interval = Written<Every>;

/// What was read in an [`Interval`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// Elapsed time.
    Elapsed(Duration),
    /// A step on the calendar of a zone.
    Calendar(CalendarStep),
}

impl FromText for Every {
    fn from_text(text: &str) -> Result<Self, DurationError> {
        parse_interval(text)
    }
}

/// The rule of an [`Interval`].
pub(super) fn of_an_interval() -> Rule {
    Rule::new("self.matches('^(([0-9]+(h|m|s))+|[0-9]+(d|w|mo|y))$') && self.matches('[1-9]')").message(
        "write an interval of at least one second in hours, minutes and seconds, such as 90s, 5m or 36h, or a number of \
         days, weeks, months or years alone, such as 1d or 3mo",
    )
}

/// The longest step of the calendar: 292 years, as long as a duration can be.
const STEP_YEARS_MAX: i64 = 292;

/// A step of the calendar. Months are those of the Gregorian calendar; a year is twelve of them, a week seven
/// days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalendarStep {
    /// So many days.
    Days(i64),
    /// So many months.
    Months(i64),
}

/// Reads an interval: elapsed time as in [`parse_duration`], or one whole number of days (`d`), weeks (`w`),
/// months (`mo`) or years (`y`).
///
/// # Errors
///
/// What is no duration either, and a mixture of the two kinds (`1d12h`): a day is not a fixed number of
/// hours.
pub fn parse_interval(text: &str) -> Result<Every, DurationError> {
    let Some((count, step)) = calendar_step(text) else {
        return match parse_duration(text) {
            Err(DurationError::Calendar { text, .. }) => Err(DurationError::Mixed(text)),
            Err(DurationError::Malformed(text)) => Err(DurationError::NoInterval(text)),
            Err(DurationError::NoUnit(text)) => Err(DurationError::NoUnitOfInterval(text)),
            other => other.map(Every::Elapsed),
        };
    };
    let too_long = || DurationError::TooLarge(text.chars().take(40).collect());
    let count: i64 = count.parse().map_err(|_| too_long())?;
    let scaled = |scale: i64, max: i64| count.checked_mul(scale).filter(|n| *n <= max).ok_or_else(too_long);
    let step = match step {
        "d" => CalendarStep::Days(scaled(1, STEP_YEARS_MAX * 366)?),
        "w" => CalendarStep::Days(scaled(7, STEP_YEARS_MAX * 366)?),
        "mo" => CalendarStep::Months(scaled(1, STEP_YEARS_MAX * 12)?),
        _ => CalendarStep::Months(scaled(12, STEP_YEARS_MAX * 12)?),
    };
    Ok(Every::Calendar(step))
}

/// A number and a unit of the calendar, and nothing else.
fn calendar_step(text: &str) -> Option<(&str, &str)> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let count = text.strip_suffix(unit)?;
    (!count.is_empty() && matches!(unit, "d" | "w" | "mo" | "y")).then_some((count, unit))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn elapsed(seconds: u64) -> Every {
        Every::Elapsed(Duration::from_secs(seconds))
    }

    #[rstest]
    #[case("90s", elapsed(90))]
    #[case("1h30m", elapsed(5400))]
    #[case("24h", elapsed(86_400))]
    #[case("1d", Every::Calendar(CalendarStep::Days(1)))]
    #[case("2w", Every::Calendar(CalendarStep::Days(14)))]
    #[case("3mo", Every::Calendar(CalendarStep::Months(3)))]
    #[case("1y", Every::Calendar(CalendarStep::Months(12)))]
    #[case("007d", Every::Calendar(CalendarStep::Days(7)))]
    #[case("292y", Every::Calendar(CalendarStep::Months(3504)))]
    fn reads(#[case] text: &str, #[case] every: Every) {
        assert_eq!(parse_interval(text), Ok(every));
    }

    #[rstest]
    #[case("", "the duration is empty; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
    #[case("5", "`5` lacks a unit; write one of h, m and s, or d, w, mo and y, behind it, such as 90s or 1d")]
    #[case(
        "d",
        "`d` is no interval; write hours, minutes and seconds such as 90s or 1h30m, or days, weeks, months or years alone such as 1d"
    )]
    #[case(
        "-1d",
        "`-1d` is no interval; write hours, minutes and seconds such as 90s or 1h30m, or days, weeks, months or years alone such as 1d"
    )]
    #[case(
        "1d12h",
        "`1d12h` mixes units of the calendar with others; write one of them alone, such as 1d or 36h, or use several clocks"
    )]
    #[case(
        "1y2mo",
        "`1y2mo` mixes units of the calendar with others; write one of them alone, such as 1d or 36h, or use several clocks"
    )]
    #[case("293y", "`293y` is too long; a duration is at most 292 years")]
    #[case("99999999999999999999d", "`99999999999999999999d` is too long; a duration is at most 292 years")]
    fn refuses(#[case] text: &str, #[case] message: &str) {
        assert_eq!(parse_interval(text).unwrap_err().to_string(), message);
    }
}
