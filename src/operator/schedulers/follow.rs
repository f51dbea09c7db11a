//! The subscription: a scheduler tells its workers unasked.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::line::{Whereabouts, names};
use super::shared::{CONNECT, Key, Shared, lock};
use crate::api::{Kind, Reason};
use crate::causes::chain;
use crate::dask::{Error, MembershipStream, SubscribeEvent};
use crate::operator::certificates::credentials::reason_of;
use crate::operator::wakes::Triggers;
use crate::plan::cluster::SchedulerView;

/// After this much silence the subscription is made anew: another subscriber may have taken our place unseen.
const SILENCE: Duration = Duration::from_secs(60);
/// The first and the longest wait between attempts to connect.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// The wait after a message that took room from those of others.
const RETRY_TOO_MUCH: Duration = Duration::from_secs(60);
/// The wait after a fault of this program.
const AFTER_FAULT: Duration = Duration::from_secs(30);
/// A scheduler that starts is not yet "unreachable" for this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Listens to a scheduler for as long as its pod lives. What it sends may show a fault of this program: that
/// is told, and tried again later, since a follower that ended unseen would leave its last word standing for
/// ever.
pub(super) async fn follow(
    whereabouts: Whereabouts,
    view: Shared<SchedulerView>,
    key: Key,
    triggers: Triggers,
) {
    loop {
        let listening = listen(whereabouts.clone(), view.clone(), key.clone(), triggers.clone());
        // It never ends otherwise.
        let _ = AssertUnwindSafe(listening).catch_unwind().await;
        let (namespace, cluster) = &key;
        let message =
            "what the scheduler sent could not be followed: a fault of daskflow, see the operator's log";
        tracing::error!(namespace, cluster, "{message}");
        let fault =
            SchedulerView::Unreachable { reason: Reason::SchedulerUnreachable, message: message.to_owned() };
        tell(&view, fault, &key, &triggers);
        tokio::time::sleep(AFTER_FAULT).await;
    }
}

async fn listen(whereabouts: Whereabouts, view: Shared<SchedulerView>, key: Key, triggers: Triggers) {
    let mut wait = RETRY_FIRST;
    let mut silent_since = Instant::now();
    loop {
        let error = match subscribe(&whereabouts).await {
            Ok(stream) => {
                wait = RETRY_FIRST;
                let end = hear(stream, &view, &key, &triggers).await;
                silent_since = Instant::now();
                let Some(error) = end else { continue };
                error
            }
            Err(error) => error,
        };
        let starting = *lock(&view) == SchedulerView::Unknown && silent_since.elapsed() < PATIENCE;
        if !starting {
            tell(&view, unreachable(&error), &key, &triggers);
        }
        if is_too_much(&error) {
            wait = RETRY_TOO_MUCH;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// Whether the scheduler has sent what takes room from others and is of no use.
fn is_too_much(error: &Error) -> bool {
    matches!(
        error,
        Error::TooLarge(_) | Error::TooManyEntries { .. } | Error::Decode(_) | Error::Unended { .. }
    )
}

/// Why a scheduler does not answer.
pub(super) fn unreachable(error: &Error) -> SchedulerView {
    SchedulerView::Unreachable { reason: reason_of(error), message: chain(error) }
}

/// Subscribes, if the scheduler is still the same.
async fn subscribe(whereabouts: &Whereabouts) -> Result<MembershipStream, Error> {
    let credentials = whereabouts.credentials().await?;
    let (connector, address) = (whereabouts.connector(), whereabouts.address());
    let stream = MembershipStream::connect_by(connector, address, credentials.as_ref(), CONNECT).await?;
    whereabouts.check(stream.scheduler_id())?;
    Ok(stream)
}

/// Hears changes until the stream ends, with an error, or falls silent, without one.
async fn hear(
    mut stream: MembershipStream,
    view: &Shared<SchedulerView>,
    key: &Key,
    triggers: &Triggers,
) -> Option<Error> {
    loop {
        let workers = names(stream.membership().workers.values());
        tell(view, SchedulerView::Answering { workers }, key, triggers);
        loop {
            // Many messages may lie in what was read at once, and none of them is a wait.
            tokio::task::yield_now().await;
            match stream.next(SILENCE).await {
                Ok(Some(events)) if events.iter().all(|event| *event == SubscribeEvent::Other) => {}
                Ok(Some(_)) => break,
                Ok(None) => return None,
                Err(error) => return Some(error),
            }
        }
    }
}

/// Stores what was heard, and wakes the cluster if it is news.
fn tell(view: &Shared<SchedulerView>, news: SchedulerView, key: &Key, triggers: &Triggers) {
    let mut current = lock(view);
    if *current != news {
        *current = news;
        drop(current);
        triggers.wake(Kind::DaskCluster, &key.0, &key.1);
    }
}
