//! The schemas of pods and Services in the kinds of dask-kubernetes: the types of the fields that people
//! write most.
//!
//! A value of the wrong type, such as a number in `env`, is refused when it is written, with its field: the
//! object would be kept otherwise, and a client would wait for a cluster that cannot be made. Everything else
//! is kept as it was written. Amounts have no type here, as Kubernetes takes `0.5` for one too.
//!
//! Nothing that has a type is nullable, so that null is a field that was not written, and nothing is
//! required.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The pod of a role.
pub(super) fn pod(_: &mut SchemaGenerator) -> Schema {
    as_schema(pod_with(&text()))
}

/// The pod of a job.
pub(super) fn pod_of_job(_: &mut SchemaGenerator) -> Schema {
    as_schema(pod_with(&json!({"type": "string", "default": "OnFailure"})))
}

/// The Service of a scheduler.
pub(super) fn service(_: &mut SchemaGenerator) -> Schema {
    let port = object(&json!({
        "name": text(), "protocol": text(), "appProtocol": text(), "port": integer(), "nodePort": integer(),
        "targetPort": {"x-kubernetes-int-or-string": true},
    }));
    as_schema(object(&json!({
        "type": text(), "sessionAffinity": text(), "externalTrafficPolicy": text(), "selector": map(&text()),
        "ports": list(&port),
    })))
}

fn pod_with(restart_policy: &Value) -> Value {
    let named = || list(&object(&json!({"name": text()})));
    let toleration = object(&json!({
        "key": text(), "operator": text(), "value": text(), "effect": text(), "tolerationSeconds": integer(),
    }));
    object(&json!({
        "containers": list(&container()), "initContainers": list(&container()), "restartPolicy": restart_policy,
        "imagePullSecrets": named(), "volumes": named(), "nodeSelector": map(&text()),
        "tolerations": list(&toleration), "serviceAccountName": text(), "priorityClassName": text(),
        "hostNetwork": {"type": "boolean"}, "terminationGracePeriodSeconds": integer(),
    }))
}

fn container() -> Value {
    let port = object(&json!({
        "name": text(), "protocol": text(), "containerPort": integer(), "hostPort": integer(),
    }));
    let mount = object(&json!({
        "name": text(), "mountPath": text(), "subPath": text(), "readOnly": {"type": "boolean"},
    }));
    let amounts = || map(&json!({"x-kubernetes-preserve-unknown-fields": true}));
    object(&json!({
        "name": text(), "image": text(), "imagePullPolicy": text(), "workingDir": text(),
        "command": list(&text()), "args": list(&text()),
        "env": list(&object(&json!({"name": text(), "value": text()}))),
        "ports": list(&port), "volumeMounts": list(&mount),
        "resources": object(&json!({"requests": amounts(), "limits": amounts()})),
    }))
}

fn as_schema(value: Value) -> Schema {
    match value {
        Value::Object(fields) => fields.into(),
        _ => json_schema!({}),
    }
}

/// What is not among the properties is kept too.
fn object(properties: &Value) -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": properties})
}

fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

fn map(values: &Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn integer() -> Value {
    json!({"type": "integer"})
}
