//! Runs of a flow for ticks that have passed.

use std::collections::{BTreeMap, BTreeSet};

use daskflow::api::{Flow, FlowBackfill, FlowBackfillStatus, FlowRun, Phase, labels};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::clock::{now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::manifests::backfill;
use crate::support::namespace::phase_of;
use crate::support::timeline::{Seen, Timeline};
use crate::support::{Load, Namespace, Shared, dask_cluster, flow, poll, run_now, test, test_on, within};

const BACKFILL: &str = "half-a-day";
const FLOW: &str = "report";
const TICKS: usize = 12;
const PARALLELISM: usize = 3;
/// Long enough that some runs are at work when they are cancelled.
const PROGRAM: &str = "\
import json, os, time
time.sleep(5)
raise SystemExit(json.loads(os.environ['DASKFLOW_PARAMETERS']).get('code', 0))
";

#[tokio::test]
async fn backfill_of_twelve_ticks_three_at_a_time() {
    test_on(Shared::Dask, "backfill_of_twelve_ticks_three_at_a_time", async |namespace| {
        // The Flow would keep one run of each kind.
        let spec = json!({
            "command": ["python", "-c", PROGRAM],
            "cluster": {"ref": {"name": "dask"}},
            "schedule": {"clocks": [{"name": "hourly", "interval": "1h"}]},
            "concurrency": "Allow",
            "history": {"succeeded": 1, "failed": 1},
            "suspend": true,
        });
        namespace.observed_flow(flow(FLOW, spec)).await;
        let runs = Timeline::<FlowRun>::watch(namespace);
        fail_the_first(namespace).await;
        let begin = now();
        let range = json!({
            "flow": FLOW,
            "from": "2026-01-01T00:00:00Z",
            "to": "2026-01-01T11:59:59Z",
            "parallelism": PARALLELISM,
        });
        namespace.create::<FlowBackfill>(backfill(BACKFILL, range)).await;
        status_when(namespace, 180, "half of it is done", |status| status.succeeded >= 5).await;
        cancel(namespace).await;
        resume(namespace).await;
        figure_seconds("backfill_of_12_ticks_cancelled_and_resumed", seconds(begin, now()));

        assert_each_tick_succeeded_once(&runs);
        assert_never_too_many(&runs);
        let kept = namespace.runs_of(FLOW).await.len();
        assert!(kept >= TICKS, "the runs of a backfill stay as long as it does: {kept}");
        namespace.api::<FlowBackfill>().delete(BACKFILL, &DeleteParams::default()).await.unwrap();
        poll(within(30, "the Flow forgets the runs of a backfill that is gone"), async || {
            let left = namespace.runs_of(FLOW).await.len();
            if left == 1 { Ok(()) } else { Err(format!("{left} runs")) }
        })
        .await;
    })
    .await;
}

/// The first tick has a run that failed, with a Job whose name the backfill's run will need.
async fn fail_the_first(namespace: &Namespace) {
    let name = format!("{FLOW}-20260101t000000");
    let mut run = run_now(FLOW, json!({"code": 1}));
    run["metadata"] = json!({"name": name});
    run["spec"]["scheduledTime"] = json!("2026-01-01T00:00:00Z");
    run["spec"]["clock"] = json!("hourly");
    // A suspended Flow would keep a tick waiting, also one that somebody created.
    namespace.change::<Flow>(FLOW, json!({"spec": {"suspend": false}})).await;
    namespace.create::<FlowRun>(run).await;
    namespace.until_phase(&name, Phase::Failed, 120).await;
    namespace.change::<Flow>(FLOW, json!({"spec": {"suspend": true}})).await;
}

async fn cancel(namespace: &Namespace) {
    namespace.change::<FlowBackfill>(BACKFILL, json!({"spec": {"cancel": true}})).await;
    let stopped = status_when(namespace, 90, "its runs have ended", |status| {
        ready_reason(status) == "Cancelled" && status.active == 0
    })
    .await;
    assert!(stopped.finished_at.is_none(), "it can be taken up again: {stopped:?}");
    assert!(stopped.remaining > 0, "it was cancelled before its end: {stopped:?}");
    assert_eq!(stopped.failed, 0, "{stopped:?}");
    let names = || async {
        namespace.runs_of(FLOW).await.iter().map(|run| (run.name_any(), run.uid())).collect::<Vec<_>>()
    };
    let before = names().await;
    let ended = usize::try_from(stopped.succeeded).unwrap();
    assert!(before.len() >= ended, "{ended} succeeded, and history has left {before:?}");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(names().await, before, "a backfill that is cancelled starts nothing");
}

async fn resume(namespace: &Namespace) {
    namespace.change::<FlowBackfill>(BACKFILL, json!({"spec": {"cancel": false}})).await;
    let status = status_when(namespace, 300, "it has ended", |status| status.finished_at.is_some()).await;
    assert_eq!(status.done.as_deref(), Some("12/12"), "{status:?}");
    assert_eq!(usize::try_from(status.succeeded).unwrap(), TICKS, "{status:?}");
    assert_eq!(ready_reason(&status), "Succeeded", "{status:?}");
    let complete = status.conditions.iter().find(|condition| condition.type_ == "Complete").unwrap();
    assert_eq!(complete.status, "True", "{complete:?}");
}

async fn status_when(
    namespace: &Namespace,
    limit_s: u64,
    what: &str,
    wanted: impl Fn(&FlowBackfillStatus) -> bool,
) -> FlowBackfillStatus {
    let wait = within(limit_s, format!("FlowBackfill {BACKFILL}: {what}"));
    let is_so = |backfill: &FlowBackfill| backfill.status.as_ref().is_some_and(&wanted);
    namespace.until(BACKFILL, wait, is_so).await.status.unwrap()
}

fn ready_reason(status: &FlowBackfillStatus) -> &str {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map(|condition| condition.reason.as_str()).unwrap_or_default()
}

fn is_ours(version: &Seen<FlowRun>) -> bool {
    version.object.spec.flow == FLOW
}

/// Each tick had one run that succeeded, and besides only the one that had failed before and runs that the
/// backfill cancelled, one of them at least.
fn assert_each_tick_succeeded_once(runs: &Timeline<FlowRun>) {
    runs.read(|seen| {
        let last: BTreeMap<String, &FlowRun> = seen
            .iter()
            .filter(|seen| is_ours(seen))
            .map(|seen| (seen.object.uid().unwrap(), &seen.object))
            .collect();
        let mut succeeded: BTreeMap<String, usize> = BTreeMap::new();
        let mut cancelled = 0;
        for run in last.values() {
            let name = run.name_any();
            if run.spec.backfill.is_none() {
                assert_eq!(phase_of(run), Phase::Failed, "{name}");
                continue;
            }
            assert_eq!(run.spec.backfill.as_deref(), Some(BACKFILL), "{name}");
            assert_eq!(run.labels().get(labels::BACKFILL).map(String::as_str), Some(BACKFILL), "{name}");
            match phase_of(run) {
                Phase::Succeeded => *succeeded.entry(name).or_default() += 1,
                Phase::Cancelled => {
                    assert!(run.annotations().contains_key(labels::CANCELLED_BY), "{name}");
                    cancelled += 1;
                }
                other => panic!("{name} ended as {other:?}: {:?}", run.status),
            }
        }
        let expected: BTreeMap<_, _> =
            (0..TICKS).map(|hour| (format!("{FLOW}-20260101t{hour:02}0000"), 1)).collect();
        assert_eq!(succeeded, expected);
        assert!(cancelled > 0, "no run was at work when the backfill was cancelled");
    });
}

/// At no time were more runs unfinished than the backfill allows, and at some time as many.
fn assert_never_too_many(runs: &Timeline<FlowRun>) {
    runs.read(|seen| {
        let mut unfinished: BTreeSet<String> = BTreeSet::new();
        let mut most = 0;
        for version in seen.iter().filter(|seen| is_ours(seen)) {
            let (at, run) = (version.at, &version.object);
            let uid = run.uid().unwrap();
            if version.gone || phase_of(run).is_final() {
                unfinished.remove(&uid)
            } else {
                unfinished.insert(uid)
            };
            assert!(unfinished.len() <= PARALLELISM, "{unfinished:?} at {at}");
            most = most.max(unfinished.len());
        }
        assert_eq!(most, PARALLELISM, "they run side by side");
    });
}

/// Of four ticks one fails. Another backfill of the range, when the Flow has forgotten all runs, runs that
/// one alone.
#[tokio::test]
async fn second_backfill_repeats_no_success() {
    test("second_backfill_repeats_no_success", Load::Dask, async |namespace| {
        namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 1)).await;
        let program = "import os; raise SystemExit('T02' in os.environ['DASKFLOW_SCHEDULED_TIME'])";
        let spec = json!({
            "command": ["python", "-c", program],
            "cluster": {"ref": {"name": "dask"}},
            "schedule": {"clocks": [{"name": "hourly", "interval": "1h"}]},
            "concurrency": "Allow",
            "history": {"succeeded": 0, "failed": 0},
            "suspend": true,
        });
        namespace.observed_flow(flow(FLOW, spec)).await;
        let runs = Timeline::<FlowRun>::watch(namespace);
        let range = json!({
            "flow": FLOW, "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T03:00:00Z", "parallelism": 4,
        });
        for name in ["first", "second"] {
            namespace.create::<FlowBackfill>(backfill(name, range.clone())).await;
            let ended = |backfill: &FlowBackfill| {
                backfill.status.as_ref().is_some_and(|status| status.finished_at.is_some())
            };
            let status =
                namespace.until::<FlowBackfill>(name, within(90, "it has ended"), ended).await.status;
            let (failed, skipped) = status.map(|status| (status.failed, status.skipped)).unwrap();
            assert_eq!((failed, skipped), (1, if name == "first" { 0 } else { 3 }), "{name}");
            namespace.api::<FlowBackfill>().delete(name, &DeleteParams::default()).await.unwrap();
            poll(within(30, "the Flow forgets all runs"), async || {
                let left = namespace.runs_of(FLOW).await.len();
                if left == 0 { Ok(()) } else { Err(format!("{left} runs")) }
            })
            .await;
        }
        runs.read(|seen| {
            let made: BTreeSet<(String, String)> =
                seen.iter().map(|seen| (seen.object.name_any(), seen.object.uid().unwrap())).collect();
            assert_eq!(made.len(), 5, "{made:?}");
        });
    })
    .await;
}
