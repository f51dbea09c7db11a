//! Why a run waits for a gateway, and what it says of a cluster that is lost.

use std::collections::BTreeMap;

use serde_json::Value;

use super::view::{ClusterState, ClusterView, Creation, EndOfCluster, GatewayView, Workers};
use super::{is_as_wanted, known};
use crate::api::gateway::{Gateway, GatewayStatus};
use crate::api::{FlowRun, FlowRunStatus, Reason};

/// Why the run has to wait for its gateway's cluster, if so.
pub fn not_ready(source: &Gateway, run: &FlowRun, view: &GatewayView) -> Option<(Reason, String)> {
    let waits = |message: String| Some((Reason::ClusterNotReady, message));
    let address = &source.address;
    let known = known(run);
    if let Some(other) = known.filter(|known| !is_as_wanted(known, source)) {
        if other.shared {
            return waits("the Flow names another cluster by now".to_owned());
        }
        let name = other.cluster.as_deref().unwrap_or("that was asked for");
        return waits(format!(
            "the gateway's cluster {name} is ended first: the Flow names another one by now"
        ));
    }
    match view {
        GatewayView::NotAsked => waits(format!("the gateway at {address} is being asked")),
        GatewayView::Silent { reason, message, .. } => Some((*reason, message.clone())),
        GatewayView::Answering(offer) => unknown_option(source, &offer.options)
            .or_else(|| waits(format!("the gateway at {address} answers, and is asked for a cluster"))),
        GatewayView::Asked(creation) => Some(asked(address, creation)),
        GatewayView::Cluster(cluster) => in_view(known?, source, cluster),
    }
}

/// What is wrong with an option that the gateway does not have.
fn unknown_option(source: &Gateway, offered: &BTreeMap<String, Value>) -> Option<(Reason, String)> {
    let wanted = source.options.as_ref().and_then(Value::as_object)?;
    let unknown = wanted.keys().find(|name| !offered.contains_key(*name))?;
    let names: Vec<&str> = offered.keys().map(String::as_str).collect();
    let has =
        if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
    let message = format!("the gateway at {} has no option {unknown}: {has}", source.address);
    Some((Reason::GatewayRefused, message))
}

fn asked(address: &str, creation: &Creation) -> (Reason, String) {
    let message = match creation {
        Creation::Untried | Creation::Made(_) => format!("the gateway at {address} is asked for a cluster"),
        Creation::Waits { run } => {
            format!(
                "run {run} asks the gateway at {address} for a cluster first: it is asked for one at a time"
            )
        }
        Creation::Refused { reason, message, .. } => return (*reason, message.clone()),
        Creation::Lost { .. } => format!(
            "the answer of the gateway at {address} was lost: the cluster that it may have made is looked for"
        ),
    };
    (Reason::ClusterNotReady, message)
}

fn in_view(known: &GatewayStatus, source: &Gateway, cluster: &ClusterView) -> Option<(Reason, String)> {
    let name = known.cluster.as_deref().unwrap_or_default();
    match cluster.state {
        ClusterState::Starting => {
            Some((Reason::ClusterNotReady, format!("the gateway's cluster {name} is starting")))
        }
        ClusterState::Missing | ClusterState::Ended(EndOfCluster::Unknown) if known.shared => {
            Some((Reason::ClusterNotFound, not_there(known, name)))
        }
        ClusterState::Ended(how) if known.shared => {
            let why = ended(name, how);
            Some((Reason::ClusterNotFound, format!("{why}: write another one into cluster.gateway.cluster")))
        }
        ClusterState::Missing => {
            let message = format!("the gateway does not know the cluster {name}, which may pass");
            Some((Reason::ClusterNotReady, message))
        }
        ClusterState::Ended(how) => Some((Reason::ClusterLost, ended(name, how))),
        ClusterState::Running if known.secret_name.is_none() => Some((
            Reason::ClusterNotReady,
            format!("the certificate of the gateway's cluster {name} is fetched"),
        )),
        ClusterState::Running => few_workers(name, source, cluster),
    }
}

fn few_workers(name: &str, source: &Gateway, cluster: &ClusterView) -> Option<(Reason, String)> {
    let wanted = source.least_workers();
    let said = cluster.said.as_ref().map(|words| format!("; the gateway says: {words}")).unwrap_or_default();
    match &cluster.workers {
        Workers::Registered(count) if *count >= wanted => None,
        Workers::Registered(count) => {
            let message =
                format!("{count} of {wanted} workers of the gateway's cluster {name} are registered{said}");
            Some((Reason::WorkersStarting, message))
        }
        Workers::NotAsked => Some((
            Reason::ClusterNotReady,
            format!("the scheduler of the gateway's cluster {name} is being asked"),
        )),
        Workers::Silent { reason, message } | Workers::Unknown { reason, message } => {
            Some((*reason, message.clone()))
        }
    }
}

/// What to say of a cluster that a Flow names and that is not there.
fn not_there(known: &GatewayStatus, name: &str) -> String {
    let (address, secret) = (&known.access.address, &known.access.auth.secret_name);
    format!(
        "the gateway at {address} has no cluster {name}: write one of Gateway(...).list_clusters(), as the user of the Secret \
         {secret} sees it, into cluster.gateway.cluster"
    )
}

/// How a cluster has ended, in a sentence.
pub(super) fn ended(name: &str, how: EndOfCluster) -> String {
    match how {
        EndOfCluster::Stopped => format!(
            "the gateway's cluster {name} was ended, by its administrator or because the gateway took it for idle"
        ),
        EndOfCluster::Failed => {
            format!("the gateway's cluster {name} has failed: the cause is in the gateway's own log only")
        }
        EndOfCluster::Unknown => {
            format!(
                "the gateway does not know the cluster {name}: it was ended, or the gateway was started anew"
            )
        }
    }
}

/// What became of the cluster that the attempt is on, if it is not what it was. With `has_failed`, the
/// attempt has: then that the scheduler does not answer means the same. An attempt that goes on does not need
/// it now. That the gateway does not answer, or is in trouble, or does not take the login any more, says
/// nothing of the cluster: its proxy and its clusters are other processes.
pub fn lost(status: &FlowRunStatus, view: &GatewayView, has_failed: bool) -> Option<String> {
    status.job.as_ref()?;
    let name = status.gateway.as_ref()?.cluster.as_deref()?;
    let (state, workers) = match view {
        GatewayView::Cluster(cluster) => (Some(cluster.state), &cluster.workers),
        GatewayView::Silent { workers, .. } => (None, workers),
        _ => return None,
    };
    match (state, workers) {
        (Some(ClusterState::Ended(how)), _) => Some(ended(name, how)),
        (_, Workers::Silent { message, .. }) if has_failed => Some(message.clone()),
        _ => None,
    }
}

/// Why it cannot be said whether an attempt that has failed had lost its cluster, where that is so.
pub fn unknown<'a>(status: &FlowRunStatus, view: &'a GatewayView) -> Option<&'a str> {
    status.job.as_ref()?;
    let workers = match view {
        GatewayView::Cluster(cluster) => &cluster.workers,
        GatewayView::Silent { workers, .. } => workers,
        _ => return None,
    };
    match workers {
        Workers::Unknown { message, .. } => Some(message),
        _ => None,
    }
}
