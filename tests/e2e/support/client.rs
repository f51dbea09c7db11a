//! A Dask client in a pod of its own: a user at a prompt, to whom the test speaks.

use daskflow::api::DaskCluster;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::clock::{poll, within};
use super::namespace::Namespace;

/// What all scripts of clients begin with: how they are called, and how they hear a word.
const PRELUDE: &str = include_str!("../flows/client.py");
/// Where a client listens.
const PORT: u16 = 8080;
/// Where a client has its certificate.
const CERTIFICATES: &str = "/certificates";

/// A pod that is a client of the scheduler of a cluster.
pub struct Client<'a> {
    namespace: &'a Namespace,
    name: String,
}

impl Namespace {
    /// Starts a client of a cluster. Its arguments are for the script.
    pub async fn client(&self, name: &str, cluster: &str, script: &str, arguments: &[&str]) -> Client<'_> {
        self.create::<Pod>(self.client_pod((name, "tcp", cluster), script, arguments)).await;
        Client { namespace: self, name: name.to_owned() }
    }

    /// Starts a client of a cluster with TLS, which has what the cluster's status tells clients to take.
    pub async fn tls_client(
        &self,
        name: &str,
        cluster: &str,
        script: &str,
        arguments: &[&str],
    ) -> Client<'_> {
        let status = self.get::<DaskCluster>(cluster).await.status.unwrap_or_default();
        let secret =
            status.tls.and_then(|tls| tls.secret_name).expect("the status names a Secret for clients");
        let mut pod = self.client_pod((name, "tls", cluster), script, arguments);
        pod["spec"]["volumes"] = json!([{"name": "certificates", "secret": {"secretName": secret}}]);
        let container = &mut pod["spec"]["containers"][0];
        container["volumeMounts"] = json!([{"name": "certificates", "mountPath": CERTIFICATES}]);
        container["env"] = json!([
            {"name": "DASK_DISTRIBUTED__COMM__TLS__CA_FILE", "value": format!("{CERTIFICATES}/ca.crt")},
            {"name": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT", "value": format!("{CERTIFICATES}/tls.crt")},
            {"name": "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY", "value": format!("{CERTIFICATES}/tls.key")},
        ]);
        self.create::<Pod>(pod).await;
        Client { namespace: self, name: name.to_owned() }
    }

    fn client_pod(
        &self,
        (name, scheme, cluster): (&str, &str, &str),
        script: &str,
        arguments: &[&str],
    ) -> Value {
        let mut command = vec!["python".to_owned(), "-uc".to_owned(), format!("{PRELUDE}\n{script}")];
        command.push(format!("{scheme}://{cluster}-scheduler:8786"));
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                // They would tell Dask's configuration of a scheduler's host and port.
                "enableServiceLinks": false,
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "client",
                    "image": self.settings.dask,
                    "command": command,
                    "ports": [{"name": "words", "containerPort": PORT}],
                }],
            },
        })
    }
}

impl Client<'_> {
    /// Waits until it has said these words. It fails at once when the client fails.
    pub async fn until_said(&self, words: &str) {
        let wait = within(120, format!("client {} says: {words}", self.name));
        poll(wait, async || {
            let pod = self.pod().await?;
            let log = self.log_of(&pod).await;
            if log.contains(words) {
                return Ok(());
            }
            assert!(phase(&pod) != "Failed", "client {} failed: {log}", self.name);
            Err(log)
        })
        .await;
    }

    /// Tells it to go on.
    pub async fn tell(&self) {
        let url = format!("/api/v1/namespaces/{}/pods/{}:{PORT}/proxy/go", self.namespace.name, self.name);
        // A kubelet may be slower to report the address of a pod than the pod is to write into its log.
        poll(within(60, format!("client {} has been asked to go on", self.name)), async || {
            let request = http::Request::get(&url).body(Vec::new()).unwrap();
            let asked = self.namespace.client.request_text(request).await;
            asked.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    /// Waits until it has ended, and well; the answer is all that it has said.
    pub async fn until_done(&self, limit_s: u64) -> String {
        let wait = within(limit_s, format!("client {} ends", self.name));
        let ended = |pod: &Pod| matches!(phase(pod), "Succeeded" | "Failed");
        let pod = self.namespace.until(&self.name, wait, ended).await;
        let log = self.log_of(&pod).await;
        assert_eq!(phase(&pod), "Succeeded", "client {}: {log}", self.name);
        log
    }

    /// Whether it has not ended yet.
    pub async fn is_at_work(&self) -> bool {
        let pod = self.pod().await.unwrap();
        matches!(phase(&pod), "Pending" | "Running")
    }

    /// Ends it, whatever it does.
    pub async fn stop(self) {
        let now = DeleteParams::default().grace_period(0);
        self.namespace.api::<Pod>().delete(&self.name, &now).await.unwrap();
        let wait = within(30, format!("client {} is gone", self.name));
        self.namespace.until_gone::<Pod>(&self.name, wait).await;
    }

    async fn pod(&self) -> Result<Pod, String> {
        self.namespace.api::<Pod>().get(&self.name).await.map_err(|error| error.to_string())
    }

    async fn log_of(&self, pod: &Pod) -> String {
        let lines = self.namespace.log(pod).await;
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}
