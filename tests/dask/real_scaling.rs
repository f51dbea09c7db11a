//! What one who sizes a cluster asks of real Dask schedulers, of releases from 2022 to now.
//!
//! `DASKFLOW_DASK_VENVS` names the list that `tests/dask/venvs.sh` writes; without it these tests are left
//! out and say so (`DASKFLOW_DASK_REQUIRED=1`: they fail).

use super::processes::{Cluster, python_with};
use daskflow::dask::{Activity, Address, Error, Scheduler, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a call may take on a machine that is starting many processes.
const PLENTY: Duration = Duration::from_secs(60);

/// How long one test may take.
const TEST_LIMIT: Duration = Duration::from_secs(170);

/// From here on the state of the tasks can be asked.
const STATES_SINCE: Version = Version::new(2022, 2, 1);

/// The tests, for one release each.
macro_rules! release {
    ($module:ident, $release:literal) => {
        mod $module {
            use super::*;

            #[tokio::test]
            async fn work_and_clients_are_counted() {
                with_cluster($release, super::work_and_clients_are_counted).await;
            }

            #[tokio::test]
            async fn resources_that_tasks_ask_for_are_summed() {
                with_cluster($release, super::resources_that_tasks_ask_for_are_summed).await;
            }

            #[tokio::test]
            async fn idle_workers_go_first_then_those_with_least_data() {
                with_cluster($release, super::idle_workers_go_first_then_those_with_least_data).await;
            }

            #[tokio::test]
            async fn a_terminated_scheduler_takes_its_workers_along() {
                with_cluster($release, super::a_terminated_scheduler_takes_its_workers_along).await;
            }
        }
    };
}

release!(dask_2022_2_0, "2022.2.0");
release!(dask_2023_4_1, "2023.4.1");
release!(dask_2024_3_1, "2024.3.1");
release!(dask_2026_8_0, "2026.8.0");

async fn with_cluster<F: AsyncFnOnce(Cluster, Version)>(release: &str, test: F) {
    let Some(python) = python_with(release) else { return };
    let run = async { test(Cluster::start(python).await, release.parse().unwrap()).await };
    timeout(TEST_LIMIT, run).await.expect("the test takes too long");
}

async fn connect(address: &Address) -> Scheduler {
    Scheduler::connect(address, None, PLENTY).await.unwrap().with_call_limit(PLENTY)
}

/// Asks until so many workers are registered.
async fn registered(scheduler: &mut Scheduler, workers: usize) {
    while scheduler.ncores().await.unwrap().len() != workers {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Asks until what is to do is as wanted.
async fn until(scheduler: &mut Scheduler, wanted: impl Fn(&Activity) -> bool) -> Activity {
    loop {
        let activity = scheduler.activity().await.unwrap();
        if wanted(&activity) {
            return activity;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn until_idle(scheduler: &mut Scheduler) {
    while !scheduler.is_idle().await.unwrap() {
        sleep(Duration::from_millis(20)).await;
    }
}

fn clients(activity: &Activity) -> usize {
    activity.clients.as_ref().map_or(0, BTreeSet::len)
}

async fn work_and_clients_are_counted(cluster: Cluster, release: Version) {
    let exact = release >= STATES_SINCE;
    let mut scheduler = connect(&cluster.address).await;
    let none = Activity { clients: exact.then(BTreeSet::new), ..Activity::default() };
    assert_eq!(scheduler.activity().await.unwrap(), none);
    until_idle(&mut scheduler).await;

    // Without a worker the scheduler of 2022.2.0 does not tell how much there is, only that there is
    // something.
    let first = cluster.load(&["tasks", "40"]).await;
    let activity = until(&mut scheduler, |activity| activity.in_flight == if exact { 40 } else { 1 }).await;
    assert_eq!((activity.clients.is_some(), clients(&activity)), (exact, usize::from(exact)), "{activity:?}");
    assert!(!scheduler.is_idle().await.unwrap());
    let coarse = scheduler.coarse_activity().await.unwrap();
    assert!(coarse.in_flight > 0 && coarse.clients.is_none(), "{coarse:?}");

    let second = cluster.load(&["tasks", "10"]).await;
    let worker = cluster.worker("w1");
    // Now everything lies with the worker, or is held back where that is known.
    let activity =
        until(&mut scheduler, |activity| activity.in_flight == 50 && activity.no_worker == 0).await;
    assert_eq!(clients(&activity), if exact { 2 } else { 0 }, "{activity:?}");
    assert!(!scheduler.is_idle().await.unwrap());

    drop(second);
    let activity = until(&mut scheduler, |activity| activity.in_flight == 40).await;
    assert_eq!(clients(&activity), usize::from(exact), "{activity:?}");
    drop(first);
    until(&mut scheduler, |activity| *activity == none).await;
    until_idle(&mut scheduler).await;
    drop(worker);
}

async fn resources_that_tasks_ask_for_are_summed(cluster: Cluster, release: Version) {
    let mut scheduler = connect(&cluster.address).await;
    if release < STATES_SINCE {
        let error = scheduler.wanted_resources().await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { op: "dump_state", .. }), "{error:?}");
        return;
    }
    assert!(scheduler.wanted_resources().await.unwrap().is_empty());
    let _worker = cluster.worker_with("w1", &["--resources", "GPU=1 disk=5"]);
    registered(&mut scheduler, 1).await;
    let _plain = cluster.load(&["tasks", "5"]).await;
    let _gpu = cluster.load(&["asking", "GPU=1", "3"]).await;
    // A worker that may run them is there: told by what it uses.
    let activity = until(&mut scheduler, |activity| activity.in_flight == 8).await;
    assert_eq!(activity.no_worker, 0, "{activity:?}");
    let mut wanted = BTreeMap::from([("GPU".to_owned(), 3.0)]);
    assert_eq!(scheduler.wanted_resources().await.unwrap(), wanted);

    // For these there is none: told by the tasks themselves.
    let _fpga = cluster.load(&["asking", "FPGA=2", "4"]).await;
    let activity = until(&mut scheduler, |activity| activity.in_flight == 12).await;
    assert_eq!((activity.no_worker, clients(&activity)), (4, 3), "{activity:?}");
    wanted.insert("FPGA".to_owned(), 8.0);
    assert_eq!(scheduler.wanted_resources().await.unwrap(), wanted);
    assert!(!scheduler.is_idle().await.unwrap());
}

async fn idle_workers_go_first_then_those_with_least_data(cluster: Cluster, release: Version) {
    let mut workers = ["w1", "w2", "w3", "w4"].map(|name| cluster.worker(name));
    let mut scheduler = connect(&cluster.address).await;
    registered(&mut scheduler, 4).await;
    let _more = cluster.load(&["data", "w3", "300000"]).await;
    let _less = cluster.load(&["data", "w2", "100000"]).await;
    let _busy = cluster.load(&["busy", "w1"]).await;
    let all = BTreeSet::from(["w1", "w2", "w3", "w4", "w5"].map(str::to_owned));
    let expected: BTreeMap<String, u64> =
        [("w1", 1), ("w2", 0), ("w3", 0), ("w4", 0)].map(|(name, tasks)| (name.to_owned(), tasks)).into();
    while scheduler.busy(&all).await.unwrap() != expected {
        sleep(Duration::from_millis(20)).await;
    }
    let only = BTreeSet::from(["w1".to_owned(), "nobody".to_owned()]);
    assert_eq!(scheduler.busy(&only).await.unwrap(), [("w1".to_owned(), 1)].into());
    assert!(scheduler.busy(&BTreeSet::new()).await.unwrap().is_empty());
    assert_eq!(order(&mut scheduler).await, ["w4", "w2", "w3", "w1"]);

    let _secession = cluster.load(&["secede", "w4"]).await;
    let spared = release >= Version::new(2024, 1, 0);
    loop {
        let order = order(&mut scheduler).await;
        let (mut first, mut rest) = (order.iter().filter(|name| *name != "w4"), order.iter().skip(2));
        assert!(first.by_ref().eq(["w2", "w3", "w1"]), "{order:?}");
        if if spared { order.len() == 3 } else { rest.any(|name| name == "w4") } {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }

    // A worker that goes between two questions takes nothing away from the others.
    workers.iter_mut().next().unwrap().kill().await;
    while scheduler.busy(&all).await.unwrap().contains_key("w1") {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(scheduler.busy(&all).await.unwrap().len(), 3);
}

async fn order(scheduler: &mut Scheduler) -> Vec<String> {
    scheduler.closing_order().await.unwrap().iter().map(ToString::to_string).collect()
}

async fn a_terminated_scheduler_takes_its_workers_along(mut cluster: Cluster, _release: Version) {
    let mut worker = cluster.worker("w1");
    let mut scheduler = connect(&cluster.address).await;
    registered(&mut scheduler, 1).await;
    scheduler.terminate().await.unwrap();
    assert!(!scheduler.is_usable());
    assert!(matches!(scheduler.terminate().await, Err(Error::Closed(None))));
    cluster.scheduler.ended().await;
    worker.ended().await;
}
