//! One controller: has the objects of a kind looked at, when something wakes them or their time has come.
//!
//! It does what kube's `Controller` does for a stream of wakes, with another order: which is next is decided
//! in `plan::turns`, by namespaces in turn, where kube takes any of those that wait (a hash set). There is no
//! debounce: planning costs microseconds and writes nothing when nothing changed, and a tick should not wait.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::reconcile::{self, Planned};
use super::requests::Look;
use super::wakes::Wake;
use crate::plan::requests::line::Rank;
use crate::plan::turns::{Bounds, Key, Then, Turn, Turns};

/// Looks side by side at objects of one kind. How many requests they make at the same time is limited apart
/// from that; this keeps what is read close to what is written on it. A look that has only to tell what it
/// has done, behind what others wait for, does not count among the first.
const LOOKS: Bounds = Bounds { at_work: 48, all: 192 };

/// What came of a look: when to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// When something changes.
    AwaitChange,
    /// After this time, whatever happens.
    Requeue(Duration),
    /// The same; the look did not get to its end, and somebody who waited for it still does.
    Retry(Duration),
}

impl Action {
    pub(super) fn then(self, now: Duration) -> Then {
        match self {
            Self::AwaitChange => Then::Woken,
            Self::Requeue(after) => Then::At(now + after),
            Self::Retry(after) => Then::Retry(now + after),
        }
    }
}

/// The looks of one controller: those that are under way, and those that wait for their turn.
struct Looks {
    turns: Turns,
    /// Where those that are under way learn that somebody waits for their end.
    ranks: HashMap<Key, watch::Sender<Rank>>,
    tells: UnboundedSender<Turn>,
    telling: UnboundedReceiver<Turn>,
}

impl Looks {
    fn new() -> Self {
        let (tells, telling) = mpsc::unbounded_channel();
        Self { turns: Turns::new(LOOKS), ranks: HashMap::new(), tells, telling }
    }

    fn wake<K: Planned>(&mut self, wake: &Wake, context: &Context, store: &Store<K>) {
        let object = store.get(&reference(&wake.key));
        let is_urgent = wake.urgent || object.is_some_and(|object| object.is_urgent(context));
        let rank = if is_urgent { Rank::Urgent } else { Rank::Usual };
        if self.turns.wake(&wake.key, rank)
            && let Some(look) = self.ranks.get(&wake.key)
        {
            look.send_replace(rank);
        }
    }

    /// What looks have said before they may have ended.
    fn hear(&mut self) {
        while let Ok(turn) = self.telling.try_recv() {
            self.turns.only_tells(&turn);
        }
    }

    fn begin(&mut self, now: Duration) -> Option<Turn> {
        self.hear();
        self.turns.pass(now);
        self.turns.begin()
    }

    fn look(&mut self, turn: Turn) -> Look {
        let (rank, changed) = watch::channel(turn.rank);
        self.ranks.insert(turn.key.clone(), rank);
        Look::new(changed, self.tells.clone(), turn)
    }

    fn end(&mut self, turn: &Turn, then: Then) {
        self.hear();
        self.ranks.remove(&turn.key);
        self.turns.end(turn, then);
    }
}

/// Runs one controller until `stop`; then what was begun ends.
pub(super) async fn controller<K: Planned>(
    context: &Arc<Context>,
    store: Store<K>,
    mut wakes: UnboundedReceiver<Wake>,
    stop: &CancellationToken,
) {
    let began = Instant::now();
    let mut looks = Looks::new();
    let mut under_way = FuturesUnordered::new();
    let waiting = context.metrics.reconciles_waiting(K::KIND);
    loop {
        while let Some(turn) = looks.begin(began.elapsed()) {
            let Some(object) = store.get(&reference(&turn.key)) else {
                // The normal end of an object.
                reconcile::gone::<K>(context, &turn.key.0, &turn.key.1);
                looks.end(&turn, Then::Woken);
                continue;
            };
            under_way.push(look(object, context.clone(), turn.clone(), looks.look(turn)));
        }
        waiting.set(i64::try_from(looks.turns.waiting()).unwrap_or(i64::MAX));
        let due = looks.turns.next_due().map(|due| began + due);
        tokio::select! {
            // What is new comes first: it may change what is looked at next. It keeps nothing waiting for
            // long: wakes come from looks and watches, which wait meanwhile, and from schedulers, which have
            // little to say.
            biased;
            () = stop.cancelled() => break,
            woken = wakes.recv() => {
                // The context has the senders: this is the end of the process.
                let Some(woken) = woken else { break };
                looks.wake(&woken, context, &store);
                while let Ok(woken) = wakes.try_recv() {
                    looks.wake(&woken, context, &store);
                }
            }
            Some(turn) = looks.telling.recv() => looks.turns.only_tells(&turn),
            Some((turn, action)) = under_way.next(), if !under_way.is_empty() => {
                looks.end(&turn, action.then(began.elapsed()));
            }
            () = at(due) => {}
        }
    }
    while under_way.next().await.is_some() {}
}

fn reference<K: Planned>((namespace, name): &Key) -> ObjectRef<K> {
    ObjectRef::new(name).within(namespace)
}

/// Looks at one object.
async fn look<K: Planned>(object: Arc<K>, context: Arc<Context>, turn: Turn, look: Look) -> (Turn, Action) {
    let Ok(action) = look.at(reconcile::reconcile(object, context)).await;
    (turn, action)
}

/// Ends then; never, if there is no such time.
pub(super) async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
