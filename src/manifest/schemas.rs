//! The schemas of the kinds, as the API server has them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::schema::StructuralSchemaRewriter;
use kube_cel::compile_schema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::rules::Rules;
use crate::api::{self, dask_kubernetes};

/// What an object of one kind must be like.
pub(super) struct KindSchema {
    /// The schema, as `OpenAPI` v3 writes it, with that of the metadata, which definitions leave out.
    pub openapi: Value,
    /// Its CEL rules.
    pub rules: Rules,
}

/// Those of our kinds, by kind.
pub(super) static SCHEMAS: LazyLock<BTreeMap<String, KindSchema>> = LazyLock::new(|| schemas(api::crds()));

/// Those of the kinds of dask-kubernetes, by kind.
pub(super) static DASK_KUBERNETES: LazyLock<BTreeMap<String, KindSchema>> =
    LazyLock::new(|| schemas(dask_kubernetes::crds()));

/// The schemas of definitions, each of which has one version.
fn schemas(crds: Vec<CustomResourceDefinition>) -> BTreeMap<String, KindSchema> {
    let of = |crd: CustomResourceDefinition| {
        let kind = crd.spec.names.kind.clone();
        let version = crd.spec.versions.into_iter().next()?;
        let mut openapi = serde_json::to_value(version.schema?.open_api_v3_schema?).ok()?;
        let rules = Rules::new(compile_schema(&openapi));
        let properties = openapi.get_mut("properties")?.as_object_mut()?;
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
        properties.insert("metadata".to_owned(), metadata());
        Some((kind, KindSchema { openapi, rules }))
    };
    crds.into_iter().filter_map(of).collect()
}

fn metadata() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
    let generator = settings.with_transform(StructuralSchemaRewriter).into_generator();
    let mut schema = generator.into_root_schema_for::<ObjectMeta>().to_value();
    // What others wrote is in a form of its own, and no user writes it.
    if let Some(managed) = schema.pointer_mut("/properties/managedFields") {
        *managed = json!({"x-kubernetes-preserve-unknown-fields": true});
    }
    schema
}
