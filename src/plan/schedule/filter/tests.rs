//! Edges: midnight, the end of the year, the end of February, and nothing that passes.

use rstest::rstest;

use super::*;
use crate::api::schedule::{DateSpan, TimeSpan};

fn between(spans: &[(&str, &str)]) -> TickFilter {
    let span = |(from, to): &(&str, &str)| TimeSpan { from: (*from).into(), to: (*to).into() };
    TickFilter { between: spans.iter().map(span).collect(), ..TickFilter::default() }
}

fn dates(spans: &[(&str, &str)]) -> TickFilter {
    let span = |(from, to): &(&str, &str)| DateSpan { from: (*from).into(), to: (*to).into() };
    TickFilter { dates: spans.iter().map(span).collect(), ..TickFilter::default() }
}

fn days(days: &[Day]) -> TickFilter {
    TickFilter { days: days.to_vec(), ..TickFilter::default() }
}

/// The first and the last moment around an instant that pass, in UTC.
fn around(filter: &Filter, t: &str) -> [Option<String>; 2] {
    let (zone, t) = (Zone::find("Etc/UTC").unwrap(), t.parse().unwrap());
    let first = filter.first_from(&zone, t, &mut Budget::question());
    let last = filter.last_until(&zone, t, &mut Budget::question());
    [last, first].map(|moment| moment.map(|moment| moment.to_string()))
}

#[rstest]
#[case::inside_across_midnight(
    between(&[("22:00", "06:00")]), "2027-01-01T23:00:00Z", "2027-01-01T23:00:00Z", "2027-01-01T23:00:00Z"
)]
#[case::outside_across_midnight(
    between(&[("22:00", "06:00")]), "2027-01-01T12:00:00Z", "2027-01-01T06:00:00Z", "2027-01-01T22:00:00Z"
)]
#[case::both_ends_belong(
    between(&[("09:00", "09:00")]), "2027-01-01T09:00:00Z", "2027-01-01T09:00:00Z", "2027-01-01T09:00:00Z"
)]
#[case::a_second_after_the_end(
    between(&[("09:00", "09:00")]), "2027-01-01T09:00:01Z", "2027-01-01T09:00:00Z", "2027-01-02T09:00:00Z"
)]
#[case::inside_across_the_year(
    dates(&[("12-24", "01-02")]), "2027-01-01T12:00:00Z", "2027-01-01T12:00:00Z", "2027-01-01T12:00:00Z"
)]
#[case::outside_across_the_year(
    dates(&[("12-24", "01-02")]), "2027-06-01T12:00:00Z", "2027-01-02T23:59:59Z", "2027-12-24T00:00:00Z"
)]
#[case::end_of_february(
    days(&[Day::MonthEnd]), "2027-02-10T12:00:00Z", "2027-01-31T23:59:59Z", "2027-02-28T00:00:00Z"
)]
#[case::end_of_a_leap_february(
    days(&[Day::MonthEnd]), "2028-02-28T12:00:00Z", "2028-01-31T23:59:59Z", "2028-02-29T00:00:00Z"
)]
#[case::a_leap_day(
    dates(&[("02-29", "02-29")]), "2027-03-01T00:00:00Z", "2024-02-29T23:59:59Z", "2028-02-29T00:00:00Z"
)]
#[case::one_day_backwards_is_all_others_and_itself(
    dates(&[("03-01", "02-28")]), "2028-02-29T12:00:00Z", "2028-02-28T23:59:59Z", "2028-03-01T00:00:00Z"
)]
fn only_finds_its_way_to_either_side(
    #[case] only: TickFilter,
    #[case] t: &str,
    #[case] last: &str,
    #[case] first: &str,
) {
    let filter = Filter::parse(Some(&only), None).unwrap();
    assert_eq!(around(&filter, t), [Some(last.to_owned()), Some(first.to_owned())]);
}

#[test]
fn except_takes_away_from_only() {
    let filter =
        Filter::parse(Some(&between(&[("09:00", "17:00")])), Some(&between(&[("12:00", "13:00")]))).unwrap();
    let expected = ["2027-01-01T11:59:59Z", "2027-01-01T13:00:01Z"].map(|t| Some(t.to_owned()));
    assert_eq!(around(&filter, "2027-01-01T12:30:00Z"), expected);
}

#[test]
fn groups_that_exclude_each_other_end_the_search() {
    let only = TickFilter { days: vec![Day::MonthStart], ..dates(&[("01-02", "01-31")]) };
    let filter = Filter::parse(Some(&only), None).unwrap();
    assert_eq!(around(&filter, "2027-01-01T12:00:00Z"), [None, None]);
}

#[rstest]
#[case(between(&[("9:00", "10:00")]), "only", "`9:00` is no time of day; write HH:MM, such as 09:00")]
#[case(between(&[("09:00", "24:00")]), "only", "`24:00` is no time of day; write HH:MM, such as 09:00")]
#[case(dates(&[("02-30", "03-01")]), "only", "`02-30` is no day of the year; write MM-DD, such as 12-24")]
fn refuses(#[case] only: TickFilter, #[case] field: &str, #[case] message: &str) {
    let error = Filter::parse(Some(&only), None).unwrap_err();
    assert_eq!((error.field(), error.to_string().as_str()), (field, message));
    assert_eq!(Filter::parse(None, Some(&only)).unwrap_err().field(), "except");
}

#[test]
fn no_time_of_day_is_left() {
    let (only, except) = (between(&[("09:00", "17:00")]), between(&[("08:00", "18:00")]));
    let error = Filter::parse(Some(&only), Some(&except)).unwrap_err();
    assert_eq!(error.field(), "except");
    assert_eq!(
        error.to_string(),
        "except.between leaves no time of day of only.between; correct one of them"
    );
}
