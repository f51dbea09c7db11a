//! What a plan makes of a scheduler's answers: who is deleted, who stays and why.

use std::time::Duration;

use super::*;

/// A cluster with this many workers more than are wanted, which the scheduler was asked to let go a second
/// ago, and the names of all its workers, those first.
fn asked(too_many: i32, wanted: i32) -> (DaskCluster, Observed, Vec<String>) {
    let mut cluster = cluster(wanted);
    let count = u64::try_from(wanted + too_many).unwrap();
    let mut observed = settled(&cluster, count);
    let all: Vec<String> = names(&observed.pods)[..observed.pods.len() - 1].to_vec();
    observed.closable = Some(all.clone());
    let first = plan(&cluster, &observed, before());
    let leaving = all[..usize::try_from(too_many).unwrap()].to_vec();
    assert_eq!(retired(&first), leaving);
    cluster.status = Some(first.status);
    let victims = victims(&observed, &leaving);
    assert_eq!(observed.retirements.begin(&victims, before()), victims);
    (cluster, observed, all)
}

fn before() -> Timestamp {
    now() - Duration::from_secs(1)
}

/// The scheduler lets the first workers go, and keeps the others that it was asked about.
fn lets_go(observed: &mut Observed, all: &[String], (gone, kept): (usize, usize)) {
    let said = Said {
        done: all[..gone].iter().cloned().collect(),
        kept: all[gone..gone + kept].iter().cloned().collect(),
    };
    let victims = victims(observed, &all[..gone + kept]);
    observed.retirements.hear((Wish::Retire, &victims), Ok(&said), now());
    observed.scheduler = SchedulerView::Answering { workers: all[gone..].iter().cloned().collect() };
}

/// The pods that a plan deletes.
fn deleted(plan: &Plan<DaskClusterStatus>) -> Vec<String> {
    let of_step = plan.steps.iter().filter_map(|step| match step {
        Step::Delete(victim) => Some(victim.name.clone()),
        _ => None,
    });
    of_step.collect()
}

fn message(plan: &Plan<DaskClusterStatus>) -> String {
    find(&plan.status.conditions, ConditionType::Reconciling).unwrap().message.clone()
}

#[test]
fn workers_that_the_scheduler_let_go_are_deleted_and_those_that_it_keeps_are_reported() {
    let (mut cluster, mut observed, all) = asked(2, 1);
    lets_go(&mut observed, &all, (1, 1));
    let told = plan(&cluster, &observed, now());
    assert_eq!(kinds(&told), ["delete"]);
    assert_eq!(deleted(&told), all[..1]);
    let words = format!("the scheduler keeps {}: their data cannot move", all[1]);
    assert_eq!(
        (reason(&told, ConditionType::Reconciling), message(&told)),
        ("WorkersHeld".into(), words.clone())
    );
    assert_eq!(told.events, [Note::warning(Reason::WorkersHeld, words)]);
    assert_eq!(told.next, Next::After(Duration::from_secs(2)));
    cluster.status = Some(told.status);
    let again = plan(&cluster, &observed, now() + Duration::from_secs(1));
    assert_eq!(
        (deleted(&again), again.events),
        (all[..1].to_vec(), Vec::new()),
        "as long as its pod is there"
    );
    assert_eq!(retired(&plan(&cluster, &observed, now() + Duration::from_secs(2))), all[1..2]);
}

#[test]
fn while_the_scheduler_has_not_answered_nobody_is_deleted() {
    let (cluster, observed, _) = asked(2, 1);
    let soon = plan(&cluster, &observed, now());
    assert_eq!((soon.steps.len(), soon.events.len()), (0, 0));
    assert_eq!(message(&soon), "2 workers are being removed");
    let late = plan(&cluster, &observed, now() + Duration::from_secs(4));
    assert_eq!(late.steps, []);
    let words = "the data of 2 workers of the group default is moving";
    assert_eq!(message(&late), words);
    assert_eq!(late.events, [Note::warning(Reason::WorkersHeld, words)]);
}

#[test]
fn a_worker_that_was_let_go_and_is_wanted_again_is_replaced() {
    let (mut cluster, mut observed, all) = asked(1, 2);
    cluster.spec.workers.replicas = Some(3);
    assert_eq!(plan(&cluster, &observed, now()).steps, [], "it may stay");
    lets_go(&mut observed, &all, (1, 0));
    let second = plan(&cluster, &observed, now());
    assert_eq!(kinds(&second), ["delete", "create"]);
    assert_eq!(deleted(&second), all[..1]);
}

#[test]
fn a_worker_that_is_kept_and_wanted_again_is_one_like_any_other() {
    let (mut cluster, mut observed, all) = asked(1, 2);
    cluster.spec.workers.replicas = Some(3);
    lets_go(&mut observed, &all, (0, 1));
    let second = plan(&cluster, &observed, now());
    assert_eq!((second.steps.len(), reason(&second, ConditionType::Reconciling)), (0, "Ready".to_owned()));
}

#[test]
fn a_worker_that_was_let_go_and_is_registered_is_not_deleted() {
    let (cluster, mut observed, all) = asked(1, 2);
    lets_go(&mut observed, &all, (1, 0));
    observed.scheduler = SchedulerView::Answering { workers: all.iter().cloned().collect() };
    assert_eq!(plan(&cluster, &observed, now()).steps, []);
    observed.scheduler = SchedulerView::Unknown;
    assert_eq!(plan(&cluster, &observed, now()).steps, [], "nor where nobody knows");
}

#[test]
fn the_next_pod_of_the_name_is_not_deleted() {
    let (mut cluster, mut observed, all) = asked(1, 2);
    lets_go(&mut observed, &all, (1, 0));
    Arc::make_mut(&mut observed.pods[0]).metadata.uid = Some("another".into());
    cluster.spec.workers.replicas = Some(3);
    assert_eq!(plan(&cluster, &observed, now()).steps, []);
}

#[test]
fn a_young_worker_that_was_let_go_has_not_ended_early() {
    let (mut cluster, mut observed, all) = asked(1, 2);
    lets_go(&mut observed, &all, (1, 0));
    let pod = Arc::make_mut(&mut observed.pods[0]);
    pod.status.as_mut().unwrap().phase = Some("Succeeded".into());
    pod.metadata.creation_timestamp = Some(Time(now()));
    cluster.spec.workers.replicas = Some(3);
    let second = plan(&cluster, &observed, now());
    assert_eq!(kinds(&second), ["delete", "create"]);
    assert_eq!(second.status.groups[0].early_ends, None);
    assert!(second.events.iter().all(|note| note.reason != Reason::WorkerLost), "{:?}", second.events);
}

#[test]
fn nobody_is_deleted_on_the_word_of_a_cache() {
    let (cluster, mut observed, all) = asked(1, 2);
    lets_go(&mut observed, &all, (1, 0));
    observed.known = Wants::NOTHING;
    assert!(plan(&cluster, &observed, now()).wants.covers(Wants::OBJECT | Wants::PODS | Wants::WORKERS));
}

#[test]
fn a_call_that_failed_is_reported_and_repeated_after_a_while() {
    let (cluster, mut observed, all) = asked(1, 2);
    let victims = victims(&observed, &all[..1]);
    observed.retirements.hear((Wish::Retire, &victims), Err("refused"), now());
    let told = plan(&cluster, &observed, now());
    assert_eq!(told.steps, []);
    assert_eq!(
        message(&told),
        format!("the scheduler did not report whether it lets {} go: refused", all[0])
    );
    assert_eq!(retired(&plan(&cluster, &observed, now() + Duration::from_secs(2))), all[..1]);
}

#[test]
fn a_message_names_a_few_workers_and_counts_the_others() {
    let (cluster, mut observed, all) = asked(14, 1);
    lets_go(&mut observed, &all, (0, 14));
    let message = message(&plan(&cluster, &observed, now()));
    let mut kept = all[..14].to_vec();
    kept.sort();
    assert!(message.starts_with(&format!("the scheduler keeps {}, {},", kept[0], kept[1])), "{message}");
    assert!(message.ends_with(&format!("{} and 4 more: their data cannot move", kept[9])), "{message}");
}
