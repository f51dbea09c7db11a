//! Which lists and maps are merged, and by which keys.
//!
//! For our kinds their schemas say it (`x-kubernetes-list-type` and its like); for the core kinds the names
//! of the fields do, as in Kubernetes' own `patchMergeKey` and `listMapKey` (client-go,
//! `applyconfigurations/internal`).

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use crate::manifest;

/// Where in an object of some kind we are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape<'a> {
    /// In an object of a defined kind, at a field with this schema.
    Schema(&'a Value),
    /// In a core object, at a field of this name in a field of that name.
    Core { parent: &'a str, name: &'a str },
    /// Where nothing is known: maps are merged, lists replaced.
    Free,
}

/// How a list is merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListKind<'a> {
    /// As a whole.
    Atomic,
    /// Of values that stand in it once.
    Set,
    /// Of items with these keys.
    Keyed(Vec<&'a str>),
}

const LIST: &str = "x-kubernetes-list-type";
const KEYS: &str = "x-kubernetes-list-map-keys";
const MAP: &str = "x-kubernetes-map-type";

/// Objects of core kinds that are replaced as a whole.
const ATOMIC_MAPS: &[&str] = &[
    "configMapKeyRef",
    "fieldRef",
    "labelSelector",
    "namespaceSelector",
    "nodeSelector",
    "objectSelector",
    "ownerReferences",
    "podSelector",
    "resourceFieldRef",
    "secretKeyRef",
    "selector",
];

impl<'a> Shape<'a> {
    /// The shape of a whole object.
    pub fn of(kind: &Kind) -> Shape<'static> {
        match kind.defined {
            Some(defined) => manifest::admission::schema(defined).map_or(Shape::Free, Shape::Schema),
            None => Shape::Core { parent: "", name: "" },
        }
    }

    /// The shape of a field.
    pub fn field<'b>(self, name: &'b str) -> Shape<'b>
    where
        'a: 'b,
    {
        match self {
            // Metadata is the same in all kinds.
            Self::Schema(_) if name == "metadata" => Shape::Core { parent: "", name },
            Self::Schema(schema) => {
                let property = schema.get("properties").and_then(|properties| properties.get(name));
                let property = property
                    .or_else(|| schema.get("additionalProperties").filter(|values| values.is_object()));
                property.map_or(Shape::Free, Shape::Schema)
            }
            Self::Core { name: parent, .. } => Shape::Core { parent, name },
            Self::Free => Shape::Free,
        }
    }

    /// The shape of the items of a list.
    pub fn item(self) -> Self {
        match self {
            Self::Schema(schema) => schema.get("items").map_or(Self::Free, Self::Schema),
            other => other,
        }
    }

    /// Whether an object is replaced as a whole.
    pub fn is_atomic_map(self) -> bool {
        match self {
            Self::Schema(schema) => schema.get(MAP).and_then(Value::as_str) == Some("atomic"),
            Self::Core { name, .. } => ATOMIC_MAPS.contains(&name),
            Self::Free => false,
        }
    }

    /// How a list is merged.
    pub fn list(self) -> ListKind<'a> {
        match self {
            Self::Schema(schema) => match schema.get(LIST).and_then(Value::as_str) {
                Some("map") => {
                    let keys = schema.get(KEYS).and_then(Value::as_array).into_iter().flatten();
                    ListKind::Keyed(keys.filter_map(Value::as_str).collect())
                }
                Some("set") => ListKind::Set,
                _ => ListKind::Atomic,
            },
            Self::Core { parent, name } => core_list(parent, name),
            Self::Free => ListKind::Atomic,
        }
    }
}

fn core_list<'a>(parent: &str, name: &str) -> ListKind<'a> {
    let is_container = |name: &str| matches!(name, "containers" | "initContainers" | "ephemeralContainers");
    match name {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "resourceClaims"
        | "resourceClaimStatuses"
        | "schedulingGates"
        | "secrets" => ListKind::Keyed(vec!["name"]),
        "ports" if is_container(parent) => ListKind::Keyed(vec!["containerPort", "protocol"]),
        "ports" if parent == "spec" => ListKind::Keyed(vec!["port", "protocol"]),
        "volumeMounts" => ListKind::Keyed(vec!["mountPath"]),
        "volumeDevices" => ListKind::Keyed(vec!["devicePath"]),
        "hostAliases" | "podIPs" => ListKind::Keyed(vec!["ip"]),
        "topologySpreadConstraints" => ListKind::Keyed(vec!["topologyKey", "whenUnsatisfiable"]),
        "ownerReferences" => ListKind::Keyed(vec!["uid"]),
        "conditions" if parent == "status" => ListKind::Keyed(vec!["type"]),
        "finalizers" => ListKind::Set,
        _ => ListKind::Atomic,
    }
}

/// The keys of an item with their values; none where one is missing that has no default.
pub(super) fn identity(item: &Value, keys: &[&str]) -> Option<Map<String, Value>> {
    let of = |key: &&str| {
        let value = item.get(*key).filter(|value| !value.is_null()).cloned();
        let value = value.or_else(|| (*key == "protocol").then(|| json!("TCP")))?;
        Some(((*key).to_owned(), value))
    };
    keys.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_api::kinds;

    #[test]
    fn core_lists_have_the_keys_of_their_place() {
        let pod = Shape::of(kinds::find("", "v1", "pods").unwrap());
        let spec = pod.field("spec");
        let container = spec.field("containers").item();
        let (ports, env) = (container.field("ports"), container.field("env"));
        assert_eq!(ports.list(), ListKind::Keyed(vec!["containerPort", "protocol"]));
        assert_eq!(env.list(), ListKind::Keyed(vec!["name"]));
        assert_eq!(spec.field("ports").list(), ListKind::Keyed(vec!["port", "protocol"]));
        assert_eq!(spec.field("tolerations").list(), ListKind::Atomic);
        assert!(spec.field("nodeSelector").is_atomic_map());
        let metadata = pod.field("metadata");
        assert_eq!(metadata.field("finalizers").list(), ListKind::Set);
    }

    #[test]
    fn our_lists_have_the_keys_of_their_schemas() {
        let flow = Shape::of(kinds::find("daskflow.dev", "v1alpha1", "flows").unwrap());
        let conditions = flow.field("status");
        assert_eq!(conditions.field("conditions").list(), ListKind::Keyed(vec!["type"]));
        let metadata = flow.field("metadata");
        assert_eq!(metadata.field("ownerReferences").list(), ListKind::Keyed(vec!["uid"]));
        let template = flow.field("spec").field("podTemplate").field("containers");
        assert_eq!(template.list(), ListKind::Atomic);
    }

    #[test]
    fn a_port_without_a_protocol_is_one_of_tcp() {
        let keys = ["port", "protocol"];
        assert_eq!(
            identity(&json!({"port": 80}), &keys),
            identity(&json!({"port": 80, "protocol": "TCP"}), &keys)
        );
        assert_eq!(identity(&json!({"protocol": "UDP"}), &keys), None);
    }
}
