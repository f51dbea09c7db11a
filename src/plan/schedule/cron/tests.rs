//! What the dialect accepts, what it refuses, and what it says then.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn bits(values: &[u32]) -> u64 {
    values.iter().fold(0, |bits, value| bits | bit(*value))
}

fn parse(text: &str) -> CronFields {
    CronFields::parse(text).unwrap()
}

#[rstest]
#[case("0 0 1 1 *", "@yearly")]
#[case("0 0 1 1 *", "@annually")]
#[case("0 0 1 * *", "@monthly")]
#[case("0 0 * * 0", "@weekly")]
#[case("0 0 * * *", "@daily")]
#[case("0 0 * * *", "@midnight")]
#[case("0 * * * *", "@hourly")]
#[case("0 * * * *", "0 * * * ?")]
#[case("0 * * * *", "  0\t*  ? ? ?\n")]
#[case("0 0 * * 0", "0 0 * * 7")]
#[case("0 0 * * 0", "0 0 * * SUN")]
#[case("0 0 * * 5,6,0", "0 0 * * fri-sun")]
#[case("0 0 * * 5,6,0", "0 0 * * 5-7")]
#[case("0 0 * * 0,1,2", "0 0 * * sun-tue")]
#[case("0 0 * * 1,3,5", "0 0 * * Mon/2")]
#[case("0 0 1 1,2,3 *", "0 0 1 jan-Mar *")]
#[case("5,20,35,50 * * * *", "5/15 * * * *")]
#[case("0,30 * * * *", "*/30 * * * *")]
#[case("0 * * * *", "*/100 * * * *")]
#[case("30 6,10,14 * * *", "30 6-16/4 * * *")]
#[case("1,2,3,7 0 1 1 *", "1-3,07 00 01 01 *")]
#[case("0 0 13 * *", "0 0 13 * */1")]
fn means_the_same(#[case] plain: &str, #[case] written: &str) {
    let (plain, mut written) = (parse(plain), parse(written));
    // A list and a step differ in how they meet a change of the clocks; here only the times matter.
    written.repeats = plain.repeats;
    assert_eq!(written, plain);
}

#[test]
fn fields_are_sets() {
    let fields = parse("*/20 9-11,14 1 1,6 1-5");
    assert_eq!(fields.minutes, bits(&[0, 20, 40]));
    assert_eq!(fields.hours, bits(&[9, 10, 11, 14]));
    assert_eq!(fields.days, bits(&[1]));
    assert_eq!(fields.months, bits(&[1, 6]));
    assert_eq!(fields.weekdays, bits(&[1, 2, 3, 4, 5]));
}

#[rstest]
#[case("0 0 1,15 * 1", true)]
#[case("0 0 */2 * 1", true)]
#[case("0 0 1 * *", false)]
#[case("0 0 * * 1", false)]
#[case("0 0 ? * 1", false)]
#[case("0 0 */1 * 1", false)]
fn either_day_suffices_where_both_are_restricted(#[case] text: &str, #[case] either: bool) {
    assert_eq!(parse(text).either_day, either);
}

#[rstest]
#[case("30 2 * * *", false)]
#[case("0,30 2,14 * * *", false)]
#[case("0 9-17 * * *", false)]
#[case("*/30 * * * *", true)]
#[case("0 * * * *", true)]
#[case("0/15 2 * * *", true)]
#[case("0 0-23 * * *", true)]
#[case("0 0-23/2 * * *", true)]
fn tells_fixed_times_from_repeating_ones(#[case] text: &str, #[case] repeats: bool) {
    assert_eq!(parse(text).repeats, repeats);
}

#[rstest]
#[case("", "the cron schedule is empty; write five fields such as `0 2 * * *`")]
#[case(
    "* * * *",
    "the cron schedule has 4 fields and needs five: minute, hour, day of month, month, day of week"
)]
#[case(
    "0 0 2 * * *",
    "the cron schedule has 6 fields and needs five: minute, hour, day of month, month, day of week (seconds and years are not supported)"
)]
#[case(
    "0 0 2 * * * 2027",
    "the cron schedule has 7 fields and needs five: minute, hour, day of month, month, day of week (seconds and years are not supported)"
)]
#[case("@every 1h30m", "`@every` is not supported; write `interval: 1h30m` instead of cron")]
#[case(
    "@reboot",
    "`@reboot` is not known; write @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually or five fields"
)]
#[case(
    "TZ=Europe/Paris 0 2 * * *",
    "`TZ=Europe/Paris`: a zone inside the schedule is not supported; write it into timeZone"
)]
#[case(
    "CRON_TZ=UTC 0 2 * * *",
    "`CRON_TZ=UTC`: a zone inside the schedule is not supported; write it into timeZone"
)]
#[case(
    "0 0 L * *",
    "day of month `L`: `L` is not in Kubernetes' cron dialect; write numbers, names, lists, ranges and steps; or instead of cron a rule such as `rrule: FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=2;BYMINUTE=0`"
)]
#[case(
    "0 0 15W * *",
    "day of month `15W`: `W` is not in Kubernetes' cron dialect; write numbers, names, lists, ranges and steps"
)]
#[case(
    "0 0 * * 5#3",
    "day of week `5#3`: `#` is not in Kubernetes' cron dialect; write numbers, names, lists, ranges and steps; or instead of cron a rule such as `rrule: FREQ=MONTHLY;BYDAY=3FR;BYHOUR=2;BYMINUTE=0`"
)]
#[case(
    "0 0 1 * +1",
    "day of week `+1`: `+` is not in Kubernetes' cron dialect; write numbers, names, lists, ranges and steps"
)]
#[case(
    "H 0 * * *",
    "minute `H`: `H` is not in Kubernetes' cron dialect; write numbers, names, lists, ranges and steps"
)]
#[case("60 0 * * *", "minute `60` is out of range; write 0 to 59")]
#[case("0 24 * * *", "hour `24` is out of range; write 0 to 23")]
#[case("0 0 0 * *", "day of month `0` is out of range; write 1 to 31")]
#[case("0 0 * 13 *", "month `13` is out of range; write 1 to 12")]
#[case("0 0 * * 8", "day of week `8` is out of range; write 0 to 7")]
#[case("99999999999 0 * * *", "minute `99999999999` is out of range; write 0 to 59")]
#[case("0 22-6 * * *", "hour `22-6` runs backwards; write it as two ranges, such as 22-23,0-6")]
#[case("*/0 * * * *", "minute `*/0` has no usable step; write a number from 1 behind the slash, such as */5")]
#[case("*/ * * * *", "minute `*/` has no usable step; write a number from 1 behind the slash, such as */5")]
#[case(
    "*/5/5 * * * *",
    "minute `*/5/5` has no usable step; write a number from 1 behind the slash, such as */5"
)]
#[case(
    "1,,2 * * * *",
    "minute `` is not understood; write 0 to 59, a range such as 0-59, a step such as */5, or a list of these"
)]
#[case(
    "0 0 * janu *",
    "month `janu` is not understood; write 1 to 12, jan to dec, a range such as 1-12, a step such as */5, or a list of these"
)]
#[case(
    "0 0 * * Monday",
    "day of week `Monday` is not understood; write 0 to 7, sun to sat, a range such as 0-7, a step such as */5, or a list of these"
)]
#[case(
    "0 0 * * Wednesday",
    "day of week `Wednesday` is not understood; write 0 to 7, sun to sat, a range such as 0-7, a step such as */5, or a list of these"
)]
#[case(
    "0 0 * July *",
    "month `July` is not understood; write 1 to 12, jan to dec, a range such as 1-12, a step such as */5, or a list of these"
)]
#[case(
    "0 mon * * *",
    "hour `mon` is not understood; write 0 to 23, a range such as 0-23, a step such as */5, or a list of these"
)]
#[case(
    "-5 * * * *",
    "minute `-5` is not understood; write 0 to 59, a range such as 0-59, a step such as */5, or a list of these"
)]
#[case(
    "0 0 30 2 *",
    "`0 0 30 2 *` never comes: no month it names has such a day; correct the day of month or the month"
)]
#[case(
    "0 0 31 4,jun,9,11 *",
    "`0 0 31 4,jun,9,11 *` never comes: no month it names has such a day; correct the day of month or the month"
)]
fn refuses_and_says_what_to_write(#[case] text: &str, #[case] message: &str) {
    assert_eq!(CronFields::parse(text).unwrap_err().to_string(), message);
}

#[test]
fn a_text_beyond_the_limit_is_not_read() {
    let text = format!("{} * * * *", ["1"; 200].join(","));
    assert_eq!(CronFields::parse(&text), Err(CronError::TooLong(text.len())));
}

#[test]
fn a_day_that_some_month_lacks_still_comes() {
    assert!(CronFields::parse("0 0 31 * *").is_ok());
    assert!(CronFields::parse("0 0 29 2 *").is_ok());
    // The weekday comes, whatever the day of month.
    assert!(CronFields::parse("0 0 30 2 1").is_ok());
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in "\\PC{0,120}") {
        let _ = CronFields::parse(&text);
    }

    #[test]
    fn any_text_like_cron_gets_an_answer(text in "[@0-9*/,?#LWa-z-]{1,9}( [0-9*/,?#LWa-z-]{1,9}){3,6}") {
        let _ = CronFields::parse(&text);
    }
}
