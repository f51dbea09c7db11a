//! What counts as the loss of a cluster when its runner has failed: what its scheduler says, and not what its
//! gateway does.

use super::*;

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
