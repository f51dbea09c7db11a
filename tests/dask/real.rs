//! Real Dask schedulers and workers, of releases from 2022 to now: what only they can show.
//!
//! `DASKFLOW_DASK_VENVS` names the list that `tests/dask/venvs.sh` writes; without it these tests are left
//! out and say so (`DASKFLOW_DASK_REQUIRED=1`: they fail).

use super::processes::{Cluster, python_with};
use daskflow::dask::message::NoArguments;
use daskflow::dask::{
    Address, Error, MembershipStream, Retirement, Scheduler, SubscribeEvent, Version, WorkerName,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a call may take on a machine that is starting many processes.
const PLENTY: Duration = Duration::from_secs(60);

/// How long silence lasts before it counts as silence.
const SILENCE: Duration = Duration::from_millis(500);

/// How long one test may take.
const TEST_LIMIT: Duration = Duration::from_secs(170);

/// The tests, for one release each.
macro_rules! release {
    ($module:ident, $release:literal) => {
        mod $module {
            use super::*;

            #[tokio::test]
            async fn operations_answer() {
                with_cluster($release, super::operations_answer).await;
            }

            #[tokio::test]
            async fn work_is_seen() {
                with_cluster($release, super::work_is_seen).await;
            }

            #[tokio::test]
            async fn a_subscription_follows_the_workers() {
                with_cluster($release, super::a_subscription_follows_the_workers).await;
            }

            #[tokio::test]
            async fn only_workers_whose_data_can_move_retire() {
                with_cluster($release, super::only_workers_whose_data_can_move_retire).await;
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
async fn registered(scheduler: &mut Scheduler, workers: usize) -> BTreeMap<String, u64> {
    loop {
        let ncores = scheduler.ncores().await.unwrap();
        if ncores.len() == workers {
            return ncores;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn operations_answer(cluster: Cluster, release: Version) {
    let _workers = [cluster.worker("w1"), cluster.worker("7")];
    let mut scheduler = connect(&cluster.address).await;
    let versions = scheduler.versions().await.unwrap();
    assert_eq!(versions.distributed, release);
    assert!(versions.packages["python"].starts_with('3'), "{versions:?}");

    let ncores = registered(&mut scheduler, 2).await;
    assert!(ncores.values().all(|threads| *threads == 1), "{ncores:?}");
    let identity = scheduler.identity().await.unwrap();
    assert!(identity.id.starts_with("Scheduler"), "{identity:?}");
    assert_eq!(identity.address.as_deref(), Some(cluster.address.to_string().as_str()));
    assert!(identity.workers.keys().eq(ncores.keys()));
    let mut names: Vec<String> = identity.workers.values().map(|worker| worker.name.to_string()).collect();
    names.sort_unstable();
    assert_eq!(names, ["7", "w1"]);
    for worker in identity.workers.values() {
        assert_eq!((worker.nthreads, worker.memory_limit), (1, 512_000_000));
        assert_eq!(worker.status.is_some(), release >= Version::new(2022, 5, 1));
        assert!(worker.services["dashboard"] > 0 && worker.nanny.is_none(), "{worker:?}");
    }
    let totals = scheduler.totals().await.unwrap();
    assert_eq!((totals.workers, totals.threads, totals.memory), (2, 2, 1_024_000_000));

    let all = scheduler.workers_to_close(2).await.unwrap();
    assert!(all.contains(&"w1".into()) && all.contains(&WorkerName::Int(7)), "{all:?}");
    assert_eq!(scheduler.workers_to_close(1).await.unwrap().len(), 1);
    let processing = scheduler.processing(None).await.unwrap();
    assert!(processing.keys().eq(ncores.keys()) && processing.values().all(|tasks| *tasks == 0));
    assert_eq!(scheduler.adaptive_target(Duration::from_secs(5)).await.unwrap(), 0);
    idle_where_it_can_be_told(&mut scheduler, release).await;
    unknown_things_are_told(&mut scheduler).await;

    // By number, which is compared as text.
    let retired = scheduler.retire_workers(&Retirement::of([WorkerName::Int(7)]), PLENTY).await.unwrap();
    assert_eq!(retired.values().map(|worker| &worker.name).collect::<Vec<_>>(), [&WorkerName::Int(7)]);
    registered(&mut scheduler, 1).await;
    assert!(scheduler.is_usable());
}

async fn idle_where_it_can_be_told(scheduler: &mut Scheduler, release: Version) {
    if release < Version::new(2023, 4, 1) {
        let error = scheduler.check_idle().await.unwrap_err();
        assert!(matches!(&error, Error::Unsupported { version, .. } if *version == release), "{error:?}");
        // What it would answer if it were asked: nothing, as for any operation that it does not have.
        let answer: Option<f64> = scheduler.call("check_idle", &NoArguments {}, PLENTY).await.unwrap();
        assert_eq!(answer, None);
        return;
    }
    loop {
        if let Some(since) = scheduler.check_idle().await.unwrap() {
            assert!(since > 1.6e9, "{since}");
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn unknown_things_are_told(scheduler: &mut Scheduler) {
    #[derive(Serialize)]
    struct Bogus {
        bogus: bool,
    }
    let error = scheduler.call::<_, u64>("no_such_operation", &NoArguments {}, PLENTY).await.unwrap_err();
    assert!(matches!(&error, Error::UnknownOperation { op } if op == "no_such_operation"), "{error:?}");
    let error = scheduler.call::<_, u64>("ncores", &Bogus { bogus: true }, PLENTY).await.unwrap_err();
    assert!(matches!(&error, Error::Remote { text } if text.contains("bogus")), "{error:?}");
    let gone = ["tcp://127.0.0.1:1".to_owned()];
    let error = scheduler.processing(Some(&gone)).await.unwrap_err();
    assert!(matches!(error, Error::Remote { .. }), "{error:?}");
    assert!(scheduler.retire_workers(&Retirement::of(["nobody"]), PLENTY).await.unwrap().is_empty());
    // It answers and goes on.
    assert!(!scheduler.ncores().await.unwrap().is_empty());
}

async fn work_is_seen(cluster: Cluster, release: Version) {
    let _workers = [cluster.worker("w1"), cluster.worker("w2")];
    let mut scheduler = connect(&cluster.address).await;
    let ncores = registered(&mut scheduler, 2).await;
    let _load = cluster.load(&["work"]).await;
    loop {
        let processing = scheduler.processing(None).await.unwrap();
        // Readable whatever the workers have come to measure; from 2023.4.0 metrics have arrays for keys.
        assert_eq!(scheduler.identity().await.unwrap().workers.len(), 2);
        if processing.values().all(|tasks| *tasks > 0) {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let addresses: Vec<String> = ncores.keys().take(1).cloned().collect();
    let processing = scheduler.processing(Some(&addresses)).await.unwrap();
    assert!(processing.keys().eq(addresses.iter()), "{processing:?}");
    while scheduler.adaptive_target(Duration::from_secs(1)).await.unwrap() == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(scheduler.workers_to_close(1).await.unwrap().len(), 1);
    if release >= Version::new(2023, 4, 1) {
        assert_eq!(scheduler.check_idle().await.unwrap(), None);
    }
}

async fn a_subscription_follows_the_workers(mut cluster: Cluster, _release: Version) {
    let mut stream = MembershipStream::connect(&cluster.address, None, PLENTY).await.unwrap();
    assert!(stream.membership().workers.is_empty());
    let mut first = cluster.worker("w1");
    until(&mut stream, &["w1"]).await;
    let mut second = cluster.worker("w2");
    until(&mut stream, &["w1", "w2"]).await;
    first.kill().await;
    let events = until(&mut stream, &["w2"]).await;
    assert!(events.iter().any(|event| matches!(event, SubscribeEvent::Removed(_))), "{events:?}");

    // One subscriber only: the next one takes its place, and it hears nothing more.
    let mut other = MembershipStream::connect(&cluster.address, None, PLENTY).await.unwrap();
    assert_eq!(other.scheduler_id(), stream.scheduler_id());
    assert_eq!(other.membership().workers.keys().len(), 1);
    second.kill().await;
    until(&mut other, &[]).await;
    assert_eq!(stream.next(SILENCE).await.unwrap(), None);

    // A scheduler that dies is noticed on every connection, at once.
    let mut scheduler = connect(&cluster.address).await;
    cluster.scheduler.kill().await;
    for stream in [&mut stream, &mut other] {
        assert!(matches!(stream.next(PLENTY).await, Err(Error::Closed(_))));
    }
    assert!(matches!(scheduler.ncores().await, Err(Error::Closed(_))));
    assert!(matches!(scheduler.ncores().await, Err(Error::Closed(None))));
    let error = Scheduler::connect(&cluster.address, None, PLENTY).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
}

/// Follows the stream until the workers are these; the last events.
async fn until(stream: &mut MembershipStream, names: &[&str]) -> Vec<SubscribeEvent> {
    let mut last = Vec::new();
    loop {
        let workers = &stream.membership().workers;
        let mut members: Vec<String> = workers.values().map(ToString::to_string).collect();
        members.sort_unstable();
        if members == names {
            return last;
        }
        last = stream.next(PLENTY).await.unwrap().expect("nothing is heard");
    }
}

async fn only_workers_whose_data_can_move_retire(cluster: Cluster, _release: Version) {
    let mut workers = [cluster.worker("w1"), cluster.worker("w2")];
    let mut scheduler = connect(&cluster.address).await;
    registered(&mut scheduler, 2).await;
    let _load = cluster.load(&["data", "w1"]).await;
    let mut stream = MembershipStream::connect(&cluster.address, None, PLENTY).await.unwrap();

    let retired = scheduler.retire_workers(&Retirement::of(["w1"]), PLENTY).await.unwrap();
    assert_eq!(retired.values().map(|worker| worker.name.clone()).collect::<Vec<_>>(), ["w1".into()]);
    until(&mut stream, &["w2"]).await;
    let status = workers[0].ended().await;
    assert!(status.success(), "{status}");

    // The data is on w2 now, and has nowhere to go.
    let retired = scheduler.retire_workers(&Retirement::of(["w2"]), PLENTY).await.unwrap();
    assert!(retired.is_empty(), "{retired:?}");
    assert_eq!(registered(&mut scheduler, 1).await.len(), 1);
    assert_eq!(stream.next(SILENCE).await.unwrap(), None);
}
