//! Each engine's work really runs on the workers: the tasks themselves say where they are.

use daskflow::api::{Flow, Phase};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::support::manifests::inline;
use crate::support::{Load, Namespace, Shared, dask_cluster, logs, test, test_on};

#[tokio::test]
async fn plain_dask_script_runs() {
    test_on(Shared::Dask, "plain_dask_script_runs", async |namespace| {
        let run = succeed(namespace, "plain", include_str!("flows/where_dask.py")).await;
        assert_ran_on_workers(namespace, &run, "dask").await;
    })
    .await;
}

#[tokio::test]
async fn prefect3_flow_runs_on_workers() {
    test("prefect3_flow_runs_on_workers", Load::Dask, async |namespace| {
        // One worker: Prefect 3 costs a core for ten seconds wherever it is imported.
        namespace.ready_cluster(dask_cluster("dask", &namespace.settings.prefect3, 1)).await;
        let run = succeed(namespace, "three", include_str!("flows/where_prefect3.py")).await;
        assert_ran_on_workers(namespace, &run, "dask").await;
        let status = namespace.get::<daskflow::api::FlowRun>(&run).await.status.unwrap();
        assert_eq!(status.tasks.map(|tasks| (tasks.total, tasks.failed)), Some((4, 0)), "{status:?}");
    })
    .await;
}

/// Runs a script on the cluster `dask`, in a Flow of its own; the answer is the run.
pub async fn succeed(namespace: &Namespace, flow: &str, script: &str) -> String {
    succeed_on(namespace, flow, script, "dask").await
}

/// The same on the cluster of this name.
pub async fn succeed_on(namespace: &Namespace, flow: &str, script: &str, cluster: &str) -> String {
    namespace.create::<Flow>(inline(flow, script, cluster)).await;
    let run = namespace.start_run(flow).await;
    let ended = namespace.until_phase(&run, Phase::Succeeded, 240).await;
    let status = ended.status.unwrap();
    assert_eq!((status.reason.as_deref(), status.exit_code), (Some("Succeeded"), Some(0)), "{status:?}");
    let complete = status.conditions.iter().find(|condition| condition.type_ == "Complete");
    assert_eq!(complete.map(|condition| condition.status.as_str()), Some("True"), "{status:?}");
    run
}

/// The run's log names the machines of its tasks: all of them are worker pods of the cluster.
pub async fn assert_ran_on_workers(namespace: &Namespace, run: &str, cluster: &str) {
    let workers: Vec<_> =
        namespace.list::<Pod>(&logs::workers_of(cluster)).await.iter().map(ResourceExt::name_any).collect();
    assert_ran_on(namespace, run, &workers).await;
}

/// The run's log names the machines of its tasks: all of them are among these.
pub async fn assert_ran_on(namespace: &Namespace, run: &str, machines: &[String]) {
    let log = namespace.runner_log(run).await;
    let places =
        log.lines().find_map(|line| line.strip_prefix("ran on: ")).unwrap_or_else(|| panic!("{run}: {log}"));
    for place in places.split_whitespace() {
        assert!(
            machines.iter().any(|machine| machine == place),
            "a task ran on {place}, not on one of {machines:?}"
        );
    }
}
