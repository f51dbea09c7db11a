//! A worker of a real Dask cluster that is closed to new tasks under load, of releases from 2022 to now: it
//! becomes free, and no task runs twice.
//!
//! `DASKFLOW_DASK_VENVS` names the list that `tests/dask/venvs.sh` writes; without it these tests are left
//! out and say so (`DASKFLOW_DASK_REQUIRED=1`: they fail).

use super::processes::{Cluster, python_with, scratch};
use daskflow::dask::{Retirement, Scheduler, Version, WorkerInfo};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a call may take on a machine that is starting many processes.
const PLENTY: Duration = Duration::from_secs(60);

/// How long one test may take.
const TEST_LIMIT: Duration = Duration::from_secs(170);

/// The tasks of the backlog, and how long each takes: long enough for all that is asked meanwhile.
const TASKS: usize = 80;
const SECONDS: &str = "0.1";

/// Heartbeats, after the first look, from which on the operator believes what a worker tells of itself.
const BEATS: usize = 2;

/// The test, for one release each.
macro_rules! release {
    ($module:ident, $release:literal) => {
        mod $module {
            use super::*;

            #[tokio::test]
            async fn a_closed_worker_becomes_free_under_load_and_no_task_runs_twice() {
                let Some(python) = python_with($release) else { return };
                let release = $release.parse().unwrap();
                let run = async { a_closed_worker_becomes_free(Cluster::start(python).await, release).await };
                timeout(TEST_LIMIT, run).await.expect("the test takes too long");
            }
        }
    };
}

release!(dask_2022_2_0, "2022.2.0");
release!(dask_2023_4_1, "2023.4.1");
release!(dask_2024_3_1, "2024.3.1");
release!(dask_2026_8_0, "2026.8.0");

/// What the tasks of the backlog have told so far.
struct Backlog(PathBuf);

impl Backlog {
    /// The tasks that have begun or ended at this worker, in order.
    fn at(&self, worker: &str, what: &str) -> Vec<usize> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let mut lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let is_wanted = |line: &Vec<&str>| line.len() == 3 && line[0] == what && line[2] == worker;
        let wanted: Vec<Vec<&str>> = lines.by_ref().filter(is_wanted).collect();
        wanted.iter().map(|line| line[1].parse().unwrap()).collect()
    }

    /// Waits until this worker has begun so many.
    async fn until(&self, worker: &str, begun: usize) {
        while self.at(worker, "begins").len() < begun {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What the scheduler says of a worker.
async fn told(scheduler: &mut Scheduler, name: &str) -> WorkerInfo {
    let workers = scheduler.identity().await.unwrap().workers;
    workers.into_values().find(|worker| worker.name.to_string() == name).unwrap()
}

async fn a_closed_worker_becomes_free(cluster: Cluster, release: Version) {
    let mut scheduler =
        Scheduler::connect(&cluster.address, None, PLENTY).await.unwrap().with_call_limit(PLENTY);
    let can_close = scheduler.closes_to_tasks().await.unwrap();
    assert_eq!(can_close, release >= Version::new(2024, 4, 2));
    if !can_close {
        return;
    }
    let (mut first, _second) = (cluster.worker("w1"), cluster.worker("w2"));
    while scheduler.ncores().await.unwrap().len() < 2 {
        sleep(Duration::from_millis(20)).await;
    }
    let backlog = Backlog(scratch().join("backlog"));
    let file = backlog.0.to_str().unwrap();
    let _client = cluster.load(&["backlog", &TASKS.to_string(), SECONDS, file]).await;
    for worker in ["w1", "w2"] {
        backlog.until(worker, 3).await;
    }
    // It is not free as long as there is work: whoever waits for that waits for the end of it.
    let w1 = BTreeSet::from(["w1".to_owned()]);
    assert!(scheduler.busy(&w1).await.unwrap()["w1"] > 0);

    let closed = scheduler.retire_workers(&Retirement::closing(["w1"]), PLENTY).await.unwrap();
    assert_eq!(closed.values().map(|worker| worker.name.to_string()).collect::<Vec<_>>(), ["w1"]);
    let mut beats = BTreeSet::new();
    loop {
        let worker = told(&mut scheduler, "w1").await;
        assert_eq!(worker.status.as_deref(), Some("closing_gracefully"));
        beats.insert(worker.last_seen.unwrap().to_bits());
        if beats.len() > BEATS && worker.running == Some(0) {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let done = backlog.at("w1", "begins");
    assert_eq!(done, backlog.at("w1", "ends"), "what it ran has ended at it");
    let left = scheduler.busy(&w1).await.unwrap()["w1"];
    assert!(left <= 1, "{left} tasks lie with it, where one thread gets one more than it runs");

    // The backlog goes on at the other one, and at no time here.
    let begun = backlog.at("w2", "begins").len();
    backlog.until("w2", begun + 5).await;
    assert_eq!(backlog.at("w1", "begins"), done);

    let retired = scheduler.retire_workers(&Retirement::of(["w1"]), PLENTY).await.unwrap();
    assert_eq!(retired.len(), 1);
    assert!(first.ended().await.success());
    backlog.until("w2", TASKS - done.len()).await;
    let mut all = [done, backlog.at("w2", "begins")].concat();
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..TASKS), "each once: {all:?}");
}
