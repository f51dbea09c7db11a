//! Makes pods of Jobs, and says how the Jobs ended: what Kubernetes' Job controller does, as far as this
//! project's Jobs need it.
//!
//! One pass, [`step`], does for each Job what can be done now. Pods keep a finalizer until they are counted,
//! so that none that is deleted is forgotten. What it leaves out: indexed Jobs, work queues (they are
//! refused), success and failure policies, `backoffLimitPerIndex`, and the pause that Kubernetes makes before
//! another try.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::api::ClusterApi;
use super::delete::{self, Options, Propagation};
use super::due_jobs::{DueJobs, controller};
use super::job_status::{add_condition, has, has_ready, set_count};
use super::kinds::{self, Kind};
use super::state::State;
use super::store::Key;
use super::value::seconds;
use super::value::{part, set};
use super::write::{self, Validation, Write, finalizers, text};

/// The finalizer of pods that are not counted yet.
const TRACKED: &str = "batch.kubernetes.io/job-tracking";

/// The manager of what is written here.
const MANAGER: &str = "kube-controller-manager";

/// How many pods a pass makes at most; the next one makes more. Kubernetes' controller has the same limit.
const PODS_A_PASS: i64 = 500;

/// When a pod that could not be made is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(1);

/// What a pass has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// How many objects it wrote or deleted.
    pub changed: u64,
    /// When time alone will make the next pass do something.
    pub next: Option<Timestamp>,
}

/// One pass over all Jobs.
pub fn step(api: &ClusterApi) -> Step {
    pass(api, &mut DueJobs::default())
}

/// One pass over those that are due.
fn pass(api: &ClusterApi, due: &mut DueJobs) -> Step {
    let now = api.now();
    let mut state = api.lock();
    let before = state.store.version();
    let mut pods_left = PODS_A_PASS;
    if let (Some(jobs), Some(pods)) = (kinds::find("batch", "v1", "jobs"), kinds::find("", "v1", "pods")) {
        for key in due.take(&state.store, (jobs, pods), now) {
            let job = state.store.get(jobs.stored, &key).cloned();
            let wakes = job.and_then(|job| {
                let (key, pods_left) = (key.clone(), &mut pods_left);
                One { state: &mut state, jobs, pods, key, job, now, pods_left }.advance()
            });
            due.set(key, wakes);
        }
        release(&mut state, pods, jobs, now);
    }
    if pods_left == 0 {
        due.take_all_again();
    }
    let changed = state.store.version() - before;
    drop(state);
    if changed > 0 {
        api.tell();
    }
    Step { changed, next: due.next() }
}

/// Looks after Jobs for as long as it is polled: after every change, and when a Job's time is up.
pub async fn always(api: &ClusterApi) {
    let mut news = api.shared.news.any.subscribe();
    let mut due = DueJobs::default();
    loop {
        news.borrow_and_update();
        let done = pass(api, &mut due);
        if done.changed > 0 {
            // Others on this thread have their turn between two passes.
            tokio::task::yield_now().await;
            continue;
        }
        let wait = done.next.map(|next| next.duration_since(api.now()).max(SignedDuration::ZERO));
        let wait = wait.and_then(|wait| Duration::try_from(wait).ok()).unwrap_or(Duration::from_secs(3600));
        // A clock that is set makes no change; the hour is for that.
        let _ = tokio::time::timeout(wait, news.changed()).await;
    }
}

/// One Job in a pass.
struct One<'a> {
    state: &'a mut State,
    jobs: &'static Kind,
    pods: &'static Kind,
    key: Key,
    job: Arc<Value>,
    now: Timestamp,
    /// How many pods this pass may still make.
    pods_left: &'a mut i64,
}

/// The pods of a Job, sorted by what has become of them.
#[derive(Default)]
struct Pods {
    /// That run or will run.
    active: Vec<(Key, Arc<Value>)>,
    /// That are being deleted and have not ended.
    terminating: Vec<(Key, Arc<Value>)>,
    /// That have succeeded and are not counted yet.
    succeeded: Vec<(Key, Arc<Value>)>,
    /// That have failed and are not counted yet.
    failed: Vec<(Key, Arc<Value>)>,
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

impl One<'_> {
    /// Does what can be done; gives when there will be more to do without any change.
    fn advance(&mut self) -> Option<Timestamp> {
        if self.job.pointer("/metadata/deletionTimestamp").is_some() {
            return None;
        }
        if has(&self.job, "Complete") || has(&self.job, "Failed") {
            return self.end();
        }
        let pods = self.sort();
        let mut status = self.job.get("status").cloned().unwrap_or_else(|| json!({}));
        let suspended = self.job.pointer("/spec/suspend") == Some(&Value::Bool(true));
        if !suspended && status.get("startTime").is_none() {
            set(&mut status, "startTime", json!(seconds(self.now)));
        }
        let count = |list: &[(Key, Arc<Value>)]| i64::try_from(list.len()).unwrap_or(i64::MAX);
        let succeeded = number(&status, "/succeeded") + count(&pods.succeeded);
        let failed = number(&status, "/failed") + count(&pods.failed);
        let wanted = number(&self.job, "/spec/completions");
        let (why, mut next) = self.verdict(&status, (succeeded, failed));
        self.mark(&mut status, why, suspended);
        let is_over = why.is_some();
        let (mut active, mut terminating) = (count(&pods.active), count(&pods.terminating));
        if is_over || suspended {
            for (key, pod) in &pods.active {
                self.delete(key, pod);
            }
            (active, terminating) = (0, terminating + active);
        }
        let left = self.sort();
        if is_over && left.active.is_empty() && left.terminating.is_empty() {
            let (word, reason, message) = why.unwrap_or_default();
            add_condition(&mut status, word, (reason, message), self.now);
            if word == "Complete" {
                set(&mut status, "completionTime", json!(seconds(self.now)));
            }
        } else if !is_over && !suspended {
            let replaces_early = self.job.pointer("/spec/podReplacementPolicy") != Some(&json!("Failed"));
            let busy = if replaces_early { active } else { active + terminating };
            let room = number(&self.job, "/spec/parallelism").min(wanted - succeeded) - busy;
            let room = room.clamp(0, *self.pods_left);
            *self.pods_left -= room;
            for _ in 0..room {
                let is_made = self.create();
                active += i64::from(is_made);
                // No change brings it back: its name was taken by chance.
                if !is_made {
                    next = next.into_iter().chain(self.now.checked_add(RETRY).ok()).min();
                }
            }
        }
        let busy = left.active.iter().chain(&left.terminating);
        let ready = busy.filter(|(_, pod)| has_ready(pod)).count();
        for (field, value) in [("active", active), ("succeeded", succeeded), ("failed", failed)] {
            set_count(&mut status, field, value);
        }
        set(&mut status, "ready", json!(ready));
        set(&mut status, "terminating", json!(terminating));
        if self.write_status(status) {
            for (key, pod) in pods.succeeded.iter().chain(&pods.failed) {
                untrack(self.state, self.pods, key, pod, self.now);
            }
        }
        next
    }

    /// Whether the Job is over, with the type, the reason and the message of its last condition; and when it
    /// may be.
    fn verdict(
        &self,
        status: &Value,
        (succeeded, failed): (i64, i64),
    ) -> (Option<(&'static str, &'static str, &'static str)>, Option<Timestamp>) {
        if has(&json!({"status": status}), "FailureTarget") {
            let all = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
            let by_time = all.into_iter().any(|one| one.get("reason") == Some(&json!("DeadlineExceeded")));
            return (Some(if by_time { TOO_LATE } else { TOO_OFTEN }), None);
        }
        if succeeded >= number(&self.job, "/spec/completions") {
            return (
                Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods")),
                None,
            );
        }
        if failed > number(&self.job, "/spec/backoffLimit") {
            return (Some(TOO_OFTEN), None);
        }
        let limit = self.job.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_i64);
        let start =
            status.get("startTime").and_then(Value::as_str).and_then(|start| start.parse::<Timestamp>().ok());
        let end = limit
            .zip(start)
            .and_then(|(limit, start)| start.checked_add(SignedDuration::from_secs(limit)).ok());
        match end {
            Some(end) if end <= self.now => (Some(TOO_LATE), None),
            end => (None, end),
        }
    }

    /// Writes down that the Job is about to end, or is suspended or no longer so.
    fn mark(&self, status: &mut Value, why: Option<(&str, &str, &str)>, suspended: bool) {
        match why {
            Some(("Complete", reason, message)) => {
                add_condition(status, "SuccessCriteriaMet", (reason, message), self.now);
            }
            Some((_, reason, message)) => add_condition(status, "FailureTarget", (reason, message), self.now),
            None if suspended => {
                add_condition(status, "Suspended", ("JobSuspended", "Job suspended"), self.now);
                status.as_object_mut().map(|status| status.remove("startTime"));
            }
            None => {
                let all = status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten();
                for condition in all.filter(|one| one.get("type") == Some(&json!("Suspended"))) {
                    if condition.get("status") == Some(&json!("True")) {
                        let now = seconds(self.now);
                        condition["status"] = json!("False");
                        condition["reason"] = json!("JobResumed");
                        condition["message"] = json!("Job resumed");
                        condition["lastTransitionTime"] = json!(now);
                    }
                }
            }
        }
    }

    /// The pods of this Job.
    fn sort(&self) -> Pods {
        let uid = text(&self.job, "uid");
        let late = self.job.pointer("/spec/podReplacementPolicy") == Some(&json!("Failed"));
        let mut sorted = Pods::default();
        let all = self.state.store.list(self.pods.stored, Some(&self.key.namespace));
        for (key, pod) in all.filter(|(_, pod)| controller(pod).is_some_and(|(_, owner)| owner == uid)) {
            let is_tracked = finalizers(pod).contains(&TRACKED);
            let is_leaving = pod.pointer("/metadata/deletionTimestamp").is_some();
            // No kubelet has it any more, and none will say how it ended.
            let is_left = is_leaving && number(pod, "/metadata/deletionGracePeriodSeconds") == 0;
            let list = match pod.pointer("/status/phase").and_then(Value::as_str) {
                Some("Succeeded") => is_tracked.then_some(&mut sorted.succeeded),
                Some("Failed") => is_tracked.then_some(&mut sorted.failed),
                _ if is_left || (is_leaving && !late) => {
                    if is_tracked {
                        Some(&mut sorted.failed)
                    } else {
                        Some(&mut sorted.terminating)
                    }
                }
                _ if is_leaving => Some(&mut sorted.terminating),
                _ => Some(&mut sorted.active),
            };
            if let Some(list) = list {
                list.push((key.clone(), pod.clone()));
            }
        }
        sorted
    }

    fn write(&self, kind: &'static Kind, key: &Key) -> Write {
        internal(kind, key, self.now)
    }

    /// Creates a pod; false if it was refused.
    fn create(&mut self) -> bool {
        let template = self.job.pointer("/spec/template").cloned().unwrap_or_default();
        let metadata =
            |field: &str| template.pointer("/metadata").and_then(|metadata| metadata.get(field)).cloned();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "generateName": format!("{}-", self.key.name),
                "labels": metadata("labels"),
                "annotations": metadata("annotations"),
                "finalizers": [TRACKED],
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "Job", "name": self.key.name, "uid": text(&self.job, "uid"),
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": template.get("spec"),
        });
        let write = self.write(self.pods, &Key::new(&self.key.namespace, ""));
        write::create(self.state, write, pod).is_ok()
    }

    fn delete(&mut self, key: &Key, pod: &Value) {
        let uid = Some(text(pod, "uid").to_owned());
        let options = Options { uid, propagation: Some(Propagation::Background), ..Options::default() };
        // It was read in this pass.
        let _ = delete::delete(self.state, self.pods, key, &options, self.now);
    }

    /// Writes the status; false if the Job is not there any more.
    fn write_status(&mut self, status: Value) -> bool {
        if self.job.get("status") == Some(&status)
            && self.state.store.get(self.jobs.stored, &self.key).is_some()
        {
            return true;
        }
        let mut object = (*self.job).clone();
        set(&mut object, "status", status);
        let write = Write { part: Some(super::path::Part::Status), ..self.write(self.jobs, &self.key) };
        write::update(self.state, &write, object).is_ok()
    }

    /// Deletes a Job that is over for long enough; gives when it will be.
    fn end(&mut self) -> Option<Timestamp> {
        let limit = self.job.pointer("/spec/ttlSecondsAfterFinished").and_then(Value::as_i64)?;
        let all = self.job.pointer("/status/conditions").and_then(Value::as_array)?;
        let last = all
            .iter()
            .find(|one| one.get("type").is_some_and(|word| word == "Complete" || word == "Failed"))?;
        let ended: Timestamp = last.get("lastTransitionTime")?.as_str()?.parse().ok()?;
        let end = ended.checked_add(SignedDuration::from_secs(limit)).ok()?;
        if end > self.now {
            return Some(end);
        }
        let options = Options { propagation: Some(Propagation::Foreground), ..Options::default() };
        let (key, jobs, now) = (self.key.clone(), self.jobs, self.now);
        // It was read in this pass.
        let _ = delete::delete(self.state, jobs, &key, &options, now);
        None
    }
}

const TOO_OFTEN: (&str, &str, &str) =
    ("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
const TOO_LATE: (&str, &str, &str) =
    ("Failed", "DeadlineExceeded", "Job was active longer than specified deadline");

fn internal(kind: &'static Kind, key: &Key, now: Timestamp) -> Write {
    Write {
        kind,
        key: key.clone(),
        part: None,
        manager: MANAGER.to_owned(),
        applies: false,
        dry_run: false,
        validation: Validation::Ignore,
        now,
    }
}

/// Lets a pod go that is counted.
fn untrack(state: &mut State, pods: &'static Kind, key: &Key, pod: &Value, now: Timestamp) {
    let left: Vec<&str> = finalizers(pod).into_iter().filter(|name| *name != TRACKED).collect();
    let mut object = pod.clone();
    set(part(&mut object, "metadata"), "finalizers", json!(left));
    // In the version that is there: the pass itself may have marked it as ending.
    set(part(&mut object, "metadata"), "resourceVersion", Value::Null);
    // One that has gone needs nothing.
    let _ = write::update(state, &internal(pods, key, now), object);
}

/// Lets the pods go whose Job will not count them any more: it is over, has gone, or is about to.
fn release(state: &mut State, pods: &'static Kind, jobs: &'static Kind, now: Timestamp) {
    let counts = |namespace: &str, (name, uid): (&str, &str)| {
        let job = state.store.get(jobs.stored, &Key::new(namespace, name));
        job.filter(|job| text(job, "uid") == uid).is_some_and(|job| {
            let is_deleted = job.pointer("/metadata/deletionTimestamp").is_some();
            !is_deleted && !has(job, "Complete") && !has(job, "Failed")
        })
    };
    let left: Vec<(Key, Arc<Value>)> = state
        .store
        .list(pods.stored, None)
        .filter(|(_, pod)| finalizers(pod).contains(&TRACKED))
        .filter(|(key, pod)| controller(pod).is_none_or(|job| !counts(&key.namespace, job)))
        .map(|(key, pod)| (key.clone(), pod.clone()))
        .collect();
    for (key, pod) in left {
        untrack(state, pods, &key, &pod, now);
    }
}

#[cfg(test)]
mod tests;
