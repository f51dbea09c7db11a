//! Other words in the statuses. Reasons, messages and the times of conditions are for readers: an operator
//! that finds others there does as before.

use std::fmt::Debug;

use daskflow::api::{DaskCluster, Flow, FlowBackfill, FlowRun};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, ListParams, PostParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::operator::world::World;
use crate::words::Words;

impl World {
    /// Somebody writes other words into all statuses.
    pub(super) async fn other_words(&self) {
        self.others_of::<Flow>().await;
        self.others_of::<FlowRun>().await;
        self.others_of::<FlowBackfill>().await;
        self.others_of::<DaskCluster>().await;
    }

    async fn others_of<K>(&self)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Words
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), "default");
        for object in api.list(&ListParams::default()).await.unwrap() {
            let name = object.name_any();
            // It may be there no more, or have changed meanwhile.
            let _ = api.replace_status(&name, &PostParams::default(), &object.silent()).await;
        }
    }
}
