//! Tells events. One that cannot be told is logged and counted; it never fails a reconcile.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::failure::chain;
use super::metrics::Metrics;
use crate::plan::Note;
use crate::plan::conditions::cut;

/// The longest note that the API takes, in bytes.
const NOTE_BYTES_MAX: usize = 1_000;

/// The teller of events. There is one in a process, since repeats are aggregated in it.
pub(super) struct Events {
    recorder: Recorder,
    metrics: Metrics,
}

impl Events {
    pub(super) fn new(client: Client, metrics: Metrics) -> Self {
        let reporter = Reporter { controller: "daskflow".to_owned(), instance: None };
        Self { recorder: Recorder::new(client, reporter), metrics }
    }

    /// Tells one event about the object.
    pub(super) async fn tell(&self, note: &Note, about: &ObjectReference) {
        let event = Event {
            type_: if note.warning { EventType::Warning } else { EventType::Normal },
            reason: note.reason.as_str().to_owned(),
            note: Some(cut(&note.message, NOTE_BYTES_MAX)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            self.metrics.event_lost();
            tracing::warn!(error = chain(&error), reason = %note.reason, "an event could not be published");
        }
    }
}
