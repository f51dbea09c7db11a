//! A `DaskJob` of theirs as a Flow without a schedule, and a run of it.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::cluster::Parts;
use super::cluster::{self, Given};
use super::pod::{self, Part};
use super::remark::Notes;
use super::theirs::{JobSpec, Object};
use super::{labels, rights};
use crate::api::run_policy::Concurrency;
use crate::api::{DaskClusterSpec, Flow, FlowRun, FlowRunSpec, FlowSpec};
use crate::plan::names::{FLOW_NAME_MAX, flow_name_for_job};
use crate::plan::pods::runner;

/// What the container of a job is called in most manifests.
const CONTAINER: &str = "job";

/// What a job says but for its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Made {
    spec: FlowSpec,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Translates a job, of whose cluster these are parts; `notes` are of the object.
pub(super) fn translate(job: &Object<JobSpec>, parts: Parts<'_>, notes: &mut Notes) -> Option<Made> {
    let mut of_job = notes.within("spec.job", "spec");
    let part = pod::read(&job.spec.job.spec, CONTAINER, &mut of_job);
    let mut of_cluster = notes.within("spec.cluster", "spec.cluster.template");
    let cluster = of_spec(job, parts, &mut of_cluster);
    let spec = part.zip(cluster).map(|(part, made)| {
        rights::say_needs(&part, &mut of_job);
        rights::say(&made.lost.union(&rights::lost(&part)).copied().collect(), notes);
        flow_spec(job, part, made.spec, &mut of_job)
    });
    notes.take(of_cluster);
    notes.take(of_job);
    let ObjectMeta { labels, annotations, .. } = labels::of_object(&job.metadata);
    Some(Made { spec: spec?, labels, annotations })
}

/// The Flow of a job, under this name.
pub(super) fn flow(job: &Object<JobSpec>, made: &Made, name: &str) -> Flow {
    let mut flow = Flow::new(name, made.spec.clone());
    flow.metadata.namespace.clone_from(&job.metadata.namespace);
    flow.metadata.labels.clone_from(&made.labels);
    flow.metadata.annotations.clone_from(&made.annotations);
    flow
}

/// A run of this Flow for a job, with the job's name.
pub(super) fn run(job: &Object<JobSpec>, flow: &str) -> FlowRun {
    let mut run = FlowRun::new("", FlowRunSpec { flow: flow.to_owned(), ..FlowRunSpec::default() });
    run.metadata = labels::of_object(&job.metadata);
    run
}

/// The cluster that is made for the job. `notes` are of `spec.cluster`.
fn of_spec(job: &Object<JobSpec>, parts: Parts<'_>, notes: &mut Notes) -> Option<cluster::Made> {
    let JobSpec { cluster: theirs, .. } = &job.spec;
    if theirs.metadata.is_some() {
        let message = "dask-kubernetes' definition has no such field, so that Kubernetes drops it; left out";
        notes.changed("metadata", "", message);
    }
    let mut spec = theirs.spec.clone();
    if spec.idle_timeout.take().is_some_and(|seconds| seconds != 0) {
        let message = "left out: the cluster is deleted when the run ends, and this had no effect before";
        notes.changed("spec.idleTimeout", "", message);
    }
    let given = Given {
        spec: &spec,
        is_apart: true,
        is_served: false,
        metadata: &job.metadata,
        name: None,
        called: job.name(),
        parts,
    };
    let mut of_spec = notes.within("spec", "");
    let made = cluster::translate(&given, &mut of_spec);
    notes.take(of_spec);
    made
}

/// What the Flow says. `notes` are of `spec.job`.
fn flow_spec(job: &Object<JobSpec>, mut part: Part, cluster: DaskClusterSpec, notes: &mut Notes) -> FlowSpec {
    let policy = part.restart_policy.take().unwrap_or_else(|| "OnFailure".to_owned());
    if policy != "Never" {
        let message = format!(
            "restartPolicy {policy} started a script that failed again and again, in the same container; now the run has Failed. \
             To try again, add retries: {{limit: 3}}"
        );
        notes.changed("spec.restartPolicy", "", message);
    }
    let (command, args) =
        (part.start.command.take().unwrap_or_default(), std::mem::take(&mut part.start.args));
    say_script(&part.field, &command, &args, notes);
    let account = part.pod.service_account_name.take();
    let mut flow = FlowSpec {
        image: Some(part.image.clone()),
        image_pull_policy: part.pull_policy,
        image_pull_secrets: part.pull_secrets.clone(),
        command,
        args,
        env: part.env.clone(),
        env_from: part.main.env_from.take().unwrap_or_default(),
        resources: part.resources.clone(),
        service_account_name: account,
        template: part.template(runner::CONTAINER, job.spec.job.metadata.as_ref()),
        // Jobs never waited for each other.
        concurrency: Concurrency::Allow,
        ..FlowSpec::default()
    };
    flow.cluster.template = Some(cluster);
    flow
}

/// A script of Python could be run so that its tasks are seen.
fn say_script(field: &str, command: &[String], args: &[String], notes: &mut Notes) {
    let words: Vec<&String> = command.iter().chain(args).collect();
    let [python, script, ..] = words.as_slice() else { return };
    let is_python = python.rsplit('/').next().is_some_and(|name| name.starts_with("python"));
    if is_python && Path::new(script).extension().is_some_and(|end| end == "py") && !command.is_empty() {
        let message = format!(
            "a command is run as it is. With code: {{path: {script}}} in its place a run also fails when its Dask tasks do, and \
             counts them"
        );
        notes.changed(&format!("{field}.command"), "command", message);
    }
}

/// The name of a Flow that is to be called so.
pub(super) fn flow_name(full: &str, notes: &mut Notes) -> String {
    let name = flow_name_for_job(full);
    if name != full {
        let message = format!(
            "the name of a Flow has at most {FLOW_NAME_MAX} characters: its end is a hash of the whole one"
        );
        notes.changed("metadata.name", "metadata.name", message);
    }
    name
}
