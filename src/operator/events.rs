//! Tells events. One that cannot be told is logged and counted; it never fails a reconcile.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::clock;
use super::failure::chain;
use super::metrics::Metrics;
use super::requests::is_of_stop;
use crate::plan::Note;
use crate::plan::conditions::cut;

/// The longest note that the API takes, in bytes.
const NOTE_BYTES_MAX: usize = 1_000;
/// How long the same event about the same object is counted in one object of the API, as client-go does.
const SERIES: SignedDuration = SignedDuration::from_mins(6);
/// The controller that reports them.
const CONTROLLER: &str = "daskflow";

/// What is told once more and not anew: the object by its uid, the reason, and the text. kube's own recorder leaves out the
/// text, so that of three runs that a Flow creates the first one would be named three times.
type Key = (Option<String>, &'static str, String);

/// An event that was told, for the next one like it.
#[derive(Clone)]
struct Told {
    event: String,
    at: Timestamp,
    count: i32,
}

/// The teller of events. There is one in a process, since repeats are counted in it.
pub(super) struct Events {
    client: Client,
    metrics: Metrics,
    told: Mutex<HashMap<Key, Told>>,
}

impl Events {
    pub(super) fn new(client: Client, metrics: Metrics) -> Self {
        Self { client, metrics, told: Mutex::default() }
    }

    /// Tells one event about the object.
    pub(super) async fn tell(&self, note: &Note, about: &ObjectReference) {
        if let Err(error) = self.publish(note, about).await {
            self.metrics.event_lost();
            if is_of_stop(&error) {
                return;
            }
            tracing::warn!(error = chain(&error), reason = %note.reason, "an event could not be published");
        }
    }

    async fn publish(&self, note: &Note, about: &ObjectReference) -> Result<(), kube::Error> {
        let text = cut(&note.message, NOTE_BYTES_MAX);
        let key = (about.uid.clone(), note.reason.as_str(), text.clone());
        let api =
            Api::<Event>::namespaced(self.client.clone(), about.namespace.as_deref().unwrap_or("default"));
        let now = clock::now();
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
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key, told);
        Ok(())
    }

    /// The same event of a short while ago, counted once more. Older ones are forgotten.
    fn again(&self, key: &Key, now: Timestamp) -> Option<Told> {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, told| now.duration_since(told.at) < SERIES);
        let told = all.get_mut(key)?;
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
            context.events.tell(note, &about).await;
        }
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

    #[tokio::test]
    async fn an_event_that_was_deleted_is_told_anew() {
        let note = || Note::warning(Reason::TickMissed, "3 ticks".to_owned());
        let gone = refusal(404, "NotFound", "no such event");
        assert_eq!(asked(&[note(), note()], gone).await, ["POST", "PATCH", "POST"]);
    }
}
