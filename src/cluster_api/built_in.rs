//! What this server knows of the core kinds: their types, the defaults that the operator or `kubectl` reads,
//! and the fields that do not change.
//!
//! It does not judge what a kubelet would judge (image names, quantities, probes): of a pod it wants
//! containers with names and images.

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::status::{Cause, Refusal};
use super::value::{fill, part};

/// Reads an object as one of its kind, and writes it as the kind is written; gives the paths of what the kind
/// does not know. Parts that are those of `old` were read before.
pub(super) fn typed(
    kind: &Kind,
    mut object: Value,
    old: Option<&Value>,
) -> Result<(Value, Vec<String>), Refusal> {
    let mut known = Map::new();
    // An apply reckons the managers itself, and any other write is given them.
    let managed = object.get_mut("metadata").and_then(Value::as_object_mut);
    let managed = managed.and_then(|metadata| metadata.remove("managedFields"));
    if let (Some(fields), Some(old)) = (object.as_object_mut(), old) {
        for part in ["spec", "status", "data"] {
            if fields.get(part).is_some_and(|value| old.get(part) == Some(value)) {
                known.extend(fields.remove_entry(part));
            }
        }
    }
    let (mut written, unknown) = read(kind, &object)?;
    if let (Some(managed), Some(Value::Object(metadata))) = (managed, written.get_mut("metadata")) {
        metadata.insert("managedFields".to_owned(), managed);
    }
    if let Some(fields) = written.as_object_mut() {
        fields.extend(known);
    }
    Ok((written, unknown))
}

fn read(kind: &Kind, object: &Value) -> Result<(Value, Vec<String>), Refusal> {
    let read = match kind.kind.as_str() {
        "Pod" => through::<Pod>(object),
        "Job" => through::<Job>(object),
        "Deployment" => through::<Deployment>(object),
        "Service" => through::<Service>(object),
        "ConfigMap" => through::<ConfigMap>(object),
        "Secret" => through::<Secret>(object),
        "Event" => through::<Event>(object),
        "Namespace" => through::<Namespace>(object),
        "Lease" => through::<Lease>(object),
        "NetworkPolicy" => through::<NetworkPolicy>(object),
        "ServiceAccount" => through::<ServiceAccount>(object),
        "CustomResourceDefinition" => through::<CustomResourceDefinition>(object),
        other => return Err(Refusal::not_implemented(&format!("the kind {other}"))),
    };
    let written = read.map_err(|error| {
        let (word, version) = (&kind.kind, kind.api_version());
        Refusal::bad_request(format!("{word} in version {version:?} cannot be handled as a {word}: {error}"))
    })?;
    let mut unknown = Vec::new();
    differ(object, &written, "", &mut unknown);
    Ok((written, unknown))
}

fn through<K: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(K::deserialize(object)?)
}

/// The paths of what is in `given` and was not `read`.
fn differ(given: &Value, read: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => {
            for (name, value) in given {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match read.get(name) {
                    Some(read) => differ(value, read, &path, unknown),
                    None if value.is_null() => {}
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(read)) => {
            for (index, (given, read)) in given.iter().zip(read).enumerate() {
                differ(given, read, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Fills in what the API server does.
///
/// `number` is for the address of a Service that has none yet.
pub(super) fn fill_in(kind: &Kind, object: &mut Value, number: u64) {
    match kind.kind.as_str() {
        "Pod" => {
            pod_spec(part(object, "spec"), "Always");
            let status = part(object, "status");
            fill(status, "phase", json!("Pending"));
            fill(status, "qosClass", json!("BestEffort"));
        }
        "Job" => job(object),
        "Deployment" => {
            let spec = part(object, "spec");
            fill(spec, "replicas", json!(1));
            pod_spec(part(part(spec, "template"), "spec"), "Always");
        }
        "Service" => service(part(object, "spec"), number),
        "Secret" => secret(object),
        "Namespace" => {
            let name = object.pointer("/metadata/name").cloned().unwrap_or_default();
            let metadata = part(object, "metadata");
            part(metadata, "labels")["kubernetes.io/metadata.name"] = name;
            fill(part(object, "spec"), "finalizers", json!(["kubernetes"]));
            fill(part(object, "status"), "phase", json!("Active"));
        }
        _ => {}
    }
}

fn pod_spec(spec: &mut Value, restart: &str) {
    for (field, value) in [
        ("restartPolicy", json!(restart)),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("securityContext", json!({})),
    ] {
        fill(spec, field, value);
    }
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            let tag = image.rsplit('/').next().unwrap_or_default().split_once(':').map(|(_, tag)| tag);
            let pull = if image.contains('@') || tag.is_some_and(|tag| tag != "latest") {
                "IfNotPresent"
            } else {
                "Always"
            };
            fill(container, "imagePullPolicy", json!(pull));
            fill(container, "resources", json!({}));
            fill(container, "terminationMessagePath", json!("/dev/termination-log"));
            fill(container, "terminationMessagePolicy", json!("File"));
            protocols(container);
        }
    }
}

fn protocols(of: &mut Value) {
    for port in of.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        fill(port, "protocol", json!("TCP"));
    }
}

fn job(object: &mut Value) {
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    let spec = part(object, "spec");
    if spec.get("parallelism").is_none_or(Value::is_null) {
        fill(spec, "completions", json!(1));
    }
    for (field, value) in [
        ("backoffLimit", json!(6)),
        ("parallelism", json!(1)),
        ("completionMode", json!("NonIndexed")),
        ("manualSelector", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
        ("suspend", json!(false)),
    ] {
        fill(spec, field, value);
    }
    if let (Some(uid), Some(name), None) = (metadata.get("uid"), metadata.get("name"), spec.get("selector")) {
        spec["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
        let labels = part(part(part(spec, "template"), "metadata"), "labels");
        for (label, value) in [
            ("batch.kubernetes.io/controller-uid", uid),
            ("batch.kubernetes.io/job-name", name),
            ("controller-uid", uid),
            ("job-name", name),
        ] {
            fill(labels, label, value.clone());
        }
    }
    // Which restart policy it has is the author's to say: `Always` is refused.
    pod_spec(part(part(spec, "template"), "spec"), "Always");
}

fn service(spec: &mut Value, number: u64) {
    for (field, value) in [
        ("type", json!("ClusterIP")),
        ("sessionAffinity", json!("None")),
        ("internalTrafficPolicy", json!("Cluster")),
        ("clusterIP", json!(format!("10.96.{}.{}", number / 250 % 250, number % 250 + 1))),
    ] {
        fill(spec, field, value);
    }
    let address = spec.get("clusterIP").cloned();
    fill(spec, "clusterIPs", json!([address]));
    protocols(spec);
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let number = port.get("port").cloned().unwrap_or_default();
        fill(port, "targetPort", number);
    }
}

/// The number that the address of a Service was made of.
pub(super) fn number_of(service: &Value) -> Option<u64> {
    let address = service.pointer("/spec/clusterIP")?.as_str()?.strip_prefix("10.96.")?;
    let (high, low) = address.split_once('.')?;
    Some(high.parse::<u64>().ok()? * 250 + low.parse::<u64>().ok()?.checked_sub(1)?)
}

/// An update that says nothing of its address leaves a Service the one that it has.
pub(super) fn keep_address(old: &Value, object: &mut Value) {
    for field in ["clusterIP", "clusterIPs"] {
        if let Some(address) = old.pointer("/spec").and_then(|spec| spec.get(field)) {
            fill(part(object, "spec"), field, address.clone());
        }
    }
}

/// `stringData` is for writing only.
fn secret(object: &mut Value) {
    fill(object, "type", json!("Opaque"));
    let plain = object.as_object_mut().and_then(|fields| fields.remove("stringData"));
    let Some(Value::Object(plain)) = plain else { return };
    for (name, text) in plain {
        let bytes = ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        part(object, "data")[name] = json!(bytes);
    }
}

/// What is wrong with an object that takes the place of `old`, if there was one.
pub(super) fn violations(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<Cause> {
    match kind.kind.as_str() {
        "Pod" | "Job" if old.is_some_and(|old| old.get("spec") == object.get("spec")) => Vec::new(),
        "Pod" => {
            let mut found = pod_violations(object.get("spec"), "spec");
            if old.is_some_and(|old| fixed_of_pod(old) != fixed_of_pod(object)) {
                let message = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
                               `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only \
                               additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to \
                               be set to 1 if it was previously negative)";
                found.push(Cause::new("FieldValueForbidden", "spec", message));
            }
            found
        }
        "Job" => job_violations(object, old),
        "Deployment" => deployment_violations(object, old),
        "ConfigMap" | "Secret" => {
            let frozen = |object: &Value| object.get("immutable") == Some(&Value::Bool(true));
            let data = |object: &Value| (object.get("data").cloned(), object.get("binaryData").cloned());
            let is_broken =
                old.is_some_and(|old| frozen(old) && (!frozen(object) || data(old) != data(object)));
            let message = "Forbidden: field is immutable when `immutable` is set";
            let mut found = Vec::new();
            if is_broken {
                found.push(Cause::new("FieldValueForbidden", "data", message));
            }
            let kind_of = |object: &Value| object.get("type").cloned().unwrap_or_default();
            if old.is_some_and(|old| kind_of(old) != kind_of(object)) {
                found.push(Cause::invalid("type", &kind_of(object), "field is immutable"));
            }
            found
        }
        _ => Vec::new(),
    }
}

fn pod_violations(spec: Option<&Value>, path: &str) -> Vec<Cause> {
    let mut found = Vec::new();
    let list = |field: &str| {
        let list = spec.and_then(|spec| spec.get(field)).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    if list("containers").is_empty() {
        found.push(Cause::required(format!("{path}.containers"), ""));
    }
    for field in ["containers", "initContainers"] {
        for (index, container) in list(field).iter().enumerate() {
            for key in ["name", "image"] {
                if container.get(key).and_then(Value::as_str).unwrap_or_default().is_empty() {
                    found.push(Cause::required(format!("{path}.{field}[{index}].{key}"), ""));
                }
            }
        }
    }
    found
}

/// A pod's spec without what may change.
fn fixed_of_pod(pod: &Value) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    if let Some(fields) = spec.as_object_mut() {
        for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName"] {
            fields.remove(field);
        }
        for list in ["containers", "initContainers"] {
            for container in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                container.as_object_mut().map(|container| container.remove("image"));
            }
        }
    }
    spec
}

fn job_violations(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let spec = |object: &Value, field: &str| {
        object.get("spec").and_then(|spec| spec.get(field)).cloned().unwrap_or_default()
    };
    let template = spec(object, "template");
    let mut found = pod_violations(template.get("spec"), "spec.template.spec");
    let restart = template.pointer("/spec/restartPolicy").cloned().unwrap_or_default();
    if restart != "Never" && restart != "OnFailure" {
        let message = format!("Unsupported value: {restart}: supported values: \"OnFailure\", \"Never\"");
        found.push(Cause::new("FieldValueNotSupported", "spec.template.spec.restartPolicy", message));
    }
    if spec(object, "completions").is_null() {
        let message = "a Job with parallelism and without completions takes its work from a queue, which is no part \
                       of the API in this process: write how many pods must succeed";
        found.push(Cause::required("spec.completions", message));
    }
    for field in ["completionMode", "completions", "selector", "template"] {
        // A Job that has not begun may be told where it runs.
        let may_change = field == "template" && old.is_some_and(|old| spec(old, "suspend") == json!(true));
        if old.is_some_and(|old| !may_change && spec(old, field) != spec(object, field)) {
            let path = format!("spec.{field}");
            found.push(Cause::invalid(path, &spec(object, field), "field is immutable"));
        }
    }
    found
}

/// Nothing here makes pods of a Deployment, so that one is taken only where none would be made.
fn deployment_violations(object: &Value, old: Option<&Value>) -> Vec<Cause> {
    let spec = |object: &Value| object.get("spec").cloned().unwrap_or_default();
    let (now, mut found) = (spec(object), Vec::new());
    if now.get("paused") != Some(&Value::Bool(true)) {
        let message =
            "the API in this process makes no pods of a Deployment: only one that is paused is kept";
        found.push(Cause::required("spec.paused", message));
    }
    let selected = now.pointer("/selector/matchLabels").and_then(Value::as_object);
    let labels = now.pointer("/template/metadata/labels").and_then(Value::as_object);
    if !selected.into_iter().flatten().all(|(key, value)| labels.and_then(|all| all.get(key)) == Some(value))
    {
        let labels = now.pointer("/template/metadata/labels").cloned().unwrap_or_default();
        let message = "`selector` does not match template `labels`";
        found.push(Cause::invalid("spec.template.metadata.labels", &labels, message));
    }
    if old.is_some_and(|old| spec(old).get("selector") != now.get("selector")) {
        let selector = now.get("selector").cloned().unwrap_or_default();
        found.push(Cause::invalid("spec.selector", &selector, "field is immutable"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_api::kinds;

    fn pods() -> &'static Kind {
        kinds::find("", "v1", "pods").unwrap()
    }

    fn pod() -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
            "spec": {"containers": [{"name": "main", "image": "dask:2026.1", "ports": [{"containerPort": 80}]}]}
        })
    }

    #[test]
    fn unknown_fields_are_named_and_wrong_types_refused() {
        let mut object = pod();
        object["spec"]["colour"] = json!("red");
        object["spec"]["containers"][0]["shape"] = json!(1);
        object["spec"]["nodeName"] = Value::Null;
        let (read, mut unknown) = typed(pods(), object.clone(), None).unwrap();
        unknown.sort();
        assert_eq!(unknown, ["spec.colour", "spec.containers[0].shape"]);
        assert_eq!(read["spec"].get("colour"), None);
        let mut object = pod();
        object["spec"]["containers"] = json!("none");
        assert_eq!(typed(pods(), object, None).unwrap_err().code, 400);
    }

    #[test]
    fn a_pod_gets_what_the_api_server_fills_in() {
        let mut object = pod();
        fill_in(pods(), &mut object, 1);
        assert_eq!(object["status"]["phase"], "Pending");
        assert_eq!(object["spec"]["terminationGracePeriodSeconds"], 30);
        let container = &object["spec"]["containers"][0];
        assert_eq!(
            (&container["imagePullPolicy"], &container["ports"][0]["protocol"]),
            (&json!("IfNotPresent"), &json!("TCP"))
        );
    }

    #[test]
    fn of_a_pod_only_little_changes() {
        let old = pod();
        let mut new = pod();
        new["spec"]["activeDeadlineSeconds"] = json!(1);
        assert!(violations(pods(), &new, Some(&old)).is_empty());
        new["spec"]["containers"][0]["command"] = json!(["x"]);
        assert_eq!(violations(pods(), &new, Some(&old)).len(), 1);
        new["spec"]["containers"] = json!([]);
        assert_eq!(violations(pods(), &new, None)[0].field, "spec.containers");
    }

    #[test]
    fn a_job_gets_a_selector_and_keeps_its_template() {
        let jobs = kinds::find("batch", "v1", "jobs").unwrap();
        let mut job =
            json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": pod()["spec"]}}});
        job["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
        fill_in(jobs, &mut job, 1);
        assert_eq!(job["spec"]["template"]["metadata"]["labels"]["job-name"], "j");
        assert!(violations(jobs, &job, None).is_empty());
        let mut other = job.clone();
        other["spec"]["template"]["metadata"]["labels"]["job-name"] = json!("k");
        other["spec"]["backoffLimit"] = json!(0);
        let said = violations(jobs, &other, Some(&job));
        assert_eq!((said.len(), said[0].field.as_str()), (1, "spec.template"));
    }

    #[test]
    fn a_deployment_is_kept_where_it_makes_no_pods() {
        let deployments = kinds::find("apps", "v1", "deployments").unwrap();
        let mut paused = json!({"metadata": {"name": "d"}, "spec": {
            "paused": true, "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]},
        }});
        fill_in(deployments, &mut paused, 1);
        assert!(violations(deployments, &paused, None).is_empty());
        for (field, wrong) in [("paused", json!(false)), ("selector", json!({"matchLabels": {"a": "c"}}))] {
            let mut other = paused.clone();
            other["spec"][field] = wrong;
            assert!(!violations(deployments, &other, Some(&paused)).is_empty(), "{field}");
        }
    }

    #[test]
    fn plain_texts_of_a_secret_become_data() {
        let secrets = kinds::find("", "v1", "secrets").unwrap();
        let mut object = json!({"metadata": {"name": "s"}, "stringData": {"a": "b"}});
        fill_in(secrets, &mut object, 1);
        assert_eq!(object, json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"a": "Yg=="}}));
    }
}
