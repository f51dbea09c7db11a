//! What a Flow says, is carried out as it says, and may not be what its author means. No fault:
//! `daskflow validate` and `next` tell it, and the operator does as it is told.

use jiff::Timestamp;

use super::{coming, ticks};
use crate::api::Flow;
use crate::api::flow::{ClockEntry, Schedule};
use crate::plan::schedule::{both_days, idle_exdates};

/// Where coming ticks are looked for, so that the same text gives the same hints on every day:
/// 2027-01-01T00:00:00Z.
const REFERENCE: i64 = 1_798_761_600;
/// So many coming runs are compared with each other.
const RUNS: usize = 500;

/// Something that may not be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The field, as a path such as `spec.schedule.clocks[nightly].cron`.
    pub field: String,
    /// What it means, and what to write where something else is meant.
    pub message: String,
}

/// What may not be meant in a Flow. Empty for one that has faults in its clocks. Where `now` is given, what
/// has ended by then is among it.
pub fn hints(flow: &Flow, now: Option<Timestamp>) -> Vec<Hint> {
    let Some(schedule) = &flow.spec.schedule else { return Vec::new() };
    let mut found: Vec<Hint> =
        zone(schedule.time_zone.as_deref(), "spec.schedule.timeZone").into_iter().collect();
    for entry in &schedule.clocks {
        let field = |name: &str| format!("spec.schedule.clocks[{}].{name}", entry.name);
        found.extend(zone(entry.time_zone.as_deref(), &field("timeZone")));
        found.extend(cron(entry, &field("cron")));
        found.extend(exdates(schedule, entry, &field("rrule")));
    }
    found.extend(doubles(flow));
    found.extend(now.into_iter().flat_map(|now| ended(flow, schedule, now)));
    found
}

/// Clocks that tick no more.
fn ended(flow: &Flow, schedule: &Schedule, now: Timestamp) -> Vec<Hint> {
    let outlook = coming::coming(flow, now, 1).ok();
    let names = outlook.map(|outlook| outlook.ended).unwrap_or_default();
    let ended = schedule.clocks.iter().filter(|entry| names.contains(&entry.name));
    let hint = |entry: &ClockEntry| {
        let (name, why) = coming::why_ended(flow, entry, now);
        let message = format!("it ticks no more: {why}");
        Hint { field: format!("spec.schedule.clocks[{}].{name}", entry.name), message }
    };
    ended.map(hint).collect()
}

/// Zones that are something else than many take them for.
fn zone(name: Option<&str>, field: &str) -> Option<Hint> {
    let name = name?;
    let upper = name.to_ascii_uppercase();
    let city = match upper.as_str() {
        "EST" => Some(("5 hours behind UTC", "America/New_York")),
        "MST" => Some(("7 hours behind UTC", "America/Denver")),
        _ => None,
    };
    let message = if let Some((offset, city)) = city {
        format!(
            "{name} is {offset} all year, without daylight saving time; write {city} where the clocks are changed"
        )
    } else {
        let sign = upper.strip_prefix("ETC/GMT")?.chars().next().filter(|sign| matches!(sign, '+' | '-'))?;
        let side = if sign == '+' { "behind" } else { "ahead of" };
        format!(
            "{name} is {side} UTC: the signs of these zones are reversed; write the zone of a city, such as Asia/Karachi"
        )
    };
    Some(Hint { field: field.to_owned(), message })
}

/// A day of month and a weekday together: either is enough.
fn cron(entry: &ClockEntry, field: &str) -> Option<Hint> {
    let rule = both_days(entry.cron.as_deref()?)?;
    let message = format!(
        "it ticks on each of these days of the month, and on each of these weekdays as well; for days that are both, write \
         rrule: {rule}"
    );
    Some(Hint { field: field.to_owned(), message })
}

fn exdates(schedule: &Schedule, entry: &ClockEntry, field: &str) -> Vec<Hint> {
    let Some(rule) = &entry.rrule else { return Vec::new() };
    let start = entry.start_at.as_ref().map(|time| time.0);
    let idle = idle_exdates(rule, ticks::zone(schedule, entry), start);
    let told = idle.into_iter().map(|(date, meant)| {
        let written = date.strftime("%Y%m%dT%H%M%S");
        let rest = meant.map_or_else(
            || "the rule has none on that day".to_owned(),
            |meant| {
                format!(
                    "on that day it is at {}; write EXDATE:{}",
                    meant.time(),
                    meant.strftime("%Y%m%dT%H%M%S")
                )
            },
        );
        Hint {
            field: field.to_owned(),
            message: format!("EXDATE {written} takes no occurrence away: {rest}"),
        }
    });
    told.collect()
}

/// Two runs of one instant with the same parameters.
fn doubles(flow: &Flow) -> Option<Hint> {
    let after = Timestamp::from_second(REFERENCE).ok()?;
    let outlook = coming::coming(flow, after, RUNS).ok()?;
    let pair = outlook
        .runs
        .iter()
        .zip(outlook.runs.iter().skip(1))
        .find(|(one, other)| one.tick == other.tick && one.parameters == other.parameters);
    pair.map(|(one, other)| {
        let clocks: Vec<&str> = one.clocks.iter().chain(&other.clocks).map(String::as_str).collect();
        let message = format!(
            "the clocks {} start a run each at {} with the same parameters: take `parameters` out of a clock that overrides \
             nothing, or let one clock not tick then",
            clocks.join(" and "),
            one.tick
        );
        Hint { field: "spec.schedule.clocks".to_owned(), message }
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn told(schedule: &Value) -> Vec<String> {
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "a", "namespace": "b"},
            "spec": {"cluster": {}, "schedule": schedule},
        }))
        .unwrap();
        assert_eq!(super::super::violations(&flow), []);
        hints(&flow, None).into_iter().map(|hint| format!("{} {}", hint.field, hint.message)).collect()
    }

    fn clock(clock: Value) -> Value {
        let mut clock = clock;
        clock["name"] = json!("c");
        json!({"clocks": [clock]})
    }

    #[rstest]
    #[case("0 10 1-7 * 1", "FREQ=MONTHLY;BYDAY=1MO;BYHOUR=10;BYMINUTE=0")]
    #[case("30 6 8-14 * tue", "FREQ=MONTHLY;BYDAY=2TU;BYHOUR=6;BYMINUTE=30")]
    #[case("0 0 13 * 5", "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR;BYHOUR=0;BYMINUTE=0")]
    #[case(
        "0 8,20 1,15 1,7 1-5",
        "FREQ=MONTHLY;BYMONTH=1,7;BYMONTHDAY=1,15;BYDAY=MO,TU,WE,TH,FR;BYHOUR=8,20;BYMINUTE=0"
    )]
    fn days_of_month_with_weekdays_have_the_rule_to_write(#[case] cron: &str, #[case] rule: &str) {
        let found = told(&clock(json!({"cron": cron})));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&format!("write rrule: {rule}")), "{found:?}");
        assert_eq!(told(&clock(json!({"rrule": rule}))), Vec::<String>::new(), "what is proposed is right");
    }

    #[rstest]
    #[case("0 10 * * 1")]
    #[case("0 10 1 * *")]
    #[case("0 10 */2 * *")]
    #[case("@weekly")]
    fn one_kind_of_day_is_what_it_says(#[case] cron: &str) {
        assert_eq!(told(&clock(json!({"cron": cron}))), Vec::<String>::new());
    }

    #[test]
    fn an_exdate_that_takes_nothing_away_is_told_with_the_one_that_does() {
        let rule = "DTSTART:20270104T163000\nRRULE:FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR\nEXDATE:20270118T163000,20270326T000000,20270327T163000";
        let found = told(&clock(json!({"rrule": rule})));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("EXDATE 20270326T000000 takes no occurrence away"), "{found:?}");
        assert!(found[0].ends_with("write EXDATE:20270326T163000"), "{found:?}");
        assert!(found[1].ends_with("the rule has none on that day"), "{found:?}");
    }

    #[test]
    fn zones_that_are_something_else_are_told() {
        let zone = |zone: &str| told(&json!({"timeZone": zone, "clocks": [{"name": "c", "interval": "1h"}]}));
        assert!(zone("EST")[0].contains("America/New_York"));
        assert!(zone("Etc/GMT+5")[0].contains("behind UTC"));
        assert!(zone("Etc/GMT-3")[0].contains("ahead of UTC"));
        for good in ["America/New_York", "UTC", "Etc/GMT", "Asia/Calcutta"] {
            assert_eq!(zone(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn clocks_that_tick_no_more_are_told_with_why() {
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "a", "namespace": "b"},
            "spec": {"cluster": {}, "schedule": {"clocks": [
                {"name": "counts", "rrule": "FREQ=DAILY;COUNT=3"},
                {"name": "from", "rrule": "FREQ=DAILY;COUNT=3", "startAt": "2027-01-01T00:00:00Z"},
                {"name": "until", "rrule": "FREQ=DAILY;UNTIL=20200101T000000"},
                {"name": "dates", "dates": ["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]},
                {"name": "over", "interval": "1h", "endAt": "2020-01-01T00:00:00Z"},
                {"name": "live", "interval": "1h"},
                {"name": "paused", "interval": "1h", "endAt": "2020-01-01T00:00:00Z", "suspend": true},
            ]}},
        }))
        .unwrap();
        let now = "2027-01-02T12:00:00Z".parse().unwrap();
        let told: Vec<String> = hints(&flow, Some(now))
            .into_iter()
            .map(|hint| format!("{} {}", hint.field, hint.message))
            .collect();
        let expected = [
            "[counts].rrule it ticks no more: its COUNT counts from 1970, as it has neither a DTSTART nor startAt",
            "[until].rrule it ticks no more: its rule has ended",
            "[dates].dates it ticks no more: the last of its dates, 2021-01-01T00:00:00Z, has passed",
            "[over].endAt it ticks no more: its endAt, 2020-01-01T00:00:00Z, has passed",
        ];
        assert_eq!(told, expected.map(|hint| format!("spec.schedule.clocks{hint}")));
        assert_eq!(hints(&flow, None), [], "the same on every day");
    }

    #[test]
    fn two_runs_of_one_instant_with_the_same_parameters_are_told() {
        let both = |a: Value, b: Value| {
            told(&json!({"clocks": [
                {"name": "a", "cron": "0 * * * *", "parameters": a}, {"name": "b", "cron": "0 0 * * *", "parameters": b},
            ]}))
        };
        let found = both(json!({"x": 1}), json!({"x": 1}));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("the clocks a and b") || found[0].contains("the clocks b and a"),
            "{found:?}"
        );
        assert_eq!(both(json!({"x": 1}), json!({"x": 2})), Vec::<String>::new());
        assert_eq!(both(Value::Null, Value::Null), Vec::<String>::new(), "they share one run");
    }
}
