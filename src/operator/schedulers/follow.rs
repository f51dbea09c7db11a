//! Who the workers of a scheduler are: it says so unasked, or is asked over and over.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::line::{Line, Whereabouts, names};
use super::shared::{CONNECT, Key, Shared, lock};
use crate::api::{Kind, Reason};
use crate::causes::chain;
use crate::dask::message::Identity;
use crate::dask::{Error, MembershipStream, Scheduler, SubscribeEvent};
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

/// A scheduler is asked for its workers after this time, and after twice as long where they are the same.
const ASK_FIRST: Duration = Duration::from_millis(250);
const ASK_MAX: Duration = Duration::from_secs(2);
/// It has this many times as long for other things as an answer took it, up to a minute: a thousand workers
/// are megabytes.
const ASK_SPARE: u32 = 20;
const ASK_SPARE_MAX: Duration = Duration::from_secs(60);
/// An answer that takes longer is none.
const ASK_LIMIT: Duration = Duration::from_secs(9);

/// How the workers of a scheduler are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operator) enum Membership {
    /// It sends each change to one subscriber, the last one that came ([`crate::dask::MembershipStream`]).
    Subscribed,
    /// It is asked over and over: that subscriber is another one, as a `KubeCluster` of a notebook is.
    Asked,
}

/// Listens to a scheduler for as long as its pod lives. What it sends may show a fault of this program: that
/// is told, and tried again later, since a follower that ended unseen would leave its last word standing for
/// ever.
pub(super) async fn follow(
    line: Arc<Line>,
    membership: Membership,
    view: Shared<SchedulerView>,
    key: Key,
    triggers: Triggers,
) {
    loop {
        let (view_of, key_of, triggers_of) = (view.clone(), key.clone(), triggers.clone());
        let whereabouts = line.whereabouts().clone();
        let following = match membership {
            Membership::Subscribed => listen(whereabouts, view_of, key_of, triggers_of).boxed(),
            Membership::Asked => ask(line.clone(), view_of, key_of, triggers_of).boxed(),
        };
        // It never ends otherwise.
        let _ = AssertUnwindSafe(following).catch_unwind().await;
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

async fn ask(line: Arc<Line>, view: Shared<SchedulerView>, key: Key, triggers: Triggers) {
    let begun = Instant::now();
    let mut wait = ASK_FIRST;
    loop {
        let mut spared = Duration::ZERO;
        let is_soon = match line.ask(|scheduler| identity_of(scheduler).boxed()).await {
            Ok((identity, took)) => {
                spared = (took * ASK_SPARE).min(ASK_SPARE_MAX);
                let workers = names(identity.workers.values().map(|worker| &worker.name));
                tell(&view, SchedulerView::Answering { workers }, &key, &triggers)
            }
            Err(_) if *lock(&view) == SchedulerView::Unknown && begun.elapsed() < PATIENCE => true,
            Err(error) => {
                let is_news = tell(&view, unreachable(&error), &key, &triggers);
                if is_too_much(&error) {
                    tokio::time::sleep(RETRY_TOO_MUCH).await;
                }
                is_news
            }
        };
        wait = if is_soon { ASK_FIRST } else { (wait * 2).min(ASK_MAX) };
        tokio::time::sleep(wait.max(spared)).await;
    }
}

/// What a scheduler says of itself, and how long that took it, without the time that other questions had.
async fn identity_of(scheduler: &mut Scheduler) -> Result<(Identity, Duration), Error> {
    let asked = Instant::now();
    let late = Error::Timeout { what: "answer", limit: ASK_LIMIT };
    let identity = tokio::time::timeout(ASK_LIMIT, scheduler.identity()).await.unwrap_or(Err(late))?;
    Ok((identity, asked.elapsed()))
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

/// Stores what was heard, and wakes the cluster if it is news. Gives whether it is.
fn tell(view: &Shared<SchedulerView>, news: SchedulerView, key: &Key, triggers: &Triggers) -> bool {
    let mut current = lock(view);
    let is_news = *current != news;
    if is_news {
        *current = news;
        drop(current);
        triggers.wake(Kind::DaskCluster, &key.0, &key.1);
    }
    is_news
}
