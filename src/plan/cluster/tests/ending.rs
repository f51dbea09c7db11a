//! Workers that end by themselves, and workers that run and are never registered.

use std::time::Duration;

use k8s_openapi::api::core::v1::ContainerStateTerminated;

use super::*;

fn second(seconds: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_secs(seconds)
}

/// Lets the container of a worker end, which ran from one second to another; the pod goes on, with a sidecar
/// or not.
fn end(pod: &mut Arc<Pod>, (from, to): (i64, i64), code: i32) {
    let mut ended = Pod::clone(pod);
    ended.metadata.creation_timestamp = Some(Time(second(from)));
    let status = &mut ended.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0];
    let terminated = ContainerStateTerminated {
        exit_code: code,
        started_at: Some(Time(second(from))),
        finished_at: Some(Time(second(to))),
        ..ContainerStateTerminated::default()
    };
    status.state = Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() });
    *pod = Arc::new(ended);
}

fn is_worker(pod: &Pod) -> bool {
    state::is_component(pod, labels::WORKER)
}

#[test]
fn a_worker_that_has_closed_is_replaced_though_its_sidecar_runs() {
    let cluster = cluster(2);
    let mut observed = settled(&cluster, 2);
    end(&mut observed.pods[0], (0, 600), 0);
    let plan = plan(&cluster, &observed, second(600));
    assert_eq!(kinds(&plan), ["delete", "create"]);
    assert!(!plan.events.iter().any(|note| note.reason == Reason::WorkerLost), "{:?}", plan.events);
    assert_eq!(reason(&plan, ConditionType::Reconciling), "WorkersStarting");
}

/// When workers are created that end as soon as they start, in seconds; the status of each plan is that of
/// the next one.
#[test]
fn workers_that_end_at_once_are_created_again_ever_later() {
    let mut cluster = cluster(2);
    let mut at = 0;
    let mut delays = Vec::new();
    for round in 0..7 {
        let mut observed = settled(&cluster, 2);
        observed.scheduler = SchedulerView::Answering { workers: BTreeSet::new() };
        for pod in observed.pods.iter_mut().filter(|pod| is_worker(pod)) {
            end(pod, (at, at + 2), 0);
        }
        // One of them is seen before the other.
        let mut first = observed.clone();
        first.pods.remove(1);
        let told = plan(&cluster, &first, second(at + 2));
        cluster.status = Some(told.status);
        let told = plan(&cluster, &observed, second(at + 3));
        assert_eq!(kinds(&told), Vec::<&str>::new(), "round {round}");
        let Next::At(next) = told.next else { panic!("{:?}", told.next) };
        let ready = find(&told.status.conditions, ConditionType::Ready).unwrap().clone();
        assert_eq!(ready.reason, "WorkerLost");
        assert!(ready.message.contains("exit code 0; the next try is at"), "{}", ready.message);
        cluster.status = Some(told.status);
        let tried = plan(&cluster, &observed, next);
        assert_eq!(kinds(&tried), ["delete", "delete", "create", "create"], "round {round}");
        cluster.status = Some(tried.status);
        delays.push(next.duration_since(second(at + 2)).as_secs());
        at = next.duration_since(now()).as_secs() + 1;
    }
    assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
}

/// The kubelet says of such a container that it was started in 1970.
#[test]
fn workers_that_cannot_be_started_are_not_created_again_at_once() {
    let cluster = cluster(1);
    let mut observed = settled(&cluster, 1);
    observed.scheduler = SchedulerView::Answering { workers: BTreeSet::new() };
    end(&mut observed.pods[0], (0, 1), 128);
    let mut pod = Pod::clone(&observed.pods[0]);
    let statuses = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
    let terminated = statuses[0].state.as_mut().unwrap().terminated.as_mut().unwrap();
    terminated.started_at = Some(Time(Timestamp::UNIX_EPOCH));
    // As a template may have it; the kubelet would try again otherwise.
    pod.spec.as_mut().unwrap().restart_policy = Some("Never".into());
    observed.pods[0] = Arc::new(pod);
    let plan = plan(&cluster, &observed, second(1));
    assert_eq!(kinds(&plan), Vec::<&str>::new());
    assert!(plan.status.groups[0].early_ends.is_some());
}

#[test]
fn a_corrected_spec_starts_workers_at_once() {
    let mut cluster = cluster(1);
    let mut observed = settled(&cluster, 1);
    observed.scheduler = SchedulerView::Answering { workers: BTreeSet::new() };
    end(&mut observed.pods[0], (0, 1), 0);
    cluster.status = Some(plan(&cluster, &observed, second(1)).status);
    assert!(cluster.status.as_ref().unwrap().groups[0].early_ends.is_some());
    cluster.spec.workers.args = vec!["--lifetime".into(), "1h".into()];
    let plan = plan(&cluster, &observed, second(2));
    assert!(kinds(&plan).contains(&"create"), "{:?}", kinds(&plan));
    assert_eq!(plan.status.groups[0].early_ends, None);
}

#[test]
fn workers_that_ended_with_their_scheduler_are_created_at_once() {
    let mut cluster = cluster(1);
    let mut observed = settled(&cluster, 1);
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    cluster.status.as_mut().unwrap().scheduler_ended_at = Some(Time(second(2)));
    end(&mut observed.pods[0], (0, 2), 0);
    assert_eq!(kinds(&plan(&cluster, &observed, second(3))), ["delete", "create"]);
}

/// A worker that has been running since second 0, and the annotation that it may have.
fn silent(cluster: &DaskCluster, noted: Option<i64>) -> Observed {
    let mut observed = settled(cluster, 1);
    observed.scheduler = SchedulerView::Answering { workers: BTreeSet::new() };
    let mut pod = Pod::clone(&observed.pods[0]);
    let status = &mut pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0];
    status.state.as_mut().unwrap().running = Some(ContainerStateRunning { started_at: Some(Time(now())) });
    let noted = noted.map(|at| (labels::UNREGISTERED_SINCE.to_owned(), second(at).to_string()));
    pod.metadata.annotations.get_or_insert_default().extend(noted);
    observed.pods[0] = Arc::new(pod);
    observed
}

#[test]
fn a_worker_that_runs_and_never_registers_is_replaced() {
    let mut cluster = cluster(1);
    cluster.status = Some(plan(&cluster, &settled(&cluster, 1), now()).status);
    let early = plan(&cluster, &silent(&cluster, None), second(59));
    assert_eq!((kinds(&early).len(), early.next), (0, Next::At(second(60))));
    assert_eq!(kinds(&plan(&cluster, &silent(&cluster, None), second(60))), ["annotate"]);
    let noted = plan(&cluster, &silent(&cluster, Some(60)), second(61));
    assert_eq!((kinds(&noted).len(), noted.next), (0, Next::At(second(660))));
    let ready = find(&noted.status.conditions, ConditionType::Ready).unwrap();
    assert!(ready.message.contains("runs and is not: see kubectl logs "), "{}", ready.message);
    let due = plan(&cluster, &silent(&cluster, Some(60)), second(660));
    assert_eq!(kinds(&due), ["delete"]);
    assert!(due.events.iter().any(|note| note.reason == Reason::WorkerLost), "{:?}", due.events);
    // A scheduler that has just begun to serve has heard of nobody yet.
    let mut fresh = cluster.clone();
    fresh.status.as_mut().unwrap().scheduler_ready_since = Some(Time(second(600)));
    assert_eq!(kinds(&plan(&fresh, &silent(&fresh, Some(60)), second(660))), Vec::<&str>::new());
}

#[test]
fn a_worker_that_is_back_is_not_waited_for() {
    let mut cluster = cluster(1);
    cluster.status = Some(plan(&cluster, &settled(&cluster, 1), now()).status);
    let mut back = silent(&cluster, Some(60));
    back.scheduler = SchedulerView::Answering { workers: names(&back.pods[..1]).into_iter().collect() };
    assert!(matches!(&plan(&cluster, &back, second(61)).steps[..], [Step::Annotate { value: None, .. }]));
}

#[test]
fn a_scheduler_that_waits_for_its_volumes_says_so() {
    let cluster = cluster(0);
    let mut observed = settled(&cluster, 0);
    let mut pod = Pod::clone(&observed.pods[0]);
    pod.status = serde_json::from_value(json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": now()},
        {"type": "PodReadyToStartContainers", "status": "False"},
    ]}))
    .unwrap();
    observed.pods[0] = Arc::new(pod);
    observed.scheduler = SchedulerView::Unknown;
    let early = plan(&cluster, &observed, now());
    assert_eq!(reason(&early, ConditionType::Ready), "SchedulerStarting");
    assert_eq!(early.next, Next::At(now() + Duration::from_secs(15)));
    let late = plan(&cluster, &observed, second(15));
    assert_eq!(reason(&late, ConditionType::Ready), "ContainerCreating");
    assert_eq!(late.events.len(), 1, "{:?}", late.events);
}

#[test]
fn workers_do_not_sleep_when_the_scheduler_has_come() {
    let mut cluster = cluster(1);
    cluster.status = Some(plan(&cluster, &settled(&cluster, 1), second(100)).status);
    let sleeping = |ended: i64| {
        let mut observed = silent(&cluster, None);
        let mut pod = Pod::clone(&observed.pods[0]);
        let status = &mut pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap()[0];
        let waiting = ContainerStateWaiting { reason: Some("CrashLoopBackOff".into()), message: None };
        status.state = Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() });
        let terminated = ContainerStateTerminated {
            exit_code: 1,
            finished_at: Some(Time(second(ended))),
            ..ContainerStateTerminated::default()
        };
        status.last_state =
            Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() });
        observed.pods[0] = Arc::new(pod);
        observed
    };
    assert_eq!(kinds(&plan(&cluster, &sleeping(90), second(101))), ["delete"]);
    assert_eq!(kinds(&plan(&cluster, &sleeping(101), second(102))), Vec::<&str>::new(), "it ends by itself");
}
