//! Changes as they come: pages ask for themselves again when something of theirs has changed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::StreamExt;
use http::Response;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use super::query::Query;
use super::watches::{Change, Watched};
use crate::api::Kind;

/// Changes within this time are one.
const TOGETHER: Duration = Duration::from_millis(500);

/// Which changes matter to a page: those of an object and of what belongs to it, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    flow: Option<String>,
    run: Option<String>,
    cluster: Option<String>,
}

impl Wanted {
    fn of(query: &Query) -> Self {
        let text = |name| query.text(name).map(str::to_owned);
        Self { flow: text("flow"), run: text("run"), cluster: text("cluster") }
    }

    fn has(&self, change: &Change, namespace: Option<&str>) -> bool {
        let is_it = |wanted: &Option<String>| wanted.as_deref() == Some(change.name.as_str());
        if namespace.is_some_and(|namespace| namespace != change.namespace) {
            return false;
        }
        if *self == Self::default() {
            return true;
        }
        match change.kind {
            Kind::Flow => is_it(&self.flow) || self.cluster.is_some(),
            Kind::FlowRun => {
                is_it(&self.run) || self.cluster.is_some() || self.flow.is_some() && self.flow == change.flow
            }
            Kind::DaskCluster => is_it(&self.cluster),
            Kind::FlowBackfill => self.flow.is_some() && self.flow == change.flow,
        }
    }
}

/// A stream of the word that something has changed. `seen` in the query is the number of changes that the
/// page has: where there were more meanwhile, that is said at once.
pub(super) fn live(watched: Arc<Watched>, query: &Query, place: OwnedSemaphorePermit) -> Response<Body> {
    let namespace = query.text("namespace").map(str::to_owned);
    let (wanted, changes) = (Wanted::of(query), watched.changes());
    let seen = query.text("seen").and_then(|seen| seen.parse::<u64>().ok());
    // A page that shows nothing yet hears when there is something.
    let is_cold = watched.is_opening();
    let is_behind = is_cold || seen.is_none_or(|seen| seen != watched.number());
    let begun = (watched, wanted, namespace, changes, is_behind, place);
    // Browsers pass over an event without data.
    let events = futures::stream::unfold(Some(begun), |state| async move {
        let (watched, wanted, namespace, mut changes, is_behind, place) = state?;
        watched.opened().await;
        let goes_on = is_behind
            || tokio::select! {
                () = next(&mut changes, &wanted, namespace.as_deref()) => true,
                () = watched.ended() => false,
            };
        if goes_on {
            sleep(TOGETHER).await;
            changes = changes.resubscribe();
        }
        let event = Event::default().event("change").data("once more");
        Some((event, goes_on.then_some((watched, wanted, namespace, changes, false, place))))
    });
    let events = events.map(Ok::<Event, std::convert::Infallible>);
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// Waits for a change that matters.
async fn next(changes: &mut Receiver<Option<Change>>, wanted: &Wanted, namespace: Option<&str>) {
    loop {
        match changes.recv().await {
            Ok(Some(change)) if !wanted.has(&change, namespace) => {}
            // Which ones are missed is not known.
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: Kind, name: &str, flow: Option<&str>) -> Change {
        Change { kind, namespace: "a".into(), name: name.into(), flow: flow.map(str::to_owned) }
    }

    #[test]
    fn a_page_hears_of_what_it_shows() {
        let of = |text: &str| Wanted::of(&Query::of(text.as_bytes()));
        let run = change(Kind::FlowRun, "etl-1", Some("etl"));
        for (wanted, expected) in [
            ("", true),
            ("flow=etl", true),
            ("flow=other", false),
            ("run=etl-1", true),
            ("run=etl-2", false),
            ("cluster=a", true),
        ] {
            assert_eq!(of(wanted).has(&run, None), expected, "{wanted}");
        }
        assert!(of("").has(&run, Some("a")) && !of("").has(&run, Some("b")));
        assert!(!of("flow=etl").has(&change(Kind::DaskCluster, "etl", None), None));
        assert!(of("cluster=etl").has(&change(Kind::DaskCluster, "etl", None), None));
        assert!(of("flow=etl").has(&change(Kind::FlowBackfill, "b", Some("etl")), None));
    }
}
