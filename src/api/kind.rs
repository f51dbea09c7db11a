//! The table of our kinds: what every layer has to know of each follows from its row.
//!
//! A kind of another group may have the same word, such as the `DaskCluster` of `kubernetes.dask.org`.
//! Nothing asks for a word alone: a [`Kind`] is always of our group.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::object::HasStatus;
use kube::{CustomResourceExt, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::GROUP;

/// An object of a kind of ours.
pub trait Ours:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: Clone + Debug + Default + PartialEq + Serialize + Send + Sync + 'static>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Its kind as a value.
    const KIND: Kind;
}

/// What is done with a kind as a type, for whoever has it as a value: see [`Kind::visit`].
pub trait Visit<K, T = ()> {
    /// Does it.
    fn visit(&mut self) -> T;
}

macro_rules! kinds {
    ($($kind:ident, $plural:literal;)*) => {
        /// The kinds of `daskflow.dev`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("[`super::", stringify!($kind), "`]")] $kind,)*
        }

        impl Kind {
            /// How many there are.
            pub const COUNT: usize = [$($plural),*].len();
            /// All of them, in the order in which they are to be installed.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$kind),*];
            /// What the API server calls their lists, in the same order.
            pub const PLURALS: [&'static str; Self::COUNT] = [$($plural),*];
            /// Their statuses as resources, in the same order.
            pub const STATUSES: [&'static str; Self::COUNT] = [$(concat!($plural, "/status")),*];

            /// The word in `kind`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }

            /// Its definition, as it is derived from its type.
            pub fn crd(self) -> CustomResourceDefinition {
                match self { $(Self::$kind => super::$kind::crd(),)* }
            }

            /// Does what a visitor does with the type of this kind. It must be able to with each: what it
            /// asks of a kind is asked of all, by the compiler.
            pub fn visit<T, V>(self, visitor: &mut V) -> T
            where
                $(V: Visit<super::$kind, T>,)*
            {
                match self { $(Self::$kind => <V as Visit<super::$kind, T>>::visit(visitor),)* }
            }

            /// The same with all kinds, one after the other.
            pub fn each<V>(visitor: &mut V)
            where
                $(V: Visit<super::$kind>,)*
            {
                $(<V as Visit<super::$kind>>::visit(visitor);)*
            }
        }

        $(impl Ours for super::$kind {
            const KIND: Kind = Kind::$kind;
        })*
    };
}

kinds! {
    DaskCluster, "daskclusters";
    Flow, "flows";
    FlowRun, "flowruns";
    FlowBackfill, "flowbackfills";
}

impl Kind {
    /// The kind of this group and word, if it is one of ours.
    pub fn named(group: &str, word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| group == GROUP && kind.as_str() == word)
    }

    /// The kind of this type, if it is one of ours.
    pub fn of<K: Resource<DynamicType = ()>>() -> Option<Self> {
        Self::named(&K::group(&()), &K::kind(&()))
    }

    /// The kind of an owner, if it is one of ours.
    pub fn of_owner(owner: &OwnerReference) -> Option<Self> {
        Self::named(group_of(owner), &owner.kind)
    }
}

/// The API group of an owner; empty for the core.
pub fn group_of(owner: &OwnerReference) -> &str {
    owner.api_version.split_once('/').map_or("", |(group, _)| group)
}

/// What a kind is called where kinds of several groups stand beside each other, such as in metrics: the word
/// of one of ours or of Kubernetes' own; of another the group too, as `DaskCluster.kubernetes.dask.org`.
pub fn title<K: Resource<DynamicType = ()>>() -> String {
    let (group, kind) = (K::group(&()), K::kind(&()));
    // Groups without a dot and those below k8s.io are Kubernetes' own: others may not have such names.
    if group == GROUP || !group.contains('.') || group.ends_with(".k8s.io") {
        return kind.into_owned();
    }
    format!("{kind}.{group}")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use k8s_openapi::api::networking::v1::NetworkPolicy;

    use super::*;
    use crate::api::testing::foreign;

    #[test]
    fn what_the_table_says_is_what_the_types_say() {
        for (kind, plural) in Kind::ALL.into_iter().zip(Kind::PLURALS) {
            let names = kind.crd().spec.names;
            assert_eq!((names.kind.as_str(), names.plural.as_str()), (kind.as_str(), plural));
        }
        assert_eq!(Kind::of::<super::super::Flow>(), Some(Kind::Flow));
    }

    #[test]
    fn a_kind_of_another_group_is_another_kind() {
        assert_eq!(Kind::of::<foreign::DaskCluster>(), None);
        assert_eq!(title::<foreign::DaskCluster>(), "DaskCluster.kubernetes.dask.org");
        assert_eq!(title::<super::super::DaskCluster>(), "DaskCluster");
        assert_eq!(
            (title::<Job>(), title::<NetworkPolicy>()),
            ("Job".to_owned(), "NetworkPolicy".to_owned())
        );
        let owner = |api_version: &str| OwnerReference {
            api_version: api_version.to_owned(),
            kind: "DaskCluster".to_owned(),
            ..OwnerReference::default()
        };
        assert_eq!(Kind::of_owner(&owner("daskflow.dev/v1alpha1")), Some(Kind::DaskCluster));
        assert_eq!(Kind::of_owner(&owner("kubernetes.dask.org/v1")), None);
        assert_eq!(Kind::of_owner(&owner("v1")), None);
    }
}
