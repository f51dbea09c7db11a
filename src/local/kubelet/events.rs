//! Events, as `kubectl describe` shows them.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, ObjectReference, Pod};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

use crate::plan::names::short_hash;

/// What writes them.
const SOURCE: &str = "daskflow-local";

/// Writes an event about an object, as events name it: with a type, a reason and a message. `identity` is
/// what tells it from others of the object: a second one with the same is not written.
pub async fn write(
    client: &Client,
    object: &Value,
    (kind, reason, message): (&str, &str, &str),
    (identity, now): (&str, Timestamp),
) {
    let word = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let name = format!("{}.{}", word("name"), short_hash(&format!("{object} {identity}"), 16));
    let event = serde_json::from_value::<Event>(json!({
        "metadata": {"name": name, "namespace": word("namespace")},
        "involvedObject": object, "type": kind, "reason": reason, "count": 1, "message": message,
        "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": SOURCE}, "reportingComponent": SOURCE,
    }));
    let Ok(event) = event else { return };
    let events: Api<Event> = Api::namespaced(client.clone(), word("namespace"));
    match events.create(&PostParams::default(), &event).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "an event could not be written");
        }
    }
}

/// The same about what has happened to a pod now.
pub async fn write_of_pod(client: &Client, pod: &Pod, event: (&str, &str, &str), now: Timestamp) {
    let Some(object) = reference(pod) else { return };
    let (_, reason, message) = event;
    write(client, &object, event, (&format!("{reason} {message} {now}"), now)).await;
}

/// How an event names an object.
pub fn reference(object: &impl Resource<DynamicType = ()>) -> Option<Value> {
    // Which version it is says nothing, and would make another event of the same.
    serde_json::to_value(ObjectReference { resource_version: None, ..object.object_ref(&()) }).ok()
}
