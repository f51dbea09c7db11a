//! A `DaskJob` of theirs: a `DaskCluster` of theirs and the pod of its program, under the names that their
//! clients look for, and a status of five fields.
//!
//! The pod starts at once, before there is a cluster, and looks for the scheduler itself: a job whose pod
//! cannot be had has failed, and no cluster is made for it. What has come of it is written before the cluster
//! is deleted, so that a cluster that has ended is never all that is left of a job.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::kind::TheirKind;
use super::parts::{self, Changes, Freed, propagated};
use super::write::{Plan, Write, status_of};
use crate::api::dask_cluster::Refusal;
use crate::api::{Reason, labels};
use crate::plan::compat::pod::write_quantities;
use crate::plan::conditions::Failure;
use crate::plan::pods::written::SCHEDULER_ADDRESS;
use crate::plan::reading::{self, Unreadable};
use crate::plan::site::Site;
use crate::plan::{Next, Note, Object, Step};

/// What their operator logs of a job: that it is known, and how it has ended.
const LOGGED_CREATED: &str = "A DaskJob has been created";
const LOGGED_SUCCEEDED: &str = "Job succeeded, deleting Dask cluster.";
const LOGGED_FAILED: &str = "Job failed, deleting Dask cluster.";

/// The value of the component label on the pod of a job.
const RUNNER: &str = "job-runner";

/// The code of what may not be.
const FORBIDDEN: u16 = 403;
/// How many times in a row a pod may be forbidden before its job has failed. The waits between become longer.
const FORBIDDEN_TIMES: u32 = 6;

/// It is known.
const JOB_CREATED: &str = "JobCreated";
/// Its cluster and its pod are made.
const CLUSTER_CREATED: &str = "ClusterCreated";
/// Its pod runs.
const RUNNING: &str = "Running";
/// Its pod has ended well.
const SUCCESSFUL: &str = "Successful";
/// Its pod has failed, or is not there any more.
const FAILED: &str = "Failed";

/// A job of theirs, and what there is for it.
pub struct Job<'a> {
    /// The object.
    pub object: &'a DynamicObject,
    /// The `DaskCluster` of theirs of its name.
    pub cluster: Option<&'a DynamicObject>,
    /// The pod `NAME-runner`.
    pub pod: Option<&'a Pod>,
    /// Where its scheduler is.
    pub site: Site,
    /// The time.
    pub now: Timestamp,
    /// Those that a finalizer of theirs was taken from.
    pub freed: &'a Freed,
    /// Whether the API server has been asked for all of that just now.
    pub is_live: bool,
}

/// How soon to look again at a pod that dask-kubernetes' own operator has made: no watch tells of it.
const LOOK: Duration = Duration::from_secs(15);

/// The name of the pod of a job.
fn runner_name(job: &str) -> String {
    format!("{job}-runner")
}

/// What is to be done about a job of theirs.
pub fn plan(observed: &Job<'_>) -> Plan {
    let job = observed.object;
    let mut plan = Plan::default();
    plan.writes.extend(Changes::of(TheirKind::Job, job).let_go(observed.freed).write());
    plan.notes.extend(parts::served_twice(job, observed.freed));
    let Some(owner) = TheirKind::Job.controller_ref(job) else { return plan };
    if job.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    match status_of(job, "jobStatus") {
        SUCCESSFUL | FAILED => clear(observed, &owner, &mut plan),
        status => go_on(observed, &owner, status, &mut plan),
    }
    plan
}

/// Why a plan for a job could not be carried out.
#[derive(Clone, Debug)]
pub struct Failed {
    /// As users are told of it.
    pub failure: Failure,
    /// The code that the API server has answered with.
    pub code: Option<u16>,
    /// How many times in a row that is.
    pub times: u32,
}

/// What is to be done about a job whose plan could not be carried out, where waiting alone does not help. A
/// pod that the API server refuses is not taken by it later, and a client waits for the end of its job. What
/// is forbidden may lack something that comes a moment later, such as a service account. The rights of this
/// operator, and a quota without room, are no fault of a job.
pub fn failing(observed: &Job<'_>, Failed { failure, code, times }: &Failed) -> Plan {
    let mut plan = Plan::default();
    plan.notes.push(Note::warning(failure.reason, failure.message.clone()));
    let job = observed.object;
    let has_ended = matches!(status_of(job, "jobStatus"), SUCCESSFUL | FAILED);
    let is_final = *code != Some(FORBIDDEN) || *times >= FORBIDDEN_TIMES;
    let is_refused = failure.refusal() == Some(Refusal::Object) && is_final;
    let owner = TheirKind::Job.controller_ref(job).filter(|_| job.metadata.deletion_timestamp.is_none());
    if let Some(owner) = owner.filter(|_| is_refused && observed.pod.is_none() && !has_ended) {
        finish(observed, &owner, FAILED, &mut plan);
    }
    plan
}

/// Makes what is missing, and says how far it is.
fn go_on(observed: &Job<'_>, owner: &OwnerReference, status: &str, plan: &mut Plan) {
    let job = observed.object;
    let name = job.name_any();
    if let Some(note) = super::cluster::refused_name(TheirKind::Job, job) {
        plan.notes.push(note);
        return set(plan, job, &json!({"jobStatus": FAILED, "endTime": second(observed.now)}));
    }
    let pod = observed.pod.filter(|pod| parts::is_owned(&pod.metadata, owner));
    let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        let end = if phase == Some("Succeeded") { SUCCESSFUL } else { FAILED };
        return finish(observed, owner, end, plan);
    }
    if status.is_empty() {
        let first =
            json!({"jobStatus": JOB_CREATED, "clusterName": name, "jobRunnerPodName": runner_name(&name)});
        set(plan, job, &first);
        plan.lines.push(LOGGED_CREATED);
    }
    match (observed.pod, pod) {
        (_, Some(pod)) => {
            if !pod.labels().contains_key(labels::APP_MANAGED_BY) {
                plan.next = Next::After(LOOK);
            }
        }
        // That of an earlier job of the name.
        (Some(other), None) if parts::is_of_former(&other.metadata, owner) => return,
        (Some(_), None) => {
            let message = format!(
                "the Pod {} exists and is not of this job: rename it or delete it",
                runner_name(&name)
            );
            return plan.notes.push(Note::warning(Reason::NameTaken, message));
        }
        (None, None) if status == RUNNING => {
            // The cache may not know it yet.
            plan.wants_look |= !observed.is_live;
            let message = format!("the Pod {} was deleted while it ran", runner_name(&name));
            plan.notes.push(Note::warning(Reason::JobDeleted, message));
            return finish(observed, owner, FAILED, plan);
        }
        (None, None) => {
            // A second pod would run the program again.
            plan.wants_look |= !observed.is_live && !status.is_empty();
            match new_pod(observed, owner) {
                Ok(pod) => plan.step(Step::Create(Box::new(Object::Pod(pod)))),
                Err(Unreadable { field, message }) => {
                    let separator = if field.steps().is_empty() { "" } else { "." };
                    let message = format!("spec.job.spec{separator}{field}: {message}");
                    plan.notes.push(Note::warning(Reason::InvalidSpec, message));
                    return finish(observed, owner, FAILED, plan);
                }
            }
        }
    }
    if observed.cluster.is_none() {
        plan.writes.push(cluster(job, owner));
    }
    if phase == Some("Running") && status != RUNNING {
        set(plan, job, &json!({"jobStatus": RUNNING, "startTime": second(observed.now)}));
    } else if status.is_empty() || status == JOB_CREATED {
        set(plan, job, &json!({"jobStatus": CLUSTER_CREATED}));
    }
}

/// The job has ended.
fn finish(observed: &Job<'_>, owner: &OwnerReference, status: &str, plan: &mut Plan) {
    let now = second(observed.now);
    let mut last = json!({"jobStatus": status, "endTime": now});
    if status_of(observed.object, "startTime").is_empty()
        && let Some(last) = last.as_object_mut()
    {
        last.insert("startTime".to_owned(), json!(now));
        let name = observed.object.name_any();
        last.insert("jobRunnerPodName".to_owned(), json!(runner_name(&name)));
        last.insert("clusterName".to_owned(), json!(name));
    }
    set(plan, observed.object, &last);
    if let Some(cluster) = own_cluster(observed, owner) {
        plan.writes.push(Write::delete(TheirKind::Cluster, cluster));
        plan.lines.push(if status == SUCCESSFUL { LOGGED_SUCCEEDED } else { LOGGED_FAILED });
    }
}

/// Deletes what is left of a job that has ended.
fn clear(observed: &Job<'_>, owner: &OwnerReference, plan: &mut Plan) {
    if let Some(cluster) = own_cluster(observed, owner) {
        plan.writes.push(Write::delete(TheirKind::Cluster, cluster));
    }
}

fn own_cluster<'a>(observed: &Job<'a>, owner: &OwnerReference) -> Option<&'a DynamicObject> {
    let is_own = |cluster: &&DynamicObject| parts::is_owned(&cluster.metadata, owner);
    observed.cluster.filter(is_own).filter(|cluster| cluster.metadata.deletion_timestamp.is_none())
}

fn set(plan: &mut Plan, job: &DynamicObject, status: &Value) {
    plan.status(TheirKind::Job, job, status.clone());
}

/// As their clients read it: whole seconds.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The cluster of a job. Of its spec theirs has always taken the workers and the scheduler alone.
fn cluster(job: &DynamicObject, owner: &OwnerReference) -> Write {
    let given = |part: &str| job.data.pointer(&format!("/spec/cluster/spec/{part}")).cloned();
    let own = propagated(&job.metadata, job.data.pointer("/spec/cluster/metadata"));
    let mut labels = own.labels.unwrap_or_default();
    labels.insert(labels::CLUSTER_NAME.to_owned(), job.name_any());
    let object = json!({
        "apiVersion": TheirKind::api_version(),
        "kind": TheirKind::Cluster.as_str(),
        "metadata": {
            "name": job.name_any(), "labels": labels, "annotations": own.annotations, "ownerReferences": [owner],
        },
        "spec": {"worker": given("worker"), "scheduler": given("scheduler")},
    });
    Write::Create(TheirKind::Cluster, Box::new(object))
}

/// The pod of a job: as it is written, with the address of the scheduler behind the variables of its own.
fn new_pod(observed: &Job<'_>, owner: &OwnerReference) -> Result<Pod, Unreadable> {
    let job = observed.object;
    let mut spec = job.data.pointer("/spec/job/spec").cloned().unwrap_or_default();
    write_quantities(&mut spec);
    let mut spec: PodSpec = reading::read(&spec)?;
    // The default of their definition.
    spec.restart_policy.get_or_insert_with(|| "OnFailure".to_owned());
    let (name, namespace) = (job.name_any(), job.namespace().unwrap_or_default());
    let address = observed.site.scheduler_address((&namespace, &name), false);
    spec.containers.iter_mut().for_each(|container| add_address(container, &address));
    let own = propagated(&job.metadata, job.data.pointer("/spec/job/metadata"));
    let mut all = own.labels.unwrap_or_default();
    let ours = [
        (labels::CLUSTER_NAME, name.as_str()),
        (labels::COMPONENT, RUNNER),
        // Pods with this label are watched.
        (labels::APP_MANAGED_BY, labels::APP),
    ];
    all.extend(ours.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let metadata = ObjectMeta {
        name: Some(runner_name(&name)),
        namespace: job.namespace(),
        labels: Some(all),
        annotations: own.annotations,
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    };
    Ok(Pod { metadata, spec: Some(spec), status: None })
}

fn add_address(container: &mut Container, address: &str) {
    let all = container.env.get_or_insert_default();
    if !all.iter().any(|variable| variable.name == SCHEDULER_ADDRESS) {
        let (name, value) = (SCHEDULER_ADDRESS.to_owned(), Some(address.to_owned()));
        all.push(EnvVar { name, value, ..EnvVar::default() });
    }
}
