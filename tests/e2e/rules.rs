//! The rules of the API, asked on a real API server.

use daskflow::api::{self, DaskCluster, Flow, FlowBackfill, FlowRun};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::Status;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::cases::{self, Case};
use crate::support::figures::figure;
use crate::support::namespace::Kind;
use crate::support::{Load, Namespace, test};

#[tokio::test]
async fn rules_hold_on_the_real_api_server() {
    test("rules_hold_on_the_real_api_server", Load::Objects, async |namespace| {
        the_crds_of_this_tree_are_installed(namespace).await;
        let mut faults = Vec::new();
        for case in cases::good() {
            if let Err(status) = ask(namespace, &case).await {
                faults.push(format!("good/{} is refused: {}", case.name, status.message));
            }
        }
        let bad = cases::bad();
        for case in &bad {
            let refusal = case.refusal.as_ref().unwrap();
            match ask(namespace, case).await {
                Ok(()) => faults.push(format!("bad/{} is accepted", case.name)),
                Err(status) if refusal.is_said(&status.message) => {}
                Err(status) => {
                    faults.push(format!("bad/{} is refused otherwise: {}", case.name, status.message));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        figure("rules_refused_on_the_api_server", bad.len(), "objects");
    })
    .await;
}

/// The API server takes the generated CRDs, cost budget of the rules included, and has none but these:
/// applying them would not make a new generation.
async fn the_crds_of_this_tree_are_installed(namespace: &Namespace) {
    let installed: Api<CustomResourceDefinition> = Api::all(namespace.client.clone());
    for crd in api::crds() {
        let name = crd.name_any();
        let apply = PatchParams::apply("e2e").force().dry_run();
        let applied = installed.patch(&name, &apply, &Patch::Apply(&crd)).await.unwrap();
        let generation = installed.get(&name).await.unwrap().metadata.generation;
        assert_eq!(
            applied.metadata.generation, generation,
            "the installed {name} is not the one of this tree"
        );
    }
}

async fn ask(namespace: &Namespace, case: &Case) -> Result<(), Box<Status>> {
    match case.kind() {
        "DaskCluster" => ask_about::<DaskCluster>(namespace, case).await,
        "Flow" => ask_about::<Flow>(namespace, case).await,
        "FlowRun" => ask_about::<FlowRun>(namespace, case).await,
        "FlowBackfill" => ask_about::<FlowBackfill>(namespace, case).await,
        other => panic!("{other} is no kind of ours"),
    }
}

/// A new object is judged by a dry run. A change needs the object before it, which is really made.
async fn ask_about<K: Kind>(namespace: &Namespace, case: &Case) -> Result<(), Box<Status>> {
    let Some(before) = case.before.clone() else {
        return namespace.judge_new::<K>(case.object.clone()).await.map(|_| ());
    };
    let made: K = namespace.create(before).await;
    let (name, mut after) = (made.name_any(), case.object.clone());
    // The operator may write a status in between, which makes the version an old one.
    let verdict = loop {
        after["metadata"]["resourceVersion"] = json!(namespace.get::<K>(&name).await.resource_version());
        match namespace.judge_change::<K>(after.clone()).await {
            Err(status) if status.code == 409 => {}
            verdict => break verdict.map(|_| ()),
        }
    };
    namespace.api::<K>().delete(&name, &DeleteParams::default()).await.unwrap();
    namespace.until_gone::<K>(&name, crate::support::within(30, format!("{name} is deleted"))).await;
    verdict
}
