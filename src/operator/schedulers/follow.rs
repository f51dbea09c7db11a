//! The subscription: a scheduler tells its workers unasked.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::line::{Whereabouts, names};
use super::{CONNECT, Key, Shared, lock};
use crate::api::Reason;
use crate::dask::{Error, MembershipStream};
use crate::operator::certificates::credentials::reason_of;
use crate::operator::failure::chain;
use crate::operator::route::Triggers;
use crate::plan::cluster::SchedulerView;

/// After this much silence the subscription is made anew: another subscriber may have taken our place unseen.
const SILENCE: Duration = Duration::from_secs(60);
/// The first and the longest wait between attempts to connect.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// The wait after a fault of this program.
const AFTER_FAULT: Duration = Duration::from_secs(30);
/// A scheduler that starts is not yet "unreachable" for this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Listens to a scheduler for as long as its pod lives. What it sends may show a fault of this program: that is told, and
/// tried again later, since a follower that ended unseen would leave its last word standing for ever.
pub(super) async fn follow(
    whereabouts: Whereabouts,
    view: Shared<SchedulerView>,
    key: Key,
    triggers: Triggers,
) {
    loop {
        let listening = listen(whereabouts.clone(), view.clone(), key.clone(), triggers.clone());
        let panicked = AssertUnwindSafe(listening).catch_unwind().await.is_err();
        let (namespace, cluster) = &key;
        tracing::error!(
            namespace,
            cluster,
            panicked,
            "what the scheduler sent could not be followed: a fault of daskflow"
        );
        let message =
            "what the scheduler sent could not be followed: a fault of daskflow, see the operator's log";
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
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// Why a scheduler does not answer.
pub(super) fn unreachable(error: &Error) -> SchedulerView {
    SchedulerView::Unreachable { reason: reason_of(error), message: chain(error) }
}

/// Subscribes, if the scheduler is still the same.
async fn subscribe(whereabouts: &Whereabouts) -> Result<MembershipStream, Error> {
    let credentials = whereabouts.credentials().await?;
    let stream = MembershipStream::connect(whereabouts.address(), credentials.as_ref(), CONNECT).await?;
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
        let workers = names(&stream.membership().workers);
        tell(view, SchedulerView::Answering { workers }, key, triggers);
        match stream.next(SILENCE).await {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// Stores what was heard, and wakes the cluster if it is news.
fn tell(view: &Shared<SchedulerView>, news: SchedulerView, key: &Key, triggers: &Triggers) {
    let mut current = lock(view);
    if *current != news {
        *current = news;
        drop(current);
        triggers.cluster(&key.0, &key.1);
    }
}
