//! A real Dask Gateway in a pod: its server, its proxy, and its clusters as processes beside them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::api::LogParams;
use serde_json::{Value, json};

use crate::support::manifests::secret;
use crate::support::{Namespace, poll, within};

/// The pod, its Service, and the label that chooses it.
pub const NAME: &str = "gateway";
/// The Secret with the login of its user `flows`.
pub const LOGIN: &str = "gateway-login";
/// The port of its proxy: of the REST API, and of all schedulers.
const PORT: u16 = 8000;
/// The port of a program that repeats what it is shown.
pub const ECHO: u16 = 8002;

/// A gateway that answers.
pub struct Gateway<'a> {
    namespace: &'a Namespace,
}

impl<'a> Gateway<'a> {
    /// Starts one in a namespace, whose users all have this password, and waits until it answers. The Secret
    /// with the login is there then.
    pub async fn start(namespace: &'a Namespace, password: &str) -> Self {
        namespace.create::<Secret>(secret(LOGIN, &[("username", "flows"), ("password", password)])).await;
        let files = json!({
            "config.py": include_str!("config.py"),
            "logged.sh": include_str!("logged.sh"),
            "states.py": include_str!("states.py"),
            "echo.py": include_str!("echo.py"),
        });
        let files =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": files});
        namespace.create::<ConfigMap>(files).await;
        namespace.create::<Pod>(pod(&namespace.settings.gateway)).await;
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
            "spec": {"selector": {"app": NAME}, "ports": [
                {"name": "proxy", "port": PORT}, {"name": "echo", "port": ECHO}]},
        });
        namespace.create::<Service>(service).await;
        let gateway = Self { namespace };
        gateway.until("it answers", BTreeMap::is_empty).await;
        let wait = within(120, "the gateway's pod is ready");
        namespace.until(NAME, wait, is_ready).await;
        gateway
    }

    /// `cluster` of a Flow on it, with these further fields of `gateway`.
    pub fn cluster(&self, further: &Value) -> Value {
        let mut gateway = json!({
            "address": format!("http://{NAME}.{}.svc:{PORT}", self.namespace.name),
            "auth": {"type": "Basic", "secretName": LOGIN},
        });
        let fields = further.as_object().unwrap().clone();
        gateway.as_object_mut().unwrap().extend(fields);
        json!({"gateway": gateway})
    }

    /// All that a container of its pod has said: `gateway` the server and its proxy, `clusters` all
    /// schedulers and workers, `states` which clusters there are.
    pub async fn said(&self, container: &str) -> Result<String, String> {
        let wanted = LogParams { container: Some(container.to_owned()), ..LogParams::default() };
        self.namespace.api::<Pod>().logs(NAME, &wanted).await.map_err(|error| error.to_string())
    }

    /// Waits until the clusters that it ever made stand so; the answer is their states, by their names.
    pub async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> BTreeMap<String, String> {
        poll(within(180, format!("of the gateway: {what}")), async || {
            let said = self.said("states").await?;
            let line = said.lines().last().unwrap_or_default();
            let states = line.strip_prefix("clusters:").ok_or_else(|| format!("its states: {line:?}"))?;
            let states: BTreeMap<_, _> = (states.split_whitespace())
                .filter_map(|one| one.split_once('='))
                .map(|(name, state)| (name.to_owned(), state.to_owned()))
                .collect();
            if wanted(&states) { Ok(states) } else { Err(format!("{line:?} of:\n{said}")) }
        })
        .await
    }

    /// Waits until so many clusters were made, and all of them are ended.
    pub async fn until_ended(&self, count: usize) -> BTreeMap<String, String> {
        let what = format!("it has made {count} clusters, and all are STOPPED");
        let all_ended = |states: &BTreeMap<String, String>| {
            states.len() == count && states.values().all(|state| state == "STOPPED")
        };
        self.until(&what, all_ended).await
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn pod(image: &str) -> Value {
    let password = json!([{
        "name": "GATEWAY_PASSWORD",
        "valueFrom": {"secretKeyRef": {"name": LOGIN, "key": "password"}},
    }]);
    let mounts =
        json!([{"name": "files", "mountPath": "/etc/gateway"}, {"name": "said", "mountPath": "/said"}]);
    let container = |name: &str, command: &[&str]| {
        json!({
            "name": name, "image": image, "command": command, "env": password, "volumeMounts": mounts,
        })
    };
    let mut server = container("gateway", &["dask-gateway-server", "-f", "/etc/gateway/config.py"]);
    server["readinessProbe"] =
        json!({"httpGet": {"path": "/api/health", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 5});
    let show = "touch /said/clusters.log && exec tail -n +1 -F /said/clusters.log";
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "labels": {"app": NAME}},
        "spec": {
            "terminationGracePeriodSeconds": 1, "enableServiceLinks": false,
            "volumes": [
                {"name": "files", "configMap": {"name": NAME}}, {"name": "said", "emptyDir": {}}],
            "containers": [
                server,
                container("clusters", &["sh", "-c", show]),
                container("states", &["python", "/etc/gateway/states.py"]),
                container("echo", &["python", "/etc/gateway/echo.py"]),
            ],
        },
    })
}
