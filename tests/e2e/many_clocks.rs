//! A flow with several clocks: what ticks together, and what waits while the schedule is edited.

use std::collections::BTreeSet;

use daskflow::api::{Flow, FlowRun, Phase, Reason};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::clock::now;
use crate::support::manifests::flow;
use crate::support::namespace::phase_of;
use crate::support::{Load, Namespace, dask_cluster, poll, test, within};

const FLOW: &str = "regions";
/// Prints its region and works as long as it is told.
const PROGRAM: &str = "\
import json, os, time
given = json.loads(os.environ['DASKFLOW_PARAMETERS'])
print(given['region'])
time.sleep(given.get('seconds', 0))
";

/// A clock that ticks once, so many seconds from now.
fn once(region: &str, at: Timestamp, seconds: i64) -> Value {
    json!({"name": region, "dates": [at], "parameters": {"region": region, "seconds": seconds}})
}

fn with_clocks(clocks: &[Value]) -> Value {
    let spec = json!({
        "command": ["python", "-c", PROGRAM],
        "cluster": {"ref": {"name": "dask"}},
        "schedule": {"clocks": clocks},
        "history": {"succeeded": 10, "failed": 10},
    });
    flow(FLOW, spec)
}

/// The runs when all of so many have ended.
async fn all_ended(namespace: &Namespace, count: usize) -> Vec<FlowRun> {
    poll(within(90, format!("{count} runs have ended")), async || {
        let runs = namespace.runs_of(FLOW).await;
        let seen: Vec<_> = runs.iter().map(|run| (run.name_any(), phase_of(run))).collect();
        let done = runs.len() == count && runs.iter().all(|run| phase_of(run).is_final());
        if done { Ok(runs) } else { Err(format!("{seen:?}")) }
    })
    .await
}

#[tokio::test]
async fn four_clocks_at_one_instant_all_run() {
    test("four_clocks_at_one_instant_all_run", Load::Dask, async |namespace| {
        namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 1)).await;
        let at = whole_second(now() + SignedDuration::from_secs(4));
        let clocks = ["north", "south", "east", "west"].map(|region| once(region, at, 2));
        namespace.create::<Flow>(with_clocks(&clocks)).await;
        let runs = all_ended(namespace, 4).await;
        for run in &runs {
            assert_eq!(phase_of(run), Phase::Succeeded, "{:?}", run.status);
        }
        let regions: BTreeSet<String> = runs
            .iter()
            .map(|run| run.spec.merged_parameters.clone().unwrap()["region"].to_string())
            .collect();
        assert_eq!(regions.len(), 4, "{regions:?}");
        let status = namespace.get::<Flow>(FLOW).await.status.unwrap();
        assert_eq!((status.missed, status.skipped), (0, 0), "{status:?}");
    })
    .await;
}

#[tokio::test]
async fn renamed_clock_keeps_its_waiting_runs() {
    test("renamed_clock_keeps_its_waiting_runs", Load::Dask, async |namespace| {
        namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 1)).await;
        let at = whole_second(now() + SignedDuration::from_secs(4));
        // The second waits for the first, which is long enough at work for an edit.
        let later = at + SignedDuration::from_secs(1);
        let clocks = [once("north", at, 15), once("south", later, 0)];
        namespace.create::<Flow>(with_clocks(&clocks)).await;
        let waiting = poll(within(30, "the run of the second clock waits"), async || {
            let runs = namespace.runs_of(FLOW).await;
            let south = runs.iter().find(|run| run.spec.clock.as_deref() == Some("south"));
            south.map(ResourceExt::name_any).ok_or_else(|| format!("{} runs", runs.len()))
        })
        .await;
        namespace.until_reason(&waiting, Reason::ConcurrencyForbidden, 30).await;
        let mut renamed = clocks;
        renamed[1]["name"] = json!("meridional");
        renamed[1]["parameters"] = json!({"region": "another"});
        let patch = json!({"spec": {"schedule": {"clocks": renamed}}});
        namespace.change::<Flow>(FLOW, patch).await;
        let run = namespace.until_phase(&waiting, Phase::Succeeded, 90).await;
        assert_eq!(run.spec.merged_parameters.unwrap()["region"], "south");
        let words = namespace.runner_log(&waiting).await;
        assert!(words.contains("south"), "{words}");
        assert_eq!(namespace.runs_of(FLOW).await.len(), 2, "nothing is started for times before an edit");
    })
    .await;
}

fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap()
}
