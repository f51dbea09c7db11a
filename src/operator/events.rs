//! Tells events. One that cannot be told is logged and counted; it never fails a reconcile, and no reconcile
//! waits for it: an event is the last of all requests, and the next look at its object may be the first.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::requests::is_of_stop;
use crate::causes::chain;
use crate::daemon::clock::Clock;
use crate::plan::Note;
use crate::plan::conditions::cut;

/// The longest note that the API takes, in bytes.
const NOTE_BYTES_MAX: usize = 1_000;
/// How long the same event about the same object is counted in one object of the API, as client-go does.
const SERIES: SignedDuration = SignedDuration::from_mins(6);
/// How often those that are older are forgotten.
const SWEEP: SignedDuration = SignedDuration::from_mins(1);
/// So many wait to be published, some kilobytes each; what comes then is lost.
const WAITING_MAX: usize = 2_000;
/// So many are published at the same time.
const AT_ONCE: usize = 8;
/// The controller that reports them.
const CONTROLLER: &str = "daskflow";

/// What is told once more and not anew: the object by its uid, the reason, and the text. kube's own recorder
/// leaves out the text, so that of three runs that a Flow creates the first one would be named three times.
type Key = (Option<String>, &'static str, String);

/// An event that was told, for the next one like it.
#[derive(Clone)]
struct Told {
    event: String,
    at: Timestamp,
    count: i32,
}

/// The events that were told lately.
#[derive(Default)]
struct Lately {
    all: HashMap<Key, Told>,
    swept: Option<Timestamp>,
}

/// The teller of events. An operator has one, since repeats are counted in it.
pub(super) struct Events {
    client: Client,
    metrics: Metrics,
    clock: Clock,
    lately: Mutex<Lately>,
    queue: Sender<(Note, ObjectReference)>,
    waiting: tokio::sync::Mutex<Receiver<(Note, ObjectReference)>>,
}

impl Events {
    pub(super) fn new(client: Client, metrics: Metrics, clock: Clock) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = tokio::sync::Mutex::new(waiting);
        Self { client, metrics, clock, lately: Mutex::default(), queue, waiting }
    }

    /// One event about the object is to be told.
    pub(super) fn tell(&self, note: &Note, about: ObjectReference) {
        if self.queue.try_send((note.clone(), about)).is_err() {
            self.metrics.event_lost();
            tracing::warn!(reason = %note.reason, "an event is lost: too many wait to be published");
        }
    }

    /// Publishes what is to be told, until `done`, and then what still waits.
    pub(super) async fn publish(&self, done: &CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        stream::poll_fn(|context| waiting.poll_recv(context))
            .take_until(done.cancelled())
            .for_each_concurrent(AT_ONCE, |(note, about)| async move { self.say(&note, &about).await })
            .await;
        self.publish_all(&mut waiting).await;
    }

    /// Publishes what waits now.
    #[cfg(test)]
    pub(super) async fn publish_waiting(&self) {
        let mut waiting = self.waiting.lock().await;
        self.publish_all(&mut waiting).await;
    }

    async fn publish_all(&self, waiting: &mut Receiver<(Note, ObjectReference)>) {
        while let Ok((note, about)) = waiting.try_recv() {
            self.say(&note, &about).await;
        }
    }

    async fn say(&self, note: &Note, about: &ObjectReference) {
        if let Err(error) = self.publish_one(note, about).await {
            self.metrics.event_lost();
            if is_of_stop(&error) {
                return;
            }
            tracing::warn!(error = chain(&error), reason = %note.reason, "an event could not be published");
        }
    }

    async fn publish_one(&self, note: &Note, about: &ObjectReference) -> Result<(), kube::Error> {
        let text = cut(&note.message, NOTE_BYTES_MAX);
        let key = (about.uid.clone(), note.reason.as_str(), text.clone());
        let api =
            Api::<Event>::namespaced(self.client.clone(), about.namespace.as_deref().unwrap_or("default"));
        let now = self.clock.now();
        if let Some(before) = self.again(&key, now) {
            let series = json!({"series": {"count": before.count, "lastObservedTime": MicroTime(now)}});
            match api.patch(&before.event, &PatchParams::default(), &Patch::Merge(series)).await {
                // Somebody has deleted it.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                other => return other.map(|_| ()),
            }
        }
        let event = api.create(&PostParams::default(), &event(note, about, text, now)).await?;
        let told = Told { event: event.name_any(), at: now, count: 1 };
        self.lately.lock().unwrap_or_else(PoisonError::into_inner).all.insert(key, told);
        Ok(())
    }

    /// The same event of a short while ago, counted once more. Older ones are forgotten.
    fn again(&self, key: &Key, now: Timestamp) -> Option<Told> {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = |told: &Told| now.duration_since(told.at) < SERIES;
        // Not with each event: there may be thousands.
        if lately.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP) {
            lately.all.retain(|_, told| is_late(told));
            lately.swept = Some(now);
        }
        let told = lately.all.get_mut(key).filter(|told| is_late(told))?;
        (told.at, told.count) = (now, told.count.saturating_add(1));
        Some(told.clone())
    }
}

fn event(note: &Note, about: &ObjectReference, text: String, now: Timestamp) -> Event {
    let name = format!("{}.{:x}", about.name.as_deref().unwrap_or(CONTROLLER), now.as_nanosecond());
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: about.namespace.clone(),
            ..ObjectMeta::default()
        },
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(text),
        reason: Some(note.reason.as_str().to_owned()),
        regarding: Some(about.clone()),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(CONTROLLER.to_owned()),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::api::Reason;
    use crate::operator::testing::{context, refusal, serve};

    /// What is asked of the API server for these events, by method; its answer to a patch.
    async fn asked(notes: &[Note], patched: (u16, Value)) -> Vec<String> {
        let (context, server, _wakes) = context(1);
        let there = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "etl.1"}});
        let answer =
            move |what: &str| if what.starts_with("POST") { (201, there.clone()) } else { patched.clone() };
        let (asked, _server) = serve(server, answer);
        let about = ObjectReference {
            name: Some("etl".to_owned()),
            namespace: Some("team".to_owned()),
            uid: Some("u".to_owned()),
            ..ObjectReference::default()
        };
        for note in notes {
            context.events.tell(note, about.clone());
        }
        context.events.publish_waiting().await;
        asked.all().iter().filter_map(|what| what.split(' ').next()).map(str::to_owned).collect()
    }

    fn there() -> (u16, Value) {
        (200, json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "etl.1"}}))
    }

    #[tokio::test]
    async fn what_is_said_in_other_words_is_an_event_of_its_own() {
        let run = |name: &str| Note::normal(Reason::TickMissed, format!("the run {name} is created"));
        assert_eq!(asked(&[run("a"), run("b"), run("b")], there()).await, ["POST", "POST", "PATCH"]);
        let again = Note::normal(Reason::RunnerCreated, "the run a is created".to_owned());
        assert_eq!(asked(&[run("a"), again], there()).await, ["POST", "POST"]);
    }

    fn about(name: &str) -> ObjectReference {
        ObjectReference {
            namespace: Some("team".to_owned()),
            name: Some(name.to_owned()),
            ..Default::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_published_to_its_end_and_what_is_too_much_is_counted_as_lost() {
        let (context, server, _wakes) = context(1);
        let (asked, _server) = serve(server, |_| there());
        let note = Note::normal(Reason::RunnerCreated, "a Job".to_owned());
        for number in 0..WAITING_MAX + 3 {
            context.events.tell(&note, about(&format!("run-{number}")));
        }
        assert!(asked.all().is_empty(), "nobody has waited for one");
        let lost = "daskflow_events_lost_total 3";
        let text = context.scrape();
        assert!(text.contains(lost), "{text}");
        let done = CancellationToken::new();
        done.cancel();
        context.events.publish(&done).await;
        assert_eq!(asked.all().len(), WAITING_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_published_while_work_goes_on_and_a_few_side_by_side() {
        let (context, mut server, _wakes) = context(1);
        let done = CancellationToken::new();
        let note = Note::normal(Reason::RunnerCreated, "a Job".to_owned());
        let work = async {
            for number in 0..AT_ONCE * 2 {
                context.events.tell(&note, about(&format!("run-{number}")));
            }
            let mut replies = Vec::new();
            for _ in 0..AT_ONCE {
                replies.push(server.next_request().await.unwrap().1);
            }
            let next = tokio::time::timeout(std::time::Duration::from_secs(5), server.next_request()).await;
            assert!(next.is_err(), "no more than {AT_ONCE} at the same time");
            for reply in replies {
                crate::operator::testing::respond(reply, there());
            }
            done.cancel();
            for _ in 0..AT_ONCE {
                crate::operator::testing::respond(server.next_request().await.unwrap().1, there());
            }
        };
        futures::future::join(work, context.events.publish(&done)).await;
    }

    #[tokio::test]
    async fn an_event_that_was_deleted_is_told_anew() {
        let note = || Note::warning(Reason::TickMissed, "3 ticks".to_owned());
        let gone = refusal(404, "NotFound", "no such event");
        assert_eq!(asked(&[note(), note()], gone).await, ["POST", "PATCH", "POST"]);
    }
}
