//! What steps write: a row for each kind that plans create, apply or delete. How each is written is
//! `operator::execute`'s.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::core::ApiResource;
use kube::{Resource, ResourceExt};

use crate::api::{DaskCluster, FlowRun};

/// What is done with an object of any kind in a table: see [`Object::give`].
pub trait Take<'a, K, T> {
    /// Does it.
    fn take(self, object: &'a K) -> T;
}

macro_rules! objects {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident($kind:ty),)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(clippy::large_enum_variant, reason = "a step holds it in a box")]
        pub enum $name {
            $($(#[$doc])* $variant($kind),)*
        }

        impl $name {
            /// Its kind and name, for a log.
            pub fn title(&self) -> String {
                match self {
                    $(Self::$variant(object) => format!("{} {}", <$kind>::kind(&()), object.name_any()),)*
                }
            }

            /// Gives the object to a taker, which takes objects of every kind in the table.
            pub fn give<'a, T, V>(&'a self, taker: V) -> T
            where
                $(V: Take<'a, $kind, T>,)*
            {
                match self { $(Self::$variant(object) => taker.take(object),)* }
            }
        }
    };
}

objects! {
    /// An object to be created.
    Object {
        /// A pod.
        Pod(Pod),
        /// A Job.
        Job(Job),
        /// A ConfigMap.
        ConfigMap(ConfigMap),
        /// A run's own cluster.
        Cluster(DaskCluster),
        /// A run of a Flow.
        Run(FlowRun),
    }
}

objects! {
    /// An object that is applied: created, or changed in place.
    Applied {
        /// The scheduler's Service.
        Service(Service),
        /// A cluster's NetworkPolicy.
        NetworkPolicy(NetworkPolicy),
    }
}

macro_rules! victims {
    ($($(#[$doc:meta])* $variant:ident($kind:ty),)*) => {
        /// The kinds that are ever deleted by us rather than by Kubernetes' garbage collection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum VictimKind {
            $($(#[$doc])* $variant,)*
        }

        impl VictimKind {
            /// Where the API server has objects of this kind.
            pub fn resource(self) -> ApiResource {
                match self { $(Self::$variant => ApiResource::erase::<$kind>(&()),)* }
            }
        }
    };
}

victims! {
    /// A pod.
    Pod(Pod),
    /// A Job, with its pods.
    Job(Job),
    /// A ConfigMap.
    ConfigMap(ConfigMap),
    /// A run's own cluster.
    Cluster(DaskCluster),
    /// A finished run.
    Run(FlowRun),
    /// A copy of a certificate.
    Secret(Secret),
    /// The NetworkPolicy of a cluster that wants none any more.
    NetworkPolicy(NetworkPolicy),
    /// The Service beside the scheduler's of a cluster of dask-kubernetes that asks for none any more.
    Service(Service),
}

/// An object to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Victim {
    /// Its kind.
    pub kind: VictimKind,
    /// Its name.
    pub name: String,
    /// Its uid: an object of the same name that came after it is spared.
    pub uid: Option<String>,
}
