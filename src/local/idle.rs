//! When there is nothing left to do: for `--until-idle`.
//!
//! All is waited for that the files ask for and that comes to an end: FlowRuns, FlowBackfills, ticks that are
//! due, and the ticks to come of clocks that end (by `endAt`, `maxRuns`, `dates`, or an rrule with COUNT or
//! UNTIL). A clock without an end has no last tick to wait for. Nor is anything that is suspended waited for.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::pending;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::news::News;
use super::once;
use crate::api::conditions::ConditionType;
use crate::api::flow::ClockEntry;
use crate::api::flow_run::WaitsFor;
use crate::api::{Flow, FlowBackfill, FlowRun, Phase};
use crate::daemon::clock::Clock;

/// How long after a change it is looked whether there is something left to do: whoever writes lines about
/// the change has done so by then.
const SETTLE: Duration = Duration::from_millis(200);
/// The exit code where something cannot go on, and no run has failed.
const STUCK: u8 = 1;

/// Waits until there is nothing left to do. Gives the exit code: that of the first run that failed since
/// daskflow began, else 1 if something in the files cannot go on, else 0.
pub async fn wait(client: &Client, (clock, begun): (&Clock, Timestamp), news: &News) -> u8 {
    let (ended, changed) = (Mutex::new(Ended::since(begun)), Notify::new());
    // There may be nothing at all, and so never a change.
    changed.notify_one();
    let watch = async {
        tokio::join!(
            follow(client, &changed, |run| lock(&ended).add(run)),
            follow(client, &changed, |_: &Flow| {}),
            follow(client, &changed, |_: &FlowBackfill| {}),
        );
        pending().await
    };
    let look = async {
        loop {
            changed.notified().await;
            sleep(SETTLE).await;
            match Work::list(client).await {
                Ok(work) => {
                    for run in &work.runs {
                        lock(&ended).add(run);
                    }
                    if let Some(stuck) = work.is_done(clock.now()) {
                        return stuck;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a list failed");
                    changed.notify_one();
                }
            }
        }
    };
    let stuck: Vec<String> = tokio::select! {
        stuck = watch => stuck,
        stuck = look => stuck,
    };
    for line in &stuck {
        news.say(line);
    }
    let ended = lock(&ended);
    news.say(&ended.line());
    ended.first_failure.map_or(if stuck.is_empty() { 0 } else { STUCK }, |(_, code)| code)
}

fn lock(ended: &Mutex<Ended>) -> MutexGuard<'_, Ended> {
    ended.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that something has changed whenever an object of a kind has.
async fn follow<K>(client: &Client, changed: &Notify, add: impl Fn(&K))
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let all: Api<K> = Api::all(client.clone());
    let mut events = pin!(watcher::watcher(all, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        if let Ok(Event::Apply(object) | Event::InitApply(object)) = &event {
            add(object);
        }
        changed.notify_one();
    }
}

/// The runs that have ended since daskflow began. Some of them are deleted soon after, as `history` says.
#[derive(Debug, Default)]
struct Ended {
    /// When it began: what ended before that is kept from earlier starts.
    begun: Timestamp,
    all: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// When the first of those that failed ended, and its exit code.
    first_failure: Option<(Option<Timestamp>, u8)>,
}

impl Ended {
    fn since(begun: Timestamp) -> Self {
        Self { begun, ..Self::default() }
    }

    fn add(&mut self, run: &FlowRun) {
        let status = run.status.clone().unwrap_or_default();
        // Times of an object may be of whole seconds.
        if status.finished_at.as_ref().is_some_and(|at| at.0.as_second() < self.begun.as_second()) {
            return;
        }
        let uid = run.uid().unwrap_or_default();
        if status.phase.is_final() {
            self.all.insert(uid.clone());
        }
        if matches!(status.phase, Phase::Failed | Phase::TimedOut) && self.failed.insert(uid) {
            let at = status.finished_at.map(|at| at.0);
            if self.first_failure.is_none_or(|(first, _)| at < first) {
                self.first_failure = Some((at, once::code(run)));
            }
        }
    }

    fn line(&self) -> String {
        let (all, failed) = (self.all.len(), self.failed.len());
        format!(
            "idle: no run is under way, and none is waited for; {all} have ended, {failed} of them failed"
        )
    }
}

/// All that there may be to do.
#[derive(Debug, Default)]
struct Work {
    flows: Vec<Flow>,
    backfills: Vec<FlowBackfill>,
    runs: Vec<FlowRun>,
}

impl Work {
    /// As the API has it now. Runs are listed after what creates them: a tick that a Flow has dealt with has
    /// its run in the list.
    async fn list(client: &Client) -> Result<Self, kube::Error> {
        let all = ListParams::default();
        Ok(Self {
            flows: Api::<Flow>::all(client.clone()).list(&all).await?.items,
            backfills: Api::<FlowBackfill>::all(client.clone()).list(&all).await?.items,
            runs: Api::<FlowRun>::all(client.clone()).list(&all).await?.items,
        })
    }

    /// None while something is waited for; else a line for each object that cannot go on.
    fn is_done(&self, now: Timestamp) -> Option<Vec<String>> {
        let is_waited_for = self.flows.iter().any(|flow| has_ticks_left(flow, now))
            || self.backfills.iter().any(|backfill| self.has_work_left(backfill))
            || self.runs.iter().any(|run| self.is_under_way(run));
        (!is_waited_for).then(|| self.stuck())
    }

    fn has_flow(&self, namespace: Option<&str>, name: &str) -> bool {
        let is_it = |flow: &Flow| flow.metadata.namespace.as_deref() == namespace && flow.name_any() == name;
        self.flows.iter().any(is_it)
    }

    fn has_work_left(&self, backfill: &FlowBackfill) -> bool {
        let status = backfill.status.clone().unwrap_or_default();
        let is_stopped = backfill.spec.suspend || backfill.spec.cancel || is_stalled(&status.conditions);
        status.finished_at.is_none()
            && !is_stopped
            && self.has_flow(backfill.metadata.namespace.as_deref(), &backfill.spec.flow)
    }

    fn is_under_way(&self, run: &FlowRun) -> bool {
        let status = run.status.clone().unwrap_or_default();
        let waits = match status.waits_for {
            Some(WaitsFor::Resume | WaitsFor::ClusterResume) => true,
            // It may just not have been found yet.
            Some(WaitsFor::Flow) => !self.has_flow(run.metadata.namespace.as_deref(), &run.spec.flow),
            _ => false,
        };
        !status.phase.is_final() && !waits
    }

    fn stuck(&self) -> Vec<String> {
        let stalled = |conditions: &[Condition]| {
            let found = conditions.iter().find(|condition| is_stalled(std::slice::from_ref(*condition)));
            found.map(|found| format!("{}: {}", found.reason, found.message))
        };
        let flows = self.flows.iter().filter_map(|flow| {
            let why = stalled(&flow.status.as_ref()?.conditions)?;
            Some(format!("flow {}: {why}", flow.name_any()))
        });
        let backfills = self.backfills.iter().filter_map(|backfill| {
            let (name, flow) = (backfill.name_any(), &backfill.spec.flow);
            if !self.has_flow(backfill.metadata.namespace.as_deref(), flow) {
                return Some(format!("backfill {name}: there is no Flow {flow}"));
            }
            let why = stalled(&backfill.status.as_ref()?.conditions)?;
            Some(format!("backfill {name}: {why}"))
        });
        let runs = self.runs.iter().filter_map(|run| {
            let waits = run.status.as_ref()?.waits_for == Some(WaitsFor::Flow);
            waits.then(|| format!("run {}: there is no Flow {}", run.name_any(), run.spec.flow))
        });
        flows.chain(backfills).chain(runs).collect()
    }
}

fn is_stalled(conditions: &[Condition]) -> bool {
    let is_it = |condition: &Condition| condition.type_ == ConditionType::Stalled.as_str();
    conditions.iter().any(|condition| is_it(condition) && condition.status == "True")
}

/// Whether a tick of a Flow is due or will be, of those that are waited for. One that was not looked at yet
/// may have some, and may be Stalled.
fn has_ticks_left(flow: &Flow, now: Timestamp) -> bool {
    let looked_at =
        flow.status.as_ref().filter(|status| status.observed_generation == flow.metadata.generation);
    let Some(status) = looked_at else { return true };
    let Some(schedule) = flow.spec.schedule.as_ref().filter(|_| !flow.spec.suspend) else { return false };
    let ticks = |entry: &ClockEntry| {
        status.clocks.iter().any(|clock| clock.name == entry.name && clock.next_tick.is_some())
    };
    let is_due = status.next_tick.as_ref().is_some_and(|next| next.0 <= now);
    is_due || schedule.clocks.iter().filter(|entry| !entry.suspend && has_end(entry)).any(ticks)
}

/// Whether a clock says itself when its last tick is.
fn has_end(clock: &ClockEntry) -> bool {
    let rule = clock.rrule.as_deref().unwrap_or_default().to_ascii_uppercase();
    let ends_by_rule = rule.contains("COUNT=") || rule.contains("UNTIL=");
    clock.end_at.is_some() || clock.max_runs.is_some() || clock.dates.is_some() || ends_by_rule
}

#[cfg(test)]
mod tests;
