//! The variables of a container: its own, those of ConfigMaps and Secrets, and those of its pod.

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource, Pod};
use kube::ResourceExt;

use super::expand::expand;
use super::sources::{Data, Sources};

/// Names and values in the order in which they are written.
pub type Variables = Vec<(String, String)>;

/// All variables of a container.
///
/// # Errors
///
/// What one of them is taken from is not there, or is nothing that a machine has: in words.
pub async fn variables(sources: &Sources, pod: &Pod, container: &Container) -> Result<Variables, String> {
    let mut all = Variables::new();
    for from in container.env_from.iter().flatten() {
        add_all(&mut all, sources, from).await?;
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(from) => {
                value(sources, pod, from).await.map_err(|why| format!("{}: {why}", variable.name))?
            }
            None => Some(expand(variable.value.as_deref().unwrap_or_default(), &all)),
        };
        all.extend(value.map(|value| (variable.name.clone(), value)));
    }
    Ok(all)
}

async fn add_all(all: &mut Variables, sources: &Sources, from: &EnvFromSource) -> Result<(), String> {
    let mut data = Data::new();
    if let Some(map) = &from.config_map_ref {
        let found = sources.config_map(&map.name, map.optional == Some(true)).await?;
        data.extend(found.into_iter().flatten());
    }
    if let Some(secret) = &from.secret_ref {
        let found = sources.secret(&secret.name, secret.optional == Some(true)).await?;
        data.extend(found.into_iter().flatten());
    }
    let prefix = from.prefix.as_deref().unwrap_or_default();
    all.extend(data.into_iter().map(|(key, bytes)| (format!("{prefix}{key}"), text(&bytes))));
    Ok(())
}

/// What a variable is taken from; none if it is not there and need not be.
async fn value(sources: &Sources, pod: &Pod, from: &EnvVarSource) -> Result<Option<String>, String> {
    let key_of = |data: Option<Data>, what: String, key: &str, optional: bool| match data {
        Some(data) => match data.get(key) {
            Some(bytes) => Ok(Some(text(bytes))),
            None if optional => Ok(None),
            None => Err(format!("{what} has no key {key}")),
        },
        None => Ok(None),
    };
    if let Some(of) = &from.config_map_key_ref {
        let optional = of.optional == Some(true);
        let data = sources.config_map(&of.name, optional).await?;
        return key_of(data, format!("the ConfigMap {}", of.name), &of.key, optional);
    }
    if let Some(of) = &from.secret_key_ref {
        let optional = of.optional == Some(true);
        let data = sources.secret(&of.name, optional).await?;
        return key_of(data, format!("the Secret {}", of.name), &of.key, optional);
    }
    if let Some(of) = &from.field_ref {
        return of_pod(pod, &of.field_path).map(Some);
    }
    Err("this source of a value is not there on a machine: write value, configMapKeyRef, secretKeyRef or fieldRef"
        .to_owned())
}

/// A field of the pod, as the downward API names it.
fn of_pod(pod: &Pod, field: &str) -> Result<String, String> {
    let of_map = |prefix: &str| field.strip_prefix(prefix)?.strip_suffix("']");
    if let Some(key) = of_map("metadata.labels['") {
        return Ok(pod.labels().get(key).cloned().unwrap_or_default());
    }
    if let Some(key) = of_map("metadata.annotations['") {
        return Ok(pod.annotations().get(key).cloned().unwrap_or_default());
    }
    let account = || pod.spec.as_ref()?.service_account_name.clone();
    match field {
        "metadata.name" => Ok(pod.name_any()),
        "metadata.namespace" => Ok(pod.namespace().unwrap_or_default()),
        "metadata.uid" => Ok(pod.uid().unwrap_or_default()),
        "spec.nodeName" => Ok(super::status::NODE.to_owned()),
        "spec.serviceAccountName" => Ok(account().unwrap_or_else(|| "default".to_owned())),
        "status.podIP" | "status.hostIP" | "status.podIPs" | "status.hostIPs" => {
            Ok(super::status::ADDRESS.to_owned())
        }
        _ => Err(format!("a pod has no field {field} that may be a value")),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
