//! The operator under test, as a user of the cluster sees it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::clock::{poll, within};
use super::figures::{figure, say};
use super::namespace::{Kind, Namespace};

/// Where `manifests/install.yaml` puts the operator.
pub const NAMESPACE: &str = "daskflow-system";
/// Its Deployment, and the `ClusterRole` of what it may do.
pub const DEPLOYMENT: &str = "daskflow";
/// The Lease whose holder works.
pub const LEASE: &str = "daskflow";
/// The Role for that Lease.
const LEASE_ROLE: &str = "daskflow-lease";
/// Its service account.
pub const ACCOUNT: &str = "daskflow";
/// What makes a Lease that a killed operator leaves behind end sooner, where how long that takes is not the
/// question. Not so short that a busy machine makes a leader late.
pub const SHORT_LEASE: [&str; 2] = ["--lease-seconds", "8"];
/// Selects its pods.
pub const SELECTOR: &str = "app.kubernetes.io/name=daskflow,app.kubernetes.io/component=operator";

/// Fails unless the operator under test runs and one of its pods leads: no test may pass without it.
pub async fn must_run(client: &Client) {
    let operator = Operator::under_test(client);
    poll(within(60, format!("Deployment {DEPLOYMENT} in {NAMESPACE} is available")), async || {
        let status = operator.api::<Deployment>().get(DEPLOYMENT).await.map_err(|error| error.to_string())?;
        let available = status.status.and_then(|status| status.available_replicas).unwrap_or_default();
        if available > 0 { Ok(()) } else { Err(format!("{available} available replicas")) }
    })
    .await;
    operator.ready_pod().await;
}

/// The pods of the operator under test.
pub async fn pods(client: &Client) -> Result<Vec<Pod>, kube::Error> {
    Operator::under_test(client).pods().await
}

/// All that the operator under test has said since its pods started.
pub async fn log(client: &Client) -> String {
    let api = Operator::under_test(client).api::<Pod>();
    let mut said = String::new();
    for pod in pods(client).await.unwrap() {
        said += &api.logs(&pod.name_any(), &LogParams::default()).await.unwrap();
    }
    said
}

/// An operator that was installed: the one under test, or a copy of it.
pub struct Operator {
    client: Client,
    namespace: String,
}

impl Operator {
    /// The one that looks after all namespaces.
    pub fn under_test(client: &Client) -> Self {
        Self { client: client.clone(), namespace: NAMESPACE.to_owned() }
    }

    /// Makes a copy of the one under test that lives in the namespace of a test, looks after that namespace
    /// alone, and may be stopped and killed while others work. Its Deployment and its rights are those of the
    /// original; `arguments` are added. Where [`super::Load::OwnOperator`] is the load of the test, the
    /// original rests.
    pub async fn of_its_own(namespace: &Namespace, arguments: &[&str]) -> Self {
        let original = Self::under_test(&namespace.client);
        let copy = Self { client: namespace.client.clone(), namespace: namespace.name.clone() };
        copy.make::<ServiceAccount>(json!({"metadata": {"name": ACCOUNT}})).await;
        let lease = original.api::<Role>().get(LEASE_ROLE).await.unwrap();
        copy.make::<Role>(json!({"metadata": {"name": LEASE_ROLE}, "rules": lease.rules})).await;
        for (kind, role) in [("ClusterRole", DEPLOYMENT), ("Role", LEASE_ROLE)] {
            let binding = json!({
                "metadata": {"name": role},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace.name}],
            });
            copy.make::<RoleBinding>(binding).await;
        }
        let deployment = original.api::<Deployment>().get(DEPLOYMENT).await.unwrap();
        let mut spec = serde_json::to_value(deployment.spec).unwrap();
        spec["replicas"] = json!(1);
        let container = &mut spec["template"]["spec"]["containers"][0];
        container["args"].as_array_mut().unwrap().extend(arguments.iter().map(|argument| json!(argument)));
        let watched = json!({"name": "DASKFLOW_NAMESPACES", "value": namespace.name});
        container["env"].as_array_mut().unwrap().push(watched);
        copy.make::<Deployment>(json!({"metadata": {"name": DEPLOYMENT}, "spec": spec})).await;
        copy.until_ready(1).await;
        copy.ready_pod().await;
        copy
    }

    /// Makes an object beside it.
    async fn make<K: Kind>(&self, object: Value) {
        let object: K = serde_json::from_value(object).unwrap();
        self.api().create(&PostParams::default(), &object).await.unwrap();
    }

    /// The objects of a kind beside it.
    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Its pods.
    pub async fn pods(&self) -> Result<Vec<Pod>, kube::Error> {
        Ok(self.api::<Pod>().list(&ListParams::default().labels(SELECTOR)).await?.items)
    }

    /// The pod that leads and is ready. If there are several, the others wait to.
    pub async fn ready_pod(&self) -> Pod {
        poll(within(90, "a pod of the operator leads and is ready"), async || {
            let pods = self.pods().await.map_err(|error| error.to_string())?;
            let lease = self.api::<Lease>().get(LEASE).await.map_err(|error| error.to_string())?;
            let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
            let seen: Vec<_> =
                pods.iter().map(|pod| format!("{}: ready {}", pod.name_any(), is_ready(pod))).collect();
            let leads = |pod: &Pod| identity(pod) == holder && is_ready(pod);
            pods.into_iter().find(leads).ok_or_else(|| format!("held by {holder:?}; {}", seen.join(", ")))
        })
        .await
    }

    /// Waits until so many of its pods are ready, and no other is there.
    pub async fn until_ready(&self, count: usize) {
        poll(within(120, format!("{count} pods of the operator are ready")), async || {
            let pods = self.pods().await.map_err(|error| error.to_string())?;
            let ready = pods.iter().filter(|pod| is_ready(pod)).count();
            let all = ready == count && pods.len() == count;
            if all { Ok(()) } else { Err(format!("{ready} of {}", pods.len())) }
        })
        .await;
    }

    /// The memory that one of its pods uses, in bytes.
    pub async fn memory_of(&self, pod: &Pod) -> f64 {
        measured(&self.client, pod).await
    }

    /// Deletes one of its pods at once: SIGTERM, and SIGKILL right after it.
    pub async fn delete_now(&self, pod: &str) {
        match self.api::<Pod>().delete(pod, &DeleteParams::default().grace_period(0)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("cannot delete the operator's pod {pod}: {error}"),
        }
    }

    /// Stops it, until the last of its pods is gone.
    pub async fn stop(&self) {
        self.scale(0).await;
    }

    /// Starts it again.
    pub async fn start(&self) {
        self.scale(1).await;
    }

    /// Runs so many replicas; waits until they are ready and, if there are any, one of them leads.
    pub async fn scale(&self, replicas: usize) {
        let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.api::<Deployment>().patch_scale(DEPLOYMENT, &PatchParams::default(), &scale).await.unwrap();
        self.until_ready(replicas).await;
        if replicas > 0 {
            self.ready_pod().await;
        }
    }
}

/// What a pod of the operator is called in the Lease.
pub fn identity(pod: &Pod) -> String {
    format!("{}_{}", pod.name_any(), pod.uid().unwrap_or_default())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Prints the memory that the operator uses now, as its kubelet measures it: every ten seconds or so, so that
/// of a pod which has just started it tells nothing yet, or 0.
pub async fn print_memory(client: &Client) {
    let pod = Operator::under_test(client).ready_pod().await;
    // On a cluster of somebody else's it may not be ours to ask.
    if let Err(why) = memory(client, &pod).await {
        return say(&format!("the operator's memory is not known: {why}"));
    }
    let bytes = measured(client, &pod).await;
    figure("operator_memory", format!("{:.1}", bytes / 1e6), "MB");
}

/// What a pod of the operator uses, once its kubelet has measured it.
async fn measured(client: &Client, pod: &Pod) -> f64 {
    poll(within(60, "the kubelet has measured the operator"), async || {
        memory(client, pod).await?.filter(|bytes| *bytes > 0.0).ok_or_else(|| "not yet".to_owned())
    })
    .await
}

async fn memory(client: &Client, pod: &Pod) -> Result<Option<f64>, String> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).ok_or("the pod has no node")?;
    let request =
        http::Request::get(format!("/api/v1/nodes/{node}/proxy/stats/summary")).body(Vec::new()).unwrap();
    let summary = client.request::<Value>(request).await.map_err(|error| error.to_string())?;
    let mut pods = summary["pods"].as_array().into_iter().flatten();
    let ours = pods.find(|entry| entry["podRef"]["uid"].as_str() == pod.uid().as_deref());
    Ok(ours.and_then(|entry| entry["memory"]["workingSetBytes"].as_f64()))
}
