//! The NetworkPolicy of a cluster is there when the spec asks for it, and only then.
//!
//! The embedded Kubernetes enforces no policies, so whom it keeps out is not seen here: the unit tests of the
//! planner read its rules as Kubernetes does.

use daskflow::api::{DaskCluster, Flow, Phase};
use daskflow::plan::cluster::network_policy;
use daskflow::plan::site::Site;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use crate::support::manifests::{inline, with};
use crate::support::{Load, Namespace, small_cluster, test, within};

#[tokio::test]
async fn network_policy_follows_the_spec() {
    test("network_policy_follows_the_spec", Load::Dask, async |namespace| {
        let wish = json!({"networkPolicy": {"enabled": true}});
        let object = with(small_cluster("dask", &namespace.settings.dask, 1), wish);
        let cluster = namespace.ready_cluster(object).await;
        let made: NetworkPolicy = namespace.get("dask").await;
        let wanted = network_policy(&cluster, Site::Kubernetes);
        assert_eq!(made.spec, wanted.spec, "the API server keeps it as it was written");
        assert_eq!(made.metadata.owner_references, wanted.metadata.owner_references);

        // Nothing writes it again while nothing is wrong with it.
        namespace.create::<Flow>(inline("plain", include_str!("flows/where_dask.py"), "dask")).await;
        let run = namespace.start_run("plain").await;
        namespace.until_phase(&run, Phase::Succeeded, 120).await;
        let same: NetworkPolicy = namespace.get("dask").await;
        assert_eq!(same.resource_version(), made.resource_version());

        comes_back(namespace, &made).await;
        for wish in [json!({"enabled": false}), json!(null)] {
            namespace.change::<DaskCluster>("dask", json!({"spec": {"networkPolicy": wish}})).await;
            namespace.until_gone::<NetworkPolicy>("dask", within(30, "the policy is deleted")).await;
            namespace
                .change::<DaskCluster>("dask", json!({"spec": {"networkPolicy": {"enabled": true}}}))
                .await;
            namespace.until("dask", within(30, "it is there again"), |_: &NetworkPolicy| true).await;
        }

        // The cluster's end is its end.
        namespace.api::<DaskCluster>().delete("dask", &DeleteParams::default()).await.unwrap();
        namespace.until_gone::<NetworkPolicy>("dask", within(60, "the policy goes with its cluster")).await;
    })
    .await;
}

/// Deleted or opened by hand, it comes back.
async fn comes_back(namespace: &Namespace, made: &NetworkPolicy) {
    namespace.api::<NetworkPolicy>().delete("dask", &DeleteParams::default()).await.unwrap();
    let wait = within(30, "there is another policy");
    let again = namespace.until("dask", wait, |policy: &NetworkPolicy| policy.uid() != made.uid()).await;
    assert_eq!(again.spec, made.spec);

    let opened: NetworkPolicy = namespace.change("dask", json!({"spec": {"ingress": [{}]}})).await;
    assert_ne!(opened.spec, made.spec, "it was opened to all");
    let wait = within(30, "the policy is closed again");
    namespace.until("dask", wait, |policy: &NetworkPolicy| policy.spec == made.spec).await;
}
