//! The unmodified client of dask-kubernetes, `KubeCluster`, on this operator and on real pods.

use daskflow::api::dask_kubernetes;
use daskflow::operator::rights::{RIGHTS, When};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::support::operator::{ACCOUNT, Operator};
use crate::support::programs::run;
use crate::support::{Load, Namespace, leave_out, test};

/// What the chart adds to the operator's rights with `compatibility.daskKubernetes.enabled`.
const ROLE: &str = "dask-kubernetes";

/// From create to close, sync and asynchronous, from outside of the cluster by forwarded ports:
/// `tests/compat/kubecluster.py` says what it does.
#[tokio::test]
async fn kubecluster_unmodified() {
    test("kubecluster_unmodified", Load::OwnOperator, async |namespace| {
        let Some(python) = &namespace.settings.kubecluster else {
            return leave_out("kubecluster_unmodified", "DASKFLOW_KUBECLUSTER_PYTHON is not set");
        };
        let definitions: Api<CustomResourceDefinition> = Api::all(namespace.client.clone());
        for crd in dask_kubernetes::crds() {
            let apply = PatchParams::apply("e2e").force();
            definitions.patch(&crd.name_any(), &apply, &Patch::Apply(&crd)).await.unwrap();
        }
        grant(namespace).await;
        let _operator = Operator::of_its_own(namespace, &["--dask-kubernetes"]).await;
        let (python, script) = (python.display().to_string(), "tests/compat/kubecluster.py");
        let image = &namespace.settings.dask;
        let said = run(&python, &[script, &namespace.name, image, "ClusterIP"], "").await;
        eprintln!("{said}");
        assert!(said.contains("all steps are done"), "{said}");
        // Other tests look at which kinds there are.
        for crd in dask_kubernetes::crds() {
            definitions.delete(&crd.name_any(), &DeleteParams::default()).await.unwrap();
        }
    })
    .await;
}

/// Gives the operator of this namespace the rights that it has to have for the kinds of dask-kubernetes.
async fn grant(namespace: &Namespace) {
    let needed = RIGHTS.iter().filter(|right| right.when == When::DaskKubernetes);
    let rules: Vec<Value> = needed
        .map(|right| json!({"apiGroups": [right.group], "resources": right.resources, "verbs": right.verbs}))
        .collect();
    let group = "rbac.authorization.k8s.io";
    namespace
        .create::<Role>(json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": ROLE}, "rules": rules,
        }))
        .await;
    namespace
        .create::<RoleBinding>(json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": ROLE},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ROLE},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace.name}],
        }))
        .await;
}
