//! Groups that follow the load.

use super::*;
use crate::api::WorkersSpec;
use crate::api::dask_cluster::GroupStatus;
use crate::api::worker_group::{Autoscale, WorkerGroup};
use crate::plan::cluster::load::Answer;

const MEMORY: std::time::Duration = std::time::Duration::from_secs(60);

fn between(minimum: u32, maximum: u32) -> Autoscale {
    Autoscale {
        minimum: minimum.into(),
        maximum: maximum.into(),
        target_duration: "5s".into(),
        scale_down_after: "60s".into(),
    }
}

fn autoscaled(minimum: u32, maximum: u32) -> DaskCluster {
    let mut cluster = cluster(0);
    cluster.spec.workers.replicas = None;
    cluster.spec.workers.autoscale = Some(between(minimum, maximum));
    cluster
}

/// With a further group of one GPU for each worker.
fn with_gpus(mut cluster: DaskCluster, maximum: u32) -> DaskCluster {
    let workers = WorkersSpec {
        autoscale: Some(between(0, maximum)),
        dask_resources: [("GPU".to_owned(), 1.0)].into(),
        ..WorkersSpec::default()
    };
    cluster.spec.worker_groups.push(WorkerGroup { name: "gpu".into(), workers });
    cluster
}

fn hears(observed: &mut Observed, target: u64, gpus: f64) {
    let resources = Some([("GPU".to_owned(), gpus)].into());
    observed.load.hear(Answer { target: Some(target), resources, ..Answer::default() }, now(), MEMORY);
}

fn desired(plan: &Plan<DaskClusterStatus>) -> Vec<i32> {
    plan.status.groups.iter().map(|group| group.desired).collect()
}

#[test]
fn a_group_without_a_target_has_its_minimum_and_is_ready_with_it() {
    let cluster = autoscaled(1, 5);
    let first = plan(&cluster, &settled(&cluster, 1), now());
    assert_eq!((desired(&first), first.steps.len()), (vec![1], 0));
    let none = autoscaled(0, 5);
    assert_eq!(reason(&plan(&none, &settled(&none, 0), now()), ConditionType::Ready), "Ready");
}

#[test]
fn the_schedulers_target_makes_the_default_group_grow_within_its_bounds() {
    let mut cluster = autoscaled(0, 5);
    let mut observed = settled(&cluster, 0);
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    hears(&mut observed, 26, 0.0);
    let grown = plan(&cluster, &observed, now());
    assert_eq!((desired(&grown), kinds(&grown).len()), (vec![5], 5));
    assert_eq!(grown.events[0].reason, Reason::WorkersScaled);
    assert_eq!(reason(&grown, ConditionType::Ready), "Ready", "its minimum is there");
    assert_eq!(reason(&grown, ConditionType::Reconciling), "WorkersStarting");
}

#[test]
fn closed_workers_count_in_the_target_and_are_not_replaced_for_it() {
    let mut cluster = autoscaled(0, 9);
    let mut observed = settled(&cluster, 5);
    for pod in &mut observed.pods[..2] {
        let closed = (labels::CLOSED_SINCE.to_owned(), now().to_string());
        Arc::make_mut(pod).metadata.annotations.get_or_insert_default().extend([closed]);
    }
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    hears(&mut observed, 5, 0.0);
    assert_eq!(desired(&plan(&cluster, &observed, now())), [3], "each has a task");
    hears(&mut observed, 7, 0.0);
    assert_eq!(desired(&plan(&cluster, &observed, now())), [5], "and two wait");
}

#[test]
fn a_group_with_resources_grows_for_tasks_that_ask_for_them() {
    let cluster = with_gpus(autoscaled(0, 5), 3);
    let mut observed = settled(&cluster, 0);
    hears(&mut observed, 0, 2.0);
    assert_eq!(desired(&plan(&cluster, &observed, now())), [0, 2]);
    hears(&mut observed, 4, 0.0);
    assert_eq!(desired(&plan(&cluster, &observed, now())), [4, 0]);
    hears(&mut observed, 0, 9.0);
    assert_eq!(desired(&plan(&cluster, &observed, now())), [0, 3]);
}

#[test]
fn workers_of_other_groups_count_towards_the_target() {
    let mut cluster = autoscaled(0, 9);
    let fixed = WorkersSpec { replicas: Some(2), ..WorkersSpec::default() };
    cluster.spec.worker_groups.push(WorkerGroup { name: "large".into(), workers: fixed });
    let mut observed = settled(&cluster, 0);
    let large = &cluster.spec.worker_groups[0].workers;
    observed.pods.extend((0..2).map(|seed| {
        running(worker::pod(&cluster, Site::Kubernetes, None, ("large", large), 9 + seed).unwrap())
    }));
    observed.scheduler = SchedulerView::Answering { workers: names(&observed.pods).into_iter().collect() };
    hears(&mut observed, 5, 0.0);
    assert_eq!(desired(&plan(&cluster, &observed, now())), [3, 2]);
}

#[test]
fn a_scheduler_that_does_not_tell_its_load_leaves_the_size_and_is_told_of() {
    let mut cluster = autoscaled(0, 5);
    let mut observed = settled(&cluster, 0);
    hears(&mut observed, 3, 0.0);
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    observed = Observed { load: Load::default(), ..settled(&cluster, 3) };
    observed.load.fail("no answer within 10s".into());
    observed.load.fail("no answer within 10s".into());
    let held = plan(&cluster, &observed, now());
    assert_eq!((desired(&held), held.steps.len()), (vec![3], 0));
    assert_eq!(reason(&held, ConditionType::Reconciling), "LoadUnknown");
    assert_eq!(reason(&held, ConditionType::Ready), "Ready");
}

#[test]
fn a_duration_that_cannot_be_read_makes_no_group_smaller() {
    let unreadable = "9999999999999h";
    let sizes = |autoscale: Autoscale| {
        let mut cluster = autoscaled(0, 5);
        cluster.spec.workers.autoscale = Some(autoscale);
        let mut observed = settled(&cluster, 3);
        observed.closable = Some(names(&observed.pods));
        let told = GroupStatus { name: DEFAULT_GROUP.into(), desired: 3, ..GroupStatus::default() };
        cluster.status = Some(DaskClusterStatus { groups: vec![told], ..DaskClusterStatus::default() });
        [0, 5].map(|target| {
            hears(&mut observed, target, 0.0);
            let plan = plan(&cluster, &observed, now() + std::time::Duration::from_secs(3600));
            assert_eq!(reason(&plan, ConditionType::Stalled), "InvalidSpec");
            desired(&plan)[0]
        })
    };
    assert_eq!(sizes(Autoscale { scale_down_after: unreadable.into(), ..between(0, 5) }), [3, 5]);
    assert_eq!(sizes(Autoscale { target_duration: unreadable.into(), ..between(0, 5) }), [3, 3]);
}

#[test]
fn a_group_is_made_smaller_only_after_the_window() {
    let mut cluster = autoscaled(0, 5);
    let mut observed = settled(&cluster, 0);
    hears(&mut observed, 3, 0.0);
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    let load = observed.load.clone();
    observed = Observed { load, ..settled(&cluster, 3) };
    observed.closable = Some(names(&observed.pods));
    let at = |seconds: u64| now() + std::time::Duration::from_secs(seconds);
    observed.load.hear(Answer { target: Some(0), ..Answer::default() }, at(10), MEMORY);
    let early = plan(&cluster, &observed, at(69));
    assert_eq!((early.steps.len(), early.next), (0, Next::At(at(70))));
    let due = plan(&cluster, &observed, at(70));
    assert!(matches!(&due.steps[..], [Step::Retire { workers }] if workers.len() == 3), "{:?}", due.steps);
}

#[test]
fn a_group_whose_resources_are_not_told_keeps_its_size() {
    let mut cluster = with_gpus(autoscaled(0, 5), 3);
    let mut observed = settled(&cluster, 0);
    hears(&mut observed, 0, 2.0);
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    let at = |seconds: u64| now() + std::time::Duration::from_secs(seconds);
    observed.load = Load::default();
    observed.load.hear(Answer { target: Some(0), ..Answer::default() }, at(1), MEMORY);
    let untold = plan(&cluster, &observed, at(600));
    assert_eq!(desired(&untold), [0, 2]);
    assert_eq!(reason(&untold, ConditionType::Reconciling), "LoadUnknown");
}

#[test]
fn what_a_group_with_resources_works_on_is_not_for_the_default_group() {
    let mut cluster = with_gpus(autoscaled(0, 9), 4);
    cluster.spec.worker_groups[0].workers.autoscale = None;
    cluster.spec.worker_groups[0].workers.replicas = Some(2);
    let mut observed = settled(&cluster, 3);
    let gpu = &cluster.spec.worker_groups[0].workers;
    observed.pods.extend(
        (0..2).map(|seed| {
            running(worker::pod(&cluster, Site::Kubernetes, None, ("gpu", gpu), 9 + seed).unwrap())
        }),
    );
    observed.scheduler = SchedulerView::Answering { workers: names(&observed.pods).into_iter().collect() };
    // Two are at work on GPU tasks, and no plain task is there.
    hears(&mut observed, 2, 2.0);
    assert_eq!(desired(&plan(&cluster, &observed, now())), [0, 2]);
}

#[test]
fn without_the_schedulers_word_on_its_workers_the_size_stays() {
    let mut cluster = autoscaled(0, 9);
    let mut observed = settled(&cluster, 2);
    hears(&mut observed, 2, 0.0);
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    observed.scheduler = SchedulerView::Unknown;
    hears(&mut observed, 5, 0.0);
    assert_eq!(
        desired(&plan(&cluster, &observed, now())),
        [2],
        "five in all may be two of ours and three of others"
    );
}

#[test]
fn a_worker_too_many_while_others_are_replaced_is_not_wanted_for_good() {
    let mut cluster = autoscaled(0, 9);
    cluster.spec.worker_groups = vec![WorkerGroup { name: "large".into(), workers: WorkersSpec::default() }];
    let mut observed = settled(&cluster, 1);
    let large = &cluster.spec.worker_groups[0].workers;
    observed.pods.push(running(worker::pod(&cluster, Site::Kubernetes, None, ("large", large), 9).unwrap()));
    observed.scheduler = SchedulerView::Answering { workers: names(&observed.pods).into_iter().collect() };
    hears(&mut observed, 2, 0.0);
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    assert_eq!(desired(&plan(&cluster, &observed, now())), [1, 1], "two in all");
    // The successor of the one has registered, and the one has not left.
    cluster.spec.workers.args = vec!["--nanny".into()];
    let new =
        worker::pod(&cluster, Site::Kubernetes, None, (worker::DEFAULT_GROUP, &cluster.spec.workers), 99)
            .unwrap();
    observed.pods.push(running(new));
    observed.scheduler = SchedulerView::Answering { workers: names(&observed.pods).into_iter().collect() };
    assert_eq!(desired(&plan(&cluster, &observed, now())), [1, 1]);
}
