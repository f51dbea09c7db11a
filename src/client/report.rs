//! All that helps to find out what went wrong with an object, in files without secrets.

use std::collections::BTreeSet;
use std::pin::pin;

use futures::AsyncReadExt;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde_json::Value;

use super::cluster::Cluster;
use super::error::Error;
use super::find::{Found, shown};
use super::redact::Redactor;
use super::{read, version};
use crate::api::{Flow, FlowRun, labels};
use crate::plan::run::Ground;
use crate::view::objects::{Objects, place};

/// How many runs of a Flow, a cluster or a backfill are in it, the newest ones.
const RUNS_MAX: usize = 20;
/// How many pods, the newest ones.
const PODS_MAX: usize = 40;
/// How many lines of each log, and bytes, at its end.
const LINES_MAX: i64 = 1_000;
const BYTES_MAX: usize = 1024 * 1024;
/// How many bytes are read at a time.
const CHUNK: usize = 64 * 1024;

/// Files by their paths, and what could not be read.
#[derive(Debug, Default)]
pub struct Report {
    /// Path below the folder, and text.
    pub files: Vec<(String, String)>,
    /// Sentences about what is missing.
    pub notes: Vec<String>,
}

/// Collects what is known of an object. `drawn` is what `status` shows of it.
///
/// # Errors
/// Objects of our kinds cannot be read.
pub async fn report(cluster: &Cluster, found: &Found, drawn: &str) -> Result<Report, Error> {
    let failed =
        |error: &dyn std::error::Error| Error::Senseless(format!("the report cannot be made: {error}"));
    let mut redactor = Redactor::new().map_err(|error| failed(&error))?;
    let (all, _) = read::around(cluster, found).await?;
    let objects = chosen(found, &all);
    let mut report = Report::default();
    let pods = pods(cluster, &objects, &mut report.notes).await;
    let mut values = values(&objects, &pods).map_err(|error| failed(&error))?;
    for (_, value) in &mut values {
        redactor.object(value);
    }
    let names: BTreeSet<String> = names(&objects).chain(pods.iter().map(ResourceExt::name_any)).collect();
    let events = events(cluster, &names, &mut report.notes).await;
    values.extend(value("events.yaml".to_owned(), &events).map_err(|error| failed(&error))?);
    for (path, mut value) in values {
        redactor.texts(&mut value);
        let text = serde_yaml::to_string(&value).map_err(|error| failed(&error))?;
        report.files.push((path, text));
    }
    report.files.push(("status.txt".to_owned(), redactor.text(drawn)));
    report.files.push(("versions.txt".to_owned(), versions(cluster).await));
    for pod in &pods {
        logs(cluster, pod, &redactor, &mut report).await;
    }
    let notes = report.notes.iter().map(|note| redactor.text(note) + "\n").collect();
    report.files.push(("missing.txt".to_owned(), notes));
    report.files.retain(|(_, text)| !text.is_empty());
    report.files.sort();
    Ok(report)
}

/// The object and what belongs to it, of all that is in the namespace.
fn chosen(found: &Found, all: &Objects) -> Objects {
    let is_of = |run: &FlowRun| match found {
        Found::Run(of) => run.name_any() == of.name_any(),
        Found::Flow(flow) => run.spec.flow == flow.name_any(),
        Found::Backfill(of) => run.spec.backfill.as_ref() == Some(&of.name_any()),
        Found::Cluster(of) => run.status.as_ref().is_some_and(|status| status.cluster == Some(of.name_any())),
    };
    let mut chosen =
        Objects { runs: all.runs.iter().filter(|run| is_of(run)).cloned().collect(), ..Objects::default() };
    chosen.runs.sort_by_key(|run| std::cmp::Reverse(place(run)));
    chosen.runs.truncate(RUNS_MAX);
    let mut flows: BTreeSet<String> = chosen.runs.iter().map(|run| run.spec.flow.clone()).collect();
    let of_runs = chosen.runs.iter().filter_map(|run| run.status.as_ref()?.cluster.clone());
    let mut clusters: BTreeSet<String> = of_runs.collect();
    match found {
        Found::Flow(flow) => flows.extend([flow.name_any()]),
        Found::Backfill(backfill) => flows.extend([backfill.spec.flow.clone()]),
        Found::Cluster(cluster) => clusters.extend([cluster.name_any()]),
        Found::Run(_) => {}
    }
    let is_meant = |flow: &&Flow| flows.contains(&flow.name_any());
    chosen.flows = all.flows.iter().filter(is_meant).cloned().collect();
    clusters.extend(chosen.flows.iter().filter_map(|flow| Ground::of(flow).shared().map(str::to_owned)));
    chosen.clusters = all.clusters.iter().filter(|one| clusters.contains(&one.name_any())).cloned().collect();
    chosen.backfills = all.backfills.iter().filter(|one| flows.contains(&one.spec.flow)).cloned().collect();
    chosen
}

/// The names of all objects of our kinds.
fn names(objects: &Objects) -> impl Iterator<Item = String> {
    let flows = objects.flows.iter().map(ResourceExt::name_any);
    let runs = objects.runs.iter().map(ResourceExt::name_any);
    let clusters = objects.clusters.iter().map(ResourceExt::name_any);
    flows.chain(runs).chain(clusters).chain(objects.backfills.iter().map(ResourceExt::name_any))
}

/// The pods of runs and clusters.
async fn pods(cluster: &Cluster, objects: &Objects, notes: &mut Vec<String>) -> Vec<Pod> {
    let runs: Vec<String> = objects.runs.iter().map(ResourceExt::name_any).collect();
    let clusters: Vec<String> = objects.clusters.iter().map(ResourceExt::name_any).collect();
    let mut pods: Vec<Pod> = Vec::new();
    for (label, names) in [(labels::RUN, runs), (labels::CLUSTER_NAME, clusters)] {
        if !names.is_empty() {
            let wanted = ListParams::default().labels(&format!("{label} in ({})", names.join(",")));
            pods.extend(read::lenient(cluster, &wanted, notes).await);
        }
    }
    pods.sort_by_key(|pod| std::cmp::Reverse((pod.creation_timestamp(), pod.name_any())));
    pods.dedup_by_key(|pod| pod.name_any());
    pods.truncate(PODS_MAX);
    pods
}

async fn events(cluster: &Cluster, names: &BTreeSet<String>, notes: &mut Vec<String>) -> Vec<Event> {
    let mut events: Vec<Event> = read::lenient(cluster, &ListParams::default(), notes).await;
    events.retain(|event| event.involved_object.name.as_ref().is_some_and(|name| names.contains(name)));
    for event in &mut events {
        event.metadata.managed_fields = None;
    }
    events
}

/// The objects with the paths of their files.
fn values(objects: &Objects, pods: &[Pod]) -> serde_json::Result<Vec<(String, Value)>> {
    let mut values = Vec::new();
    let named = |kind: &str, name: &str| format!("{kind}-{name}.yaml");
    for one in &objects.flows {
        values.extend(value(named("flow", &one.name_any()), one)?);
    }
    for one in &objects.runs {
        values.extend(value(named("run", &one.name_any()), one)?);
    }
    for one in &objects.clusters {
        values.extend(value(named("cluster", &one.name_any()), one)?);
    }
    for one in &objects.backfills {
        values.extend(value(named("backfill", &one.name_any()), one)?);
    }
    for pod in pods {
        values.extend(value(named("pod", &pod.name_any()), pod)?);
    }
    Ok(values)
}

/// An object with the path of its file; nothing of a list without entries.
fn value(path: String, object: &impl Serialize) -> serde_json::Result<Option<(String, Value)>> {
    let value = serde_json::to_value(object)?;
    let is_empty = value.as_array().is_some_and(Vec::is_empty);
    Ok((!is_empty).then_some((path, value)))
}

async fn versions(cluster: &Cluster) -> String {
    let client = env!("CARGO_PKG_VERSION");
    let operators = version::operators(cluster).await.map(|all| all.join(", "));
    let operators = operators.unwrap_or_else(|error| format!("unknown: {error}"));
    let server = version::api_server(cluster).await.unwrap_or_else(|error| format!("unknown: {error}"));
    format!("client: {client}\noperator: {operators}\nKubernetes: {server}\n")
}

/// The ends of the logs of a pod's containers, also of those that were started again.
async fn logs(cluster: &Cluster, pod: &Pod, redactor: &Redactor, report: &mut Report) {
    let api: Api<Pod> = cluster.api();
    let name = pod.name_any();
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    for container in containers.map(|container| &container.name) {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let is_again =
            statuses.filter(|status| status.name == *container).any(|status| status.restart_count > 0);
        for previous in [false, true].into_iter().filter(|previous| is_again || !previous) {
            let how = LogParams {
                container: Some(container.clone()),
                previous,
                // A limit in bytes would leave the end out.
                tail_lines: Some(LINES_MAX),
                timestamps: true,
                ..LogParams::default()
            };
            let before = if previous { "-previous" } else { "" };
            match end(cluster, &api, &name, &how).await {
                Ok(text) => {
                    let path = format!("log-{name}-{container}{before}.txt");
                    report.files.push((path, redactor.text(&text)));
                }
                Err(error) => {
                    report.notes.push(format!("without the log of {name}/{container}{before}: {error}"));
                }
            }
        }
    }
}

/// The end of a log.
async fn end(cluster: &Cluster, api: &Api<Pod>, name: &str, how: &LogParams) -> Result<String, Error> {
    let action = format!("get pods/log in the namespace {}", cluster.namespace);
    let opened = api.log_stream(name, how).await.map_err(|error| Error::of(error, &action))?;
    let mut stream = pin!(opened);
    let mut last = Last { bytes: Vec::new(), max: BYTES_MAX, is_cut: false };
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = stream.read(&mut buffer).await;
        match read.map_err(|error| Error::Unreachable { why: error.to_string() })? {
            0 => return Ok(last.text()),
            count => last.push(buffer.get(..count).unwrap_or_default()),
        }
    }
}

/// The last lines of what is read, with so many bytes at most.
struct Last {
    bytes: Vec<u8>,
    max: usize,
    is_cut: bool,
}

impl Last {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        // Now and then: each time all that is kept is moved.
        if self.bytes.len() > 2 * self.max {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let excess = self.bytes.len().saturating_sub(self.max);
        self.is_cut |= excess > 0;
        self.bytes.drain(..excess);
    }

    /// From the begin of a line on: half a secret would not be known for one.
    fn text(mut self) -> String {
        self.cut();
        let whole: &[u8] = if self.is_cut {
            let end = self.bytes.iter().position(|byte| *byte == b'\n');
            end.and_then(|end| self.bytes.get(end + 1..)).unwrap_or_default()
        } else {
            &self.bytes
        };
        String::from_utf8_lossy(whole).into_owned()
    }
}

/// What a report of this object is called.
pub fn name(found: &Found) -> String {
    format!("daskflow-report-{}-{}", shown(found.kind()), found.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_last_lines_are_kept() {
        let of = |chunks: &[&str]| {
            let mut last = Last { bytes: Vec::new(), max: 12, is_cut: false };
            for chunk in chunks {
                last.push(chunk.as_bytes());
            }
            last.text()
        };
        assert_eq!(of(&["one\ntwo\n", "end\n"]), "one\ntwo\nend\n");
        assert_eq!(of(&["password=hunter2\n", "two\nend"]), "two\nend");
        assert_eq!(of(&["a\n".repeat(40).as_str(), "password=hunter2\n", "two\nend"]), "two\nend");
        assert_eq!(of(&["one very long line"]), "");
    }
}
