//! The pods of a run's runners: the one of its attempt, and whether another one is at work.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::api::{FlowRun, labels};
use crate::plan::facts::attempt_of;
use crate::plan::names;
use crate::plan::pods::{runner, state};

/// The label by which the Job controller marks its pods:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#batch-kubernetes-io-job-name>.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// The pods of a run, as far as they matter.
#[derive(Clone, Debug, Default)]
pub struct Runners {
    /// The newest of the current attempt.
    pub newest: Option<Arc<Pod>>,
    /// Whether one of another attempt is at work.
    pub another: bool,
}

impl Runners {
    /// Those of `run` among `pods`; `job` is the Job of its attempt.
    pub fn of(run: &FlowRun, job: Option<&Job>, pods: impl IntoIterator<Item = Arc<Pod>>) -> Self {
        let (namespace, name) = (run.metadata.namespace.as_deref(), run.name_any());
        let of_run = |pod: &Arc<Pod>| {
            pod.metadata.namespace.as_deref() == namespace && state::label(pod, labels::RUN) == Some(&name)
        };
        let job_name = names::job_name(&name, attempt_of(run));
        // A pod of an earlier run of the same name, in whose place this one was made, tells nothing of this
        // one.
        let of_job = |pod: &Arc<Pod>| {
            state::label(pod, JOB_NAME) == Some(&job_name) && job.is_none_or(|job| is_owned_by(pod, job))
        };
        let (current, others): (Vec<_>, Vec<_>) = pods.into_iter().filter(of_run).partition(of_job);
        Self {
            newest: current.into_iter().max_by_key(|pod| pod.creation_timestamp().map(|time| time.0)),
            another: others.iter().any(|pod| state::is_at_work(pod, runner::CONTAINER)),
        }
    }

    /// Whether the Job has ended and its pod here has not: then the cache that they are from is behind.
    pub fn are_behind(&self, job: Option<&Job>) -> bool {
        let ended = |pod: &Arc<Pod>| state::terminated(pod, runner::CONTAINER).is_some();
        !self.newest.as_ref().is_some_and(ended) && job.is_some_and(state::has_ended)
    }
}

fn is_owned_by(pod: &Pod, job: &Job) -> bool {
    pod.owner_references().iter().any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(attempt: i32) -> FlowRun {
        let run = json!({"metadata": {"name": "etl", "namespace": "a"}, "spec": {"flow": "f"}, "status": {"attempt": attempt}});
        serde_json::from_value(run).unwrap()
    }

    fn job(uid: &str, conditions: &Value) -> Job {
        let job = json!({"metadata": {"name": "etl-2", "uid": uid}, "status": {"conditions": conditions}});
        serde_json::from_value(job).unwrap()
    }

    /// A pod of the run "etl": its name, its Job with its uid, the second of its creation, and its container.
    fn pod(name: &str, (job, uid): (&str, &str), second: u8, state: &Value) -> Arc<Pod> {
        let pod = json!({
            "metadata": {
                "name": name, "namespace": "a", "labels": {labels::RUN: "etl", JOB_NAME: job},
                "creationTimestamp": format!("2026-12-01T09:00:{second:02}Z"),
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}],
            },
            "status": {"phase": "Running", "containerStatuses": [{"name": runner::CONTAINER, "image": "i",
                "imageID": "", "ready": true, "restartCount": 0, "state": state}]},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn running() -> Value {
        json!({"running": {}})
    }

    fn ended() -> Value {
        json!({"terminated": {"exitCode": 0}})
    }

    fn newest(runners: &Runners) -> Option<String> {
        runners.newest.as_ref().map(|pod| pod.name_any())
    }

    #[test]
    fn the_newest_pod_of_the_attempt_counts() {
        let pods = vec![
            pod("b", ("etl-2", "j"), 2, &running()),
            pod("a", ("etl-2", "j"), 1, &running()),
            pod("earlier", ("etl-1", "i"), 3, &ended()),
        ];
        let runners = Runners::of(&run(2), Some(&job("j", &json!([]))), pods);
        assert_eq!((newest(&runners), runners.another), (Some("b".into()), false));
    }

    #[test]
    fn the_runner_of_an_earlier_attempt_is_another_one_while_it_is_at_work() {
        let runners = |state: &Value| Runners::of(&run(2), None, vec![pod("a", ("etl-1", "i"), 1, state)]);
        assert_eq!((newest(&runners(&running())), runners(&running()).another), (None, true));
        assert!(!runners(&ended()).another);
    }

    #[test]
    fn a_pod_of_an_earlier_run_of_the_name_is_not_that_of_the_job() {
        let pods = vec![pod("a", ("etl-2", "before"), 1, &running())];
        let runners = Runners::of(&run(2), Some(&job("j", &json!([]))), pods.clone());
        assert_eq!((newest(&runners), runners.another), (None, true));
        // Where there is no Job, its pod is all that tells of it.
        assert_eq!(newest(&Runners::of(&run(2), None, pods)), Some("a".into()));
    }

    #[test]
    fn pods_of_other_runs_and_namespaces_do_not_count() {
        let mut other = pod("a", ("etl-2", "j"), 1, &running());
        Arc::make_mut(&mut other).metadata.namespace = Some("b".into());
        let mut another = pod("c", ("etl-1", "j"), 1, &running());
        Arc::make_mut(&mut another).labels_mut().insert(labels::RUN.into(), "etl-x".into());
        let runners = Runners::of(&run(2), None, vec![other, another]);
        assert_eq!((newest(&runners), runners.another), (None, false));
    }

    #[test]
    fn a_cache_is_behind_that_has_no_end_of_the_pod_of_an_ended_job() {
        let over = job("j", &json!([{"type": "Complete", "status": "True"}]));
        let of = |state: &Value| Runners::of(&run(2), Some(&over), vec![pod("a", ("etl-2", "j"), 1, state)]);
        assert!(of(&running()).are_behind(Some(&over)) && Runners::default().are_behind(Some(&over)));
        assert!(!of(&ended()).are_behind(Some(&over)));
        assert!(!of(&running()).are_behind(Some(&job("j", &json!([])))) && !of(&running()).are_behind(None));
    }
}
