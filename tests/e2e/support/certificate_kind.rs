//! cert-manager's kind `Certificate`, without cert-manager.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{Mutex, MutexGuard};

use super::namespace::Namespace;
use super::{poll, within};

/// Tests that need the kind to come and go run one after the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// The kind, as this test alone may install it.
pub struct CertificateKind {
    kinds: Api<CustomResourceDefinition>,
    definition: CustomResourceDefinition,
    /// It was there before: there is a cert-manager, or a test that failed left it.
    pub is_there: bool,
    _turn: MutexGuard<'static, ()>,
}

impl CertificateKind {
    /// Waits for the turn of this test.
    pub async fn take(client: &Client) -> Self {
        let turn = TURN.lock().await;
        let kinds: Api<CustomResourceDefinition> = Api::all(client.clone());
        let definition: CustomResourceDefinition =
            serde_yaml::from_str(include_str!("../crds/certificates.yaml")).unwrap();
        let is_there = kinds.get_metadata_opt(&definition.name_any()).await.unwrap().is_some();
        Self { kinds, definition, is_there, _turn: turn }
    }

    /// Installs it, if it is not there.
    pub async fn install(&self) {
        if !self.is_there {
            self.kinds.create(&PostParams::default(), &self.definition).await.unwrap();
        }
    }

    /// Takes it away, and all its objects, if this test installed it.
    pub async fn remove(self) {
        if self.is_there {
            return;
        }
        let name = self.definition.name_any();
        self.kinds.delete(&name, &DeleteParams::default()).await.unwrap();
        poll(within(60, "the kind Certificate is gone"), async || {
            match self.kinds.get_metadata_opt(&name).await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

/// The objects of the kind in a namespace.
pub fn certificates(namespace: &Namespace) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate"));
    Api::namespaced_with(namespace.client.clone(), &namespace.name, &kind)
}
