//! Tells the people of an object that the operator cannot read: in its conditions, and by an event.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::api::{Api, DynamicObject, GetParams};
use kube::core::Request;
use serde_json::{Value, json};

use super::register::{Id, Problem, Register, reference};
use crate::api::{ConditionType, Phase, Reason};
use crate::causes::chain;
use crate::daemon::clock::Clock;
use crate::operator::caches::bounded::{LEVELS_MAX, Shallow};
use crate::operator::events::Events;
use crate::operator::failure::{Disposition, Error};
use crate::operator::leader::Claim;
use crate::operator::status;
use crate::plan::Note;
use crate::plan::conditions::{Failure, failing};

/// When what could not be told is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Tells them while this process leads, for as long as it is polled.
pub(in crate::operator) async fn tell_all(
    (client, clock): (&Client, &Clock),
    register: &Register,
    events: &Events,
    claim: &Claim,
) {
    claim.begins().await;
    loop {
        for (id, problem) in register.untold() {
            match tell((client, events), &id, (&problem, clock.now())).await {
                Ok(()) => register.is_told(&id, &problem),
                Err(error) => {
                    let (kind, namespace, name) = &id;
                    tracing::warn!(
                        kind,
                        namespace,
                        name,
                        error = chain(&error),
                        "its conditions could not be written"
                    );
                }
            }
        }
        // It times out where something was not told, and does no harm where nothing was.
        let _ = tokio::time::timeout(AGAIN, register.changed()).await;
    }
}

async fn tell(
    (client, events): (&Client, &Events),
    id: &Id,
    (problem, now): (&Problem, Timestamp),
) -> Result<(), Error> {
    let text = format!("the operator cannot read this object, and leaves it alone: {}", problem.error);
    let is_ours = problem.resource.group == crate::api::GROUP;
    let written = if is_ours { write_conditions(client, id, (problem, now), &text).await } else { Ok(true) };
    match written {
        Ok(true) => {}
        Ok(false) => return Ok(()),
        // A status that the API server refuses keeps nobody from the event, and is not written again and
        // again.
        Err(error) if error.disposition() == Disposition::Lasting => {
            tracing::warn!(
                error = chain(&error),
                "the conditions of an object that does not decode are refused"
            );
        }
        Err(error) => return Err(error),
    }
    events.tell(&Note::warning(Reason::Unreadable, text), reference(id, problem));
    Ok(())
}

/// Writes that it does not decode into its conditions, beside the status that it has. Whether that is news:
/// it is not where it stands there already, or the object is gone or another.
async fn write_conditions(
    client: &Client,
    id: &Id,
    (problem, now): (&Problem, Timestamp),
    text: &str,
) -> Result<bool, Error> {
    let (_, namespace, name) = id;
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &problem.resource);
    let objects = Request::new(api.resource_url());
    let request = objects.get(name, &GetParams::default()).map_err(kube::Error::BuildRequest)?;
    let Shallow(object) = match client.request(request).await {
        Err(kube::Error::Api(answer)) if answer.is_not_found() => return Ok(false),
        answer => answer?,
    };
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    if metadata.get("uid").and_then(Value::as_str) != problem.uid.as_deref() {
        return Ok(false);
    }
    // What has ended says how for good.
    let phase = object.pointer("/status/phase").and_then(|phase| serde_json::from_value(phase.clone()).ok());
    if phase.is_some_and(Phase::is_final) {
        return Ok(false);
    }
    let Some(status) = stalled(&object, text, now) else { return Ok(true) };
    if Some(&status) == object.get("status") {
        return Ok(false);
    }
    let version = metadata.get("resourceVersion").and_then(Value::as_str);
    let (params, patch) = status::over(version, &status)?;
    let request = objects.patch_subresource("status", name, &params, &patch);
    let request = request.map_err(kube::Error::BuildRequest)?;
    // Its answer is the object, as deep as it is.
    client.request::<Shallow>(request).await?;
    Ok(true)
}

/// The status of an object, with conditions that say this; nothing where the status itself is too deep to be
/// written again.
fn stalled(object: &Value, text: &str, now: Timestamp) -> Option<Value> {
    let mut status = object.get("status").cloned().unwrap_or_else(|| json!({}));
    if levels(&status) + 1 >= LEVELS_MAX {
        return None;
    }
    let old: Vec<Condition> = status
        .get("conditions")
        .and_then(|conditions| serde_json::from_value(conditions.clone()).ok())
        .unwrap_or_default();
    let failure = Failure {
        reason: Reason::Unreadable,
        message: text.to_owned(),
        lasting: true,
        spares_what_serves: false,
    };
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let mut conditions = failing((&old, &old), generation, now, &failure);
    if object.get("kind").and_then(Value::as_str) == Some("FlowRun") {
        conditions.retain(|condition| condition.type_ != ConditionType::Ready.as_str());
    }
    status.as_object_mut()?.insert("conditions".to_owned(), serde_json::to_value(conditions).ok()?);
    Some(status)
}

/// How many levels of lists and maps there are.
fn levels(value: &Value) -> usize {
    let below = |values: &mut dyn Iterator<Item = &Value>| 1 + values.map(levels).max().unwrap_or(0);
    match value {
        Value::Array(items) => below(&mut items.iter()),
        Value::Object(fields) => below(&mut fields.values()),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;

    use super::*;
    use crate::operator::testing::{context, serve};

    fn run(status: &Value) -> Value {
        let mut parameters = json!(1);
        for _ in 0..200 {
            parameters = json!({"a": parameters});
        }
        json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun",
            "metadata": {"name": "deep", "namespace": "team", "uid": "u", "resourceVersion": "7", "generation": 2},
            "spec": {"flow": "etl", "parameters": parameters}, "status": status})
    }

    fn id() -> Id {
        ("FlowRun".to_owned(), "team".to_owned(), "deep".to_owned())
    }

    fn problem() -> Problem {
        let resource = ApiResource::erase::<crate::api::FlowRun>(&());
        Problem { resource, uid: Some("u".to_owned()), error: "too deep".to_owned() }
    }

    async fn asked(status: &Value) -> Vec<String> {
        let (context, server, _wakes) = context(1);
        let event =
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "deep.1"}});
        let object = run(status);
        let answer = move |what: &str| match what {
            "GET deep" | "PATCH deep" => (200, object.clone()),
            _ => (201, event.clone()),
        };
        let (asked, _server) = serve(server, answer);
        tell((&context.client, &context.events), &id(), (&problem(), context.clock.now())).await.unwrap();
        context.events.publish_waiting().await;
        asked.all().iter().map(|what| what.split(' ').next().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn an_object_is_told_once_that_it_cannot_be_read() {
        assert_eq!(asked(&json!({"phase": "Queued"})).await, ["GET", "PATCH", "POST"]);
        let told = stalled(
            &run(&json!({"phase": "Queued"})),
            "the operator cannot read this object, and leaves it alone: too deep",
            Timestamp::UNIX_EPOCH,
        )
        .unwrap();
        assert_eq!(told["phase"], "Queued", "the status that it has is written again");
        let words: Vec<_> = told["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|condition| {
                (
                    condition["type"].as_str().unwrap(),
                    condition["status"].as_str().unwrap(),
                    condition["reason"].as_str().unwrap(),
                )
            })
            .collect();
        assert!(words.contains(&("Stalled", "True", "Unreadable")), "{words:?}");
        assert!(words.iter().all(|(kind, ..)| *kind != "Ready"), "a run has no such condition: {words:?}");
        assert_eq!(asked(&told).await, ["GET"], "by the leader before this one");
    }

    #[tokio::test]
    async fn a_run_that_has_ended_stays_as_it_ended() {
        assert_eq!(asked(&json!({"phase": "Succeeded"})).await, ["GET"]);
    }

    #[tokio::test]
    async fn a_status_that_is_too_deep_itself_is_left_and_the_event_tells() {
        let mut deep = json!(1);
        for _ in 0..LEVELS_MAX {
            deep = json!({"a": deep});
        }
        assert_eq!(asked(&json!({"mergedParameters": deep})).await, ["GET", "POST"]);
    }

    #[test]
    fn what_was_told_is_not_told_again_until_it_is_another_fault() {
        let register = Register::default();
        register.put(id(), problem());
        let untold = register.untold();
        assert_eq!(untold.len(), 1);
        register.is_told(&untold[0].0, &untold[0].1);
        register.put(id(), problem());
        assert_eq!(register.untold(), []);
        assert_eq!(register.names(), "FlowRun team/deep");
        register.put(id(), Problem { error: "of another type".to_owned(), ..problem() });
        assert_eq!(register.untold().len(), 1);
        register.remove(&id());
        assert_eq!((register.untold().len(), register.names()), (0, String::new()));
    }
}
