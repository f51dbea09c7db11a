//! `OpenAPI` v3 documents, one for each group and version: what `kubectl explain` and `apply`, and the
//! operator's check of the definitions, read.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::events::v1 as events;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::kinds::{self, Kind};
use super::status::Refusal;
use super::value::{part, set};
use crate::manifest::admission;

/// The parameters of a patch. `kubectl` sends those alone that it finds here.
const PARAMETERS: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];

/// What documents there are, but for that of a group that is not served.
pub(super) fn index(hidden: Option<&str>) -> Value {
    let mut paths = Map::new();
    for kind in kinds::all().iter().filter(|kind| Some(kind.group.as_str()) != hidden) {
        let path = at(kind);
        let url = format!("/openapi/v3/{path}?hash={}", env!("CARGO_PKG_VERSION"));
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

/// Where a kind's group and version are served.
fn at(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}", kind.api_version())
    }
}

/// The document of a group and version.
pub(super) fn document(group: &str, version: &str) -> Result<Value, Refusal> {
    let of: Vec<&Kind> =
        kinds::all().iter().filter(|kind| kind.group == group && kind.version == version).collect();
    if of.is_empty() {
        return Err(Refusal::no_such_path());
    }
    let mut generator = SchemaSettings::openapi3().into_generator();
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in of {
        add_paths(&mut paths, kind);
        let (name, mut schema) = schema(kind, &mut generator);
        set(&mut schema, "x-kubernetes-group-version-kind", json!([gvk(kind)]));
        schemas.insert(name, schema);
    }
    for (name, schema) in generator.take_definitions(true) {
        schemas.entry(name).or_insert(schema);
    }
    Ok(json!({
        "openapi": "3.0.0",
        "info": {"title": "daskflow", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn gvk(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

/// The name and the schema of a kind.
fn schema(kind: &Kind, generator: &mut SchemaGenerator) -> (String, Value) {
    if let Some(defined) = kind.defined {
        // As an API server calls it: the group from its end.
        let group: Vec<&str> = kind.group.rsplit('.').collect();
        let name = format!("{}.{}.{}", group.join("."), kind.version, kind.kind);
        let mut schema = admission::schema(defined).cloned().unwrap_or_default();
        let metadata = generator.subschema_for::<ObjectMeta>();
        set(part(&mut schema, "properties"), "metadata", json!({"allOf": [metadata]}));
        return (name, schema);
    }
    match kind.kind.as_str() {
        "Pod" => derived::<Pod>(generator),
        "Job" => derived::<Job>(generator),
        "Deployment" => derived::<Deployment>(generator),
        "Service" => derived::<Service>(generator),
        "ConfigMap" => derived::<ConfigMap>(generator),
        "Secret" => derived::<Secret>(generator),
        "Event" if kind.is_new_event() => derived::<events::Event>(generator),
        "Event" => derived::<Event>(generator),
        "Namespace" => derived::<Namespace>(generator),
        "Lease" => derived::<Lease>(generator),
        "NetworkPolicy" => derived::<NetworkPolicy>(generator),
        "ServiceAccount" => derived::<ServiceAccount>(generator),
        _ => derived::<CustomResourceDefinition>(generator),
    }
}

fn derived<K: JsonSchema>(generator: &mut SchemaGenerator) -> (String, Value) {
    (K::schema_name().into_owned(), K::json_schema(generator).to_value())
}

/// The paths of a kind, each with what `kubectl` looks for: the kind that is there, and the parameters of a
/// patch.
fn add_paths(paths: &mut Map<String, Value>, kind: &Kind) {
    let parameters: Vec<Value> = PARAMETERS
        .iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
        .collect();
    let verb = |action: &str| {
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk(kind), "parameters": parameters,
            "responses": {"200": {"description": "OK"}},
        })
    };
    let (base, plural) = (format!("/{}", at(kind)), &kind.plural);
    let within = if kind.namespaced { format!("{base}/namespaces/{{namespace}}") } else { base.clone() };
    if kind.namespaced {
        paths.insert(format!("{base}/{plural}"), json!({"get": verb("list")}));
    }
    let one = format!("{within}/{plural}/{{name}}");
    let (mut all, mut each) = (json!({"get": verb("list")}), json!({"get": verb("get")}));
    if kind.writable {
        set(&mut all, "post", verb("post"));
        for method in ["put", "patch", "delete"] {
            set(&mut each, method, verb(method));
        }
    }
    paths.insert(format!("{within}/{plural}"), all);
    for (part, is_there) in [("status", kind.status), ("scale", kind.scale.is_some())] {
        if is_there {
            paths.insert(
                format!("{one}/{part}"),
                json!({"get": verb("get"), "patch": verb("patch"), "put": verb("put")}),
            );
        }
    }
    paths.insert(one, each);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{self, GROUP, VERSION};

    #[test]
    fn our_document_has_all_that_the_definitions_have() {
        let document = document(GROUP, VERSION).unwrap();
        for crd in api::crds() {
            let (kind, plural) = (&crd.spec.names.kind, &crd.spec.names.plural);
            let schema = &document["components"]["schemas"][format!("dev.daskflow.{VERSION}.{kind}")];
            let known = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
            let known = serde_json::to_value(known).unwrap();
            for part in ["spec", "status"] {
                assert_eq!(schema["properties"][part], known["properties"][part], "{kind}.{part}");
            }
            let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{plural}/{{name}}");
            assert_eq!(
                document["paths"][&path]["patch"]["x-kubernetes-group-version-kind"]["kind"],
                json!(kind)
            );
            assert!(document["paths"][format!("{path}/status")].is_object());
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        for kind in kinds::all() {
            let document = document(&kind.group, &kind.version).unwrap();
            let text = document.to_string();
            for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
                let name = reference.split('"').next().unwrap();
                assert!(document["components"]["schemas"][name].is_object(), "{}: {name}", kind.kind);
            }
        }
        assert_eq!(document("policy", "v1").unwrap_err().code, 404);
    }
}
