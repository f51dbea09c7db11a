//! One line for each change of a cluster, a Flow or a run.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::news::News;
use crate::api::conditions::ConditionType;
use crate::api::{DaskCluster, Flow, FlowRun, Phase};

/// What is no news, since it was there before anything acted on it, as with `--state`: the lines of clusters
/// and runs, by their uids.
#[derive(Debug, Default)]
pub struct Before {
    clusters: HashMap<String, String>,
    runs: HashMap<String, String>,
}

impl Before {
    /// Reads it. The operator must not run yet: what it does is news, however soon it does it.
    ///
    /// # Errors
    ///
    /// The API refuses.
    pub async fn read(client: &Client) -> kube::Result<Self> {
        let all = ListParams::default();
        let clusters: Api<DaskCluster> = Api::all(client.clone());
        let runs: Api<FlowRun> = Api::all(client.clone());
        let clusters = clusters.list(&all).await?.items;
        let ended = runs.list(&all).await?.items.into_iter().filter(|run| !goes_on(run));
        let of_cluster = |cluster: DaskCluster| Some((cluster.uid()?, of_cluster(&cluster)?));
        let of_run = |run: FlowRun| Some((run.uid()?, of_run(&run)?));
        Ok(Self {
            clusters: clusters.into_iter().filter_map(of_cluster).collect(),
            runs: ended.filter_map(of_run).collect(),
        })
    }
}

/// Writes lines for as long as it is polled. Where the log of a run is shown, only what it waits for: whoever
/// waits for its end says how it ended.
pub async fn write(client: &Client, news: &News, before: Before, shows_runs: bool) {
    tokio::join!(
        follow(client, news, before.clusters, of_cluster),
        follow(client, news, HashMap::new(), of_flow),
        follow(client, news, before.runs, if shows_runs { waits } else { of_run }),
    );
}

/// Writes what is to be said of objects of a kind whenever it is something else than what was said of it.
async fn follow<K>(
    client: &Client,
    news: &News,
    mut said: HashMap<String, String>,
    line: impl Fn(&K) -> Option<String>,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let all: Api<K> = Api::all(client.clone());
    let mut events = pin!(watcher::watcher(all, watcher::Config::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                let Some(line) = line(&object) else { continue };
                let uid = object.uid().unwrap_or_default();
                if said.get(&uid) != Some(&line) {
                    news.say(&line);
                    said.insert(uid, line);
                }
            }
            Ok(Event::Delete(object)) => {
                said.remove(&object.uid().unwrap_or_default());
            }
            Ok(Event::Init | Event::InitDone) => {}
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::api::{Patch, PatchParams};
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster_api::ClusterApi;
    use crate::daemon::clock::Clock;

    async fn say(client: &Client, name: &str, status: Value) {
        let runs: Api<FlowRun> = Api::default_namespaced(client.clone());
        let run = json!({
            "apiVersion": "daskflow.dev/v1alpha1",
            "kind": "FlowRun",
            "metadata": {"name": name},
            "spec": {"flow": "etl"},
        });
        runs.patch(name, &PatchParams::apply("test"), &Patch::Apply(&run)).await.unwrap();
        runs.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status})))
            .await
            .unwrap();
    }

    /// The operator may have looked at everything before the watches begin.
    #[tokio::test]
    async fn what_the_operator_does_at_once_is_news_and_what_was_there_before_is_not() {
        let clock = || jiff::Timestamp::UNIX_EPOCH;
        let client = ClusterApi::new(clock, 1).client();
        let failed = |reason| json!({"phase": "Failed", "reason": reason, "message": "a message"});
        say(&client, "ended", failed("Error")).await;
        say(&client, "at-work", json!({"phase": "Running"})).await;
        let before = Before::read(&client).await.unwrap();
        say(&client, "at-work", failed("Evicted")).await;

        let news = News::new(Clock::showing(clock));
        let changes = async {
            while news.last(1).is_empty() {
                tokio::task::yield_now().await;
            }
            say(&client, "ended", failed("Cancelled")).await;
            while news.last(2).len() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = write(&client, &news, before, false) => unreachable!("it has no end"),
            ended = tokio::time::timeout(Duration::from_secs(20), changes) => ended.unwrap(),
        }
        let said = news.last(9);
        let wanted = ["run at-work: Failed: Evicted: a message", "run ended: Failed: Cancelled: a message"];
        assert!(
            said.len() == 2 && said.iter().zip(wanted).all(|(line, end)| line.ends_with(end)),
            "{said:?}"
        );
    }
}
