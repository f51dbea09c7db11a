//! Whether nobody uses a cluster, and what becomes of it then.
//!
//! In use is a cluster with a run on it that has not ended, with a task, or with a client that came within
//! `after`. A client that is only connected does not count, as it does not for Dask's own idle timeout; what
//! it holds on the workers is safe under `ScaleToZero`, since a worker whose data cannot move is not retired.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::observed::Observed;
use crate::api::dask_cluster::{Idle, IdleAction, IdleStatus};
use crate::api::{DaskCluster, FlowRun, Phase, Reason};
use crate::plan::facts::phase_of;
use crate::plan::pods::is_of_theirs;
use crate::plan::{Next, Note, Wants};

/// For how long the status says that a cluster closes before anything is taken from under a run that was
/// about to start: times in a status are whole seconds, so a whole one has passed. A run reads the cluster
/// and creates its Job within milliseconds of each other.
pub(super) const ANNOUNCED: Duration = Duration::from_secs(2);

/// What tells whether somebody uses a cluster.
const USE: Wants = Wants::RUNS.and(Wants::ACTIVITY);

/// What is decided.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    /// What to write.
    pub(super) status: Option<IdleStatus>,
    /// What the spec wants to be done, while nobody uses the cluster.
    pub(super) action: Option<IdleAction>,
    /// It is too soon to do so: a run may be about to start that has not read yet that the cluster closes.
    pub(super) closes: bool,
    /// What to tell.
    pub(super) note: Option<Note>,
    /// When nobody will have used it for long enough.
    pub(super) next: Next,
    /// What says that nobody uses it.
    pub(super) wants: Wants,
}

impl Rest {
    fn awake(status: Option<IdleStatus>, next: Next) -> Self {
        Self { status, action: None, closes: false, note: None, next, wants: Wants::NOTHING }
    }
}

/// Decides.
pub(super) fn judge(cluster: &DaskCluster, observed: &Observed, now: Timestamp) -> Rest {
    let old = cluster.status.as_ref().and_then(|status| status.idle.clone());
    let Some(idle) = cluster.spec.idle.as_ref().filter(|_| !cluster.spec.suspend) else {
        let woken = old.is_some_and(|old| old.asleep) && !cluster.spec.suspend;
        return Rest {
            note: woken.then(|| woken_because("its spec has changed")),
            ..Rest::awake(None, Next::Change)
        };
    };
    match old {
        Some(old) if old.asleep => stay_or_wake(cluster, observed, (idle, old), now),
        old => stay_or_rest(cluster, observed, (idle, old), now),
    }
}

fn stay_or_wake(
    cluster: &DaskCluster,
    observed: &Observed,
    (idle, old): (&Idle, IdleStatus),
    now: Timestamp,
) -> Rest {
    let Some(why) = why_awake(cluster, observed, &old) else {
        // The workers of `ScaleToZero` come back for a run that starts now; it loses nothing.
        let from = old.since.0.checked_add(ANNOUNCED).unwrap_or(now);
        let closes = from > now && idle.action != IdleAction::ScaleToZero;
        let next = if closes { Next::At(from) } else { Next::Change };
        return Rest { action: Some(idle.action), closes, ..Rest::awake(Some(old), next) };
    };
    let status = IdleStatus { asleep: false, since: Time(now), generation: cluster.metadata.generation };
    Rest { note: Some(woken_because(&why)), ..Rest::awake(Some(status), Next::Change) }
}

fn woken_because(why: &str) -> Note {
    Note::normal(Reason::Woken, format!("the cluster is needed again: {why}"))
}

/// Why a cluster at rest is needed.
fn why_awake(cluster: &DaskCluster, observed: &Observed, rest: &IdleStatus) -> Option<String> {
    if cluster.metadata.generation != rest.generation {
        return Some("its spec has changed".to_owned());
    }
    if let Some(run) = observed.runs.iter().find(|run| uses(run)) {
        return Some(format!("FlowRun {} is to run on it", run.name_any()));
    }
    let load = &observed.load;
    // A scheduler that is gone, or does not answer, tells nothing.
    load.since?;
    if load.idle_since.is_none() {
        return Some("it has tasks".to_owned());
    }
    load.last_client.filter(|at| *at > rest.since.0).map(|_| "a client has connected".to_owned())
}

fn stay_or_rest(
    cluster: &DaskCluster,
    observed: &Observed,
    (idle, old): (&Idle, Option<IdleStatus>),
    now: Timestamp,
) -> Rest {
    let load = &observed.load;
    let in_use = observed.runs.iter().any(|run| uses(run)) || observed.scheduler.registered().is_none();
    let (Some(idle_since), Some(after), false) = (load.idle_since, idle.after.get(), in_use) else {
        return Rest::awake(old, Next::Change);
    };
    let woken = old.as_ref().map(|old| old.since.0);
    let last_use = [load.last_client, observed.last_run_end, woken].into_iter().flatten();
    let last_use = last_use.fold(idle_since, Timestamp::max);
    match last_use.checked_add(after) {
        Ok(due) if due > now => Rest::awake(old, Next::At(due)),
        // A run may have come that no cache knows.
        _ if !observed.known.covers(USE) => Rest { wants: USE, ..Rest::awake(old, Next::Change) },
        _ => Rest { wants: USE, ..rest(cluster, idle, now) },
    }
}

/// Only says so: what is to be done follows when it stands in the status. A run that starts meanwhile sees it
/// there and waits, and whatever happens in between, the next look goes on from here.
fn rest(cluster: &DaskCluster, idle: &Idle, now: Timestamp) -> Rest {
    let what = match idle.action {
        IdleAction::ScaleToZero => "its workers are removed until it is used again",
        // Whoever serves one of dask-kubernetes deletes that, and this with it.
        IdleAction::Suspend if is_of_theirs(cluster) => "it is deleted",
        IdleAction::Suspend => "its pods are deleted until a run needs it or its spec changes",
        IdleAction::Delete => "it is deleted",
    };
    let note = Note::normal(Reason::Idle, format!("the cluster has been idle for {}: {what}", idle.after));
    let status = IdleStatus { asleep: true, since: Time(now), generation: cluster.metadata.generation };
    Rest { note: Some(note), ..Rest::awake(Some(status), Next::After(Duration::ZERO)) }
}

/// Whether a run that has not ended needs the cluster. One that is suspended does not.
fn uses(run: &FlowRun) -> bool {
    !(run.spec.suspend && phase_of(run) == Phase::Queued)
}
