//! What makes a clock a new one, what `kubectl get` shows of it, and which field a fault is told of.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn flow(schedule: &Value) -> Flow {
    serde_json::from_value(json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl"},
        "spec": {"cluster": {}, "schedule": schedule},
    }))
    .unwrap()
}

fn with(clock: Value, schedule: Value) -> Value {
    let mut all = json!({"clocks": [{"name": "c", "cron": "0 2 * * *"}]});
    let fields = |value: Value| value.as_object().cloned().unwrap();
    let mut merged = fields(all["clocks"][0].clone());
    merged.extend(fields(clock));
    merged.retain(|_, value| !value.is_null());
    all["clocks"][0] = merged.into();
    for (field, value) in fields(schedule) {
        all[field] = value;
    }
    all
}

fn hash(flow: &Flow) -> String {
    let schedule = flow.spec.schedule.as_ref().unwrap();
    let (old, observed) = (FlowStatus::default(), Observed::default());
    let view = View { flow, schedule, old: &old, observed: &observed, now: Timestamp::UNIX_EPOCH };
    view.hash(&schedule.clocks[0])
}

#[rstest]
#[case::cron(json!({"cron": "0 3 * * *"}), json!({}), true)]
#[case::interval(json!({"cron": null, "interval": "1h"}), json!({}), true)]
#[case::rrule(json!({"cron": null, "rrule": "FREQ=DAILY"}), json!({}), true)]
#[case::dates(json!({"cron": null, "dates": ["2027-01-01T00:00:00Z"]}), json!({}), true)]
#[case::start(json!({"startAt": "2027-01-01T00:00:00Z"}), json!({}), true)]
#[case::end(json!({"endAt": "2027-01-01T00:00:00Z"}), json!({}), true)]
#[case::suspension(json!({"suspend": true}), json!({}), true)]
#[case::zone_of_the_clock(json!({"timeZone": "Asia/Tokyo"}), json!({}), true)]
#[case::zone_of_the_schedule(json!({}), json!({"timeZone": "Asia/Tokyo"}), true)]
#[case::daylight_saving(json!({}), json!({"daylightSaving": "CronJob"}), true)]
#[case::only(json!({}), json!({"only": {"days": ["Monday"]}}), true)]
#[case::except(json!({}), json!({"except": {"days": ["Monday"]}}), true)]
#[case::adjust(json!({}), json!({"adjust": "NextWeekday"}), true)]
#[case::parameters(json!({"parameters": {"full": true}}), json!({}), false)]
#[case::max_runs(json!({"maxRuns": 3}), json!({}), false)]
#[case::jitter(json!({}), json!({"jitter": "5m"}), false)]
fn what_decides_ticks_makes_a_clock_a_new_one(
    #[case] clock: Value,
    #[case] schedule: Value,
    #[case] new: bool,
) {
    let plain = flow(&with(json!({}), json!({})));
    assert_eq!(hash(&flow(&with(clock, schedule))) != hash(&plain), new);
}

#[test]
fn the_flows_own_suspension_counts_and_its_other_fields_do_not() {
    let plain = flow(&with(json!({}), json!({})));
    let (mut suspended, mut other) = (plain.clone(), plain.clone());
    suspended.spec.suspend = true;
    other.spec.starting_deadline = Some("5m".into());
    other.spec.catch_up.policy = CatchUpPolicy::None;
    assert_ne!(hash(&suspended), hash(&plain));
    assert_eq!(hash(&other), hash(&plain));
}

#[rstest]
#[case(json!({}), json!({}), "0 2 * * *")]
#[case(json!({}), json!({"timeZone": "Asia/Tokyo"}), "0 2 * * * Asia/Tokyo")]
#[case(json!({"timeZone": "Europe/Paris"}), json!({"timeZone": "Asia/Tokyo"}), "0 2 * * * Europe/Paris")]
#[case(json!({"cron": null, "interval": "1h"}), json!({}), "1h")]
#[case(json!({"cron": null, "dates": ["2027-01-01T00:00:00Z"]}), json!({}), "1 date")]
#[case(
    json!({"cron": null, "dates": ["2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"]}), json!({}), "2 dates"
)]
#[case(
    json!({"cron": null, "rrule": "DTSTART:20270101T090000\nRRULE:FREQ=DAILY\nEXDATE:20270102T090000"}),
    json!({}),
    "FREQ=DAILY"
)]
#[case(
    json!({"cron": null, "rrule": "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0;BYSETPOS=1,-1"}),
    json!({}),
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0;BYSET…"
)]
fn a_schedule_in_a_few_words(#[case] clock: Value, #[case] schedule: Value, #[case] words: &str) {
    let mut described = flow(&with(clock, schedule)).spec.schedule.unwrap();
    assert_eq!(describe(&described), words);
    described.clocks.push(described.clocks[0].clone());
    assert_eq!(describe(&described), format!("{words} (+1)"));
}

#[rstest]
#[case(json!({"timeZone": "Nowhere"}), json!({}), "spec.schedule.clocks[c].timeZone", Reason::InvalidTimeZone)]
#[case(json!({}), json!({"timeZone": "Nowhere"}), "spec.schedule.timeZone", Reason::InvalidTimeZone)]
#[case(json!({"cron": "61 * * * *"}), json!({}), "spec.schedule.clocks[c].cron", Reason::InvalidSchedule)]
#[case(
    json!({"cron": null, "interval": "1d2h"}), json!({}), "spec.schedule.clocks[c].interval", Reason::InvalidSchedule
)]
#[case(
    json!({"cron": null, "rrule": "FREQ=OFTEN"}), json!({}), "spec.schedule.clocks[c].rrule", Reason::InvalidSchedule
)]
#[case(
    json!({"cron": null, "dates": []}), json!({}), "spec.schedule.clocks[c].dates", Reason::InvalidSchedule
)]
#[case(
    json!({}), json!({"only": {"between": [{"from": "9", "to": "10:00"}]}}), "spec.schedule.only",
    Reason::InvalidSchedule
)]
#[case(
    json!({}), json!({"except": {"dates": [{"from": "02-30", "to": "03-01"}]}}), "spec.schedule.except",
    Reason::InvalidSchedule
)]
fn a_fault_is_told_of_the_field_it_is_in(
    #[case] clock: Value,
    #[case] schedule: Value,
    #[case] field: &str,
    #[case] reason: Reason,
) {
    let flow = flow(&with(clock, schedule));
    let fault = parse(&flow, flow.spec.schedule.as_ref().unwrap()).unwrap_err();
    assert_eq!((fault.field.as_str(), fault.reason), (field, reason));
}

#[rstest]
#[case(
    json!({"only": {"between": [{"from": "09:00", "to": "10:00"}]}}),
    "spec.schedule.only: no tick of the clock c passes the filters only and except; correct them or the clock"
)]
#[case(
    json!({"except": {"between": [{"from": "02:00", "to": "02:30"}]}}),
    "spec.schedule.except: no tick of the clock c passes the filters only and except; correct them or the clock"
)]
fn a_clock_without_ticks_is_named_where_users_look(#[case] schedule: Value, #[case] message: &str) {
    let flow = flow(&with(json!({}), schedule));
    let observed = Observed { cluster_exists: true, ..Observed::default() };
    let status = crate::plan::flow::plan(&flow, &observed, Timestamp::UNIX_EPOCH).status;
    for kind in [crate::api::ConditionType::ScheduleValid, crate::api::ConditionType::Ready] {
        let told = crate::plan::conditions::find(&status.conditions, kind).unwrap();
        assert_eq!((told.reason.as_str(), told.message.as_str()), ("InvalidSchedule", message));
    }
}

#[test]
fn a_tick_that_is_moved_beyond_the_end_is_a_fault_of_the_end() {
    let dates = json!({"cron": null, "dates": ["2027-01-02T00:00:00Z"], "endAt": "2027-01-03T00:00:00Z"});
    let flow = flow(&with(dates, json!({"adjust": "NextWeekday"})));
    let fault = parse(&flow, flow.spec.schedule.as_ref().unwrap()).unwrap_err();
    assert_eq!(
        fault.message,
        "spec.schedule.clocks[c].endAt: adjust moves every tick of the clock c beyond its endAt; write a later endAt"
    );
}
