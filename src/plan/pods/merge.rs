//! The user's pod template, merged over the generated one last.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{EnvVar, PodTemplateSpec};
use serde_json::{Map, Value, json};

use super::written;
use crate::api::common::Resources;
use crate::plan::subset;
use crate::plan::violation::Violation;

/// Fields of which an object may have one only: a given one takes the place of what is there.
const ONE_OF: &[&[&str]] = &[
    // Probes and steps of a container's life.
    &["exec", "grpc", "httpGet", "sleep", "tcpSocket"],
    // Environment variables, and what their value is from.
    &["value", "valueFrom"],
    &["configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"],
    // What a volume is made of.
    &[
        "awsElasticBlockStore",
        "azureDisk",
        "azureFile",
        "cephfs",
        "cinder",
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "fc",
        "flexVolume",
        "flocker",
        "gcePersistentDisk",
        "gitRepo",
        "glusterfs",
        "hostPath",
        "image",
        "iscsi",
        "nfs",
        "persistentVolumeClaim",
        "photonPersistentDisk",
        "portworxVolume",
        "projected",
        "quobyte",
        "rbd",
        "scaleIO",
        "secret",
        "storageos",
        "vsphereVolume",
    ],
];
/// Objects that are of a `type`, on which their other fields depend: one of another type takes the place of
/// the whole.
const OF_A_TYPE: &[&str] = &["seccompProfile", "appArmorProfile"];

/// Merges `overrides` over `template`: containers, volumes, environment variables and the like by name,
/// everything else replaced. Of fields that exclude each other the given one stays.
///
/// # Errors
///
/// A [`Violation`] of `field` when `overrides` is no pod template, or has a field that pods do not have.
pub fn over(template: &mut PodTemplateSpec, overrides: Option<&Value>, field: &str) -> Result<(), Violation> {
    let Some(given) = overrides else { return Ok(()) };
    let parsed: PodTemplateSpec = serde_json::from_value(given.clone()).map_err(|error| {
        Violation::invalid(
            field,
            format!("this is no pod template: {error} (quote quantities, as in cpu: \"1\")"),
        )
    })?;
    let understood = serde_json::to_value(&parsed).unwrap_or_default();
    if let Some(path) = subset::first_unknown(given, &understood) {
        return Err(Violation::invalid(format!("{field}.{path}"), "a pod template has no such field"));
    }
    let mut there = serde_json::to_value(&*template).unwrap_or_default();
    make_way(&mut there, &understood);
    if let Ok(there) = serde_json::from_value(there) {
        *template = there;
    }
    template.merge_from(parsed);
    // To Kubernetes an empty command is none: that of the image.
    for container in template.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        container.command = container.command.take().filter(|words| !words.is_empty());
    }
    Ok(())
}

/// What a user wrote into fields of the spec: it is put back on top of `podDefaults`, which are less
/// particular.
pub struct Written<'a> {
    /// Compute resources of the container.
    pub resources: &'a Resources,
    /// Its variables.
    pub env: &'a [EnvVar],
    /// The priority of the pod.
    pub priority_class_name: Option<&'a String>,
}

/// Merges the `podDefaults` of a cluster over `template`, whose own container is `container`; what was
/// `written` into fields stays.
///
/// # Errors
///
/// A [`Violation`] of `spec.podDefaults`, as in [`over`].
pub fn defaults(
    template: &mut PodTemplateSpec,
    defaults: Option<&Value>,
    container: &str,
    written: &Written<'_>,
) -> Result<(), Violation> {
    let field = "spec.podDefaults";
    let Some(defaults) = defaults else { return Ok(()) };
    let mut own = defaults.clone();
    let containers = own.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    for name in containers.into_iter().flatten().filter_map(|one| one.get_mut("name")) {
        if name == written::EVERY {
            *name = Value::from(container);
        }
    }
    over(template, Some(&own), field)?;
    let written = json!({"spec": {
        "containers": [{"name": container, "env": written.env, "resources": written.resources.to_requirements()}],
        "priorityClassName": written.priority_class_name,
    }});
    over(template, Some(&written), field)
}

/// Takes out of `there` what cannot stand beside `given`.
fn make_way(there: &mut Value, given: &Value) {
    match (there, given) {
        (Value::Object(there), Value::Object(given)) => {
            for group in ONE_OF.iter().filter(|group| group.iter().any(|key| given.contains_key(*key))) {
                there.retain(|key, _| given.contains_key(key) || !group.contains(&key.as_str()));
            }
            let has_other_type = |key: &str| {
                let kind =
                    |object: &Map<String, Value>| object.get(key).and_then(|one| one.get("type")).cloned();
                kind(given).is_some_and(|wanted| kind(there).is_some_and(|kind| kind != wanted))
            };
            let others: Vec<&str> = OF_A_TYPE.iter().copied().filter(|key| has_other_type(key)).collect();
            there.retain(|key, _| !others.contains(&key.as_str()));
            give_defaults_up(there, given);
            for (key, value) in there.iter_mut() {
                if let Some(given) = given.get(key) {
                    make_way(value, given);
                }
            }
        }
        (Value::Array(there), Value::Array(given)) => {
            let named = |item: &Value| item.get("name").and_then(Value::as_str).map(str::to_owned);
            for item in there {
                let name = named(item);
                let mut same = given.iter().filter(|given| name.is_some() && named(given) == name);
                if let Some(given) = same.next() {
                    make_way(item, given);
                }
            }
        }
        _ => {}
    }
}

/// Settings of ours that make no sense beside what is asked for, and that nobody wrote.
fn give_defaults_up(there: &mut Map<String, Value>, given: &Map<String, Value>) {
    // Who names an account wants its token.
    if given.contains_key("serviceAccountName") {
        there.remove("automountServiceAccountToken");
    }
    // The API server takes neither of these with `allowPrivilegeEscalation: false`.
    let added = given.get("capabilities").and_then(|one| one.get("add")).and_then(Value::as_array);
    let is_admin = added.into_iter().flatten().any(|one| one == "SYS_ADMIN" || one == "CAP_SYS_ADMIN");
    if is_admin || given.get("privileged") == Some(&Value::Bool(true)) {
        there.remove("allowPrivilegeEscalation");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn generated() -> PodTemplateSpec {
        serde_json::from_value(json!({"spec": {
            "containers": [{"name": "worker", "image": "a", "env": [{"name": "X", "value": "1"}]}],
        }}))
        .unwrap()
    }

    #[test]
    fn containers_and_env_merge_by_name() {
        let mut template = generated();
        let overrides = json!({"spec": {
            "containers": [
                {"name": "worker", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "3"}]},
                {"name": "sidecar", "image": "b"},
            ],
            "nodeSelector": {"disk": "ssd"},
        }});
        over(&mut template, Some(&overrides), "spec.workers.template").unwrap();
        let spec = template.spec.unwrap();
        assert_eq!(spec.containers.len(), 2);
        assert_eq!(spec.containers[0].image.as_deref(), Some("a"));
        let env = spec.containers[0].env.clone().unwrap();
        assert_eq!(env.len(), 2);
        assert_eq!(env[0].value.as_deref(), Some("3"));
        assert!(spec.node_selector.unwrap().contains_key("disk"));
    }

    /// What is merged over a container or pod with these fields.
    fn merged(there: &Value, given: &Value) -> Value {
        let mut template: PodTemplateSpec = serde_json::from_value(json!({"spec": there})).unwrap();
        over(&mut template, Some(&json!({"spec": given})), "spec.template").unwrap();
        serde_json::to_value(template.spec).unwrap()
    }

    fn in_container(fields: &Value) -> Value {
        let mut container = json!({"name": "worker"});
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"containers": [container]})
    }

    #[rstest]
    #[case::probe(
        json!({"readinessProbe": {"httpGet": {"port": 8788}, "periodSeconds": 5}}),
        json!({"readinessProbe": {"tcpSocket": {"port": 8788}}}),
        json!({"readinessProbe": {"tcpSocket": {"port": 8788}, "periodSeconds": 5}})
    )]
    #[case::step(
        json!({"lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}),
        json!({"lifecycle": {"preStop": {"sleep": {"seconds": 3}}, "postStart": {"exec": {"command": ["b"]}}}}),
        json!({"lifecycle": {"preStop": {"sleep": {"seconds": 3}}, "postStart": {"exec": {"command": ["b"]}}}})
    )]
    #[case::value_from(
        json!({"env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}),
        json!({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        json!({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "Y", "value": "2"}]})
    )]
    #[case::value(
        json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
        json!({"env": [{"name": "X", "value": "1"}]}),
        json!({"env": [{"name": "X", "value": "1"}]})
    )]
    #[case::source_of_a_value(
        json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
        json!({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}),
        json!({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]})
    )]
    #[case::privileged(
        json!({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}),
        json!({"securityContext": {"privileged": true}}),
        json!({"securityContext": {"privileged": true, "capabilities": {"drop": ["ALL"]}}})
    )]
    #[case::profile(
        json!({"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "a"}}}),
        json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}),
        json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}})
    )]
    fn what_excludes_each_other_is_replaced(
        #[case] there: Value,
        #[case] given: Value,
        #[case] wanted: Value,
    ) {
        assert_eq!(merged(&in_container(&there), &in_container(&given)), in_container(&wanted));
    }

    #[test]
    fn a_volume_of_our_name_is_made_of_what_is_given() {
        let merged = merged(
            &json!({"containers": [], "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}]}),
            &json!({"containers": [], "volumes": [{"name": "scratch", "persistentVolumeClaim": {"claimName": "c"}}]}),
        );
        assert_eq!(
            merged["volumes"],
            json!([{"name": "scratch", "persistentVolumeClaim": {"claimName": "c"}}])
        );
    }

    #[test]
    fn who_names_an_account_gets_its_token() {
        let there = json!({"containers": [], "automountServiceAccountToken": false});
        let named = merged(&there, &json!({"containers": [], "serviceAccountName": "a"}));
        assert_eq!(named.get("automountServiceAccountToken"), None);
        let without =
            json!({"containers": [], "serviceAccountName": "a", "automountServiceAccountToken": false});
        assert_eq!(merged(&there, &without)["automountServiceAccountToken"], json!(false));
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let overrides = json!({"spec": {"containers": [{"name": "worker", "imge": "x"}]}});
        let violation = over(&mut generated(), Some(&overrides), "spec.workers.template").unwrap_err();
        assert_eq!(
            violation.message,
            "spec.workers.template.spec.containers[0].imge: a pod template has no such field"
        );
    }

    #[test]
    fn something_else_than_a_template_is_explained() {
        let overrides = json!({"spec": {"containers": "none"}});
        let violation = over(&mut generated(), Some(&overrides), "spec.workers.template").unwrap_err();
        assert!(
            violation.message.starts_with("spec.workers.template: this is no pod template"),
            "{}",
            violation.message
        );
    }
}
