//! The object that a name means.

use std::fmt::Debug;
use std::str::FromStr;

use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::cluster::Cluster;
use super::error::{Error, is_of_object};
use crate::api::object_name::is_object_name;
use crate::api::{DaskCluster, Flow, FlowBackfill, FlowRun, Kind, Ours};
use crate::manifest::similar::similar;

/// A name, and the kind before it where one is written: `nightly`, `flow/nightly`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The kind.
    pub kind: Option<Kind>,
    /// The name.
    pub name: String,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            Some((word, name)) => (Some(kind_of(word)?), name),
            None => (None, text),
        };
        if !is_object_name(name) {
            return Err(format!(
                "{name:?} is no name of an object: write lower-case letters, digits, '-' and '.'"
            ));
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

/// The kind that people mean by a word: ours, that of kubectl, singular or plural.
fn kind_of(word: &str) -> Result<Kind, String> {
    let word = word.to_lowercase();
    let word = word.split('.').next().unwrap_or_default();
    let names = |kind: &Kind| {
        let names = kind.crd().spec.names;
        let mut all = names.short_names.unwrap_or_default();
        all.extend([
            names.plural,
            names.kind.to_lowercase(),
            shown(*kind).to_owned(),
            format!("{}s", shown(*kind)),
        ]);
        all
    };
    let found = Kind::ALL.into_iter().find(|kind| names(kind).iter().any(|name| name == word));
    found.ok_or_else(|| format!("{word:?} is no kind: write flow, run, cluster or backfill before the name"))
}

/// What people call a kind.
pub fn shown(kind: Kind) -> &'static str {
    match kind {
        Kind::DaskCluster => "cluster",
        Kind::Flow => "flow",
        Kind::FlowRun => "run",
        Kind::FlowBackfill => "backfill",
    }
}

/// An object of one of our kinds.
#[derive(Clone, Debug)]
pub enum Found {
    /// A DaskCluster.
    Cluster(Box<DaskCluster>),
    /// A Flow.
    Flow(Box<Flow>),
    /// A FlowRun.
    Run(Box<FlowRun>),
    /// A FlowBackfill.
    Backfill(Box<FlowBackfill>),
}

impl Found {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cluster(_) => Kind::DaskCluster,
            Self::Flow(_) => Kind::Flow,
            Self::Run(_) => Kind::FlowRun,
            Self::Backfill(_) => Kind::FlowBackfill,
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Self::Cluster(found) => found.name_any(),
            Self::Flow(found) => found.name_any(),
            Self::Run(found) => found.name_any(),
            Self::Backfill(found) => found.name_any(),
        }
    }

    /// The object as it was read.
    ///
    /// # Errors
    /// As of [`serde_json::to_value`].
    pub fn to_value(&self) -> serde_json::Result<serde_json::Value> {
        match self {
            Self::Cluster(found) => serde_json::to_value(found),
            Self::Flow(found) => serde_json::to_value(found),
            Self::Run(found) => serde_json::to_value(found),
            Self::Backfill(found) => serde_json::to_value(found),
        }
    }
}

/// The object of this name among these kinds.
///
/// # Errors
/// There is none, or there are several, or the request failed.
pub async fn find(cluster: &Cluster, named: &Named, kinds: &[Kind]) -> Result<Found, Error> {
    if let Some(other) = named.kind.filter(|kind| !kinds.contains(kind)) {
        return Err(of_another_kind(other, &named.name, kinds));
    }
    let mut found = Vec::new();
    for kind in kinds.iter().filter(|kind| named.kind.is_none_or(|wanted| wanted == **kind)) {
        found.extend(get(cluster, *kind, &named.name).await?);
    }
    let words = |found: &[Found]| {
        let words: Vec<&str> = found.iter().map(|found| found.kind().as_str()).collect();
        words.join(" and of a ")
    };
    match (found.pop(), found.as_slice()) {
        (Some(only), []) => Ok(only),
        (Some(last), others) => Err(Error::Ambiguous {
            name: named.name.clone(),
            kinds: words(&[others, std::slice::from_ref(&last)].concat()),
            example: format!("{}/{}", shown(last.kind()), named.name),
        }),
        (None, _) => Err(not_found(cluster, named, kinds).await),
    }
}

/// The Flow of this name.
///
/// # Errors
/// As of [`find`].
pub async fn flow(cluster: &Cluster, named: &Named) -> Result<Flow, Error> {
    match find(cluster, named, &[Kind::Flow]).await? {
        Found::Flow(flow) => Ok(*flow),
        _ => Err(not_found(cluster, named, &[Kind::Flow]).await),
    }
}

/// The run of this name.
///
/// # Errors
/// As of [`find`].
pub async fn run(cluster: &Cluster, named: &Named) -> Result<FlowRun, Error> {
    match find(cluster, named, &[Kind::FlowRun]).await? {
        Found::Run(run) => Ok(*run),
        _ => Err(not_found(cluster, named, &[Kind::FlowRun]).await),
    }
}

async fn get(cluster: &Cluster, kind: Kind, name: &str) -> Result<Option<Found>, Error> {
    match kind {
        Kind::DaskCluster => Ok(one(cluster, name).await?.map(|found| Found::Cluster(Box::new(found)))),
        Kind::Flow => Ok(one(cluster, name).await?.map(|found| Found::Flow(Box::new(found)))),
        Kind::FlowRun => Ok(one(cluster, name).await?.map(|found| Found::Run(Box::new(found)))),
        Kind::FlowBackfill => Ok(one(cluster, name).await?.map(|found| Found::Backfill(Box::new(found)))),
    }
}

async fn one<K: Ours>(cluster: &Cluster, name: &str) -> Result<Option<K>, Error> {
    let api: Api<K> = cluster.api();
    match api.get(name).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 && is_of_object(&status) => Ok(None),
        Err(error) => {
            let action = format!("get {} in the namespace {}", K::plural(&()), cluster.namespace);
            Err(Error::of(error, &action))
        }
    }
}

/// What is said where there is no such object: another one of a like name, or one of another kind.
async fn not_found(cluster: &Cluster, named: &Named, kinds: &[Kind]) -> Error {
    let kinds: Vec<Kind> =
        kinds.iter().copied().filter(|kind| named.kind.is_none_or(|wanted| wanted == *kind)).collect();
    let mut there: Vec<String> = Vec::new();
    for kind in &kinds {
        there.extend(names_of(cluster, *kind).await);
    }
    let name = &named.name;
    let mut hint = match similar(name, there.iter().map(String::as_str)) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "`daskflow status` shows what there is, and -n names another namespace".to_owned(),
    };
    for other in Kind::ALL.into_iter().filter(|other| !kinds.contains(other)) {
        if names_of(cluster, other).await.contains(name) {
            hint = format!("there is a {} of this name", other.as_str());
        }
    }
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let namespace = cluster.namespace.clone();
    Error::NotFound { kinds: words.join(" or "), name: name.clone(), namespace, hint }
}

/// What is said of a name with a kind before it that is none of those that are meant.
fn of_another_kind(kind: Kind, name: &str, kinds: &[Kind]) -> Error {
    let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let wanted = kinds.first().map_or("", |kind| shown(*kind));
    Error::Senseless(format!(
        "{}/{name} names a {}, and a {} is meant here: write {wanted}/ and its name, or the name alone",
        shown(kind),
        kind.as_str(),
        words.join(" or "),
    ))
}

/// The names of all objects of these kinds, in order; none of those that may not be listed.
pub async fn names(cluster: &Cluster, kinds: &[Kind]) -> Vec<String> {
    let mut all = Vec::new();
    for kind in kinds {
        all.extend(names_of(cluster, *kind).await);
    }
    all.sort();
    all.dedup();
    all
}

/// The names of all objects of a kind; none where they may not be listed, as they are only for a hint.
async fn names_of(cluster: &Cluster, kind: Kind) -> Vec<String> {
    async fn list<K: Ours>(cluster: &Cluster) -> Vec<String> {
        let api: Api<K> = cluster.api();
        let all = api.list_metadata(&ListParams::default()).await;
        all.map(|all| all.items.iter().map(ResourceExt::name_any).collect()).unwrap_or_default()
    }
    match kind {
        Kind::DaskCluster => list::<DaskCluster>(cluster).await,
        Kind::Flow => list::<Flow>(cluster).await,
        Kind::FlowRun => list::<FlowRun>(cluster).await,
        Kind::FlowBackfill => list::<FlowBackfill>(cluster).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_kind_than_the_one_that_is_meant_is_named() {
        let said = of_another_kind(Kind::FlowRun, "etl", &[Kind::Flow]).to_string();
        let wanted =
            "run/etl names a FlowRun, and a Flow is meant here: write flow/ and its name, or the name alone";
        assert_eq!(said, wanted);
        let said = of_another_kind(Kind::DaskCluster, "a", &[Kind::FlowRun, Kind::Flow]).to_string();
        assert!(
            said.starts_with("cluster/a names a DaskCluster, and a FlowRun or Flow is meant here"),
            "{said}"
        );
    }

    #[test]
    fn a_name_may_have_its_kind_before_it() {
        for (text, kind, name) in [
            ("nightly", None, "nightly"),
            ("flow/nightly", Some(Kind::Flow), "nightly"),
            ("fl/a", Some(Kind::Flow), "a"),
            ("run/a.b", Some(Kind::FlowRun), "a.b"),
            ("FlowRun/a", Some(Kind::FlowRun), "a"),
            ("flowruns.daskflow.dev/a", Some(Kind::FlowRun), "a"),
            ("clusters/a", Some(Kind::DaskCluster), "a"),
            ("dkc/a", Some(Kind::DaskCluster), "a"),
            ("fb/a", Some(Kind::FlowBackfill), "a"),
        ] {
            assert_eq!(text.parse(), Ok(Named { kind, name: name.to_owned() }), "{text}");
        }
        for (text, word) in
            [("pod/a", "is no kind"), ("A", "is no name"), ("a/../b", "is no kind"), ("", "no name")]
        {
            assert!(text.parse::<Named>().unwrap_err().contains(word), "{text}");
        }
        assert!("flow/../../secrets".parse::<Named>().unwrap_err().contains("is no name"));
    }
}
