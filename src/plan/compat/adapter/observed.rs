//! A cluster of theirs with what there is for it, and the words of its phase.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::core::DynamicObject;

use super::kind::TheirKind;
use super::parts::{Freed, RefusedGroups};
use crate::api::DaskCluster;

/// It is known, and nothing is made for it yet.
pub(super) const CREATED: &str = "Created";
/// Something is made for it, and its Service cannot be reached yet.
pub(super) const PENDING: &str = "Pending";
/// Its Service is there, and the pod of its scheduler was. Their clients wait for this, and ask for the pod
/// from then on; those of 2023 do so once.
pub(super) const RUNNING: &str = "Running";
/// Nothing is made for it until somebody changes it.
pub(super) const ERROR: &str = "Error";

/// A cluster of theirs, and what there is for it.
pub struct Cluster<'a> {
    /// The object.
    pub object: &'a DynamicObject,
    /// The `DaskWorkerGroup`s that name it.
    pub groups: &'a [Arc<DynamicObject>],
    /// The `DaskAutoscaler`s that name it.
    pub autoscalers: &'a [Arc<DynamicObject>],
    /// The cluster of ours of its name.
    pub ours: Option<&'a DaskCluster>,
    /// The Service `NAME-scheduler`.
    pub service: Option<&'a Service>,
    /// The pods of its scheduler: that of ours, and where there is none of ours and the API server was asked,
    /// those of anybody.
    pub schedulers: &'a [Arc<Pod>],
    /// The Service `NAME-service`, for what the other cannot be.
    pub beside: Option<&'a Service>,
    /// Those that a finalizer of theirs was taken from.
    pub freed: &'a Freed,
    /// The groups that the API server has refused.
    pub refused: &'a RefusedGroups,
    /// Whether the API server has been asked for all of theirs and ours just now.
    pub is_live: bool,
}

impl<'a> Cluster<'a> {
    /// All groups and autoscalers.
    pub(super) fn parts(&self) -> impl Iterator<Item = (TheirKind, &'a Arc<DynamicObject>)> + use<'a> {
        let groups = self.groups.iter().map(|group| (TheirKind::Group, group));
        groups.chain(self.autoscalers.iter().map(|one| (TheirKind::Autoscaler, one)))
    }
}

/// Whether a Service has got all that it waits for: a load balancer gives it an address.
pub(super) fn is_reachable(service: &Service) -> bool {
    let is_balanced = service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer");
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref());
    !is_balanced || ingress.is_some_and(|ingress| !ingress.is_empty())
}
