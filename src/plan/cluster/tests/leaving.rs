//! Who leaves a group that has too many workers, and when.

use super::*;
use crate::api::WorkersSpec;
use crate::api::worker_group::{Drain, WorkerGroup};

/// A cluster with one worker wanted in each of its two groups, and two in each.
fn two_groups() -> (DaskCluster, Observed) {
    let mut cluster = cluster(1);
    let other = WorkersSpec { replicas: Some(1), ..WorkersSpec::default() };
    cluster.spec.worker_groups = vec![WorkerGroup { name: "other".into(), workers: other }];
    let mut observed = settled(&cluster, 2);
    let other = &cluster.spec.worker_groups[0].workers;
    observed.pods.extend(
        (0..2).map(|seed| running(worker::pod(&cluster, None, ("other", other), 50 + seed).unwrap())),
    );
    observed.scheduler = SchedulerView::Answering { workers: names(&observed.pods).into_iter().collect() };
    (cluster, observed)
}

fn of_group(observed: &Observed, group: &str) -> Vec<String> {
    let of_group = |pod: &&Arc<Pod>| state::label(pod, labels::WORKER_GROUP) == Some(group);
    observed.pods.iter().filter(of_group).map(|pod| state::name(pod).to_owned()).collect()
}

#[test]
fn each_group_loses_its_own_surplus() {
    let (mut cluster, mut observed) = two_groups();
    let (default, other) = (of_group(&observed, "default"), of_group(&observed, "other"));
    // The scheduler would rather close both of the other group.
    observed.closable = Some([other.clone(), default.clone()].concat());
    let both = retired(&plan(&cluster, &observed, now()));
    assert_eq!(both, [default[0].clone(), other[0].clone()]);
    cluster.spec.worker_groups[0].workers.replicas = Some(2);
    assert_eq!(retired(&plan(&cluster, &observed, now())), [default[0].clone()]);
}

#[test]
fn a_group_that_is_taken_out_of_the_spec_is_retired() {
    let (mut cluster, mut observed) = two_groups();
    cluster.spec.workers.replicas = Some(2);
    let other = of_group(&observed, "other");
    cluster.spec.worker_groups.clear();
    observed.closable = Some(names(&observed.pods));
    let first = plan(&cluster, &observed, now());
    assert_eq!(retired(&first), other);
    let told: Vec<_> = first.status.groups.iter().map(|group| (group.name.as_str(), group.desired)).collect();
    assert_eq!(told, [("default", 2), ("other", 0)]);
}

#[test]
fn workers_that_never_ran_leave_without_the_word_of_a_scheduler_that_does_not_answer() {
    let mut cluster = cluster(1);
    let mut observed = settled(&cluster, 1);
    observed.scheduler =
        SchedulerView::Unreachable { reason: Reason::SchedulerUnreachable, message: "late".into() };
    let spec = |cluster: &DaskCluster| cluster.spec.workers.clone();
    let waiting = |cluster: &DaskCluster, seed| {
        Arc::new(worker::pod(cluster, None, (worker::DEFAULT_GROUP, &spec(cluster)), seed).unwrap())
    };
    // Too many: the one that runs stays, it may hold data.
    observed.pods.push(waiting(&cluster, 70));
    assert_eq!(deleted(&plan(&cluster, &observed, now())), [state::name(observed.pods.last().unwrap())]);
    // Of an earlier spec: it will never be wanted.
    observed.pods.pop();
    cluster.spec.workers.nanny = Some(true);
    let old = waiting(&cluster, 71);
    cluster.spec.workers.nanny = None;
    observed.pods.push(old.clone());
    assert_eq!(deleted(&plan(&cluster, &observed, now())), [state::name(&old)]);
    // Two that run, and one is wanted: which of them holds data only the scheduler knows.
    observed.pods.pop();
    observed.pods.push(running((*waiting(&cluster, 72)).clone()));
    assert_eq!(deleted(&plan(&cluster, &observed, now())), Vec::<&str>::new());
}

/// The pods that a plan deletes.
fn deleted(plan: &Plan<DaskClusterStatus>) -> Vec<&str> {
    let of_step = plan.steps.iter().filter_map(|step| match step {
        Step::Delete(victim) => Some(victim.name.as_str()),
        _ => None,
    });
    of_step.collect()
}

#[test]
fn new_workers_that_do_not_run_yet_go_first() {
    let cluster = cluster(1);
    let mut observed = settled(&cluster, 1);
    let spec = (worker::DEFAULT_GROUP, &cluster.spec.workers);
    let started = running(worker::pod(&cluster, None, spec, 60).unwrap());
    let waiting = Arc::new(worker::pod(&cluster, None, spec, 61).unwrap());
    observed.pods.extend([started, waiting.clone()]);
    let mut two = cluster.clone();
    two.spec.workers.replicas = Some(2);
    let steps = plan(&two, &observed, now()).steps;
    assert!(
        matches!(&steps[..], [Step::Delete(victim)] if victim.name == state::name(&waiting)),
        "{steps:?}"
    );
    let steps = plan(&cluster, &observed, now()).steps;
    assert_eq!(steps.len(), 2, "both newcomers, and not the one that is registered: {steps:?}");
    assert!(steps.iter().all(|step| matches!(step, Step::Delete(_))));
}

/// Three workers, one wanted, and this many tasks with each.
fn draining(tasks: [u64; 3]) -> (DaskCluster, Observed, Vec<String>) {
    let mut cluster = cluster(1);
    cluster.spec.workers.drain = Drain::Wait;
    cluster.spec.workers.drain_timeout = Some("10m".into());
    let mut observed = settled(&cluster, 3);
    let all = of_group(&observed, "default");
    observed.busy = Some(all.iter().cloned().zip(tasks).collect());
    observed.closable = Some(all.clone());
    (cluster, observed, all)
}

#[test]
fn a_worker_with_tasks_is_waited_for() {
    let (cluster, observed, all) = draining([1, 0, 2]);
    let first = plan(&cluster, &observed, now());
    assert_eq!(retired(&first), [all[1].clone()], "the one without");
    assert!(matches!(&first.steps[0], Step::Annotate { pod, value: Some(_), .. } if pod.name == all[0]));
    assert_eq!(reason(&first, ConditionType::Reconciling), "WorkersDraining");
    assert!(matches!(first.next, Next::After(_)), "it is looked at again soon");
    assert_eq!(reason(&first, ConditionType::Ready), "Ready");
}

#[test]
fn any_worker_that_becomes_free_may_leave() {
    let (cluster, observed, all) = draining([1, 0, 0]);
    assert_eq!(retired(&plan(&cluster, &observed, now())), all[1..].to_vec());
}

#[test]
fn without_an_answer_everybody_counts_as_busy() {
    let (cluster, mut observed, _) = draining([0, 0, 0]);
    observed.busy = None;
    assert_eq!(kinds(&plan(&cluster, &observed, now())), ["annotate", "annotate"]);
}

/// Puts on the pods what a plan wants to stand there.
fn annotate(observed: &mut Observed, plan: &Plan<DaskClusterStatus>) {
    for step in &plan.steps {
        let Step::Annotate { pod, key, value } = step else { continue };
        let place = observed.pods.iter_mut().find(|there| state::name(there) == pod.name).unwrap();
        let annotations = Arc::make_mut(place).metadata.annotations.get_or_insert_default();
        annotations.remove(*key);
        annotations.extend(value.clone().map(|value| ((*key).to_owned(), value)));
    }
}

#[test]
fn after_the_timeout_busy_workers_leave_too() {
    let (cluster, mut observed, all) = draining([1, 1, 1]);
    let first = plan(&cluster, &observed, now());
    assert_eq!(kinds(&first), ["annotate", "annotate"]);
    annotate(&mut observed, &first);
    let almost = now() + std::time::Duration::from_secs(599);
    assert_eq!(plan(&cluster, &observed, almost).steps, []);
    // The scheduler would rather close another one by now: who has been waited for stays the one that is.
    observed.closable = Some(vec![all[2].clone(), all[1].clone(), all[0].clone()]);
    let over = now() + std::time::Duration::from_secs(600);
    let gone: BTreeSet<String> = retired(&plan(&cluster, &observed, over)).into_iter().collect();
    assert_eq!(gone, all[..2].iter().cloned().collect());
}

#[test]
fn a_worker_that_is_wanted_again_is_no_longer_waited_for() {
    let (mut cluster, mut observed, _) = draining([1, 1, 1]);
    let first = plan(&cluster, &observed, now());
    annotate(&mut observed, &first);
    cluster.spec.workers.replicas = Some(3);
    let second = plan(&cluster, &observed, now());
    assert_eq!(kinds(&second), ["annotate", "annotate"]);
    assert!(second.steps.iter().all(|step| matches!(step, Step::Annotate { value: None, .. })));
    annotate(&mut observed, &second);
    assert_eq!(plan(&cluster, &observed, now()).steps, []);
}

#[test]
fn a_scheduler_that_keeps_its_workers_is_asked_less_and_less() {
    let mut cluster = cluster(1);
    let observed = Observed { closable: Some(Vec::new()), ..settled(&cluster, 2) };
    let mut waits = Vec::new();
    let mut at = now();
    for _ in 0..8 {
        let plan = plan(&cluster, &observed, at);
        let Next::After(wait) = plan.next else { panic!("{:?}", plan.next) };
        waits.push(wait.as_secs());
        cluster.status = Some(plan.status);
        at += wait;
    }
    assert_eq!(waits, [2, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn whoever_was_asked_to_go_is_not_asked_twice_and_nobody_goes_instead() {
    let cluster = cluster(2);
    let mut observed = settled(&cluster, 3);
    let all = of_group(&observed, "default");
    observed.closable = Some(all.clone());
    observed.closing = [all[2].clone()].into();
    let plan = plan(&cluster, &observed, now());
    assert_eq!(plan.steps, []);
    assert_eq!(reason(&plan, ConditionType::Reconciling), "WorkersHeld");
}

#[test]
fn a_scheduler_that_does_not_say_who_may_leave_is_told_of() {
    let cluster = cluster(1);
    let observed = Observed { closable: None, ..settled(&cluster, 2) };
    let plan = plan(&cluster, &observed, now());
    assert_eq!(plan.steps, []);
    let reconciling = find(&plan.status.conditions, ConditionType::Reconciling).unwrap();
    assert!(reconciling.message.contains("did not say which of them may close"), "{}", reconciling.message);
}
