//! What counts as the loss of a cluster when its runner has failed: what its scheduler says, and not what its
//! gateway does.

use super::*;
use crate::api::ConditionType;
use crate::plan::conditions::find;

fn mute() -> Workers {
    Workers::Silent { reason: Reason::SchedulerUnreachable, message: "mute".to_owned() }
}

/// What is said of the cluster after the attempt has failed, and while it goes on.
fn said(view: &GatewayView) -> (Option<String>, Option<String>) {
    let of = |known: &Value| {
        let mut status = run(Some(known)).status.unwrap();
        status.job = Some("etl-1-1".to_owned());
        (super::super::lost(&status, view, true), super::super::lost(&status, view, false))
    };
    let own = of(&equipped());
    let shared = of(&asked(&json!({"cluster": "c1", "secretName": "s", "shared": true})));
    assert_eq!(own, shared, "{view:?}");
    own
}

fn silent_as(reason: Reason, workers: Workers) -> GatewayView {
    GatewayView::Silent { reason, message: "the gateway's words".to_owned(), lacks_login: false, workers }
}

/// The gateway takes no connection, gives no answer or one of 500 and above; it does not take the login, or
/// knows no such path.
#[rstest]
#[case::is_away(Reason::GatewayUnreachable)]
#[case::says_no(Reason::GatewayRefused)]
#[case::has_no_login(Reason::SecretNotFound)]
fn whatever_a_gateway_says_a_cluster_whose_scheduler_answers_is_there(#[case] reason: Reason) {
    assert_eq!(said(&silent_as(reason, Workers::Registered(0))), (None, None));
    assert_eq!(said(&silent_as(reason, Workers::NotAsked)), (None, None));
    assert_eq!(said(&silent_as(reason, mute())), (Some("mute".to_owned()), None));
}

#[rstest]
#[case::as_its_gateway_says(ClusterState::Running)]
#[case::or_does_not_know_yet(ClusterState::Missing)]
fn a_cluster_is_lost_whose_scheduler_does_not_answer(#[case] state: ClusterState) {
    assert_eq!(said(&cluster(state, mute())), (Some("mute".to_owned()), None));
    assert_eq!(said(&cluster(state, Workers::Registered(1))), (None, None));
}

/// The end of an attempt whose runner says that the script has failed.
fn end_of(view: GatewayView) -> FlowRunStatus {
    let mut at_work = run(Some(&equipped()));
    let status = at_work.status.as_mut().unwrap();
    (status.phase, status.job) = (Phase::Running, Some("etl-1-1".to_owned()));
    status.started_at = Some(Time(now()));
    let mut observed = seen(flow(&json!({})), view);
    let job = json!({
        "metadata": {"name": "etl-1-1", "uid": "j", "creationTimestamp": now().to_string()},
        "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]},
    });
    let words = json!({"reason": "ScriptError", "message": "ValueError: no"}).to_string();
    let ended = json!({"exitCode": 1, "message": words});
    let pod = json!({
        "metadata": {"name": "etl-1-1-x", "uid": "p"},
        "status": {"containerStatuses": [{"name": "runner", "state": {"terminated": ended}}]},
    });
    observed.job = Some(Arc::new(serde_json::from_value(job).unwrap()));
    observed.pod = Some(Arc::new(serde_json::from_value(pod).unwrap()));
    plan(&at_work, &observed, now()).status
}

/// The Flow has one attempt for its infrastructure and none for its script: which of them failed is decided
/// by what is known.
#[test]
fn what_is_not_known_of_a_cluster_is_said_and_is_no_loss() {
    let unknown = Workers::Unknown { reason: Reason::SchedulerUnreachable, message: "unread".to_owned() };
    for view in [
        cluster(ClusterState::Running, unknown.clone()),
        silent_as(Reason::GatewayUnreachable, unknown.clone()),
    ] {
        assert_eq!(said(&view), (None, None));
        let status = end_of(view);
        let failed = find(&status.conditions, ConditionType::Failed).unwrap();
        assert_eq!((status.phase, failed.reason.as_str()), (Phase::Failed, "ScriptError"));
        let words = "it is not known whether the cluster was lost: unread; the runner said: ValueError: no";
        assert_eq!(failed.message, words);
    }
    let lost = end_of(cluster(ClusterState::Running, mute()));
    assert_eq!(lost.phase, Phase::Retrying);
    let own = end_of(cluster(ClusterState::Running, Workers::Registered(1)));
    assert_eq!(own.phase, Phase::Failed);
}
