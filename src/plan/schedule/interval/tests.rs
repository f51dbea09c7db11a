//! What is read as an interval, what is refused, and what is said then.

use rstest::rstest;

use super::*;

fn elapsed(seconds: u64) -> Timing {
    Timing::Interval(Duration::from_secs(seconds))
}

#[rstest]
#[case("90s", elapsed(90))]
#[case("1h30m", elapsed(5400))]
#[case("24h", elapsed(86_400))]
#[case("1d", Timing::Calendar(CalendarStep::Days(1)))]
#[case("2w", Timing::Calendar(CalendarStep::Days(14)))]
#[case("3mo", Timing::Calendar(CalendarStep::Months(3)))]
#[case("1y", Timing::Calendar(CalendarStep::Months(12)))]
#[case("007d", Timing::Calendar(CalendarStep::Days(7)))]
#[case("292y", Timing::Calendar(CalendarStep::Months(3504)))]
fn reads(#[case] text: &str, #[case] timing: Timing) {
    assert_eq!(parse_interval(text), Ok(timing));
}

#[rstest]
#[case("", "the duration is empty; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
#[case("5", "`5` lacks a unit; write h, m or s after every number, such as 90s or 1h30m")]
#[case("d", "`d` is not a duration; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
#[case("-1d", "`-1d` is not a duration; write whole hours, minutes and seconds such as 90s, 5m or 1h30m")]
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

#[test]
fn a_step_of_nothing_is_refused() {
    let zone = Zone::find("Etc/UTC").unwrap();
    for step in [CalendarStep::Days(0), CalendarStep::Months(0)] {
        let error = Calendar::new(step, zone.clone(), None).unwrap_err();
        assert_eq!(error.to_string(), "the interval is too short; write at least 1d or 1mo");
    }
    let error = Elapsed::new(Duration::from_millis(1500), None).unwrap_err();
    assert_eq!(error.to_string(), "the interval 1.5s has a fraction of a second; write whole seconds");
    let error = Elapsed::new(Duration::ZERO, None).unwrap_err();
    assert_eq!(error.to_string(), "the interval 0ns is too short; write at least 1s");
}
