//! Who asks: what the layer knows of a request beyond its method and path, which stands with the task that
//! makes it.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::plan::requests::Class;
use crate::plan::requests::line::Rank;
use crate::plan::turns::Turn;

/// However long requests have waited, a reconcile is given up after so many times its limit.
const PATIENCE: u32 = 10;
/// How soon to look again how long requests have waited.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

tokio::task_local! {
    static LOOK: Look;
    static COMMIT: ();
    static WAITS: Arc<Waits>;
}

/// A look at an object, on whose behalf requests are made.
pub(in crate::operator) struct Look {
    /// Whether somebody waits for it, rather than a clock. It may become so.
    rank: watch::Receiver<Rank>,
    /// Where to say, once, that it has only to tell what it has done.
    tells: Cell<Option<(UnboundedSender<Turn>, Turn)>>,
}

impl Look {
    pub(in crate::operator) fn new(
        rank: watch::Receiver<Rank>,
        tells: UnboundedSender<Turn>,
        turn: Turn,
    ) -> Self {
        Self { rank, tells: Cell::new(Some((tells, turn))) }
    }

    /// Looks.
    pub(in crate::operator) async fn at<T>(self, work: impl Future<Output = T>) -> T {
        LOOK.scope(self, work).await
    }
}

/// As what the look that asks runs, now and from now on. None: it is no look.
pub(super) fn rank() -> Option<watch::Receiver<Rank>> {
    LOOK.try_with(|look| look.rank.clone()).ok()
}

/// The look makes a request that others do not wait for. It is the first of those that come at its end.
pub(super) fn only_tells() {
    // Outside of a look nobody has a place to give back.
    let _ = LOOK.try_with(|look| {
        if let Some((tells, turn)) = look.tells.take() {
            // The controller has ended.
            let _ = tells.send(turn);
        }
    });
}

/// Makes this write of a status as one that other writes wait for, if it is one.
pub(in crate::operator) async fn as_commit<T>(is_commit: bool, write: impl Future<Output = T>) -> T {
    if is_commit { COMMIT.scope((), write).await } else { write.await }
}

/// The class of a request whose path says this one.
pub(super) fn class_of(class: Class) -> Class {
    if COMMIT.try_with(|()| ()).is_ok() { Class::Work } else { class }
}

/// How long requests of one reconcile have waited for their turn. What waits side by side counts once.
#[derive(Default)]
struct Waits(Mutex<Waited>);

#[derive(Default)]
struct Waited {
    waiting: usize,
    since: Option<Instant>,
    total: Duration,
}

impl Waits {
    fn add(&self, begins: bool) {
        let mut waited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if begins {
            waited.waiting += 1;
            waited.since.get_or_insert_with(Instant::now);
        } else {
            waited.waiting = waited.waiting.saturating_sub(1);
            if waited.waiting == 0 {
                let lasted = waited.since.take().map(|since| since.elapsed()).unwrap_or_default();
                waited.total += lasted;
            }
        }
    }

    fn total(&self) -> Duration {
        let waited = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waited.total + waited.since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

/// Counts one wait, also one that is given up.
struct Wait(Arc<Waits>);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.add(false);
    }
}

/// Waits, and notes for how long.
pub(super) async fn waiting<T>(work: impl Future<Output = T>) -> T {
    let _wait = WAITS.try_with(|waits| {
        waits.add(true);
        Wait(waits.clone())
    });
    work.await
}

/// Gives the work up after `limit`, not counting how long its requests waited for their turn.
pub(in crate::operator) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let (began, waits) = (Instant::now(), Arc::<Waits>::default());
    let mut work = pin!(WAITS.scope(waits.clone(), work));
    loop {
        let left = (limit + waits.total().min(limit * (PATIENCE - 1))).saturating_sub(began.elapsed());
        if left.is_zero() {
            return None;
        }
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            // While a request waits, what is left stays the same.
            () = tokio::time::sleep(left.max(LOOK_AGAIN)) => {}
        }
    }
}
