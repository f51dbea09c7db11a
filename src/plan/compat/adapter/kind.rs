//! The kinds of theirs that are watched.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, DynamicObject};

use crate::api::kind::group_of;
use crate::plan::compat::theirs::{GROUP, VERSION};

/// A kind of `kubernetes.dask.org`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TheirKind {
    /// `DaskCluster`.
    Cluster,
    /// `DaskWorkerGroup`.
    Group,
    /// `DaskAutoscaler`.
    Autoscaler,
    /// `DaskJob`.
    Job,
}

impl TheirKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cluster, Self::Group, Self::Autoscaler, Self::Job];

    /// The word in `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "DaskCluster",
            Self::Group => "DaskWorkerGroup",
            Self::Autoscaler => "DaskAutoscaler",
            Self::Job => "DaskJob",
        }
    }

    /// What the API server calls their list.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Cluster => "daskclusters",
            Self::Group => "daskworkergroups",
            Self::Autoscaler => "daskautoscalers",
            Self::Job => "daskjobs",
        }
    }

    /// What it is called beside kinds of other groups, as [`crate::api::kind::title`] says.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cluster => "DaskCluster.kubernetes.dask.org",
            Self::Group => "DaskWorkerGroup.kubernetes.dask.org",
            Self::Autoscaler => "DaskAutoscaler.kubernetes.dask.org",
            Self::Job => "DaskJob.kubernetes.dask.org",
        }
    }

    /// As `apiVersion` has it.
    pub fn api_version() -> String {
        format!("{GROUP}/{VERSION}")
    }

    /// Where the API server has objects of this kind.
    pub fn resource(self) -> ApiResource {
        ApiResource {
            group: GROUP.to_owned(),
            version: VERSION.to_owned(),
            api_version: Self::api_version(),
            kind: self.as_str().to_owned(),
            plural: self.plural().to_owned(),
        }
    }

    /// What an event about an object of this kind is about.
    pub fn reference(self, object: &DynamicObject) -> ObjectReference {
        ObjectReference {
            api_version: Some(Self::api_version()),
            kind: Some(self.as_str().to_owned()),
            name: object.metadata.name.clone(),
            namespace: object.metadata.namespace.clone(),
            uid: object.metadata.uid.clone(),
            ..ObjectReference::default()
        }
    }

    /// The kind of an owner, if it is one of theirs.
    pub fn of_owner(owner: &OwnerReference) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| group_of(owner) == GROUP && kind.as_str() == owner.kind)
    }

    /// A reference that makes `owner`, of this kind, the controller of an object in its namespace. None for
    /// an object that the API server has not seen.
    pub fn controller_ref(self, owner: &DynamicObject) -> Option<OwnerReference> {
        Some(OwnerReference {
            api_version: Self::api_version(),
            kind: self.as_str().to_owned(),
            name: owner.metadata.name.clone()?,
            uid: owner.metadata.uid.clone()?,
            controller: Some(true),
            block_owner_deletion: Some(true),
        })
    }
}
