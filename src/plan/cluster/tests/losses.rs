//! A scheduler whose container ends in a pod that stays.

use k8s_openapi::api::core::v1::ContainerStateTerminated;
use rstest::rstest;

use super::*;

/// A look at the cluster so many seconds after it began.
struct Look {
    at: i64,
    /// Whether the scheduler answers.
    answers: bool,
    /// The last end of its container that the kubelet tells: from when to when it had run.
    ended: Option<(i64, i64)>,
}

fn look(at: i64, answers: bool, ended: Option<(i64, i64)>) -> Look {
    Look { at, answers, ended }
}

fn second(seconds: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_secs(seconds)
}

/// The losses that are told, by the look that tells them.
fn told(looks: &[Look]) -> Vec<(i64, String)> {
    let mut cluster = cluster(1);
    let mut told = Vec::new();
    for look in looks {
        let mut observed = settled(&cluster, 1);
        if !look.answers {
            observed.scheduler = SchedulerView::Unreachable {
                reason: Reason::SchedulerUnreachable,
                message: "refused".into(),
            };
        }
        if let Some((from, to)) = look.ended {
            let mut pod = observed.pods.pop().unwrap().as_ref().clone();
            let container = &mut pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0];
            let terminated = ContainerStateTerminated {
                exit_code: 0,
                started_at: Some(Time(second(from))),
                finished_at: Some(Time(second(to))),
                ..ContainerStateTerminated::default()
            };
            container.last_state =
                Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() });
            observed.pods.push(Arc::new(pod));
        }
        let plan = plan(&cluster, &observed, second(look.at));
        let losses = plan.events.iter().filter(|note| note.reason == Reason::SchedulerLost);
        told.extend(losses.map(|note| (look.at, note.message.clone())));
        cluster.status = Some(plan.status);
    }
    told
}

#[rstest]
#[case::the_connection_is_lost_first(&[look(0, false, None), look(5, true, None), look(90, false, None), look(91, false, Some((2, 90))), look(95, true, Some((2, 90)))], &[91])]
#[case::the_end_is_seen_first(&[look(0, false, None), look(5, true, None), look(90, false, Some((2, 90))), look(95, true, Some((2, 90)))], &[90])]
#[case::it_serves_again_at_once(&[look(0, false, None), look(5, true, None), look(90, true, Some((2, 90))), look(95, true, Some((2, 90)))], &[90])]
#[case::each_end_once(&[look(0, false, None), look(5, true, None), look(90, true, Some((2, 90))), look(150, true, Some((91, 150))), look(160, true, Some((91, 150)))], &[90, 150])]
#[case::what_ended_before_it_served_is_no_loss(&[look(0, false, None), look(9, false, Some((2, 9))), look(20, true, Some((2, 9))), look(30, true, Some((2, 9)))], &[])]
#[case::one_that_never_serves_is_none(&[look(0, false, None), look(9, false, Some((2, 9))), look(20, false, Some((12, 20)))], &[])]
#[case::after_a_loss_it_does_not_come_back(&[look(0, false, None), look(5, true, None), look(90, false, Some((2, 90))), look(99, false, Some((92, 99)))], &[90])]
fn the_loss_of_a_scheduler_that_served_is_told_once(#[case] looks: &[Look], #[case] expected: &[i64]) {
    let told = told(looks);
    let at: Vec<i64> = told.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, expected, "{told:?}");
    for (_, message) in told {
        let causes = "exit code 0, as client.shutdown() makes it end, or its liveness probe";
        assert!(message.contains(causes), "{message}");
    }
}

/// The scheduler's pod is to have ended by the second 30, and its node says nothing.
#[test]
fn a_scheduler_whose_node_is_lost_is_reported_with_the_node_and_the_cure() {
    let mut cluster = cluster(1);
    let mut observed = settled(&cluster, 1);
    let mut pod = observed.pods.pop().unwrap().as_ref().clone();
    pod.metadata.deletion_timestamp = Some(Time(second(30)));
    pod.spec.as_mut().unwrap().node_name = Some("node-7".into());
    observed.pods.push(Arc::new(pod));
    observed.scheduler = SchedulerView::Unknown;
    let lost = |plan: &Plan<DaskClusterStatus>| {
        plan.events.iter().filter(|note| note.reason == Reason::SchedulerLost).count()
    };

    let leaving = plan(&cluster, &observed, second(20));
    assert_eq!((lost(&leaving), leaving.next), (0, Next::At(second(60))), "a kubelet has its time");
    cluster.status = Some(leaving.status);
    let overdue = plan(&cluster, &observed, second(60));
    assert_eq!(
        (lost(&overdue), reason(&overdue, ConditionType::SchedulerReady)),
        (1, "SchedulerLost".into())
    );
    let message = &find(&overdue.status.conditions, ConditionType::Ready).unwrap().message;
    assert!(message.contains("node-7") && message.contains("--force"), "{message}");
    assert!(overdue.steps.is_empty(), "two schedulers must never be: {:?}", overdue.steps);
    cluster.status = Some(overdue.status);
    assert_eq!(lost(&plan(&cluster, &observed, second(90))), 0, "it is reported once");
}

#[test]
fn a_scheduler_without_its_service_serves_nobody() {
    let cluster = cluster(1);
    let observed = Observed { service: None, ..settled(&cluster, 1) };
    let plan = plan(&cluster, &observed, now());
    assert!(!conditions::is_true(&plan.status.conditions, ConditionType::Ready));
}
