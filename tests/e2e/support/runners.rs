//! How many runners live at once, as whoever watches the pods sees it.

use daskflow::api::labels;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::clock::{poll, within};
use super::logs;
use super::namespace::Namespace;
use super::timeline::Timeline;

/// At no time were more runners of these pods at work than that. The answer is how many there were at the
/// most.
pub fn assert_at_most(limit: usize, pods: &Timeline<Pod>, which: impl Fn(&Pod) -> bool) -> usize {
    pods.read(|seen| {
        let (mut active, mut most): (Vec<String>, usize) = (Vec::new(), 0);
        for version in seen.iter().filter(|version| is_runner(&version.object) && which(&version.object)) {
            let name = version.object.name_any();
            active.retain(|other| *other != name);
            if !version.gone && !has_ended(&version.object) {
                active.push(name);
            }
            most = most.max(active.len());
            assert!(active.len() <= limit, "{active:?} were active together at {}", version.at);
        }
        assert!(most > 0, "no runner was seen");
        most
    })
}

/// Whether a pod is the runner of a run.
pub fn is_runner(pod: &Pod) -> bool {
    pod.labels().get("dask.org/component").is_some_and(|component| component == "runner")
}

/// Whether a pod is of a run of this Flow.
pub fn is_of_flow(pod: &Pod, flow: &str) -> bool {
    pod.labels().get(labels::FLOW).is_some_and(|label| label == flow)
}

/// Whether a pod is of this run.
pub fn is_of_run(pod: &Pod, run: &str) -> bool {
    pod.labels().get(labels::RUN).is_some_and(|label| label == run)
}

/// Whether a runner's pod has ended, or its only container has: while a pod is deleted the kubelet says that
/// first.
pub fn has_ended(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let mut containers = status.container_statuses.iter().flatten();
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
        || containers.any(|one| one.state.as_ref().is_some_and(|state| state.terminated.is_some()))
}

/// The names of a run's Jobs, one for each attempt.
pub async fn jobs_of(namespace: &Namespace, run: &str) -> Vec<String> {
    let jobs: Vec<Job> = namespace.list(&format!("daskflow.dev/run={run}")).await;
    let mut names: Vec<_> = jobs.iter().map(ResourceExt::name_any).collect();
    names.sort();
    names
}

/// No container of the run is left. The limit is below the 30 s after which the kubelet kills: the runner
/// obeys.
pub async fn assert_stopped(namespace: &Namespace, run: &str) {
    poll(within(20, format!("the runner of {run} has stopped")), async || {
        let pods: Vec<Pod> =
            namespace.try_list(&logs::runner_of(run)).await.map_err(|error| error.to_string())?;
        let active: Vec<_> = pods.iter().filter(|pod| !has_ended(pod)).map(ResourceExt::name_any).collect();
        if active.is_empty() { Ok(()) } else { Err(active.join(", ")) }
    })
    .await;
}
