//! Whose definitions of the kinds of dask-kubernetes an API server serves.
//!
//! They come from this project or from its own chart, never from both, and either is good: the document of
//! their group, which every account may read, says which. In theirs a pod has the fields that have a schema
//! and no others; in ours it keeps whatever was written.

use serde_json::Value;

use crate::api::dask_kubernetes::{GROUP, KINDS, PLURALS, VERSION};

/// What is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definitions {
    /// These of the kinds are not.
    Lacking(Vec<&'static str>),
    /// Ours.
    Ours,
    /// Those of dask-kubernetes.
    Theirs,
}

impl Definitions {
    /// Reads the OpenAPI v3 document of their group and version; null where the group is not served.
    pub fn of(document: &Value) -> Self {
        let paths = document.get("paths");
        let is_served = |plural: &str| {
            let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{plural}");
            paths.is_some_and(|paths| paths.get(path).is_some())
        };
        let kinds = KINDS.into_iter().zip(PLURALS).filter(|(_, plural)| !is_served(plural));
        let lacking: Vec<&str> = kinds.map(|(kind, _)| kind).collect();
        if !lacking.is_empty() {
            return Self::Lacking(lacking);
        }
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
        let mut pods = schemas
            .into_iter()
            .flatten()
            .filter_map(|(_, schema)| schema.pointer("/properties/spec/properties/worker/properties/spec"));
        let keeps = |pod: &Value| pod.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        let has_fields = |pod: &Value| pod.pointer("/properties/containers").is_some();
        if pods.any(|pod| has_fields(pod) && !keeps(pod)) { Self::Theirs } else { Self::Ours }
    }

    /// What to say of kinds that are not served.
    pub fn complaint(&self) -> Option<String> {
        let Self::Lacking(kinds) = self else { return None };
        Some(format!(
            "the API server does not know {} of {GROUP}: apply the definitions in crds/dask-kubernetes, or set \
             crds.enabled and compatibility.daskKubernetes.crds of the chart to true",
            kinds.join(", ")
        ))
    }

    /// What to say of definitions of dask-kubernetes.
    pub fn remark(&self) -> Option<String> {
        (*self == Self::Theirs).then(|| {
            format!(
                "the definitions of {GROUP} are those of dask-kubernetes: of pods the API server keeps the fields \
                 of Kubernetes 1.21 alone"
            )
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
    use serde_json::json;

    use super::*;
    use crate::api::dask_kubernetes::crds;

    /// The document that an API server makes of these definitions.
    pub(crate) fn document(crds: &[CustomResourceDefinition]) -> Value {
        let mut document = json!({"paths": {}, "components": {"schemas": {}}});
        for crd in crds {
            let (names, version) = (&crd.spec.names, &crd.spec.versions[0]);
            let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{}", names.plural);
            document["paths"][path] = json!({});
            let schema = version.schema.as_ref().unwrap().open_api_v3_schema.as_ref();
            let name = format!("org.dask.kubernetes.v1.{}", names.kind);
            document["components"]["schemas"][name] = serde_json::to_value(schema).unwrap();
        }
        document
    }

    #[test]
    fn it_is_seen_whose_definitions_are_served() {
        let mut served = document(&crds());
        assert_eq!(Definitions::of(&served), Definitions::Ours);
        let pod = "/components/schemas/org.dask.kubernetes.v1.DaskWorkerGroup/properties/spec/properties/worker/properties/spec";
        assert!(served.pointer(pod).unwrap().pointer("/properties/containers").is_some());
        *served.pointer_mut(pod).unwrap() =
            json!({"type": "object", "properties": {"containers": {"type": "array"}}});
        let theirs = Definitions::of(&served);
        assert_eq!(theirs, Definitions::Theirs);
        assert!(theirs.remark().unwrap().contains("1.21") && theirs.complaint().is_none());
    }

    #[test]
    fn kinds_that_are_not_served_are_named() {
        assert_eq!(Definitions::of(&Value::Null), Definitions::Lacking(KINDS.to_vec()));
        let some = Definitions::of(&document(&crds()[..2]));
        let complaint = some.complaint().unwrap();
        assert!(complaint.contains("DaskAutoscaler, DaskJob of kubernetes.dask.org"), "{complaint}");
        assert_eq!(some.remark(), None);
    }
}
