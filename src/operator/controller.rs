//! One controller: has the objects of a kind looked at, when something wakes them or their time has come.
//!
//! It does what kube's `Controller` does for a stream of wakes, with another order: which is next is decided in `plan::turns`,
//! by namespaces in turn, where kube takes any of those that wait (a hash set). There is no debounce: planning costs
//! microseconds and writes nothing when nothing changed, and a tick should not wait.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::reconcile::{self, Planned};
use super::requests::Look;
use super::route::Wake;
use crate::plan::turns::{Bounds, Key, Turns};

/// Looks side by side at objects of one kind. How many requests they make at the same time is limited apart from that; this
/// keeps what is read close to what is written on it. A look that has only to tell what it has done, behind what others
/// wait for, does not count among the first.
const LOOKS: Bounds = Bounds { at_work: 48, all: 192 };

/// What came of a look: when to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action(Option<Duration>);

impl Action {
    /// After this time, whatever happens.
    pub(super) fn requeue(after: Duration) -> Self {
        Self(Some(after))
    }

    /// When something changes.
    pub(super) fn await_change() -> Self {
        Self(None)
    }
}

/// Runs one controller until `stop`; then what was begun ends.
pub(super) async fn controller<K: Planned>(
    context: &Arc<Context>,
    store: Store<K>,
    mut wakes: UnboundedReceiver<Wake<K>>,
    stop: &CancellationToken,
) {
    let began = Instant::now();
    let mut turns = Turns::new(LOOKS);
    let mut looks = FuturesUnordered::new();
    let (tells, mut telling) = mpsc::unbounded_channel();
    let waiting = context.metrics.reconciles_waiting(K::KIND);
    let wake = |turns: &mut Turns, wake: &Wake<K>| {
        let urgent = wake.urgent || store.get(&wake.object).is_some_and(|object| object.is_urgent());
        turns.wake(&key(&wake.object), urgent);
    };
    loop {
        turns.pass(began.elapsed());
        while let Some((key, urgent)) = turns.begin() {
            let Some(object) = store.get(&ObjectRef::new(&key.1).within(&key.0)) else {
                // The normal end of an object.
                turns.end(&key, None);
                reconcile::gone::<K>(context, &key.0, &key.1);
                continue;
            };
            looks.push(look(object, context.clone(), (key, urgent), tells.clone()));
        }
        waiting.set(i64::try_from(turns.waiting()).unwrap_or(i64::MAX));
        let due = turns.next_due().map(|due| began + due);
        tokio::select! {
            () = stop.cancelled() => break,
            woken = wakes.recv() => {
                // The context has the senders: this is the end of the process.
                let Some(woken) = woken else { break };
                wake(&mut turns, &woken);
                while let Ok(woken) = wakes.try_recv() {
                    wake(&mut turns, &woken);
                }
            }
            Some((key, then)) = looks.next(), if !looks.is_empty() => {
                turns.end(&key, then.0.map(|after| began.elapsed() + after));
            }
            Some(key) = telling.recv() => turns.only_tells(&key),
            () = at(due) => {}
        }
    }
    while looks.next().await.is_some() {}
}

fn key<K: Planned>(object: &ObjectRef<K>) -> Key {
    (Arc::from(object.namespace.as_deref().unwrap_or_default()), Arc::from(object.name.as_str()))
}

/// Looks at one object.
async fn look<K: Planned>(
    object: Arc<K>,
    context: Arc<Context>,
    (key, urgent): (Key, bool),
    tells: UnboundedSender<Key>,
) -> (Key, Action) {
    let look = Look::new(urgent, tells, key.clone());
    let Ok(then) = look.at(reconcile::reconcile(object, context)).await;
    (key, then)
}

/// Ends then; never, if there is no such time.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
