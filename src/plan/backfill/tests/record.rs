//! What is known of ticks whose runs have been forgotten.

use serde_json::Value;

use super::*;

/// The hourly flow, with this memory of its clock.
fn remembering(memory: &Value) -> Flow {
    let mut flow = flow(vec![clock("hourly", "1h")]);
    let mut clock = json!({"name": "hourly", "hash": "", "since": "2026-01-01T00:00:00Z"});
    clock.as_object_mut().unwrap().extend(memory.as_object().cloned().unwrap());
    flow.status = Some(serde_json::from_value(json!({"clocks": [clock]})).unwrap());
    flow
}

#[test]
fn second_backfill_repeats_no_success() {
    let flow = remembering(&json!({"succeeded": "2026-10-01T00:00:00Z+3600*4"}));
    let plan = look_at(&backfill("00:00:00", "05:00:00"), &flow, vec![run(5, Phase::Failed)]);
    assert_eq!(created(&plan), names(&[5]));
    assert_eq!(counts(&plan), [0, 0, 1, 5, 0]);
    assert_eq!(plan.status.unrecorded, 0);
}

#[test]
fn ticks_from_before_the_record_are_run_and_counted() {
    let memory = json!({"succeeded": "2026-10-01T03:00:00Z", "recordedSince": "2026-10-01T02:00:00Z"});
    let flow = remembering(&memory);
    let plan = look_at(&backfill("00:00:00", "03:00:00"), &flow, vec![run(0, Phase::Succeeded)]);
    assert_eq!(created(&plan), names(&[1, 2]));
    assert_eq!(plan.status.unrecorded, 1, "of hour 0 there is a run, hour 2 is in the time of the record");
    let told = condition(&plan.status, ConditionType::Ready).message.clone();
    assert!(told.contains("1 of them are from before the record"), "{told}");
}

#[test]
fn a_clock_that_was_given_parameters_knows_its_successes() {
    let mut flow = remembering(&json!({"succeeded": "2026-10-01T00:00:00Z+3600"}));
    flow.spec.schedule.as_mut().unwrap().clocks[0].parameters = Some(json!({"full": true}));
    let plan = look_at(&backfill("00:00:00", "02:00:00"), &flow, vec![]);
    let made = created(&plan);
    assert_eq!(made.len(), 1);
    assert!(made[0].starts_with(&name(2)), "{made:?}");
}

#[test]
fn whoever_wants_everything_anew_gets_it_once() {
    let flow = remembering(&json!({"succeeded": "2026-10-01T00:00:00Z+3600"}));
    let mut again = backfill("00:00:00", "02:00:00");
    again.spec.skip = SkippedTicks::None;
    let plan = look_at(&again, &flow, vec![run(1, Phase::Succeeded), run(2, Phase::Running)]);
    assert_eq!(created(&plan), names(&[0, 1]));
    assert_eq!(deleted(&plan), [(name(1), Some("uid-1".to_owned()))]);
    let done = vec![
        own(0, Phase::Succeeded, "october-1"),
        own(1, Phase::Failed, "october-1"),
        run(2, Phase::Running),
    ];
    assert_eq!(created(&look_at(&again, &flow, done)), Vec::<String>::new());
    // Two that want the same do not take turns for ever.
    let other = own(0, Phase::Succeeded, "another");
    assert_eq!(created(&look_at(&again, &flow, vec![other, run(2, Phase::Running)])), names(&[1]));
}

#[test]
fn parameters_that_reach_no_script_start_nothing() {
    let mut large = backfill("00:00:00", "02:00:00");
    large.spec.parameters = Some(json!({"files": "x".repeat(140_000)}));
    let plan = look(&large, vec![]);
    assert_eq!((created(&plan).len(), reason(&plan)), (0, "InvalidSpec"));
}
