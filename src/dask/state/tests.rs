use super::*;
use crate::dask::message::read;
use serde_json::{Value, json};

fn snapshot(value: &Value) -> Snapshot {
    read(&rmp_serde::to_vec_named(value).unwrap()).unwrap()
}

#[test]
fn states_are_summed_over_groups() {
    let group = |states: Value| json!({"states": states, "name": "later", "types": {"processing": 7}});
    let groups = json!({
        "a": group(json!({"memory": 4, "processing": 2, "waiting": 1, "queued": 0, "no-worker": 3})),
        "b": group(json!({"queued": 5, "forgotten": 9, "processing": "many", "erred": 1.0})),
        "c": "<repr>", "d": {"states": [1]},
    });
    let states = snapshot(&json!({"task_groups": groups, "id": "s"})).task_groups.unwrap();
    let expected = TaskStates { processing: 2, waiting: 1, queued: 5, no_worker: 3, total: 16 };
    assert_eq!(states, expected);
    assert_eq!(states.in_flight(), 11);
}

#[test]
fn clients_of_the_schedulers_own_making_are_left_out() {
    let clients = json!({"fire-and-forget": {}, "published-x": {}, "variable-v": null, "queue-q": {},
        "Client-worker-1f": {}, "Client-2c": {"last_seen": 1.0}, "MyClient-3": "<repr>"});
    let ids = snapshot(&json!({"clients": clients})).clients.unwrap();
    assert!(ids.iter().eq(["Client-2c", "MyClient-3"]), "{ids:?}");
}

#[test]
fn what_is_not_told_is_not_taken_for_nothing() {
    for value in [json!({}), json!({"task_groups": [], "clients": ["a"], "workers": 3, "tasks": null})] {
        let told = snapshot(&value);
        assert!(told.task_groups.is_none() && told.clients.is_none(), "{told:?}");
        assert!(told.workers.is_none() && told.tasks.is_none(), "{told:?}");
    }
    // One worker without the member: the sum over the others would be too small.
    let workers = json!({"tcp://a:1": {"used_resources": {"GPU": 1}}, "tcp://b:1": {"status": "running"}});
    assert_eq!(snapshot(&json!({"workers": workers})).workers, None);
}

#[test]
fn resources_are_summed_over_workers_and_over_tasks_in_flight() {
    let workers = json!({"tcp://a:1": {"used_resources": {"GPU": 1, "disk": 0}, "name": "w"},
        "tcp://b:1": {"used_resources": {"GPU": 2.5, "x": "much"}}});
    assert_eq!(snapshot(&json!({"workers": workers})).workers, Some([("GPU".to_owned(), 3.5)].into()));
    let asks = |state: &str, asked: Value| json!({"state": state, "resource_restrictions": asked});
    let tasks = json!({"a": asks("processing", json!({"GPU": 1})), "b": asks("no-worker", json!({"GPU": 2})),
        "c": asks("memory", json!({"GPU": 4})), "d": asks("queued", json!(null)), "e": "<repr>",
        "f": asks("waiting", json!({"GPU": 8}))});
    assert_eq!(snapshot(&json!({"tasks": tasks})).tasks, Some([("GPU".to_owned(), 3.0)].into()));
}

#[test]
fn a_question_keeps_what_it_asks_for() {
    let excluded = |part| Dump::of(part).exclude.0;
    let kept = [
        (Part::States, ["task_groups", "states", "clients"].as_slice()),
        (Part::Used, &["task_groups", "states", "workers", "used_resources"]),
        (Part::Tasks, &["tasks", "state", "resource_restrictions"]),
    ];
    for (part, names) in kept {
        assert!(!excluded(part).iter().any(|name| names.contains(name)), "{part:?}");
    }
    let bytes = rmp_serde::to_vec_named(&Dump::of(Part::Tasks)).unwrap();
    let value: Value = rmp_serde::from_slice(&bytes).unwrap();
    assert_eq!(value["exclude"]["__Set__"], json!(true));
    assert!(value["exclude"]["as-list"].as_array().unwrap().contains(&json!("run_spec")));
}
