//! Who leaves a group that has too many workers, and when.

use std::time::Duration;

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
    observed.pods.extend((0..2).map(|seed| {
        running(worker::pod(&cluster, Site::Kubernetes, None, ("other", other), 50 + seed).unwrap())
    }));
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
        Arc::new(
            worker::pod(cluster, Site::Kubernetes, None, (worker::DEFAULT_GROUP, &spec(cluster)), seed)
                .unwrap(),
        )
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
    let started = running(worker::pod(&cluster, Site::Kubernetes, None, spec, 60).unwrap());
    let waiting = Arc::new(worker::pod(&cluster, Site::Kubernetes, None, spec, 61).unwrap());
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
    let almost = now() + Duration::from_secs(599);
    assert_eq!(plan(&cluster, &observed, almost).steps, []);
    // The scheduler would rather close another one by now: who has been waited for stays the one that is.
    observed.closable = Some(vec![all[2].clone(), all[1].clone(), all[0].clone()]);
    let over = now() + Duration::from_secs(600);
    let gone: BTreeSet<String> = retired(&plan(&cluster, &observed, over)).into_iter().collect();
    assert_eq!(gone, all[..2].iter().cloned().collect());
}

#[test]
fn a_timeout_that_cannot_be_read_ends_no_task() {
    let (mut cluster, mut observed, all) = draining([1, 1, 1]);
    cluster.spec.workers.drain_timeout = Some("9999999999999h".into());
    let first = plan(&cluster, &observed, now());
    assert_eq!(reason(&first, ConditionType::Stalled), "InvalidSpec");
    annotate(&mut observed, &first);
    let later = now() + Duration::from_secs(1_000 * 3600);
    assert_eq!(plan(&cluster, &observed, later).steps, []);
    observed.busy = Some(all.iter().cloned().zip([1, 0, 1]).collect());
    assert_eq!(retired(&plan(&cluster, &observed, later)), [all[1].clone()], "its tasks have ended");
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

/// As [`draining`], with a scheduler that can close workers to new tasks.
fn closing(tasks: [u64; 3]) -> (DaskCluster, Observed, Vec<String>) {
    let (cluster, mut observed, all) = draining(tasks);
    observed.closes = true;
    (cluster, observed, all)
}

/// Carries out what a plan wants with workers that are closed.
fn obey(cluster: &mut DaskCluster, observed: &mut Observed, plan: Plan<DaskClusterStatus>) {
    annotate(observed, &plan);
    observed.closing.extend(closed(&plan));
    cluster.status = Some(plan.status);
}

#[test]
fn a_busy_worker_is_closed_to_new_tasks_and_leaves_when_its_own_have_ended() {
    let (mut cluster, mut observed, all) = closing([1, 3, 2]);
    let first = plan(&cluster, &observed, now());
    assert_eq!(kinds(&first), ["annotate", "annotate", "close"], "it is written down first");
    assert_eq!(closed(&first), all[..2]);
    assert_eq!(reason(&first, ConditionType::Reconciling), "WorkersDraining");
    assert_eq!(reason(&first, ConditionType::Ready), "Ready");
    obey(&mut cluster, &mut observed, first);
    let second = plan(&cluster, &observed, now());
    assert_eq!(second.steps, [], "it is waited for");
    assert_eq!(second.next, Next::After(Duration::from_secs(2)));
    assert_eq!(reason(&second, ConditionType::Reconciling), "WorkersDraining");
    // The backlog goes on at the one that stays.
    observed.busy = Some(all.iter().cloned().zip([1, 0, 50]).collect());
    assert_eq!(retired(&plan(&cluster, &observed, now())), [all[1].clone()]);
    observed.busy = None;
    assert_eq!(plan(&cluster, &observed, now()).steps, [], "without an answer nobody is free");
}

#[test]
fn closed_workers_leave_after_the_timeout_whatever_they_run() {
    let (mut cluster, mut observed, all) = closing([1, 1, 1]);
    let first = plan(&cluster, &observed, now());
    obey(&mut cluster, &mut observed, first);
    let almost = now() + Duration::from_secs(599);
    assert_eq!(plan(&cluster, &observed, almost).steps, []);
    let over = now() + Duration::from_secs(600);
    assert_eq!(retired(&plan(&cluster, &observed, over)), all[..2]);
    cluster.spec.workers.drain = Drain::Restart;
    assert_eq!(retired(&plan(&cluster, &observed, now())), all[..2], "or as soon as nobody wants to wait");
}

#[test]
fn a_worker_that_is_waited_for_is_closed_when_the_scheduler_can_do_that() {
    let (cluster, mut observed, all) = draining([1, 1, 1]);
    let first = plan(&cluster, &observed, now());
    annotate(&mut observed, &first);
    observed.closes = true;
    let later = now() + Duration::from_secs(60);
    let second = plan(&cluster, &observed, later);
    assert_eq!(closed(&second), all[..2]);
    annotate(&mut observed, &second);
    observed.closing = all[..2].iter().cloned().collect();
    let over = now() + Duration::from_secs(600);
    assert_eq!(retired(&plan(&cluster, &observed, over)), all[..2], "its time goes on");
}

#[test]
fn a_worker_without_a_task_is_not_closed_first() {
    let (cluster, observed, all) = closing([4, 0, 4]);
    let first = plan(&cluster, &observed, now());
    assert_eq!(retired(&first), [all[1].clone()]);
    assert_eq!(closed(&first), [all[0].clone()]);
}

#[test]
fn closed_workers_that_are_wanted_again_leave_and_are_replaced() {
    let (mut cluster, mut observed, all) = closing([1, 1, 1]);
    let first = plan(&cluster, &observed, now());
    obey(&mut cluster, &mut observed, first);
    cluster.spec.workers.replicas = Some(3);
    let second = plan(&cluster, &observed, now());
    assert_eq!(kinds(&second), ["create"], "a quarter more than wanted may exist meanwhile, and no more");
    assert_eq!((second.status.workers.desired, second.status.workers.ready), (3, 1), "they take no tasks");
    assert_eq!(reason(&second, ConditionType::Ready), "Ready", "no run waits for those that finish");
    let spec = (worker::DEFAULT_GROUP, &cluster.spec.workers);
    observed.pods.push(running(worker::pod(&cluster, Site::Kubernetes, None, spec, 70).unwrap()));
    observed.scheduler = SchedulerView::Answering { workers: names(&observed.pods).into_iter().collect() };
    assert_eq!(plan(&cluster, &observed, now()).steps, []);
    observed.busy = Some(all.iter().cloned().zip([0, 1, 1]).collect());
    let third = plan(&cluster, &observed, now());
    assert_eq!(retired(&third), [all[0].clone()], "one that is free goes although all are wanted");
}

#[test]
fn a_cluster_is_not_ready_with_closed_workers_only() {
    let (mut cluster, mut observed, _) = closing([1, 1, 1]);
    cluster.spec.workers.replicas = Some(0);
    let first = plan(&cluster, &observed, now());
    assert_eq!(closed(&first).len(), 3);
    obey(&mut cluster, &mut observed, first);
    cluster.spec.workers.replicas = Some(3);
    let second = plan(&cluster, &observed, now());
    assert_eq!(kinds(&second), ["create"]);
    assert_eq!(reason(&second, ConditionType::Ready), "WorkersStarting");
}

#[test]
fn what_is_not_waited_for_any_more_is_not_closed_again() {
    let (mut cluster, mut observed, all) = closing([1, 1, 1]);
    let first = plan(&cluster, &observed, now());
    annotate(&mut observed, &first);
    cluster.status = Some(first.status);
    assert_eq!(
        closed(&plan(&cluster, &observed, now())),
        all[..2],
        "the operator may have ended before it asked"
    );
    let over = now() + Duration::from_secs(600);
    assert_eq!(kinds(&plan(&cluster, &observed, over)), ["retire"]);
    observed.busy = Some(all.iter().cloned().zip([0, 0, 1]).collect());
    assert_eq!(kinds(&plan(&cluster, &observed, now())), ["retire"]);
}

#[test]
fn a_worker_that_could_not_be_closed_is_asked_for_again_less_and_less() {
    let (mut cluster, mut observed, all) = closing([1, 1, 1]);
    let first = plan(&cluster, &observed, now());
    annotate(&mut observed, &first);
    let asked = victims(&observed, &all[..2]);
    let kept = Said { kept: all[..2].iter().cloned().collect(), ..Said::default() };
    observed.retirements.hear((Wish::CloseToTasks, &asked), Ok(&kept), now());
    let told = plan(&cluster, &observed, now());
    assert_eq!((told.steps.len(), reason(&told, ConditionType::Reconciling)), (0, "WorkersHeld".to_owned()));
    cluster.status = Some(told.status);
    let later = now() + Duration::from_secs(20);
    let second = plan(&cluster, &observed, later);
    assert_eq!((kinds(&second), closed(&second)), (vec!["close"], all[..2].to_vec()));
    assert_eq!(second.next, Next::After(Duration::from_secs(20)));
    observed.retirements.begin(&asked, later);
    assert_eq!(plan(&cluster, &observed, later).steps, [], "the scheduler has not answered yet");
}

#[test]
fn a_closed_worker_that_is_not_registered_holds_nothing_and_goes() {
    let (mut cluster, mut observed, all) = closing([1, 1, 1]);
    let first = plan(&cluster, &observed, now());
    obey(&mut cluster, &mut observed, first);
    let rest = names(&observed.pods).into_iter().filter(|name| *name != all[1]).collect();
    observed.scheduler = SchedulerView::Answering { workers: rest };
    let plan = plan(&cluster, &observed, now());
    assert!(matches!(&plan.steps[..], [Step::Delete(victim)] if victim.name == all[1]), "{:?}", plan.steps);
}

#[test]
fn the_word_of_a_cache_is_not_enough_to_let_closed_workers_go() {
    let (mut cluster, mut observed, _) = closing([1, 1, 1]);
    let first = plan(&cluster, &observed, now());
    obey(&mut cluster, &mut observed, first);
    let cached = Observed { known: Wants::NOTHING, closable: None, busy: None, closes: false, ..observed };
    let plan = plan(&cluster, &cached, now());
    let wants = Wants::OBJECT | Wants::PODS | Wants::WORKERS | Wants::BUSY;
    assert_eq!((plan.steps.len(), plan.wants), (0, wants));
}

#[test]
fn outdated_workers_under_load_are_closed_one_after_the_other() {
    let (mut cluster, _, _) = closing([0; 3]);
    cluster.spec.workers.replicas = Some(2);
    let mut observed = settled(&cluster, 2);
    let old = of_group(&observed, "default");
    cluster.spec.workers.args = vec!["--new".into()];
    let spec = (worker::DEFAULT_GROUP, &cluster.spec.workers);
    observed.pods.push(running(worker::pod(&cluster, Site::Kubernetes, None, spec, 70).unwrap()));
    observed.scheduler = SchedulerView::Answering { workers: names(&observed.pods).into_iter().collect() };
    observed.closable = Some(old.clone());
    observed.busy = Some(old.iter().cloned().map(|name| (name, 5)).collect());
    observed.closes = true;
    let first = plan(&cluster, &observed, now());
    assert_eq!(closed(&first), [old[0].clone()], "as many serve as are wanted");
    obey(&mut cluster, &mut observed, first);
    assert_eq!(plan(&cluster, &observed, now()).steps, [], "the next one when another new one is there");
    observed.busy = Some([(old[0].clone(), 0), (old[1].clone(), 5)].into());
    assert_eq!(retired(&plan(&cluster, &observed, now())), [old[0].clone()]);
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

#[test]
fn a_worker_that_is_let_go_while_it_is_looked_at_counts_as_going() {
    let cluster = cluster(2);
    let mut observed = settled(&cluster, 3);
    let all = of_group(&observed, "default");
    let asked = victims(&observed, &all[2..]);
    let said = Said { done: [all[2].clone()].into(), ..Said::default() };
    observed.retirements.hear((Wish::Retire, &asked), Ok(&said), now());
    observed.closable = Some(all[..2].to_vec());
    assert_eq!(plan(&cluster, &observed, now()).steps, [], "another one would go instead of it");
}

#[test]
fn workers_that_are_kept_are_reported_once_whatever_else_is_under_way() {
    let (mut cluster, mut observed) = two_groups();
    cluster.spec.workers.replicas = Some(3);
    let other = of_group(&observed, "other");
    observed.closable = Some(other.clone());
    let kept = Said { kept: other.iter().cloned().collect(), ..Said::default() };
    let mut reported = Vec::new();
    let mut at = now();
    for _ in 0..4 {
        let plan = plan(&cluster, &observed, at);
        if let Some(asked) = plan.steps.iter().find_map(|step| match step {
            Step::Retire { workers } => Some(workers.clone()),
            _ => None,
        }) {
            observed.retirements.hear((Wish::Retire, &asked), Ok(&kept), at);
        }
        let of_workers = |note: &&Note| matches!(note.reason, Reason::WorkersRetired | Reason::WorkersHeld);
        reported.extend(plan.events.iter().filter(of_workers).map(|note| note.reason));
        cluster.status = Some(plan.status);
        at += Duration::from_secs(3);
    }
    assert_eq!(reported, [Reason::WorkersRetired, Reason::WorkersHeld]);
    let status = cluster.status.as_ref().unwrap();
    let reconciling = find(&status.conditions, ConditionType::Reconciling).unwrap();
    assert_eq!(reconciling.reason, "WorkersHeld");
    assert_ne!(find(&status.conditions, ConditionType::Ready).unwrap().reason, "WorkersHeld");
}
