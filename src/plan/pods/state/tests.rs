#![allow(clippy::unwrap_used, reason = "a test may panic")]

use rstest::rstest;
use serde_json::{Value, json};

use super::super::ends;
use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A pod of this component and restart policy with a sidecar that runs.
fn with_sidecar(component: &str, policy: &str, own: Value) -> Pod {
    let status = |name: &str, state: Value| json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state});
    serde_json::from_value(json!({
        "metadata": {"name": "p", "labels": {labels::COMPONENT: component}},
        "spec": {"restartPolicy": policy, "containers": [{"name": component}, {"name": "log"}]},
        "status": {"phase": "Running", "containerStatuses": [
            status("log", json!({"running": {}})), status(component, own),
        ]},
    }))
    .unwrap()
}

fn ended(code: i32) -> Value {
    json!({"terminated": {"exitCode": code, "startedAt": at(0), "finishedAt": at(3600)}})
}

#[rstest]
#[case::it_closed("worker", "OnFailure", ended(0), PodLife::Finished)]
#[case::it_is_started_again("worker", "OnFailure", ended(1), PodLife::Alive)]
#[case::never("worker", "Never", ended(1), PodLife::Finished)]
#[case::scheduler("scheduler", "Always", ended(0), PodLife::Alive)]
#[case::scheduler_of_a_template("scheduler", "OnFailure", ended(0), PodLife::Finished)]
#[case::it_runs("worker", "OnFailure", json!({"running": {}}), PodLife::Alive)]
#[case::it_starts("worker", "OnFailure", json!({"waiting": {"reason": "PodInitializing"}}), PodLife::Alive)]
fn the_own_container_of_a_pod_decides(
    #[case] component: &str,
    #[case] policy: &str,
    #[case] own: Value,
    #[case] expected: PodLife,
) {
    assert_eq!(life(&with_sidecar(component, policy, own)), expected);
}

#[test]
fn the_policy_of_the_container_is_before_that_of_its_pod() {
    let mut pod = with_sidecar("worker", "OnFailure", ended(0));
    pod.spec.as_mut().unwrap().containers[0].restart_policy = Some("Always".into());
    assert_eq!(life(&pod), PodLife::Alive);
}

#[test]
fn a_pod_with_a_sidecar_tells_the_end_of_its_own_container() {
    let mut own = ended(2);
    own["terminated"]["message"] = json!("Traceback\n\nValueError: no\n");
    let pod = with_sidecar("worker", "Never", own);
    let (reason, message) = ends::end(&pod).unwrap();
    assert_eq!(reason, Reason::WorkerLost);
    assert_eq!(message, "pod p has ended: exit code 2, after writing: Traceback / ValueError: no");
    assert_eq!(ends::end(&with_sidecar("worker", "OnFailure", ended(0))), None, "as with --lifetime");
}

/// A pod that has a node since second 0 and this condition.
fn scheduled(prepared: Option<&str>) -> Pod {
    let mut conditions = vec![json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": at(0)})];
    conditions.extend(prepared.map(|status| json!({"type": "PodReadyToStartContainers", "status": status})));
    serde_json::from_value(json!({
        "metadata": {"name": "p", "labels": {labels::COMPONENT: "worker"}},
        "status": {"phase": "Pending", "conditions": conditions, "containerStatuses": [
            {"name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"waiting": {"reason": "ContainerCreating"}}},
        ]},
    }))
    .unwrap()
}

#[test]
fn a_pod_without_volumes_or_sandbox_is_reported_after_a_while() {
    let waits = scheduled(Some("False"));
    assert_eq!(obstacle(&waits, at(14)), None);
    assert_eq!(prepared_until(&waits), Some(at(15)));
    let (reason, message) = obstacle(&waits, at(15)).unwrap();
    assert_eq!(reason, Reason::ContainerCreating);
    assert!(message.contains("see kubectl describe pod p"), "{message}");
    for pulls in [scheduled(Some("True")), scheduled(None)] {
        assert_eq!((obstacle(&pulls, at(600)), prepared_until(&pulls)), (None, None));
    }
}

#[test]
fn a_container_that_crashes_tells_its_last_words() {
    let mut pod = scheduled(Some("True"));
    let status = &mut pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0];
    status.state = serde_json::from_value(json!({"waiting": {
        "reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container",
    }}))
    .unwrap();
    status.last_state = serde_json::from_value(json!({"terminated": {
        "exitCode": 1, "message": "No module named distributed\n",
    }}))
    .unwrap();
    let (reason, message) = obstacle(&pod, at(0)).unwrap();
    assert_eq!(reason, Reason::CrashLoopBackOff);
    assert_eq!(message, "pod p, image i: exit code 1, after writing: No module named distributed");
}
