//! What pods say: their logs, and their pages through the API server's proxy.

use daskflow::api::labels;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::LogParams;
use serde_json::Value;

use super::clock::{poll, within};
use super::namespace::Namespace;

/// What a Prefect 1 task runner says when a task starts.
pub const TASK_STARTED: &str = "Starting task run";

/// Selects the worker pods of a cluster.
pub fn workers_of(cluster: &str) -> String {
    format!("{}={cluster},{}={}", labels::CLUSTER_NAME, labels::COMPONENT, labels::WORKER)
}

/// Selects the runner pods of a run.
pub fn runner_of(run: &str) -> String {
    format!("{}={run},{}={}", labels::RUN, labels::COMPONENT, labels::RUNNER)
}

/// One line of a log, with the time that the kubelet gave it.
#[derive(Clone, Debug)]
pub struct Line {
    /// When the kubelet read it.
    pub at: Timestamp,
    /// The line.
    pub text: String,
}

impl Namespace {
    /// The log of a pod's first container.
    pub async fn log(&self, pod: &Pod) -> Vec<Line> {
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first()).map(|it| it.name.clone());
        let wanted = LogParams { container, timestamps: true, ..LogParams::default() };
        let text = self.api::<Pod>().logs(&pod.name_any(), &wanted).await.unwrap_or_default();
        text.lines().filter_map(read_line).collect()
    }

    /// The lines with these words in all logs of the pods that a label selector chooses, in order of time.
    pub async fn lines(&self, selector: &str, words: &str) -> Vec<Line> {
        let mut found = Vec::new();
        for pod in self.list::<Pod>(selector).await {
            found.extend(self.log(&pod).await.into_iter().filter(|line| line.text.contains(words)));
        }
        found.sort_by_key(|line| line.at);
        found
    }

    /// All that the runner of a run has said.
    pub async fn runner_log(&self, run: &str) -> String {
        let lines = self.lines(&runner_of(run), "").await;
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
    }

    /// Waits until the runner of a run has said these words.
    pub async fn until_logged(&self, run: &str, words: &str) {
        poll(within(90, format!("the runner of {run} says: {words}")), async || {
            let log = self.runner_log(run).await;
            if log.contains(words) { Ok(()) } else { Err(log) }
        })
        .await;
    }

    /// A page of a scheduler's web server, through the proxy of its Service: status code and body.
    pub async fn page(&self, cluster: &str, path: &str) -> Result<(u16, String), String> {
        let url = format!(
            "/api/v1/namespaces/{}/services/{cluster}-scheduler:http-dashboard/proxy/{path}",
            self.name
        );
        let request = http::Request::get(url).body(Vec::new()).unwrap();
        match self.client.request_text(request).await {
            Ok(body) => Ok((200, body)),
            Err(kube::Error::Api(status)) => Ok((status.code, status.message)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The scheduler's own counts.
    pub async fn counts(&self, cluster: &str) -> Result<Value, String> {
        let (code, body) = self.page(cluster, "json/counts.json").await?;
        serde_json::from_str(&body).map_err(|error| format!("{code} {error}: {body}"))
    }
}

fn read_line(line: &str) -> Option<Line> {
    let (at, text) = line.split_once(' ').unwrap_or((line, ""));
    Some(Line { at: at.parse().ok()?, text: text.to_owned() })
}
