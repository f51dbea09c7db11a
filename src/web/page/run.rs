//! One run: why it is as it is, where its time went, and what it has written.

use askama::Template;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::Serialize;
use serde_json::Value;

use super::frame::Frame;
use super::seen::{Seen, name_of, namespace_of};
use super::stages::{Attempt, Stage, attempts, stages};
use super::words::{Shown, cut, link, run_link, shown, when};
use crate::api::gateway::GatewayStatus;
use crate::api::{FlowRun, Kind, Phase};
use crate::plan::facts::{attempt_of, logical_time};
use crate::view::{age, cure};

/// How much of the parameters is shown, in characters.
const PARAMETERS_MAX: usize = 8_000;
/// How much of a message is shown, in characters.
const MESSAGE_MAX: usize = 8_000;

/// What a run has written, as far as it is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Log {
    /// The number of the attempt.
    pub attempt: u32,
    /// Whether workers are in it.
    pub workers: bool,
    /// The text that is searched for.
    pub search: String,
    /// The lines.
    pub lines: Vec<String>,
    /// What is to be known of it: that there is none, or that it is not all.
    pub note: Option<String>,
    /// The address of lines that are still to come; empty where none are.
    #[serde(skip)]
    pub live: String,
}

/// One run.
#[derive(Template, Serialize)]
#[template(path = "run.html")]
pub struct OneRun {
    /// Around it.
    #[serde(skip)]
    pub frame: Frame,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its page.
    #[serde(skip)]
    pub link: String,
    /// Its Flow.
    pub flow: String,
    /// The page of that.
    #[serde(skip)]
    pub flow_link: String,
    /// Its phase.
    pub phase: Shown,
    /// Why, in one word.
    pub reason: Option<String>,
    /// Why, in a sentence.
    pub message: Option<String>,
    /// What to do, where something is to be done.
    pub cure: Option<String>,
    /// How the attempt before ended.
    pub last_failure: Option<String>,
    /// Whether it has ended.
    pub ended: bool,
    /// Whether it is asked to end.
    pub cancelled: bool,
    /// Names and values of what else is known.
    pub facts: Vec<(&'static str, String)>,
    /// Its cluster, with the page of it; without one where it is none of ours.
    #[serde(skip)]
    pub cluster: Option<(String, Option<String>)>,
    /// The dashboard behind a Dask Gateway, where the browser shows its own login.
    pub dashboard: Option<String>,
    /// Where its time went.
    pub stages: Vec<Stage>,
    /// Its attempts, as far as their pods are there.
    pub attempts: Vec<Attempt>,
    /// The number of the newest attempt.
    #[serde(skip)]
    pub newest: u32,
    /// Its parameters.
    pub parameters: Option<String>,
    /// What could not be read.
    pub notes: Vec<String>,
    /// What it has written.
    pub log: Log,
    /// Where that is kept longer.
    pub logs_link: Option<String>,
    /// Whether it had a pod, and has none any more.
    #[serde(skip)]
    pub pods_deleted: bool,
}

/// What is read of a run beside its object.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// Its pods.
    pub pods: Vec<Pod>,
    /// What could not be read.
    pub notes: Vec<String>,
    /// What it has written.
    pub log: Log,
    /// Where that is kept longer.
    pub logs_link: Option<String>,
}

/// One run with what is around it.
pub fn run(frame: Frame, seen: &Seen, run: &FlowRun, around: Around, now: Timestamp) -> OneRun {
    let status = run.status.clone().unwrap_or_default();
    let attempts = attempts(run, &around.pods);
    // A list that was refused says nothing of pods.
    let had_pods = status.phase.is_final() && status.started_at.is_some() && around.notes.is_empty();
    let is_well = matches!(status.phase, Phase::Succeeded | Phase::Running | Phase::Cancelled);
    let reason = status.reason.clone();
    let cure = reason.as_deref().filter(|_| !is_well).and_then(|reason| cure::cure(Kind::FlowRun, reason));
    let namespace = namespace_of(run);
    let cluster = status.cluster.clone().map(|name| {
        let page = seen.cluster(namespace, &name).map(|_| link("clusters", namespace, &name));
        (name, page)
    });
    let parameters = status.merged_parameters.as_ref().or(run.spec.merged_parameters.as_ref());
    let parameters = parameters.or(run.spec.parameters.as_ref()).map(pretty);
    OneRun {
        frame,
        namespace: namespace.to_owned(),
        name: name_of(run).to_owned(),
        link: run_link(run),
        flow: run.spec.flow.clone(),
        flow_link: link("flows", namespace, &run.spec.flow),
        phase: shown(status.phase),
        reason: reason.filter(|reason| reason != status.phase.as_str()),
        message: status.message.as_deref().map(|message| cut(message, MESSAGE_MAX)),
        cure,
        last_failure: status.last_failure.as_ref().map(|failure| {
            let message = cut(&failure.message, MESSAGE_MAX);
            format!("{}: {message}, {}", failure.reason, age::ago(failure.at.0, now))
        }),
        ended: status.phase.is_final(),
        cancelled: run.spec.cancel,
        facts: facts(run, now),
        cluster,
        dashboard: status.gateway.as_deref().and_then(GatewayStatus::dashboard_address),
        stages: stages(run, &attempts, now),
        attempts,
        newest: attempt_of(run),
        parameters,
        notes: around.notes,
        log: around.log,
        logs_link: around.logs_link,
        pods_deleted: had_pods && around.pods.is_empty(),
    }
}

fn facts(run: &FlowRun, now: Timestamp) -> Vec<(&'static str, String)> {
    let status = run.status.clone().unwrap_or_default();
    let mut facts = vec![("Logical time", logical_time(run).to_string())];
    let mut add = |name: &'static str, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("Clock", run.spec.clock.clone());
    add("Backfill", run.spec.backfill.clone());
    add("Created", run.metadata.creation_timestamp.as_ref().map(|at| when(at.0, now)));
    add("Attempt", status.attempt.map(|attempt| attempt.to_string()));
    add("Started", status.started_at.as_ref().map(|at| when(at.0, now)));
    add("Ended", status.finished_at.as_ref().map(|at| when(at.0, now)));
    add("Tried again", status.retry_at.as_ref().map(|at| age::ahead(at.0, now)));
    add("Exit code", status.exit_code.map(|code| code.to_string()));
    add("Tasks", status.tasks.map(|tasks| format!("{}, {} of them failed", tasks.total, tasks.failed)));
    add("Job", status.job);
    facts
}

fn pretty(value: &Value) -> String {
    cut(&serde_json::to_string_pretty(value).unwrap_or_default(), PARAMETERS_MAX)
}
