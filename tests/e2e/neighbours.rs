//! Scripts that share a DaskCluster with others.

use daskflow::api::{Flow, FlowRun, Phase};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::clock::within;
use crate::support::manifests::{inline, with};
use crate::support::namespace::is_ready;
use crate::support::{Load, dask_cluster, run_now, test};

#[tokio::test]
async fn shutdown_of_one_script_harms_no_other() {
    test("shutdown_of_one_script_harms_no_other", Load::Dask, async |namespace| {
        namespace.ready_cluster(dask_cluster("dask", &namespace.settings.dask, 1)).await;
        let retries = json!({"retries": {"limit": 0, "infrastructure": 1, "delay": "0s"}});
        let steady = with(inline("steady", include_str!("flows/steady.py"), "dask"), retries);
        namespace.create::<Flow>(steady).await;
        namespace.create::<Flow>(inline("restarting", include_str!("flows/restarting.py"), "dask")).await;

        // By a run on the same cluster: nobody loses anything.
        let victim: FlowRun = namespace.create(run_now("steady", Value::Null)).await;
        let victim = victim.name_any();
        namespace.until_logged(&victim, "at work").await;
        let other: FlowRun = namespace.create(run_now("restarting", Value::Null)).await;
        let status = namespace.until_phase(&other.name_any(), Phase::Succeeded, 90).await.status.unwrap();
        assert_eq!(status.attempt, Some(1), "{status:?}");
        let status = namespace.until_phase(&victim, Phase::Succeeded, 90).await.status.unwrap();
        assert_eq!((status.attempt, status.failures), (Some(1), None), "{status:?}");

        // By somebody whom no runner guards: it is told, tried again, and the cluster is back.
        let victim: FlowRun = namespace.create(run_now("steady", Value::Null)).await;
        let victim = victim.name_any();
        namespace.until_logged(&victim, "at work").await;
        let client = namespace.client("someone", "dask", "Client(address).shutdown()\n", &[]).await;
        let status = namespace.until_phase(&victim, Phase::Succeeded, 120).await.status.unwrap();
        let failures = status.failures.unwrap_or_default();
        assert_eq!((status.attempt, failures.flow, failures.infrastructure), (Some(2), 0, 1), "{status:?}");
        let told = namespace.events("dask", "SchedulerLost").await;
        assert!(told.iter().any(|message| message.contains("exit code 0")), "{told:?}");
        let wait = within(30, "the cluster is back");
        namespace.until("dask", wait, is_ready).await;
        client.stop().await;
    })
    .await;
}
