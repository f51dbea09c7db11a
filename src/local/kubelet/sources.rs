//! What pods take from ConfigMaps and Secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};

/// Keys and their bytes.
pub type Data = BTreeMap<String, Vec<u8>>;

/// The ConfigMaps and Secrets of a namespace.
#[derive(Clone)]
pub struct Sources {
    client: Client,
    namespace: String,
}

impl Sources {
    /// Those of this namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned() }
    }

    /// What a ConfigMap holds; none if it is not there and need not be.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be read: in words.
    pub async fn config_map(&self, name: &str, optional: bool) -> Result<Option<Data>, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(map) = there(api.get(name).await, &format!("the ConfigMap {name}"), optional)? else {
            return Ok(None);
        };
        let texts = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
        let bytes = map.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
        Ok(Some(texts.chain(bytes).collect()))
    }

    /// What a Secret holds; none if it is not there and need not be.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be read: in words.
    pub async fn secret(&self, name: &str, optional: bool) -> Result<Option<Data>, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = there(api.get(name).await, &format!("the Secret {name}"), optional)?;
        Ok(secret
            .map(|secret| secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)).collect()))
    }
}

fn there<K>(answer: kube::Result<K>, what: &str, optional: bool) -> Result<Option<K>, String> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            if optional {
                Ok(None)
            } else {
                Err(format!("{what} is not there: add it to the files"))
            }
        }
        Err(error) => Err(format!("{what} cannot be read: {error}")),
    }
}
