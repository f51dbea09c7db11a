//! What an API server does to an object of a defined kind before it keeps it: it drops what the kind does not
//! know, fills in the defaults, and refuses what breaks the schema or a rule.
//!
//! [`super::check`] is for people, who want to hear of everything at once with the lines that it stands on;
//! this is for [`crate::cluster_api`], which answers as the API server does.

use serde_json::Value;

use super::schemas::{DASK_KUBERNETES, KindSchema, SCHEMAS};
use super::way::Way;
use super::{rules, schema};
use crate::api::{Kind, dask_kubernetes};
use crate::plan::field::{FieldPath, Step};
use crate::plan::reading::write_whole;

/// A rule of its kind that an object breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field.
    pub field: String,
    /// What the field has, if it is there.
    pub value: Option<Value>,
    /// What is wrong with it.
    pub message: String,
    /// Whether a CEL rule says so, rather than the schema.
    pub by_rule: bool,
}

/// A kind that a definition of this program describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defined {
    /// One of ours.
    Ours(Kind),
    /// One of dask-kubernetes, by its word.
    DaskKubernetes(&'static str),
}

impl Defined {
    /// The kind of this group and word, if there is one.
    pub fn named(group: &str, word: &str) -> Option<Self> {
        if group == dask_kubernetes::GROUP {
            let mut words = dask_kubernetes::KINDS.into_iter();
            return words.find(|known| *known == word).map(Self::DaskKubernetes);
        }
        Kind::named(group, word).map(Self::Ours)
    }
}

fn of(kind: Defined) -> Option<&'static KindSchema> {
    match kind {
        Defined::Ours(kind) => SCHEMAS.get(kind.as_str()),
        Defined::DaskKubernetes(word) => DASK_KUBERNETES.get(word),
    }
}

/// The schema of a kind, with that of its metadata.
pub fn schema(kind: Defined) -> Option<&'static Value> {
    of(kind).map(|schema| &schema.openapi)
}

/// Drops the fields that the kind does not know, and gives their paths. Fields that are null and may not be
/// count as not given, and 2.0 is 2 where an integer is wanted. What is as in `old` was looked at before.
pub fn prune(kind: Defined, object: &mut Value, old: Option<&Value>) -> Vec<String> {
    let mut dropped = Vec::new();
    if let Some(schema) = schema(kind) {
        write_integers(schema, object);
        schema::prune_nulls(schema, object, old);
        prune_value(&Way::Root, schema, object, (old, &mut dropped));
    }
    dropped
}

fn write_integers(schema: &Value, value: &mut Value) {
    match value {
        Value::Number(_) if schema.get("type").and_then(Value::as_str) == Some("integer") => {
            write_whole(value);
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                if let Some(schema) = schema::schema_of(schema, name) {
                    write_integers(schema, field);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    write_integers(schema, item);
                }
            }
        }
        _ => {}
    }
}

fn prune_value(
    way: &Way<'_>,
    schema: &Value,
    value: &mut Value,
    (old, dropped): (Option<&Value>, &mut Vec<String>),
) {
    if old == Some(value) {
        return;
    }
    let keeps = schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true);
    match value {
        Value::Object(fields) => fields.retain(|name, field| {
            let way = way.field(name);
            match schema::schema_of(schema, name) {
                Some(schema) => {
                    prune_value(&way, schema, field, (old.and_then(|old| old.get(name)), dropped));
                    true
                }
                None if keeps => true,
                None => {
                    dropped.push(way.path().to_string());
                    false
                }
            }
        }),
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter_mut().enumerate() {
                    let old = old.and_then(|old| old.get(index));
                    prune_value(&way.item(index), schema, item, (old, dropped));
                }
            }
        }
        _ => {}
    }
}

/// Fills in what the schema has a default for and the object does not say. What is as in `old` has its own.
pub fn fill_in(kind: Defined, object: &mut Value, old: Option<&Value>) {
    if let Some(schema) = schema(kind) {
        schema::fill_in(schema, object, old);
    }
}

/// What is wrong with an object that takes the place of `old`, if there was one, which was admitted itself.
pub fn violations(kind: Defined, object: &Value, old: Option<&Value>) -> Vec<Violation> {
    let Some(known) = of(kind) else { return Vec::new() };
    let mut by_schema = schema::findings_of_change(&known.openapi, object, old);
    by_schema.retain(|finding| {
        let is_of_time = finding.message.starts_with("must be of type date-time");
        !(is_of_time && finding.path.get(object).is_some_and(is_far_off))
    });
    // The API server asks no rule of an object that is not of the right shape.
    let by_rule =
        if by_schema.is_empty() { rules::findings(&known.rules, object, old, true) } else { Vec::new() };
    let said = by_schema.into_iter().map(|finding| (finding, false));
    said.chain(by_rule.into_iter().map(|finding| (finding, true)))
        .map(|(finding, by_rule)| {
            // No rule may stand at metadata: one about the name is one of the object as a whole.
            let path =
                if by_rule && is_of_metadata(&finding.path) { FieldPath::default() } else { finding.path };
            Violation {
                field: path.to_string(),
                value: path.get(object).cloned(),
                message: finding.message,
                by_rule,
            }
        })
        .collect()
}

fn is_of_metadata(path: &FieldPath) -> bool {
    matches!(path.steps().first(), Some(Step::Field(name)) if name == "metadata")
}

/// Whether this is one of the last instants of the year 9999, which cannot be reckoned with here. To the API
/// server it is an instant as any other, and it asks the rules about it.
fn is_far_off(value: &Value) -> bool {
    let rest = value
        .as_str()
        .and_then(|text| ["9999-12-30", "9999-12-31"].iter().find_map(|day| text.strip_prefix(day)));
    rest.is_some_and(|rest| schema::is_date_time(&format!("9999-12-29{rest}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RUN: Defined = Defined::Ours(Kind::FlowRun);

    fn run(spec: Value) -> Value {
        let mut run =
            json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": "FlowRun", "metadata": {"name": "etl-1"}});
        run["spec"] = spec;
        run
    }

    #[test]
    fn what_the_kind_does_not_know_is_dropped_and_what_is_opaque_stays() {
        let mut object = run(json!({"flow": "etl", "colour": 1, "parameters": {"any": {"thing": 1}}}));
        object["metadata"]["shape"] = json!("round");
        let mut dropped = prune(RUN, &mut object, None);
        dropped.sort();
        assert_eq!(dropped, ["metadata.shape", "spec.colour"]);
        assert_eq!(object["spec"], json!({"flow": "etl", "parameters": {"any": {"thing": 1}}}));
    }

    #[test]
    fn defaults_are_filled_in_and_go_on_inside_of_them() {
        let mut cluster = json!({"metadata": {"name": "dask"}, "spec": {"image": "dask:1"}});
        fill_in(Defined::Ours(Kind::DaskCluster), &mut cluster, None);
        assert_eq!(cluster["status"]["observedGeneration"], json!(crate::api::UNSEEN));
        assert!(cluster["spec"]["workers"]["drain"].is_string(), "{cluster}");
    }

    #[test]
    fn what_the_client_of_dask_kubernetes_leaves_open_is_filled_in() {
        let kind = Defined::named("kubernetes.dask.org", "DaskCluster").unwrap();
        let pod = json!({"containers": [{"name": "worker", "anything": 1}], "another": [1]});
        let written = json!({"containers": [{"name": "worker", "env": null, "anything": 1}], "another": [1]});
        let mut cluster = json!({"metadata": {"name": "A.b"}, "spec": {
            "idleTimeout": null, "worker": {"replicas": null, "spec": written}, "scheduler": {"spec": written, "service": {}},
        }});
        assert_eq!(prune(kind, &mut cluster, None), [""; 0]);
        fill_in(kind, &mut cluster, None);
        assert_eq!(violations(kind, &cluster, None), Vec::new());
        let spec = &cluster["spec"];
        assert_eq!((&spec["idleTimeout"], &spec["worker"]["replicas"]), (&json!(0), &json!(1)));
        assert_eq!(spec["worker"]["spec"], pod);
        cluster["spec"]["worker"].as_object_mut().unwrap().remove("spec");
        assert_eq!(violations(kind, &cluster, None)[0].field, "spec.worker.spec");
        assert_eq!(Defined::named("daskflow.dev", "DaskCluster"), Some(Defined::Ours(Kind::DaskCluster)));
        assert_eq!(Defined::named("kubernetes.dask.org", "Flow"), None);
    }

    #[test]
    fn a_pod_of_dask_kubernetes_with_a_value_of_another_type_is_refused_with_its_field() {
        let kind = Defined::named("kubernetes.dask.org", "DaskWorkerGroup").unwrap();
        let said = |container: Value| {
            let pod = json!({"containers": [container]});
            let mut group =
                json!({"metadata": {"name": "a"}, "spec": {"cluster": "a", "worker": {"spec": pod}}});
            assert_eq!(prune(kind, &mut group, None), [""; 0]);
            fill_in(kind, &mut group, None);
            let said = violations(kind, &group, None);
            said.into_iter().map(|violation| violation.field).collect::<Vec<_>>().join(" ")
        };
        for (container, field) in [
            (json!({"env": [{"name": "A", "value": "1"}, {"name": "N", "value": 2}]}), "env[1].value"),
            (json!({"args": ["dask-worker", 8788]}), "args[1]"),
            (json!({"command": "dask-worker"}), "command"),
            (json!({"image": 1}), "image"),
            (json!({"ports": [{"containerPort": "8788"}]}), "ports[0].containerPort"),
            (json!({"resources": "small"}), "resources"),
        ] {
            assert_eq!(said(container), format!("spec.worker.spec.containers[0].{field}"));
        }
        let amounts = json!({"cpu": 0.5, "memory": "2Gi", "nvidia.com/gpu": 1});
        for container in [
            json!({"env": [{"name": "A", "value": null}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}),
            json!({"args": null, "command": null, "ports": [{"containerPort": 8788.0}], "tty": true}),
            json!({"resources": {"limits": amounts, "requests": null, "claims": [{"name": "gpu"}]}}),
            json!({"livenessProbe": {"httpGet": {"port": "http", "path": "/"}}, "resources": null}),
        ] {
            assert_eq!(said(container), "");
        }
    }

    #[test]
    fn a_whole_number_is_kept_as_one_and_another_is_refused_with_its_field() {
        let kind = Defined::named("kubernetes.dask.org", "DaskWorkerGroup").unwrap();
        let mut run = run(json!({"flow": "etl", "parameters": {"share": 1.0}}));
        prune(RUN, &mut run, None);
        assert_eq!(
            run["spec"]["parameters"].to_string(),
            r#"{"share":1.0}"#,
            "a float of a script stays one"
        );
        for (replicas, kept, field) in
            [(json!(2.0), json!(2), None), (json!(2.5), json!(2.5), Some("replicas"))]
        {
            let worker = json!({"replicas": replicas, "spec": {}});
            let mut group = json!({"metadata": {"name": "a"}, "spec": {"cluster": "a", "worker": worker}});
            prune(kind, &mut group, None);
            assert_eq!(group["spec"]["worker"]["replicas"].to_string(), kept.to_string());
            let said = violations(kind, &group, None);
            let field = field.map(|field| format!("spec.worker.{field}"));
            assert_eq!(said.first().map(|violation| violation.field.clone()), field);
        }
    }

    #[test]
    fn rules_hold_against_the_object_that_was_there() {
        let (old, new) = (run(json!({"flow": "etl"})), run(json!({"flow": "other"})));
        assert_eq!(violations(RUN, &new, None), Vec::new());
        let said = violations(RUN, &new, Some(&old));
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!((said[0].field.as_str(), said[0].by_rule), ("spec.flow", true));
        let said = violations(RUN, &run(json!({"flow": 1})), Some(&old));
        assert_eq!((said[0].field.as_str(), said[0].by_rule), ("spec.flow", false));
    }
}
