//! Which intervals have ticks, and what is said of those that have none.

use super::*;

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
    assert_eq!(error.to_string(), "the interval is too short; write at least 1s");
}
