//! The namespace of the bench: what is created in it, side by side, and how it becomes empty again.

use std::fmt::Debug;

use futures::{StreamExt, stream};
use jiff::{Timestamp, Unit};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use daskflow::api::{Flow, FlowRun};

pub const NAMESPACE: &str = "bench-burst";
/// Where one Flow is due at the same instant.
pub const NEIGHBOUR: &str = "bench-burst-neighbour";
/// Who the operator is to the API server, and the bench itself.
pub const OPERATOR: &str = "system:serviceaccount:bench-burst:operator";
pub const ADMINISTRATOR: &str = "testcluster-admin";
/// Kubernetes' controller of CronJobs.
pub const CRON_JOBS: &str = "system:serviceaccount:kube-system:cronjob-controller";
/// Requests of the bench side by side.
pub const CONNECTIONS: usize = 16;
/// How long a thousand objects may take to go: the controllers have finalizers on Jobs and pods.
const EMPTY: Duration = Duration::from_secs(900);
const IMAGE: &str = "registry.example/none:1";

/// A kind in the bench's namespace.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Serialize
{
}

/// The cluster, as its administrator.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
}

impl Cluster {
    pub fn api<K: Kind>(&self) -> Api<K> {
        self.api_in(NAMESPACE)
    }

    pub fn api_in<K: Kind>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The namespaces, the operator's account and a kubeconfig for it.
    pub async fn prepare(&self, directory: &str) -> String {
        for name in [NAMESPACE, NEIGHBOUR] {
            ensure(&Api::all(self.client.clone()), &json!({"metadata": {"name": name}}), |it| {
                serde_json::from_value::<Namespace>(it).unwrap()
            })
            .await;
        }
        let account = json!({"metadata": {"name": "operator"}});
        ensure(&self.api(), &account, |it| serde_json::from_value::<ServiceAccount>(it).unwrap()).await;
        let binding = json!({
            "metadata": {"name": NAMESPACE},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": NAMESPACE}],
        });
        ensure(&Api::all(self.client.clone()), &binding, |it| {
            serde_json::from_value::<ClusterRoleBinding>(it).unwrap()
        })
        .await;
        let spec = TokenRequestSpec { expiration_seconds: Some(24 * 3600), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let accounts = self.api::<ServiceAccount>();
        let answer =
            accounts.create_token_request("operator", &PostParams::default(), &request).await.unwrap();
        let token = answer.status.and_then(|status| status.token).unwrap();
        kubeconfig_with(&token, directory)
    }

    /// Creates all of these, so many at once.
    pub async fn create<K: Kind>(&self, objects: impl IntoIterator<Item = Value>) {
        let api = self.api::<K>();
        let one = |object: Value| {
            let api = api.clone();
            async move {
                let object: K = serde_json::from_value(object).unwrap();
                api.create(&PostParams::default(), &object).await.unwrap();
            }
        };
        stream::iter(objects.into_iter().map(one)).buffer_unordered(CONNECTIONS).collect::<Vec<()>>().await;
    }

    /// Writes the statuses of objects, each by its name.
    pub async fn tell<K: Kind>(&self, statuses: impl IntoIterator<Item = (String, Value)>) {
        let api = self.api::<K>();
        let one = |(name, status): (String, Value)| {
            let api = api.clone();
            async move {
                let patch = Patch::Merge(json!({"status": status}));
                api.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
            }
        };
        stream::iter(statuses.into_iter().map(one)).buffer_unordered(CONNECTIONS).collect::<Vec<()>>().await;
    }

    /// All of a kind, from the API server's cache.
    pub async fn all<K: Kind>(&self) -> Vec<K> {
        self.api().list(&ListParams::default().match_any()).await.unwrap().items
    }

    /// Deletes all objects, children first, so that the garbage collector finds little to do.
    pub async fn clear(&self) {
        for namespace in [NEIGHBOUR, NAMESPACE] {
            self.empty::<CronJob>(namespace).await;
            self.empty::<Job>(namespace).await;
            self.empty::<Pod>(namespace).await;
            self.empty::<FlowRun>(namespace).await;
            self.empty::<Flow>(namespace).await;
            self.empty::<Event>(namespace).await;
            self.empty::<Lease>(namespace).await;
        }
    }

    async fn empty<K: Kind>(&self, namespace: &str) {
        let (api, end) = (self.api_in::<K>(namespace), Instant::now() + EMPTY);
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        loop {
            // Many objects take longer than the API server lets a request last: then it is asked again.
            let _ = api.delete_collection(&params, &ListParams::default()).await;
            let left = api.list_metadata(&ListParams::default().limit(1)).await.unwrap().items;
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{} are not deleted", K::plural(&()));
            sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn ensure<K>(api: &Api<K>, object: &Value, typed: impl Fn(Value) -> K)
where
    K: Resource + Clone + Debug + DeserializeOwned + Serialize,
{
    match api.create(&PostParams::default(), &typed(object.clone())).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        other => drop(other.unwrap()),
    }
}

/// The administrator's kubeconfig, with another user in it.
fn kubeconfig_with(token: &str, directory: &str) -> String {
    let config = kube::config::Kubeconfig::read().unwrap();
    let mut config = serde_json::to_value(config).unwrap();
    config["users"][0]["user"] = json!({"token": token});
    let path = format!("{directory}/operator.kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// The next whole second, or minute, that is at least so far away.
pub fn instant_after(wait_s: u64, unit: Unit) -> Timestamp {
    let earliest = now() + Duration::from_secs(wait_s);
    let round = jiff::TimestampRound::new().smallest(unit).mode(jiff::RoundMode::Ceil);
    earliest.round(round).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "it is the bench that measures time")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

pub async fn sleep_until(moment: Timestamp) {
    let left = moment.duration_since(now());
    sleep(left.try_into().unwrap_or_default()).await;
}

/// What makes a fake pod last.
fn lasting(seconds: u64) -> Value {
    json!({"annotations": {"pod-complete.stage.kwok.x-k8s.io/delay": format!("{seconds}s")}})
}

/// A Flow with an address and a command, and this clock.
pub fn flow(name: &str, address: &str, clock: &Value, run_s: u64) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "image": IMAGE,
            "command": ["true"],
            "cluster": {"address": address},
            "template": {"metadata": lasting(run_s)},
            "schedule": {"clocks": [clock]},
        },
    })
}

/// The same as Kubernetes has it. It is due once a year.
pub fn cron_job(name: &str, tick: Timestamp, run_s: u64) -> Value {
    let container = json!({"name": "runner", "image": IMAGE, "command": ["true"]});
    let pod = json!({
        "metadata": lasting(run_s),
        "spec": {"restartPolicy": "Never", "containers": [container]},
    });
    json!({
        "metadata": {"name": name},
        "spec": {
            "schedule": tick.strftime("%M %H %d %m *").to_string(),
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": pod}},
        },
    })
}

/// The object again under another name, without what the API server and controllers have added: a Job that
/// the controller of Jobs leaves alone, so that it need not be waited for.
pub fn copy<K: Serialize>(object: &K, name: &str) -> Value {
    let mut copy = serde_json::to_value(object).unwrap();
    let labels = copy["metadata"]["labels"].clone();
    let annotations = copy["metadata"]["annotations"].clone();
    copy["metadata"] = json!({"name": name, "labels": labels, "annotations": annotations});
    copy.as_object_mut().unwrap().remove("status");
    if let Some(spec) = copy["spec"].as_object_mut().filter(|spec| spec.contains_key("selector")) {
        spec.remove("selector");
        spec.insert("managedBy".to_owned(), json!("daskflow.dev/bench"));
    }
    for metadata in ["/metadata/labels", "/spec/template/metadata/labels"] {
        if let Some(labels) = copy.pointer_mut(metadata).and_then(Value::as_object_mut) {
            labels.retain(|key, _| !key.contains("controller-uid") && !key.contains("job-name"));
        }
    }
    copy
}
