//! A flow that ticks every few seconds, and the account of its ticks: due, run and missed.

use daskflow::api::{Flow, FlowRun, Phase};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde_json::json;

use crate::support::clock::now;
use crate::support::figures::say;
use crate::support::namespace::phase_of;
use crate::support::{Namespace, dask_cluster, flow, poll, within};

/// The name of the flow that ticks.
pub const FLOW: &str = "ticker";
/// Seconds between its ticks.
pub const INTERVAL_S: i64 = 5;

/// Makes a cluster and a flow that does next to nothing on it every five seconds. Runs may overlap, and all
/// are kept.
pub async fn start(namespace: &Namespace) {
    namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 1)).await;
    let spec = json!({
        "command": ["python", "-c", "pass"],
        "cluster": {"ref": {"name": "dask"}},
        "schedule": {"clocks": [{"name": "often", "interval": format!("{INTERVAL_S}s")}]},
        "concurrency": "Allow",
        "history": {"succeeded": 1000, "failed": 1000},
    });
    namespace.observed_flow(flow(FLOW, spec)).await;
}

/// Waits for the run of a tick that lies in the future now: the operator is at work. The answer is the tick.
pub async fn next_run(namespace: &Namespace, limit_s: u64) -> Timestamp {
    let asked = now();
    poll(within(limit_s, format!("a tick after {asked} becomes a run")), async || {
        let runs = runs(namespace).await?;
        let newest = runs.last().map(tick_of).ok_or("no run at all")?;
        if newest > asked { Ok(newest) } else { Err(format!("the newest run is of {newest}")) }
    })
    .await
}

/// Every due tick up to `end` is there exactly once: as one run with one Job, or as one that was missed.
/// `end` must be the tick of a run that was made after the last disturbance.
pub async fn assert_each_once(namespace: &Namespace, end: Timestamp) {
    let runs = poll(within(120, format!("the runs up to {end} have ended")), async || {
        let runs: Vec<FlowRun> =
            runs(namespace).await?.into_iter().filter(|run| tick_of(run) <= end).collect();
        let open: Vec<_> =
            runs.iter().filter(|run| !phase_of(run).is_final()).map(ResourceExt::name_any).collect();
        if open.is_empty() { Ok(runs) } else { Err(open.join(", ")) }
    })
    .await;
    let status = namespace.get::<Flow>(FLOW).await.status.unwrap();
    let since = status.clocks.first().unwrap().since.0;
    let due = due_ticks(since, end);

    for pair in runs.windows(2) {
        assert!(tick_of(&pair[0]) < tick_of(&pair[1]), "{} and {}", pair[0].name_any(), pair[1].name_any());
    }
    for run in &runs {
        let name = run.name_any();
        assert!(due.contains(&tick_of(run)), "{name} belongs to no tick of the clock since {since}");
        assert_eq!(phase_of(run), Phase::Succeeded, "{name}: {:?}", run.status);
        let jobs: Vec<Job> = namespace.list(&format!("daskflow.dev/run={name}")).await;
        let jobs: Vec<_> = jobs.iter().map(ResourceExt::name_any).collect();
        assert_eq!(jobs, [format!("{name}-1")], "Jobs of {name}");
    }
    let missed = usize::try_from(status.missed).unwrap();
    say(&format!(
        "figure: ticks_due {} ticks, of them {} ran and {missed} were missed",
        due.len(),
        runs.len()
    ));
    assert_eq!(
        runs.len() + missed,
        due.len(),
        "runs and missed ticks are the due ones; the runs are {:?}",
        names(&runs)
    );
}

/// The flow's runs by tick, while the API server may be away.
async fn runs(namespace: &Namespace) -> Result<Vec<FlowRun>, String> {
    let mut runs: Vec<FlowRun> = namespace.try_list("").await.map_err(|error| error.to_string())?;
    runs.retain(|run| run.spec.flow == FLOW);
    runs.sort_by_key(tick_of);
    Ok(runs)
}

fn tick_of(run: &FlowRun) -> Timestamp {
    run.spec.scheduled_time.as_ref().expect("a run that the clock made").0
}

fn due_ticks(since: Timestamp, end: Timestamp) -> Vec<Timestamp> {
    let first = since.as_second().div_euclid(INTERVAL_S) + 1;
    let last = end.as_second().div_euclid(INTERVAL_S);
    (first..=last).map(|index| Timestamp::from_second(index * INTERVAL_S).unwrap()).collect()
}

fn names(runs: &[FlowRun]) -> Vec<String> {
    runs.iter().map(ResourceExt::name_any).collect()
}
