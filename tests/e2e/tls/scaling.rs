//! What the operator asks of a scheduler, asked over TLS: how many are there, who may leave, is anything to
//! do.

use daskflow::api::{DaskCluster, Flow, Phase};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::secured;
use crate::autoscaling::{autoscaled, until_at_rest};
use crate::idle::until_asleep;
use crate::support::manifests::inline;
use crate::support::timeline::Timeline;
use crate::support::workers::most_workers;
use crate::support::{Load, test};

#[tokio::test]
async fn tls_cluster_scales_and_idles() {
    test("tls_cluster_scales_and_idles", Load::Dask, async |namespace| {
        namespace.ready_cluster(secured(namespace, 2, &json!({"issuer": "Operator"}))).await;

        // Down by one: it is the scheduler that says who may leave, and moves the data.
        let holding = include_str!("../flows/holding.py");
        let client = namespace.tls_client("holder", "dask", holding, &["40", "1000", "2"]).await;
        client.until_said("holding").await;
        namespace.scale("dask", 1).await;
        namespace.until_workers("dask", 1).await;
        client.tell().await;
        let log = client.until_done(60).await;
        assert!(log.contains("kept all 40"), "{log}");
        let told = namespace.events("dask", "WorkersRetired").await;
        assert!(!told.is_empty(), "the worker was retired");

        // To rest, and awake for a run.
        namespace.change::<DaskCluster>("dask", json!({"spec": {"idle": {"after": "5s"}}})).await;
        until_asleep(namespace).await;
        namespace.until_workers("dask", 0).await;
        namespace.create::<Flow>(inline("where", include_str!("../flows/where_dask.py"), "dask")).await;
        let run = namespace.start_run("where").await;
        namespace.until_phase(&run, Phase::Succeeded, 150).await;

        // From nothing with the load, and back.
        let autoscale = autoscaled(json!({}), 2)["autoscale"].take();
        let workers = json!({"replicas": Value::Null, "autoscale": autoscale});
        let fields = json!({"spec": {"idle": Value::Null, "workers": workers}});
        namespace.change::<DaskCluster>("dask", fields).await;
        until_at_rest(namespace).await;
        let pods = Timeline::<Pod>::watch(namespace);
        let working = include_str!("../flows/working.py");
        let client = namespace.tls_client("worker", "dask", working, &["16", "0.5"]).await;
        client.until_done(180).await;
        assert_eq!(most_workers(&pods, |_| true), 2, "workers at the most");
        until_at_rest(namespace).await;
    })
    .await;
}
