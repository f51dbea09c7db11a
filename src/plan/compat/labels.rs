//! Labels and annotations.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};

use super::remark::Notes;
use super::theirs::Extra;

/// What begins so belongs to the object that it is on, or to the operator that writes it.
const NOT_OF_OBJECTS: [&str; 3] = ["kopf.zalando.org/", "kopf.dev/", "kubectl.kubernetes.io/"];
/// What begins so belongs to the object alone: tools by which it is applied would take the pods for theirs,
/// and the rest is written on pods by the operator.
const NOT_OF_PODS: [&str; 7] = [
    "app.kubernetes.io/",
    "argocd.argoproj.io/",
    "dask.org/",
    "helm.sh/",
    "helm.toolkit.fluxcd.io/",
    "kustomize.toolkit.fluxcd.io/",
    "meta.helm.sh/",
];
/// What begins so says of an object in a cluster to which application of Argo CD it belongs. A new object
/// with it would be one too many there, and be deleted.
const OF_APPLICATIONS: [&str; 2] = ["app.kubernetes.io/instance", "argocd.argoproj.io/"];

type Words = BTreeMap<String, String>;

/// The metadata of an object of ours: what a user has written of that of theirs.
pub(super) fn of_object(theirs: &ObjectMeta) -> ObjectMeta {
    let kept = |words: &Option<Words>| {
        let is_kept = |key: &str| !begins_with(key, &NOT_OF_OBJECTS) && !is_of_application(theirs, key);
        let kept = words.iter().flatten().filter(|(key, _)| is_kept(key));
        let kept: Words = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        (!kept.is_empty()).then_some(kept)
    };
    ObjectMeta {
        name: theirs.name.clone(),
        generate_name: theirs.generate_name.clone().filter(|_| theirs.name.is_none()),
        namespace: theirs.namespace.clone(),
        labels: kept(&theirs.labels),
        annotations: kept(&theirs.annotations),
        ..ObjectMeta::default()
    }
}

/// Says what [`of_object`] leaves out that its reader may miss. `notes` are of the object.
pub(super) fn say_left_out(theirs: &ObjectMeta, notes: &mut Notes) {
    for (field, words) in [("labels", &theirs.labels), ("annotations", &theirs.annotations)] {
        let keys = words.iter().flatten().map(|(key, _)| key);
        for key in keys.filter(|key| is_of_application(theirs, key)) {
            let message = "left out, as a cluster printed this object: by it Argo CD takes the new one for a part of an application \
                           that does not have it, and may delete it";
            notes.changed(&format!("metadata.{field}[{key}]"), "metadata", message);
        }
    }
}

/// Whether it says of an object that lives to which application it belongs.
fn is_of_application(theirs: &ObjectMeta, key: &str) -> bool {
    theirs.uid.is_some() && begins_with(key, &OF_APPLICATIONS)
}

/// The labels and annotations of an object that all its pods have.
pub(super) fn of_pods(theirs: &ObjectMeta) -> Extra {
    let kept = |words: &Option<Words>| {
        let is_kept = |key: &str| !begins_with(key, &NOT_OF_OBJECTS) && !begins_with(key, &NOT_OF_PODS);
        let kept = words.iter().flatten().filter(|(key, _)| is_kept(key));
        Some(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    Extra { labels: kept(&theirs.labels), annotations: kept(&theirs.annotations) }
}

/// The same as the `metadata` of a pod template; none where there is nothing.
pub(super) fn template(extra: Option<&Extra>) -> Option<Value> {
    let extra = extra?;
    let parts = [("annotations", &extra.annotations), ("labels", &extra.labels)];
    let parts = parts.into_iter().filter_map(|(name, words)| {
        let words = words.as_ref().filter(|words| !words.is_empty())?;
        Some((name.to_owned(), json!(words)))
    });
    let parts: Map<String, Value> = parts.collect();
    (!parts.is_empty()).then_some(Value::Object(parts))
}

/// Annotations of the Service of a scheduler: those of the object, and over them the scheduler's.
pub(super) fn of_service(theirs: &ObjectMeta, scheduler: Option<&Extra>) -> Words {
    let mut all = of_pods(theirs).annotations.unwrap_or_default();
    all.extend(scheduler.and_then(|extra| extra.annotations.clone()).unwrap_or_default());
    all
}

fn begins_with(key: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| key.starts_with(prefix))
}
