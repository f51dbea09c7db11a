//! Many Flows that are due at one instant, on a machine that has other work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daskflow::api::{Flow, FlowRun, Phase};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::clock::{now, seconds, sleep_until};
use crate::support::figures::{figure, figure_seconds};
use crate::support::namespace::{Kind, phase_of};
use crate::support::operator::{self, Operator};
use crate::support::timeline::Timeline;
use crate::support::workers::nowhere;
use crate::support::{Load, Namespace, flow, poll, small_cluster, test, within};

/// Flows that are due.
const FLOWS: usize = 300;
/// Threads that do nothing but use the processor: twice the cores of the machine that the project is built
/// on.
const BUSY: usize = 4;
/// How long before the tick the Flows are created, on a machine that is busy already.
const LEAD: SignedDuration = SignedDuration::from_secs(45);

#[tokio::test]
async fn burst_of_300_flows_runs_every_tick_once() {
    test("burst_of_300_flows_runs_every_tick_once", Load::Disruptive, async |namespace| {
        let operator = Operator::under_test(&namespace.client);
        namespace.ready_cluster(small_cluster("dask", &namespace.settings.dask, 1)).await;
        let runs = Timeline::<FlowRun>::watch(namespace);
        let jobs = Timeline::<Job>::watch(namespace);
        let before = leader(&operator).await;
        let _busy = Busy::begin();
        let due = Timestamp::from_second((now() + LEAD).as_second()).unwrap();
        for number in 0..FLOWS {
            namespace.create::<Flow>(due_at(number, due, namespace)).await;
        }
        assert!(now() < due, "the machine took too long to make {FLOWS} Flows");
        sleep_until(due).await;
        let wait = within(240, format!("each of {FLOWS} ticks has its run and its Job"));
        poll(wait, async || {
            let (runs, jobs) = (first_seen(&runs).len(), first_seen(&jobs).len());
            if runs >= FLOWS && jobs >= FLOWS { Ok(()) } else { Err(format!("{runs} runs and {jobs} Jobs")) }
        })
        .await;
        figure_seconds("burst_300_flows_last_run", last(&runs, due));
        figure_seconds("burst_300_flows_last_job", last(&jobs, due));
        // What would be doubled would be so soon.
        tokio::time::sleep(Duration::from_secs(5)).await;
        each_ran_once(namespace, due).await;
        assert_eq!(leader(&operator).await, before, "the leader stays the leader");
    })
    .await;
}

/// A Flow with one tick, whose runner finds no node: what is looked at is the operator.
fn due_at(number: usize, due: Timestamp, namespace: &Namespace) -> Value {
    let spec = json!({
        "image": namespace.settings.dask,
        "command": ["true"],
        "cluster": {"address": format!("tcp://dask-scheduler.{}.svc:8786", namespace.name)},
        "clusterTimeout": "1h",
        "template": nowhere(),
        "schedule": {"clocks": [{"name": "midnight", "dates": [due]}]},
    });
    flow(&name(number), spec)
}

fn name(number: usize) -> String {
    format!("due-{number:03}")
}

/// When each object was seen first.
fn first_seen<K: Kind>(all: &Timeline<K>) -> BTreeMap<String, Timestamp> {
    all.read(|seen| {
        let mut first = BTreeMap::new();
        for one in seen {
            first.entry(one.object.name_any()).or_insert(one.at);
        }
        first
    })
}

/// Seconds from the tick to the last object, as the watch saw it.
fn last<K: Kind>(all: &Timeline<K>, due: Timestamp) -> f64 {
    first_seen(all).into_values().map(|at| seconds(due, at)).fold(0.0, f64::max)
}

async fn each_ran_once(namespace: &Namespace, due: Timestamp) {
    let runs: Vec<FlowRun> = namespace.list("").await;
    let mut of_flow: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &runs {
        assert_eq!(run.spec.scheduled_time.as_ref().map(|time| time.0), Some(due), "{}", run.name_any());
        assert!(!phase_of(run).is_final(), "{} waits for a node: {:?}", run.name_any(), run.status);
        *of_flow.entry(&run.spec.flow).or_default() += 1;
    }
    let expected: Vec<String> = (0..FLOWS).map(name).collect();
    assert!(of_flow.keys().eq(expected.iter()), "{} Flows have runs", of_flow.len());
    let twice: Vec<_> = of_flow.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let jobs: Vec<Job> = namespace.list("").await;
    let of_run: BTreeMap<String, usize> = jobs.iter().fold(BTreeMap::new(), |mut counts, job| {
        let owner = job.owner_references().first().map(|owner| owner.name.clone()).unwrap_or_default();
        *counts.entry(owner).or_default() += 1;
        counts
    });
    assert_eq!(of_run.len(), FLOWS, "each run has a Job");
    assert_eq!(jobs.len(), FLOWS, "and none has two");
    let begun = runs.iter().filter(|run| phase_of(run) != Phase::Queued).count();
    figure("burst_300_flows_begun", begun, "of 300 runs");
}

/// Who leads, since which handover, and how often the operator's containers were started again.
async fn leader(operator: &Operator) -> (Option<String>, Option<i32>, Vec<i32>) {
    let lease: Lease = operator.api().get(operator::LEASE).await.unwrap();
    let spec = lease.spec.unwrap_or_default();
    let pods = operator.pods().await.unwrap();
    let restarts = pods
        .into_iter()
        .flat_map(|pod| pod.status.unwrap_or_default().container_statuses.unwrap_or_default())
        .map(|container| container.restart_count);
    (spec.holder_identity, spec.lease_transitions, restarts.collect())
}

/// Threads that keep the machine's cores busy until this is dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        for _ in 0..BUSY {
            let ends = ends.clone();
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(ends)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
