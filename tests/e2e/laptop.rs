//! What runs say in the end is the same in Kubernetes and under `daskflow local`, field by field.

use daskflow::api::{Flow, FlowRun, Phase};
use serde_json::json;

use crate::agreement::{BEGUN, CANCELLED, assert_agreed, objects};
use crate::support::{Load, test};

/// The other half, on a laptop: `tests/local/agreement.rs`.
#[tokio::test]
async fn laptop_and_cluster_agree() {
    test("laptop_and_cluster_agree", Load::Dask, async |namespace| {
        for mut object in objects() {
            match object["kind"].as_str().unwrap() {
                "DaskCluster" => {
                    object["spec"]["image"] = json!(namespace.settings.dask);
                    namespace.ready_cluster(object).await;
                }
                "Flow" => drop(namespace.create::<Flow>(object).await),
                _ => drop(namespace.create::<FlowRun>(object).await),
            }
        }
        namespace.until_phase(CANCELLED, Phase::Running, 240).await;
        namespace.until_logged(CANCELLED, BEGUN).await;
        namespace.change::<FlowRun>(CANCELLED, json!({"spec": {"cancel": true}})).await;
        let runs = objects().into_iter().filter(|object| object["kind"] == "FlowRun");
        for run in runs {
            namespace.until_ended(run["metadata"]["name"].as_str().unwrap(), 240).await;
        }
        assert_agreed(&namespace.list::<FlowRun>("").await);
    })
    .await;
}
