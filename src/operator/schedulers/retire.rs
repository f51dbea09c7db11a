//! Requests to let workers go, or first to close them to new tasks. They take as long as the workers' data
//! takes to move, and nobody waits for that: the call goes on by itself, its answer goes into the record, and
//! its end wakes the cluster.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

use super::line::{Whereabouts, names};
use super::shared::{Key, Shared, lock};
use crate::api::Kind;
use crate::causes::chain;
use crate::daemon::clock::Clock;
use crate::dask::{Error, Retirement};
use crate::operator::wakes::Triggers;
use crate::plan::Victim;
use crate::plan::cluster::{Retirements, Said, Wish};

/// How long data may take to move. After that nobody knows what became of it, and the next look asks.
const LIMIT: Duration = Duration::from_secs(600);

/// Makes the call. Whatever comes of it, the workers do not stay the ones that are being asked about.
pub(super) async fn call(
    whereabouts: Whereabouts,
    (wish, workers): (Wish, Vec<Victim>),
    (record, clock): (Shared<Retirements>, Clock),
    (key, triggers): (Key, Triggers),
) {
    let answer = AssertUnwindSafe(ask(&whereabouts, wish, &workers)).catch_unwind().await;
    let said = match answer {
        Ok(answer) => answer.map_err(|error| chain(&error)),
        Err(_) => Err("a fault of daskflow, see the operator's log".to_owned()),
    };
    if let Err(error) = &said {
        let (namespace, cluster) = &key;
        tracing::warn!(
            namespace,
            cluster,
            error,
            "the scheduler did not report which workers it retired or closed"
        );
    }
    lock(&record).hear((wish, &workers), said.as_ref().map_err(String::as_str), clock.now());
    triggers.wake(Kind::DaskCluster, &key.0, &key.1);
}

async fn ask(whereabouts: &Whereabouts, wish: Wish, workers: &[Victim]) -> Result<Said, Error> {
    let wanted = || workers.iter().map(|worker| worker.name.as_str());
    let retirement = match wish {
        Wish::Retire => Retirement::of(wanted()),
        Wish::CloseToTasks => Retirement::closing(wanted()),
    };
    let mut scheduler = whereabouts.connect().await?;
    let answer = scheduler.retire_workers(&retirement, LIMIT).await?;
    let done = names(answer.values().map(|worker| &worker.name));
    let mut kept: BTreeSet<String> =
        wanted().filter(|name| !done.contains(*name)).map(str::to_owned).collect();
    if !kept.is_empty() {
        // A worker that it does not know is not among its answer either, and holds nothing.
        if let Ok(identity) = scheduler.identity().await {
            let registered = names(identity.workers.values().map(|worker| &worker.name));
            kept.retain(|name| registered.contains(name));
        }
    }
    Ok(Said { done, kept })
}

#[cfg(test)]
mod tests;
