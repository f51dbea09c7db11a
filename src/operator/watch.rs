//! The watches, which fill the caches and say what changed.
//!
//! Of built-in kinds only objects with our label are watched, so that memory grows with our objects and not
//! with the Kubernetes cluster.
//!
//! Where the operator watches some namespaces only, each kind has a watch for each of them and one cache for
//! all.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, stream};
use kube::Client;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::ExponentialBackoff;
use kube::runtime::{WatchStreamExt, watcher};

use super::caches::bounded::{Bounded, guarded};
use super::caches::{self, Stores};
use super::metrics::Metrics;
use super::route::{Routes, Watched};
use super::undecodable::{Register, Undecodable};
use crate::api::kind::{Visit, title};
use crate::api::{Kind, labels};
use crate::causes::chain;

/// Seconds after which the API server ends a watch that had nothing to say; a dead connection is noticed five
/// seconds later. kube's default of 290 s would leave the operator blind for as long behind a silent NAT.
pub(super) const WATCH_TIMEOUT_S: u32 = 60;
/// A watch that failed starts anew after this time, doubled at each failure up to the longest; kube's own
/// longest wait of 30 s would be as long a delay of all ticks after an outage of the API server.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A watch that lived for so long has not failed in a row.
const RETRY_RESET: Duration = Duration::from_secs(60);

/// A LIST that fails again and again is asked for after this time, doubled at each failure in a row up to the
/// longest, and up to twice as long by chance; beside the times above, which begin anew with each LIST that
/// is tried. What a LIST costs the API server is the last that it needs while it is failing.
const LIST_RETRY_FIRST: Duration = Duration::from_millis(250);
const LIST_RETRY_MAX: Duration = Duration::from_secs(30);

/// How long a watch rests that was refused, beside the time above.
const REFUSED: Duration = Duration::from_secs(10);

/// What the watches need.
#[derive(Clone)]
pub(super) struct Watches {
    /// The way to the API server.
    pub(super) client: Client,
    /// The caches that they fill, and whom a change concerns.
    pub(super) routes: Arc<Routes>,
    /// Where their failures are counted.
    pub(super) metrics: Metrics,
    /// The objects that cannot be read.
    pub(super) undecodable: Arc<Register>,
}

impl Watches {
    /// Fills the caches for as long as it is polled, and wakes whoever a change concerns.
    pub(super) fn keep_all(&self) -> impl Future<Output = ()> + use<> {
        let mut begun = Begun { watches: self, all: Vec::new() };
        Stores::each(&mut begun);
        let all = begun.all;
        async move {
            futures::future::select_all(all).await;
        }
    }

    /// Keeps one cache, by one watch for each namespace.
    fn keep<K: Watched>(&self) -> impl Future<Output = ()> + Send + use<K> {
        let scope = &self.routes.stores.watched;
        let streams = (0..scope.places()).map(|place| {
            let client = self.client.clone();
            let api = match scope.namespace(place) {
                Some(namespace) => Api::<Bounded<K>>::namespaced(client, namespace),
                None => Api::all(client),
            };
            let events = watcher(api, config::<K>()).backoff(retries());
            paused(events).map(move |event| (place, event.map(guarded))).boxed()
        });
        let streams: Vec<_> = streams.collect();
        let all = self.clone();
        let gauge = self.metrics.undecodable(&title::<K>());
        let mut undecodable: Vec<Undecodable> =
            streams.iter().map(|_| Undecodable::new(gauge.clone(), self.undecodable.clone())).collect();
        stream::select_all(streams).for_each(move |(place, event)| {
            if let Some(undecodable) = undecodable.get_mut(place) {
                all.take::<K>(undecodable, (place, event));
            }
            std::future::ready(())
        })
    }

    /// Takes in what a watch tells, and wakes whoever it concerns.
    fn take<K: Watched>(
        &self,
        undecodable: &mut Undecodable,
        (place, event): (usize, Result<watcher::Event<DeserializeGuard<K>>, watcher::Error>),
    ) {
        let (kept, watched) = (K::kept(&self.routes.stores), &self.routes.stores.watched);
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                self.metrics.watch_failed(&title::<K>());
                return log_failure::<K>(watched, place, &error);
            }
        };
        let is_list = matches!(event, watcher::Event::InitDone);
        let gone = kept.take_undecodable(watched.namespace(place), &event);
        for object in &gone {
            K::changed(&self.routes, object);
        }
        let Some(event) = undecodable.open(event) else { return };
        let changed = kept.take(watched.namespace(place), event);
        for object in &changed {
            K::changed(&self.routes, object);
        }
        if is_list {
            if watched.listed(place, &title::<K>()) {
                tracing::info!(namespace = watched.namespace(place), "all that is watched is known");
            }
            // What else a list tells: everyone looks.
            K::listed(&self.routes);
        }
    }
}

/// The watches of all kinds.
struct Begun<'a> {
    watches: &'a Watches,
    all: Vec<BoxFuture<'static, ()>>,
}

impl<K: Watched> Visit<K> for Begun<'_> {
    fn visit(&mut self) {
        self.all.push(self.watches.keep::<K>().boxed());
    }
}

/// Of a kind that is not ours, only objects with our label are watched.
fn config<K: Watched>() -> watcher::Config {
    let all = watcher::Config::default().timeout(WATCH_TIMEOUT_S);
    match Kind::of::<K>() {
        Some(_) => all,
        None => all.labels(&format!("{}={}", labels::APP_MANAGED_BY, labels::APP)),
    }
}

pub(super) fn retries() -> ResetTimerBackoff<ExponentialBackoff> {
    let steps = ExponentialBuilder::new().with_min_delay(RETRY_FIRST).with_max_delay(RETRY_MAX).with_jitter();
    ResetTimerBackoff::new(steps.without_max_times().into(), RETRY_RESET)
}

/// How often in a row a watch could not begin.
struct Pauses {
    refusals: u32,
    /// The waits that are left; none while no LIST has failed.
    lists: Option<backon::ExponentialBackoff>,
}

impl Pauses {
    /// How long to rest after this, before the next is asked for.
    fn after<T>(&mut self, event: &Result<watcher::Event<T>, watcher::Error>) -> Duration {
        let refused = event.as_ref().err().is_some_and(is_refusal);
        self.refusals = if refused { self.refusals.saturating_add(1) } else { 0 };
        match event {
            // Said before each LIST, so it means nothing.
            Ok(watcher::Event::Init) => Duration::ZERO,
            Ok(_) => {
                self.lists = None;
                Duration::ZERO
            }
            Err(_) if refused => {
                if self.refusals > 1 {
                    REFUSED
                } else {
                    Duration::ZERO
                }
            }
            Err(watcher::Error::InitialListFailed(_)) => {
                self.lists.get_or_insert_with(list_retries).next().unwrap_or(LIST_RETRY_MAX)
            }
            Err(_) => Duration::ZERO,
        }
    }
}

fn list_retries() -> backon::ExponentialBackoff {
    let steps = ExponentialBuilder::new().with_min_delay(LIST_RETRY_FIRST).with_max_delay(LIST_RETRY_MAX);
    steps.with_jitter().without_max_times().build()
}

/// The same events; after a second refusal in a row the watch rests, since rights do not come by themselves.
/// The first may be of an API server that has just started and has not read the rights yet. After a LIST that
/// failed it rests the longer the more have failed in a row.
pub(super) fn paused<T: Send + 'static>(
    events: impl Stream<Item = Result<watcher::Event<T>, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = Result<watcher::Event<T>, watcher::Error>> + Send {
    let pauses = Pauses { refusals: 0, lists: None };
    stream::unfold((Box::pin(events), pauses, Duration::ZERO), |(mut events, mut pauses, pause)| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let event = events.next().await?;
        let pause = pauses.after(&event);
        Some((event, (events, pauses, pause)))
    })
}

/// Whether the API server said that rights are missing.
fn is_refusal(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.code == 403,
        _ => false,
    }
}

fn log_failure<K: Watched>(watched: &caches::Watched, place: usize, error: &watcher::Error) {
    let (kind, namespace) = (title::<K>(), watched.namespace(place));
    let cause = chain(error);
    if !is_refusal(error) {
        tracing::warn!(%kind, namespace, error = cause, "the watch failed and starts anew");
    } else if watched.refused(place, &kind) {
        tracing::warn!(%kind, namespace, error = cause, "rights are missing; it is tried again and again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{context, refusal, serve};

    #[tokio::test(start_paused = true)]
    async fn a_list_that_fails_again_and_again_is_asked_for_ever_more_rarely() {
        let (context, server, _wakes) = context(0);
        let (asked, _server) =
            serve(server, |_| refusal(500, "InternalError", "the database does not answer"));
        let watches = Watches {
            client: context.client.clone(),
            routes: context.routes.clone(),
            metrics: context.metrics.clone(),
            undecodable: context.undecodable.clone(),
        };
        let watch = watches.keep::<k8s_openapi::api::batch::v1::Job>();
        tokio::time::timeout(Duration::from_secs(600), watch).await.unwrap_err();
        // At 250 ms, doubled up to 30 s, and each up to twice as long.
        let lists = asked.count("GET jobs");
        assert!((12..=40).contains(&lists), "{lists} LISTs in ten minutes");
    }

    #[test]
    fn a_list_that_works_lets_the_next_failures_begin_anew() {
        let mut pauses = Pauses { refusals: 0, lists: None };
        let failure = || Err(watcher::Error::InitialListFailed(kube::Error::LinesCodecMaxLineLengthExceeded));
        let mut last = Duration::ZERO;
        for _ in 0..12 {
            last = pauses.after::<()>(&failure());
            assert_eq!(
                pauses.after::<()>(&Ok(watcher::Event::Init)),
                Duration::ZERO,
                "said before each LIST"
            );
        }
        assert!(last >= LIST_RETRY_MAX && last <= LIST_RETRY_MAX * 2, "{last:?}");
        assert_eq!(pauses.after::<()>(&Ok(watcher::Event::InitDone)), Duration::ZERO);
        assert!(pauses.after::<()>(&failure()) <= LIST_RETRY_FIRST * 2);
    }
}
