//! A changed spec: who is replaced, when, and what it waits for.

use super::*;
use crate::api::WorkersSpec;
use crate::api::dask_cluster::Rollout;
use crate::api::worker_group::WorkerGroup;
use crate::plan::cluster::load::Answer;

const MEMORY: std::time::Duration = std::time::Duration::from_secs(60);

/// A cluster whose scheduler has other arguments now, and that is idle and has these clients.
fn outdated(clients: &[&str]) -> (DaskCluster, Observed) {
    let before = cluster(1);
    let mut after = before.clone();
    after.spec.scheduler.args = vec!["--no-show".into()];
    let mut observed = settled(&before, 1);
    let clients = clients.iter().map(|name| (*name).to_owned()).collect();
    let answer = Answer { idle: Some(true), clients: Some(clients), ..Answer::default() };
    observed.load.hear(answer, now(), MEMORY);
    (after, observed)
}

fn waits(cluster: &DaskCluster, observed: &Observed) -> String {
    let plan = plan(cluster, observed, now());
    assert_eq!(plan.steps, [], "the scheduler is left alone");
    let reconciling = find(&plan.status.conditions, ConditionType::Reconciling).unwrap();
    assert_eq!((reconciling.status.as_str(), reconciling.reason.as_str()), ("True", "Outdated"));
    assert_eq!(reason(&plan, ConditionType::Ready), "Ready", "it serves all the same");
    reconciling.message.clone()
}

/// The steps of a cluster that has said that it closes, when it has said so for long enough.
fn steps_when_closed(cluster: &DaskCluster, observed: &Observed, from: Timestamp) -> Vec<Step> {
    let first = plan(cluster, observed, from);
    assert!(!first.steps.iter().any(|step| matches!(step, Step::Replace { .. })), "{:?}", first.steps);
    assert_eq!(reason(&first, ConditionType::Ready), "Outdated", "no run is to start any more");
    assert_eq!(reason(&first, ConditionType::SchedulerReady), "Ready");
    let at = from + ANNOUNCED;
    assert_eq!(first.next, Next::At(at));
    let mut told = cluster.clone();
    told.status = Some(first.status);
    let second = plan(&told, observed, at);
    assert_eq!(
        reason(&second, ConditionType::Ready),
        "Outdated",
        "the status of the plan that deletes it, too"
    );
    second.steps
}

#[test]
fn an_idle_scheduler_is_replaced_after_the_api_server_has_judged_the_new_one() {
    let (cluster, observed) = outdated(&[]);
    let steps = steps_when_closed(&cluster, &observed, now());
    let [Step::Replace { wanted: pod, victim }] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!(victim.name, "analytics-scheduler");
    assert_eq!(
        (pod.metadata.name.as_ref(), pod.metadata.generate_name.as_deref()),
        (None, Some("analytics-scheduler-"))
    );
}

#[test]
fn a_scheduler_in_use_waits_and_says_for_what() {
    let (cluster, mut observed) = outdated(&[]);
    observed.runs = vec![active_run()];
    assert!(waits(&cluster, &observed).contains("no run is active (1 now)"));
    let (cluster, observed) = outdated(&["Client-1"]);
    assert!(waits(&cluster, &observed).contains("no client is connected"));
    let (cluster, mut observed) = outdated(&[]);
    observed.load.hear(Answer { idle: Some(false), ..Answer::default() }, now(), MEMORY);
    assert!(waits(&cluster, &observed).contains("no task left"));
    let (cluster, mut observed) = outdated(&[]);
    observed.load.fail("it hangs".into());
    observed.load.fail("it hangs".into());
    assert!(waits(&cluster, &observed).contains("rollout: Immediate"));
}

#[test]
fn a_scheduler_that_cannot_tell_its_clients_must_be_quiet_for_a_while() {
    let (cluster, mut observed) = outdated(&[]);
    observed.load.clients = None;
    assert!(waits(&cluster, &observed).contains("idle for 60 seconds"));
    let steps = steps_when_closed(&cluster, &observed, now() + std::time::Duration::from_secs(60));
    assert_eq!(steps.len(), 1, "{steps:?}");
}

#[test]
fn a_run_that_started_while_the_cluster_closed_keeps_the_scheduler() {
    let (mut cluster, mut observed) = outdated(&[]);
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    observed.runs = vec![active_run()];
    let at = now() + ANNOUNCED;
    let opened = plan(&cluster, &observed, at);
    assert_eq!(opened.steps, []);
    assert_eq!(reason(&opened, ConditionType::Ready), "Ready");
    // One that has seen it closed waits, and is not waited for.
    let mut waiting = FlowRun::clone(&active_run());
    waiting.status = Some(FlowRunStatus { phase: Phase::Provisioning, ..FlowRunStatus::default() });
    observed.runs = vec![Arc::new(waiting)];
    assert_eq!(kinds(&plan(&cluster, &observed, at)), ["replace"]);
}

#[test]
fn a_cluster_that_closed_under_an_earlier_version_says_so_anew() {
    let (mut cluster, observed) = outdated(&[]);
    let mut status = plan(&cluster, &observed, now()).status;
    assert_eq!(status.closing_since.take(), Some(Time(now())));
    cluster.status = Some(status);
    assert_eq!(steps_when_closed(&cluster, &observed, at(60)).len(), 1);
}

#[test]
fn a_scheduler_is_replaced_at_once_where_that_is_asked_for() {
    let (mut cluster, mut observed) = outdated(&["Client-1"]);
    observed.runs = vec![active_run()];
    cluster.spec.rollout = Rollout::Immediate;
    let plan = plan(&cluster, &observed, now());
    assert!(matches!(&plan.steps[..], [Step::Replace { .. }]));
    assert_eq!(reason(&plan, ConditionType::Ready), "Outdated");
}

#[test]
fn a_scheduler_whom_nobody_has_asked_yet_is_left_alone() {
    let (cluster, mut observed) = outdated(&[]);
    observed.scheduler = SchedulerView::Unknown;
    observed.load = Load::default();
    assert_eq!(plan(&cluster, &observed, now()).steps, [], "the operator may have just started");
}

#[test]
fn a_scheduler_that_does_not_run_is_replaced() {
    let (cluster, mut observed) = outdated(&[]);
    observed.scheduler = SchedulerView::Unknown;
    observed.load = Load::default();
    let mut pod = observed.pods.pop().unwrap().as_ref().clone();
    let waiting = ContainerStateWaiting { reason: Some("ImagePullBackOff".into()), message: None };
    pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0].state =
        Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() });
    observed.pods.push(Arc::new(pod));
    assert!(matches!(&plan(&cluster, &observed, now()).steps[..], [Step::Replace { .. }]));
}

#[test]
fn a_bad_image_stops_at_the_surge_and_costs_no_scheduler() {
    let before = cluster(4);
    let mut after = before.clone();
    after.spec.image = "no-such-image".into();
    let mut observed = settled(&before, 4);
    observed.closable = Some(names(&observed.pods));
    let idle = Answer { idle: Some(true), clients: Some(BTreeSet::new()), ..Answer::default() };
    observed.load.hear(idle, now(), MEMORY);
    assert_eq!(kinds(&plan(&after, &observed, now())), ["create"], "one of four");
    // The new one is there, and does not come up.
    let mut new =
        worker::pod(&after, Site::Kubernetes, None, (worker::DEFAULT_GROUP, &after.spec.workers), 99)
            .unwrap();
    let refused = json!({"containerStatuses": [{"name": "worker", "image": "no-such-image", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull"}}}]});
    new.status = Some(serde_json::from_value(refused).unwrap());
    observed.pods.push(Arc::new(new));
    let stuck = plan(&after, &observed, now());
    assert_eq!(stuck.steps, []);
    let told: Vec<_> = stuck.events.iter().map(|note| (note.warning, note.reason)).collect();
    assert_eq!(told, [(true, Reason::ErrImagePull)], "though it serves");
    assert_eq!((stuck.status.workers.ready, stuck.status.workers.desired), (4, 4));
    // The old image again: the newcomer goes, the old ones are as wanted.
    let back = plan(&before, &observed, now());
    let newcomer = state::name(observed.pods.last().unwrap());
    assert!(matches!(&back.steps[..], [Step::Delete(victim)] if victim.name == newcomer), "{:?}", back.steps);
}

#[test]
fn a_scheduler_of_a_new_image_follows_the_first_worker_of_it() {
    let before = cluster(1);
    let mut after = before.clone();
    after.spec.image = "flows:2".into();
    let mut observed = settled(&before, 1);
    let idle = Answer { idle: Some(true), clients: Some(BTreeSet::new()), ..Answer::default() };
    observed.load.hear(idle, now(), MEMORY);
    let new = running(
        worker::pod(&after, Site::Kubernetes, None, (worker::DEFAULT_GROUP, &after.spec.workers), 99)
            .unwrap(),
    );
    observed.pods.push(new);
    assert_eq!(plan(&after, &observed, now()).steps, [], "it is not registered yet");
    observed.scheduler = SchedulerView::Answering { workers: names(&observed.pods).into_iter().collect() };
    let steps = steps_when_closed(&after, &observed, now());
    assert!(
        steps
            .iter()
            .any(|step| matches!(step, Step::Replace { victim, .. } if victim.name == "analytics-scheduler"))
    );
}

#[test]
fn a_new_template_is_judged_when_it_is_new_and_not_again() {
    let mut cluster = cluster(0);
    cluster.spec.workers.template = Some(json!({"spec": {"nodeSelector": {"disk": "ssd"}}}));
    let observed = settled(&cluster, 0);
    let first = plan(&cluster, &observed, now());
    assert_eq!(kinds(&first), ["try"], "though no worker is due");
    cluster.status = Some(first.status);
    assert_eq!(plan(&cluster, &observed, now()).steps, []);
}

/// A rollout of so many workers, the new one of which finds no node since `now`.
fn without_room(replicas: i32) -> (DaskCluster, Observed) {
    let before = cluster(replicas);
    let mut after = before.clone();
    after.spec.workers.args = vec!["--nanny".into()];
    let mut observed = settled(&before, u64::try_from(replicas).unwrap());
    observed.closable = Some(names(&observed.pods));
    let mut new =
        worker::pod(&after, Site::Kubernetes, None, (worker::DEFAULT_GROUP, &after.spec.workers), 99)
            .unwrap();
    new.metadata.creation_timestamp = Some(Time(now()));
    new.status = serde_json::from_value(json!({"conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"},
    ]}))
    .unwrap();
    observed.pods.push(Arc::new(new));
    (after, observed)
}

fn at(seconds: u64) -> Timestamp {
    now() + std::time::Duration::from_secs(seconds)
}

#[test]
fn the_last_worker_makes_no_room_for_one_that_may_fit_no_node() {
    let (after, observed) = without_room(1);
    for seconds in [0, 60, 3_600] {
        assert_eq!(retired(&plan(&after, &observed, at(seconds))), Vec::<String>::new(), "{seconds} s");
    }
    let plan = plan(&after, &observed, at(60));
    assert!(conditions::is_true(&plan.status.conditions, ConditionType::Ready));
    assert_eq!(reason(&plan, ConditionType::Reconciling), "Unschedulable");
}

#[test]
fn where_no_node_has_room_for_one_more_one_makes_room() {
    let (after, mut observed) = without_room(2);
    let early = plan(&after, &observed, at(59));
    assert_eq!((retired(&early), early.next), (Vec::new(), Next::At(at(60))), "and it is looked at then");
    let gone = retired(&plan(&after, &observed, at(60)));
    assert_eq!(gone.len(), 1);
    // Another one only when the first has got its place.
    observed.pods.retain(|pod| state::name(pod) != gone[0]);
    assert_eq!(retired(&plan(&after, &observed, at(120))), Vec::<String>::new());
}

#[test]
fn what_was_refused_is_tried_until_it_is_taken() {
    let mut cluster = cluster(0);
    cluster.spec.workers.template = Some(json!({"spec": {"priorityClassName": "typo"}}));
    let observed = settled(&cluster, 0);
    let mut status = plan(&cluster, &observed, now()).status;
    assert_eq!(status.observed_generation, Some(1));
    let (reason, message) = (Reason::Rejected, "no such class".to_owned());
    let failure = conditions::Failure { reason, message, lasting: true, spares_what_serves: true };
    status.conditions = conditions::failing((&[], &status.conditions), Some(1), now(), &failure);
    status.refusal = failure.refusal();
    cluster.status = Some(status);
    assert_eq!(kinds(&plan(&cluster, &observed, now())), ["try"]);
}

#[test]
fn a_fault_in_one_group_leaves_the_rest_of_a_cluster_alone() {
    let mut cluster = cluster(2);
    let template = json!({"spec": {"containers": [{"name": "worker", "imge": "x"}]}});
    let other = WorkersSpec { template: Some(template), ..WorkersSpec::default() };
    let mut observed = settled(&cluster, 1);
    cluster.spec.worker_groups = vec![WorkerGroup { name: "other".into(), workers: other }];
    let healing = plan(&cluster, &observed, now());
    assert_eq!(kinds(&healing), ["create"], "the default group heals");
    assert_eq!(reason(&healing, ConditionType::Stalled), "InvalidSpec");
    let mut served = settled(&cluster, 2);
    served.pods.retain(|pod| state::label(pod, labels::WORKER_GROUP) != Some("other"));
    cluster.spec.worker_groups[0].workers.replicas = Some(0);
    let serving = plan(&cluster, &served, now());
    assert!(conditions::is_true(&serving.status.conditions, ConditionType::Ready), "runs can run");
    assert!(conditions::is_true(&serving.status.conditions, ConditionType::Stalled));
    observed.pods.clear();
    assert_eq!(plan(&cluster, &observed, now()).steps, [], "and a new one is not begun");
}

#[test]
fn an_outdated_worker_on_its_way_back_to_a_new_scheduler_is_not_deleted() {
    let before = cluster(2);
    let mut after = before.clone();
    after.spec.workers.args = vec!["--nanny".into()];
    let mut observed = settled(&before, 2);
    observed.scheduler = SchedulerView::Answering { workers: BTreeSet::new() };
    assert_eq!(kinds(&plan(&after, &observed, now())), ["create"], "the surge, and nobody leaves");
    // One whose container does not run comes back with an old spec only.
    let mut dead = observed.pods[0].as_ref().clone();
    dead.status.as_mut().unwrap().container_statuses = None;
    observed.pods[0] = Arc::new(dead);
    assert_eq!(kinds(&plan(&after, &observed, now())), ["create", "delete"]);
}
