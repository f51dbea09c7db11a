//! One kept connection for questions, opened when one is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::closed::Closed;
use super::shared::{CONNECT, Shared, lock};
use crate::dask::message::{WorkerInfo, WorkerName};
use crate::dask::tls::Credentials;
use crate::dask::{Address, Connector, Error, Scheduler};
use crate::operator::certificates::credentials::Keeper;

/// How long a scheduler that could not write its state is asked for less. What it has to write may be less by
/// then.
const COARSE: Duration = Duration::from_secs(300);

/// Where a scheduler is, and which one is expected there: addresses of pods are given to others when they
/// end.
#[derive(Clone)]
pub(super) struct Whereabouts {
    address: Address,
    /// The way there.
    connector: Connector,
    /// The id of the first that answered.
    id: Shared<Option<String>>,
    /// What it is shown. None: plain TCP.
    keeper: Option<Keeper>,
}

impl Whereabouts {
    /// A scheduler that nobody has heard of yet.
    pub(super) fn of(address: Address, keeper: Option<Keeper>, connector: Connector) -> Self {
        Self { address, connector, id: Shared::default(), keeper }
    }

    /// The address.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The way there.
    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Whether the scheduler of this id is the one that answered first.
    pub(super) fn check(&self, id: &str) -> Result<(), Error> {
        if lock(&self.id).get_or_insert_with(|| id.to_owned()) == id {
            return Ok(());
        }
        Err(Error::AnotherScheduler { address: self.address.to_string() })
    }

    /// What it is shown.
    pub(super) async fn credentials(&self) -> Result<Option<Credentials>, Error> {
        match &self.keeper {
            Some(keeper) => keeper.get().await.map(Some),
            None => Ok(None),
        }
    }

    /// A new connection to it.
    pub(super) async fn connect(&self) -> Result<Scheduler, Error> {
        let credentials = self.credentials().await?;
        let mut scheduler =
            Scheduler::connect_by(&self.connector, &self.address, credentials.as_ref(), CONNECT).await?;
        self.check(&scheduler.identity().await?.id)?;
        Ok(scheduler)
    }
}

/// The names of workers.
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a WorkerName>) -> BTreeSet<String> {
    names.into_iter().map(ToString::to_string).collect()
}

/// A connection to one scheduler over which one question is asked at a time. One that failed is opened anew
/// by the next question.
pub(in crate::operator) struct Line {
    whereabouts: Whereabouts,
    kept: Mutex<Option<Scheduler>>,
    /// Until then the scheduler is asked for less, since it could not write what it knows of itself.
    coarse_until: Shared<Option<Instant>>,
    /// What was heard of workers that it has closed to new tasks.
    closed: Shared<Closed>,
}

impl Line {
    /// A line that is not open yet.
    pub(super) fn to(whereabouts: Whereabouts) -> Self {
        Self {
            whereabouts,
            kept: Mutex::default(),
            coarse_until: Shared::default(),
            closed: Shared::default(),
        }
    }

    /// Where the scheduler is.
    pub(super) fn whereabouts(&self) -> &Whereabouts {
        &self.whereabouts
    }

    /// Asks, once the questions before have been answered. The question is asked a second time if the
    /// scheduler turns out to have hung up since the last one, so it must change nothing.
    pub(in crate::operator) async fn ask<R>(
        &self,
        question: impl for<'a> Fn(&'a mut Scheduler) -> BoxFuture<'a, Result<R, Error>>,
    ) -> Result<R, Error> {
        let mut kept = self.kept.lock().await;
        // Taken out while it is asked: one whose answer nobody waits for any more, or that failed, holds the
        // memory of what has come of that answer.
        if let Some(mut scheduler) = kept.take() {
            match question(&mut scheduler).await {
                Err(Error::Closed(_) | Error::StateUntold(_)) => {}
                answer => {
                    *kept = Some(scheduler).filter(Scheduler::is_usable);
                    return answer;
                }
            }
        }
        let mut scheduler = self.whereabouts.connect().await?;
        let answer = question(&mut scheduler).await;
        *kept = Some(scheduler).filter(Scheduler::is_usable);
        answer
    }

    /// Whether the scheduler is to be asked for no more than every release and every scheduler can tell.
    pub(super) fn is_coarse(&self) -> bool {
        lock(&self.coarse_until).is_some_and(|until| Instant::now() < until)
    }

    /// The scheduler could not write what it knows of itself.
    pub(super) fn become_coarse(&self) {
        *lock(&self.coarse_until) = Some(Instant::now() + COARSE);
    }

    /// How many tasks the workers run that are closed to new ones, by name, where that is certain. `workers`:
    /// what the scheduler says of all its workers now.
    pub(super) fn running_at_closed(&self, workers: &BTreeMap<String, WorkerInfo>) -> BTreeMap<String, u64> {
        lock(&self.closed).hear(workers)
    }

    /// Hangs up, unless a question is being asked.
    pub(super) fn hang_up(&self) {
        if let Ok(mut kept) = self.kept.try_lock() {
            *kept = None;
        }
    }

    /// Whether a connection is kept.
    #[cfg(test)]
    pub(super) async fn is_open(&self) -> bool {
        self.kept.lock().await.is_some()
    }
}
