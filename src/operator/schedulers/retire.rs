//! Retirements: a scheduler is asked to let workers go, or first to close them to new tasks, which takes as long as their
//! data takes to move. Nobody waits for that: the call goes on by itself, and its end wakes the cluster.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::line::{Whereabouts, names};
use super::{Key, Mutex, Shared, lock};
use crate::dask::{Error, Retirement};
use crate::operator::failure::chain;
use crate::operator::route::Triggers;

/// How long data may take to move. After that nobody knows what became of it, and the next look asks.
const LIMIT: Duration = Duration::from_secs(600);
/// For how long the workers that a late answer kept are remembered, unless somebody asks for them before.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What a scheduler is asked to do with workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operator) enum Wish {
    /// To let them go.
    Retire,
    /// To give them no more tasks.
    CloseToTasks,
}

impl Wish {
    fn about(self, workers: &BTreeSet<String>) -> Retirement {
        let names = workers.iter().map(String::as_str);
        match self {
            Self::Retire => Retirement::of(names),
            Self::CloseToTasks => Retirement::closing(names),
        }
    }
}

/// What became of workers that a scheduler was asked to let go, or to close.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::operator) struct Retired {
    /// It let these go, or closed them.
    pub(in crate::operator) gone: BTreeSet<String>,
    /// It keeps these, which are registered with it, and goes on giving them tasks.
    pub(in crate::operator) kept: BTreeSet<String>,
    /// It has not answered yet.
    pub(in crate::operator) moving: BTreeSet<String>,
}

/// The retirements of one scheduler that have not ended.
#[derive(Default)]
pub(super) struct Retirements {
    under_way: Vec<UnderWay>,
    /// Whom late answers kept, and when the last of them came.
    kept: Option<(Instant, BTreeSet<String>)>,
}

/// A call that has not been answered.
struct UnderWay {
    workers: BTreeSet<String>,
    _task: AbortOnDropHandle<()>,
}

impl Retirements {
    /// The workers whose data is moving.
    pub(super) fn moving(&self) -> BTreeSet<String> {
        self.under_way.iter().flat_map(|call| &call.workers).cloned().collect()
    }

    /// Of these workers the ones that a late answer kept, which are forgotten by it.
    fn take_kept(&mut self, workers: &BTreeSet<String>) -> BTreeSet<String> {
        let Some((at, mut kept)) = self.kept.take() else { return BTreeSet::new() };
        if at.elapsed() > REMEMBERED {
            return BTreeSet::new();
        }
        let asked = workers.iter().filter_map(|name| kept.take(name)).collect();
        self.kept = Some((at, kept));
        asked
    }

    fn remember(&mut self, kept: BTreeSet<String>) {
        let before = self.kept.take().filter(|(at, _)| at.elapsed() <= REMEMBERED);
        let all = before.into_iter().flat_map(|(_, kept)| kept).chain(kept).collect();
        self.kept = Some((Instant::now(), all));
    }
}

/// A retirement that was begun.
pub(super) struct Begun {
    /// What is known without its answer.
    known: Retired,
    asked: BTreeSet<String>,
    answer: Option<oneshot::Receiver<Result<Retired, Error>>>,
}

impl Begun {
    /// Waits for the answer, but not for long.
    pub(super) async fn within(self, patience: Duration) -> Result<Retired, Error> {
        let Self { mut known, asked, answer } = self;
        let Some(mut answer) = answer else { return Ok(known) };
        let come = if let Ok(come) = tokio::time::timeout(patience, &mut answer).await {
            come.ok()
        } else {
            // What is sent from here on comes back to the sender, who tells of it by a wake.
            answer.close();
            let Ok(come) = answer.try_recv() else {
                known.moving.extend(asked);
                return Ok(known);
            };
            Some(come)
        };
        let answer = come.unwrap_or(Err(Error::Closed(None)))?;
        known.gone.extend(answer.gone);
        known.kept.extend(answer.kept);
        Ok(known)
    }
}

/// Begins to retire or to close these workers, unless that was begun already or a late answer kept them just now.
pub(super) fn begin(
    whereabouts: Whereabouts,
    (wish, mut workers): (Wish, BTreeSet<String>),
    retirements: &Shared<Retirements>,
    (key, triggers): (Key, Triggers),
) -> Begun {
    let mut all = lock(retirements);
    let moving: BTreeSet<String> = all.moving().intersection(&workers).cloned().collect();
    let kept = all.take_kept(&workers);
    workers.retain(|name| !moving.contains(name) && !kept.contains(name));
    let known = Retired { gone: BTreeSet::new(), kept, moving };
    if workers.is_empty() {
        return Begun { known, asked: workers, answer: None };
    }
    let (sender, answer) = oneshot::channel();
    let call = Call { wish, workers: workers.clone(), retirements: Arc::downgrade(retirements), sender };
    let task = AbortOnDropHandle::new(tokio::spawn(call.make(whereabouts, key, triggers)));
    all.under_way.push(UnderWay { workers: workers.clone(), _task: task });
    Begun { known, asked: workers, answer: Some(answer) }
}

/// One call.
struct Call {
    wish: Wish,
    workers: BTreeSet<String>,
    /// Weak: who no longer follows the scheduler drops the call.
    retirements: Weak<Mutex<Retirements>>,
    sender: oneshot::Sender<Result<Retired, Error>>,
}

impl Call {
    /// Makes the call, and tells its end to whoever waits; if nobody does any more, the cluster is woken.
    async fn make(self, whereabouts: Whereabouts, key: Key, triggers: Triggers) {
        let answer = ask(&whereabouts, self.wish, &self.workers).await;
        let Some(retirements) = self.retirements.upgrade() else { return };
        let mut all = lock(&retirements);
        all.under_way.retain(|call| call.workers != self.workers);
        let Err(late) = self.sender.send(answer) else { return };
        match late {
            Ok(retired) => all.remember(retired.kept),
            Err(error) => {
                let (namespace, cluster) = &key;
                tracing::warn!(
                    namespace,
                    cluster,
                    error = chain(&error),
                    "the scheduler did not report which workers it retired or closed"
                );
            }
        }
        drop(all);
        triggers.cluster(&key.0, &key.1);
    }
}

async fn ask(whereabouts: &Whereabouts, wish: Wish, workers: &BTreeSet<String>) -> Result<Retired, Error> {
    let mut scheduler = whereabouts.connect().await?;
    let answer = scheduler.retire_workers(&wish.about(workers), LIMIT).await?;
    let gone = names(answer.values().map(|worker| &worker.name));
    let missing: BTreeSet<String> = workers.difference(&gone).cloned().collect();
    if missing.is_empty() {
        return Ok(Retired { gone, ..Retired::default() });
    }
    // A worker that it does not know is not among its answer either, and holds nothing.
    let registered = scheduler.identity().await;
    let registered = registered
        .map(|identity| names(identity.workers.values().map(|worker| &worker.name)))
        .unwrap_or_default();
    Ok(Retired { gone, kept: missing.intersection(&registered).cloned().collect(), ..Retired::default() })
}
