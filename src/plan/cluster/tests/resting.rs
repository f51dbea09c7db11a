//! A cluster that nobody uses.

use super::*;
use crate::api::dask_cluster::{Idle, IdleAction, IdleStatus};
use crate::plan::cluster::load::Answer;

const MEMORY: std::time::Duration = std::time::Duration::from_secs(60);

fn later(seconds: u64) -> Timestamp {
    now() + std::time::Duration::from_secs(seconds)
}

/// A cluster of two workers that has been idle since `now()`, and rests after ten minutes.
fn idle(action: IdleAction) -> (DaskCluster, Observed) {
    let mut cluster = cluster(2);
    cluster.spec.idle = Some(Idle { after: "10m".into(), action });
    let mut observed = settled(&cluster, 2);
    observed.closable = Some(names(&observed.pods));
    let answer = Answer { idle: Some(true), clients: Some(BTreeSet::new()), ..Answer::default() };
    observed.load.hear(answer, now(), MEMORY);
    (cluster, observed)
}

/// The same, and it stands in the status since ten minutes later that it is to rest.
fn tired(action: IdleAction) -> (DaskCluster, Observed) {
    let (mut cluster, observed) = idle(action);
    cluster.status = Some(plan(&cluster, &observed, later(600)).status);
    (cluster, observed)
}

/// The same, its workers gone.
fn asleep(action: IdleAction) -> (DaskCluster, Observed) {
    let (cluster, mut observed) = tired(action);
    observed.pods.retain(|pod| state::is_component(pod, labels::SCHEDULER));
    observed.scheduler = SchedulerView::Answering { workers: BTreeSet::new() };
    (cluster, observed)
}

fn is_asleep(plan: &Plan<DaskClusterStatus>) -> bool {
    plan.status.idle.as_ref().is_some_and(|idle| idle.asleep)
}

#[test]
fn workers_leave_when_nobody_has_used_them_for_long_enough() {
    let (cluster, observed) = idle(IdleAction::ScaleToZero);
    let early = plan(&cluster, &observed, later(599));
    assert_eq!((early.steps.len(), early.next), (0, Next::At(later(600))));
    let due = plan(&cluster, &observed, later(600));
    assert_eq!((due.steps.len(), is_asleep(&due)), (0, true), "it is written down before it is done");
    assert_eq!(due.events[0].reason, Reason::Idle);
    let (cluster, observed) = tired(IdleAction::ScaleToZero);
    let done = plan(&cluster, &observed, later(601));
    assert_eq!(retired(&done).len(), 2);
    assert_eq!(done.status.workers.desired, 0);
    assert_eq!(reason(&done, ConditionType::Ready), "Idle");
}

#[test]
fn a_cluster_that_is_deleted_when_it_is_idle_says_only_that() {
    let message = |cluster: &DaskCluster, observed: &Observed| {
        let events = plan(cluster, observed, later(600)).events.into_iter();
        events.filter(|note| note.reason == Reason::Idle).map(|note| note.message).collect::<String>()
    };
    let (mut cluster, observed) = idle(IdleAction::Suspend);
    assert!(message(&cluster, &observed).contains("until a run needs it"));
    let owner = |controls: bool| {
        let owner = json!([{
            "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": "a", "uid": "u", "controller": controls
        }]);
        serde_json::from_value(owner).unwrap()
    };
    cluster.metadata.owner_references = owner(false);
    assert!(message(&cluster, &observed).contains("until a run needs it"), "it only goes with that one");
    cluster.metadata.owner_references = owner(true);
    assert_eq!(message(&cluster, &observed), "the cluster has been idle for 10m: it is deleted");
}

#[test]
fn whoever_comes_between_word_and_deed_is_not_sent_away() {
    for action in [IdleAction::ScaleToZero, IdleAction::Suspend, IdleAction::Delete] {
        let (cluster, mut observed) = tired(action);
        observed.runs = vec![waiting_run("etl", 1)];
        let woken = plan(&cluster, &observed, later(601));
        assert_eq!((woken.steps.len(), is_asleep(&woken)), (0, false), "{action:?}: a run");
        let (cluster, mut observed) = tired(action);
        observed.load.hear(Answer { idle: Some(false), ..Answer::default() }, later(601), MEMORY);
        let woken = plan(&cluster, &observed, later(601));
        assert_eq!((woken.steps.len(), is_asleep(&woken)), (0, false), "{action:?}: a task");
    }
}

#[test]
fn nobody_is_sent_away_on_the_word_of_a_cache() {
    let (cluster, mut observed) = idle(IdleAction::Suspend);
    observed.known = Wants::NOTHING;
    let plan = plan(&cluster, &observed, later(600));
    assert!(plan.wants.covers(Wants::OBJECT | Wants::RUNS | Wants::ACTIVITY), "{:?}", plan.wants);
    assert!(plan.steps.is_empty() && !is_asleep(&plan));
}

#[test]
fn a_run_a_task_and_a_new_client_are_uses() {
    let (cluster, mut observed) = idle(IdleAction::ScaleToZero);
    observed.runs = vec![waiting_run("etl", 1)];
    assert!(!is_asleep(&plan(&cluster, &observed, later(6000))), "a run that has not ended");
    let (cluster, mut observed) = idle(IdleAction::ScaleToZero);
    observed.load.hear(Answer { idle: Some(false), ..Answer::default() }, later(1), MEMORY);
    assert!(!is_asleep(&plan(&cluster, &observed, later(6000))), "a task");
    let (cluster, mut observed) = idle(IdleAction::ScaleToZero);
    let clients = Some(["Client-1".to_owned()].into());
    observed.load.hear(Answer { idle: Some(true), clients, ..Answer::default() }, later(300), MEMORY);
    assert_eq!(
        plan(&cluster, &observed, later(600)).next,
        Next::At(later(900)),
        "a client that came meanwhile"
    );
    assert!(is_asleep(&plan(&cluster, &observed, later(900))), "and did nothing for as long");
    let (cluster, mut observed) = idle(IdleAction::ScaleToZero);
    observed.last_run_end = Some(later(100));
    assert_eq!(plan(&cluster, &observed, later(600)).next, Next::At(later(700)), "a run that has just ended");
}

#[test]
fn a_suspended_run_is_no_use() {
    let (cluster, mut observed) = idle(IdleAction::ScaleToZero);
    let mut run = waiting_run("etl", 1).as_ref().clone();
    run.spec.suspend = true;
    observed.runs = vec![Arc::new(run)];
    assert!(is_asleep(&plan(&cluster, &observed, later(600))));
}

#[test]
fn a_scheduler_that_does_not_answer_is_not_idle() {
    let (cluster, mut observed) = idle(IdleAction::Delete);
    observed.load.fail("it hangs".into());
    observed.load.fail("it hangs".into());
    assert!(!is_asleep(&plan(&cluster, &observed, later(6000))));
}

#[test]
fn a_cluster_at_rest_stays_so_and_writes_nothing() {
    let (mut cluster, observed) = asleep(IdleAction::ScaleToZero);
    let first = plan(&cluster, &observed, later(700));
    assert_eq!((first.steps.len(), is_asleep(&first)), (0, true));
    cluster.status = Some(first.status.clone());
    assert_eq!(plan(&cluster, &observed, later(900)).status, first.status);
}

#[test]
fn it_wakes_for_a_run_a_task_a_client_and_a_change() {
    let wakes = |change: fn(&mut DaskCluster, &mut Observed)| {
        let (mut cluster, mut observed) = asleep(IdleAction::ScaleToZero);
        change(&mut cluster, &mut observed);
        let plan = plan(&cluster, &observed, later(900));
        assert_eq!(kinds(&plan), ["create", "create"]);
        assert_eq!(plan.events[0].reason, Reason::Woken);
        plan.status.idle
    };
    let awake = wakes(|_, observed| observed.runs = vec![waiting_run("etl", 1)]);
    assert_eq!(awake, Some(IdleStatus { asleep: false, since: Time(later(900)), generation: Some(1) }));
    wakes(|_, observed| {
        observed.load.hear(Answer { idle: Some(false), ..Answer::default() }, later(899), MEMORY);
    });
    wakes(|_, observed| {
        let clients = Some(["Client-1".to_owned()].into());
        observed.load.hear(Answer { idle: Some(true), clients, ..Answer::default() }, later(899), MEMORY);
    });
    wakes(|cluster, _| cluster.metadata.generation = Some(2));
    wakes(|cluster, _| cluster.spec.idle = None);
}

#[test]
fn one_that_was_woken_is_given_time() {
    let (mut cluster, mut observed) = asleep(IdleAction::ScaleToZero);
    cluster.metadata.generation = Some(2);
    cluster.status = Some(plan(&cluster, &observed, later(900)).status);
    observed.known = Wants::ALL;
    let woken = plan(&cluster, &observed, later(901));
    assert!(!is_asleep(&woken), "it has been idle for long, and was wanted a second ago");
    assert_eq!(woken.next, Next::At(later(1500)));
}

#[test]
fn a_suspended_cluster_has_no_pods_until_a_run_comes() {
    let (mut cluster, mut observed) = tired(IdleAction::Suspend);
    let told = plan(&cluster, &observed, later(600));
    assert_eq!((told.steps.len(), told.next), (0, Next::At(later(602))), "a run may be about to start");
    let first = plan(&cluster, &observed, later(602));
    assert_eq!(kinds(&first), ["delete", "delete", "delete"]);
    assert_eq!(reason(&first, ConditionType::Ready), "Idle");
    cluster.status = Some(first.status);
    observed = Observed { service: observed.service, known: Wants::ALL, ..Observed::default() };
    let gone = plan(&cluster, &observed, later(700));
    assert_eq!((gone.steps.len(), reason(&gone, ConditionType::Suspended)), (0, "Idle".to_owned()));
    observed.runs = vec![waiting_run("etl", 1)];
    assert_eq!(kinds(&plan(&cluster, &observed, later(700))), ["create", "create", "create"]);
}

#[test]
fn a_cluster_may_end_with_its_use() {
    let (cluster, observed) = tired(IdleAction::Delete);
    let plan = plan(&cluster, &observed, later(602));
    let [Step::Delete(victim)] = &plan.steps[..] else { panic!("{:?}", plan.steps) };
    assert_eq!(
        (victim.kind, victim.name.as_str(), victim.uid.as_deref()),
        (VictimKind::Cluster, "analytics", Some("uid-1"))
    );
}
