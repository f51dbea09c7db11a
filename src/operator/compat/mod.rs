//! Serves the kinds of dask-kubernetes: one controller for their clusters, with what belongs to them, and
//! their jobs.
//!
//! What it is: their objects as the watches tell of them (`theirs`), and for each cluster and each job a look
//! (`look`) when something of theirs or of ours has changed for it. What is to be written the planner says
//! ([`crate::plan::compat::adapter`]). It begins when this process leads and the caches of ours are full,
//! as the controllers of our own kinds do, and shares their requests, events and metrics.
//!
//! What it is not: a controller as those of our kinds are. Theirs have no status that a plan could go on
//! from, and their definitions may be anybody's.

mod look;
mod memory;
mod shown;
#[cfg(test)]
mod tests;
mod theirs;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::watcher;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::controller::at;
use super::wakes::WakeTheirs;
use crate::api::kind::title;
use crate::causes::chain;
use crate::plan::compat::adapter::TheirKind;
use crate::plan::requests::line::Rank;
use crate::plan::turns::{Bounds, Key, Then, Turns};
use look::look;
use memory::{Known, Memory};
use theirs::{Subject, Theirs, Told, watches};

/// Looks side by side.
const LOOKS: Bounds = Bounds { at_work: 16, all: 16 };

/// Runs until `stop`; then what was begun ends.
pub(super) async fn adapt(
    context: &Arc<Context>,
    mut wakes: UnboundedReceiver<WakeTheirs>,
    stop: &CancellationToken,
) {
    tracing::info!("the kinds of dask-kubernetes are served");
    let began = Instant::now();
    let (mut theirs, memory) = (Theirs::default(), Arc::<Memory>::default());
    let mut told = watches(&context.client, &context.stores.watched);
    let mut shown = shown::watches(&context.client, &context.stores.watched);
    let mut turns = Turns::new(LOOKS);
    let mut under_way = FuturesUnordered::new();
    // Jobs wait in the same line.
    let waiting = context.metrics.reconciles_waiting_as(TheirKind::Cluster.title());
    loop {
        turns.pass(began.elapsed());
        while let Some(turn) = turns.begin() {
            let known = subject_of(&turn.key).and_then(|subject| known(context, &theirs, &memory, subject));
            let Some(known) = known else {
                turns.end(&turn, Then::Woken);
                continue;
            };
            let look = look(context.clone(), memory.clone(), known);
            under_way.push(async move { (turn, look.await) });
        }
        waiting.set(i64::try_from(turns.waiting()).unwrap_or(i64::MAX));
        let due = turns.next_due().map(|due| began + due);
        let woken = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            wake = wakes.recv() => {
                // The context has the senders: this is the end of the process.
                let Some(wake) = wake else { break };
                woken_by(&theirs, wake)
            }
            Some((turn, action)) = under_way.next(), if !under_way.is_empty() => {
                turns.end(&turn, action.then(began.elapsed()));
                BTreeSet::new()
            }
            Some(event) = told.next() => take(context, &mut theirs, event),
            Some(event) = shown.next() => take_shown(context, &theirs, &memory, event),
            () = at(due) => BTreeSet::new(),
        };
        for subject in woken {
            // One that is under way is no more urgent than another.
            let _ = turns.wake(&key_of(&subject), Rank::Usual);
        }
    }
    while under_way.next().await.is_some() {}
}

/// What is to be looked at because something of ours has changed.
fn woken_by(theirs: &Theirs, wake: WakeTheirs) -> BTreeSet<Subject> {
    let one = |kind, namespace, name| {
        let subject = (kind, namespace, name);
        theirs.get(&subject).map(|_| subject).into_iter().collect()
    };
    match wake {
        WakeTheirs::All => theirs.all(),
        WakeTheirs::Cluster(namespace, name) => one(TheirKind::Cluster, namespace, name),
        WakeTheirs::Job(namespace, name) => one(TheirKind::Job, namespace, name),
    }
}

/// Takes in what a watch of theirs tells.
fn take(context: &Context, theirs: &mut Theirs, (kind, place, event): Told) -> BTreeSet<Subject> {
    let watched = &context.stores.watched;
    match event {
        Ok(event) => theirs.take(watched, (kind, place), event),
        Err(error) => {
            log_failure(context, kind.title(), place, &error);
            BTreeSet::new()
        }
    }
}

/// Takes in what a watch of the Deployments tells.
fn take_shown(
    context: &Context,
    theirs: &Theirs,
    memory: &Memory,
    (place, event): shown::Told,
) -> BTreeSet<Subject> {
    let watched = &context.stores.watched;
    match event {
        Ok(event) => match memory.deployments.take(watched, place, event) {
            Some(clusters) => clusters
                .into_iter()
                .flat_map(|(namespace, name)| woken_by(theirs, WakeTheirs::Cluster(namespace, name)))
                .collect(),
            None => theirs.all(),
        },
        Err(error) => {
            log_failure(context, &title::<Deployment>(), place, &error);
            BTreeSet::new()
        }
    }
}

fn log_failure(context: &Context, kind: &str, place: usize, error: &watcher::Error) {
    context.metrics.watch_failed(kind);
    let namespace = context.stores.watched.namespace(place);
    tracing::warn!(kind, namespace, error = chain(error), "the watch failed and starts anew");
}

/// What is known of what is to be looked at. None: it is not there, or not all of its namespace is known.
fn known(context: &Context, theirs: &Theirs, memory: &Memory, subject: Subject) -> Option<Known> {
    let watched = &context.stores.watched;
    let (_, namespace, name) = &subject;
    if !watched.is_known(namespace) || !theirs.is_known(watched, namespace) {
        return None;
    }
    let Some(object) = theirs.get(&subject) else {
        memory.forget(&subject);
        return None;
    };
    let groups = theirs.of_cluster(TheirKind::Group, namespace, name);
    let autoscalers = theirs.of_cluster(TheirKind::Autoscaler, namespace, name);
    let cluster = theirs.get(&(TheirKind::Cluster, namespace.clone(), name.clone()));
    let (freed, refused) = (memory.freed(&subject), memory.refused(&subject));
    let known = Known { subject, object, groups, autoscalers, cluster: None, freed, refused };
    Some(match known.subject.0 {
        TheirKind::Job => Known { groups: Vec::new(), autoscalers: Vec::new(), cluster, ..known },
        _ => known,
    })
}

/// What turns are taken by: the name is behind the kind.
fn key_of((kind, namespace, name): &Subject) -> Key {
    (Arc::from(namespace.as_str()), Arc::from(format!("{}/{name}", kind.as_str())))
}

fn subject_of((namespace, name): &Key) -> Option<Subject> {
    let (word, name) = name.split_once('/')?;
    let kind = TheirKind::ALL.into_iter().find(|kind| kind.as_str() == word)?;
    Some((kind, namespace.to_string(), name.to_owned()))
}
