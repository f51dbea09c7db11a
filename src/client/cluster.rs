//! A cluster, and the namespace in it that is worked in.

use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};

/// Where requests go.
#[derive(Clone)]
pub struct Cluster {
    /// The caller's client.
    pub client: Client,
    /// The namespace that is meant where none is named.
    pub namespace: String,
}

impl Cluster {
    /// The objects of a kind in the namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The same cluster, and another namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        Self { client: self.client.clone(), namespace: namespace.to_owned() }
    }
}
