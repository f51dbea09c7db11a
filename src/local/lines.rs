//! One line for each change of a cluster, a Flow or a run.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::machine::Machine;
use crate::api::conditions::ConditionType;
use crate::api::{DaskCluster, Flow, FlowRun, Phase};

/// Writes lines for as long as it is polled.
pub async fn write(client: &Client, machine: &Machine) {
    tokio::join!(
        follow(client, machine, of_cluster, |_| false),
        follow(client, machine, of_flow, |_| true),
        // Where the log of a run is shown, whoever waits for its end says how it ended.
        follow(client, machine, |run| if machine.shows_runs { waits(run) } else { of_run(run) }, goes_on),
    );
}

/// Writes what is to be said of objects of a kind whenever it is something else than before. Of those that
/// are there at the start, as with `--state`, only where that `is_news`.
async fn follow<K>(
    client: &Client,
    machine: &Machine,
    line: impl Fn(&K) -> Option<String>,
    is_news: impl Fn(&K) -> bool,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut said: HashMap<String, String> = HashMap::new();
    let mut is_start = true;
    let all: Api<K> = Api::all(client.clone());
    let mut events = pin!(watcher::watcher(all, watcher::Config::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                let Some(line) = line(&object) else { continue };
                let uid = object.uid().unwrap_or_default();
                if said.get(&uid) != Some(&line) {
                    if !is_start || is_news(&object) {
                        machine.news.say(&line);
                    }
                    said.insert(uid, line);
                }
            }
            Ok(Event::Delete(object)) => {
                said.remove(&object.uid().unwrap_or_default());
            }
            Ok(Event::Init) => {}
            Ok(Event::InitDone) => is_start = false,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a watch failed");
            }
        }
    }
}

fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

fn of_cluster(cluster: &DaskCluster) -> Option<String> {
    let status = cluster.status.as_ref()?;
    let ready = find(&status.conditions, ConditionType::Ready)?;
    let workers = format!("{} of {} workers", status.workers.ready, status.workers.desired);
    let name = cluster.name_any();
    Some(if ready.status == "True" {
        let dashboard = status.dashboard_address.as_deref().unwrap_or_default();
        format!("cluster {name}: ready, {workers}, {dashboard}")
    } else {
        format!("cluster {name}: {}: {}", ready.reason, ready.message)
    })
}

fn of_flow(flow: &Flow) -> Option<String> {
    let ready = find(&flow.status.as_ref()?.conditions, ConditionType::Ready)?;
    (ready.status == "False")
        .then(|| format!("flow {}: {}: {}", flow.name_any(), ready.reason, ready.message))
}

/// What a run waits for, which may never come.
fn waits(run: &FlowRun) -> Option<String> {
    let status = run.status.as_ref()?;
    let (reason, message) = (status.reason.as_deref()?, status.message.as_deref().unwrap_or_default());
    matches!(status.phase, Phase::Queued | Phase::Provisioning)
        .then(|| format!("run {} waits: {reason}: {message}", run.name_any()))
}

/// Whether a run has not ended.
fn goes_on(run: &FlowRun) -> bool {
    run.status.as_ref().is_none_or(|status| !status.phase.is_final())
}

/// What is to be said of a run.
pub fn of_run(run: &FlowRun) -> Option<String> {
    let status = run.status.as_ref()?;
    let name = run.name_any();
    let reason = status.reason.as_deref().unwrap_or_default();
    let message = status.message.as_deref().unwrap_or_default();
    let took = status.started_at.as_ref().zip(status.finished_at.as_ref());
    let took = took.map(|(began, ended)| format!(" after {} s", ended.0.duration_since(began.0).as_secs()));
    let tasks = status.tasks.map(|tasks| format!(", {} tasks", tasks.total)).unwrap_or_default();
    let took = format!("{}{tasks}", took.unwrap_or_default());
    match status.phase {
        Phase::Queued | Phase::Provisioning if status.last_failure.is_none() => waits(run),
        Phase::Running => Some(format!("run {name}: Running, attempt {}", status.attempt.unwrap_or(1))),
        Phase::Succeeded => Some(format!("run {name}: Succeeded{took}")),
        phase => Some(format!("run {name}: {phase:?}{took}: {reason}: {message}")),
    }
}
