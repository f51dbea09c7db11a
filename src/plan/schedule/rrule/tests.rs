//! What is refused, what is said then, and what the lines beside the rule do.

use rstest::rstest;

use super::*;
use crate::plan::schedule::budget::Budget;

fn parse(text: &str) -> Result<ZonedRrule, RruleError> {
    ZonedRrule::parse(text, Zone::find("Europe/Paris").unwrap(), None)
}

/// The first ticks after 2027-01-01, at most four.
fn ticks(text: &str) -> Vec<String> {
    let rule = parse(text).unwrap();
    let after = "2026-12-31T23:00:00Z".parse().unwrap();
    let next = |after: Timestamp| rule.next_after(after, &mut Budget::question());
    std::iter::successors(next(after), |tick| next(*tick)).take(4).map(|tick| tick.to_string()).collect()
}

#[rstest]
#[case("", "the rrule has no FREQ; write a rule such as FREQ=MONTHLY;BYDAY=-1FR")]
#[case("BYDAY=MO", "the rrule has no FREQ; write a rule such as FREQ=MONTHLY;BYDAY=-1FR")]
#[case("FREQ=DAILY;;BYDAY=MO", "the rrule has no FREQ; write a rule such as FREQ=MONTHLY;BYDAY=-1FR")]
#[case(
    "VEVENT:1",
    "the rrule's line `VEVENT:1` is not understood; write one RRULE and at most DTSTART, RDATE and EXDATE lines"
)]
#[case("RRULE:FREQ=DAILY\nRRULE:FREQ=DAILY", "`RRULE` is there twice; write it once, or use several clocks")]
#[case("FREQ=DAILY;FREQ=DAILY", "`FREQ` is there twice; write it once, or use several clocks")]
#[case(
    "FREQ=DAILY;BYEASTER=0",
    "`BYEASTER` is no part of a recurrence rule; write FREQ, INTERVAL, COUNT, UNTIL, WKST, BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE, BYSECOND or BYSETPOS"
)]
#[case(
    "FREQ=OFTEN",
    "FREQ `OFTEN` is not understood; write YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY or MINUTELY"
)]
#[case("FREQ=DAILY;INTERVAL=0", "INTERVAL `0` is not understood; write a number from 1 to 1000000")]
#[case("FREQ=DAILY;COUNT=1001", "COUNT `1001` is not understood; write a number from 1 to 1000")]
#[case("FREQ=DAILY;BYHOUR=24", "BYHOUR `24` is not understood; write a number from 0 to 23")]
#[case("FREQ=DAILY;BYSECOND=60", "BYSECOND `60` is not understood; write a number from 0 to 59")]
#[case(
    "FREQ=DAILY;BYMONTHDAY=0",
    "BYMONTHDAY `0` is not understood; write 1 to 31, or -1 to -31 from the end"
)]
#[case(
    "FREQ=MONTHLY;BYDAY=54MO",
    "BYDAY `54MO` is not understood; write MO, TU, WE, TH, FR, SA, SU, or such a day with a number, as in 2MO or -1FR"
)]
#[case("FREQ=DAILY;WKST=XX", "WKST `XX` is not understood; write MO, TU, WE, TH, FR, SA or SU")]
#[case(
    "FREQ=DAILY;UNTIL=2027",
    "UNTIL `2027` is not understood; write a time such as 20270101T090000, or 20270101T080000Z in UTC"
)]
#[case("FREQ=SECONDLY", "FREQ=SECONDLY is not supported; write `interval: 10s` instead of an rrule")]
#[case("FREQ=DAILY;COUNT=2;UNTIL=20270101", "COUNT and UNTIL exclude each other; write one of them")]
#[case(
    "FREQ=WEEKLY;BYDAY=2MO",
    "BYDAY `2MO` has a number, which needs FREQ=MONTHLY or FREQ=YEARLY; write the weekday alone, such as MO"
)]
#[case(
    "DTSTART;TZID=ASIA/TOKYO:20270101T090000\nFREQ=DAILY",
    "TZID=ASIA/TOKYO is not the clock's zone; write the zone into timeZone and leave TZID out"
)]
#[case(
    "RRULE:FREQ=DAILY\nEXDATE:20270101",
    "EXDATE 20270101 needs a time as well, such as 20270101T090000; to leave out whole days write except.dates"
)]
#[case(
    "FREQ=MINUTELY;COUNT=1000;BYMONTH=2;BYMONTHDAY=29;BYHOUR=0;BYMINUTE=0;BYDAY=MO",
    "the rrule's COUNT=1000 takes too long to count out; write UNTIL instead of COUNT"
)]
#[case(
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    "the rrule never comes: no date from 1970-01-01T00:00:00 on has all that it asks for; correct its parts, UNTIL or DTSTART"
)]
fn refuses_and_says_what_to_write(#[case] text: &str, #[case] message: &str) {
    assert_eq!(parse(text).unwrap_err().to_string(), message);
}

#[rstest]
#[case::exdate(
    "DTSTART:20270101T090000\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20270102T090000",
    &["2027-01-01T08:00:00Z", "2027-01-03T08:00:00Z"]
)]
#[case::exdate_in_utc(
    "DTSTART:20270101T090000\nRRULE:FREQ=DAILY;COUNT=2\nEXDATE:20270101T080000Z",
    &["2027-01-02T08:00:00Z"]
)]
#[case::rdate_beside_the_rule(
    "DTSTART:20270101T090000\nRRULE:FREQ=YEARLY;COUNT=1\nRDATE:20270601T120000,20270101T090000",
    &["2027-01-01T08:00:00Z", "2027-06-01T10:00:00Z"]
)]
#[case::exdate_wins_over_rdate(
    "DTSTART:20270101T090000\nRRULE:FREQ=YEARLY;COUNT=1\nRDATE:20270601T120000\nEXDATE:20270601T120000",
    &["2027-01-01T08:00:00Z"]
)]
#[case::until_is_included(
    "DTSTART:20270101T090000\nRRULE:FREQ=DAILY;UNTIL=20270102T090000",
    &["2027-01-01T08:00:00Z", "2027-01-02T08:00:00Z"]
)]
#[case::until_as_a_date_is_its_midnight(
    "DTSTART:20270101T090000\nRRULE:FREQ=DAILY;UNTIL=20270102",
    &["2027-01-01T08:00:00Z"]
)]
#[case::count_counts_what_exdate_leaves_out(
    "DTSTART:20270101T090000\nRRULE:FREQ=DAILY;COUNT=1\nEXDATE:20270101T090000\nRDATE:20280101T090000",
    &["2028-01-01T08:00:00Z"]
)]
#[case::count_starts_with_dtstart("DTSTART:20261231T090000\nRRULE:FREQ=DAILY;COUNT=2", &["2027-01-01T08:00:00Z"])]
#[case::numbered_weekdays(
    "FREQ=YEARLY;BYMONTH=1,2;BYDAY=1MO,-1FR,2MO",
    &["2027-01-03T23:00:00Z", "2027-01-10T23:00:00Z", "2027-01-28T23:00:00Z", "2027-01-31T23:00:00Z"]
)]
#[case::places_beyond_the_period(
    "FREQ=MONTHLY;BYMONTHDAY=1,2;BYSETPOS=-3,-2,3",
    &["2027-01-31T23:00:00Z", "2027-02-28T23:00:00Z", "2027-03-31T22:00:00Z", "2027-04-30T22:00:00Z"]
)]
fn lines_and_bounds(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(ticks(text), expected);
}
