//! All clusters.

use askama::Template;
use serde::Serialize;

use super::frame::Frame;
use super::listing::{Listing, Wanted};
use super::seen::{Seen, name_of, namespace_of};
use super::words::{cluster_link, why};
use crate::api::{ConditionType, DaskCluster};

/// How many clusters a part of the list has.
pub const CLUSTERS_MAX: usize = 50;

/// One cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its page.
    #[serde(skip)]
    pub link: String,
    /// Whether it is as its spec asks for.
    pub ready: bool,
    /// Why not.
    pub why: String,
    /// How many workers are registered.
    pub workers: i32,
    /// How many are asked for.
    pub wanted: i32,
    /// How many runs that have not ended are on it.
    pub runs: usize,
}

/// All clusters.
#[derive(Template, Serialize)]
#[template(path = "clusters.html")]
#[expect(clippy::struct_field_names, reason = "as the JSON of the page has them")]
pub struct Clusters {
    /// Around it.
    #[serde(skip)]
    pub frame: Frame,
    /// Which part.
    pub listing: Listing,
    /// The clusters.
    pub clusters: Vec<Row>,
    /// Whether the list may have several namespaces.
    #[serde(skip)]
    pub namespaces: bool,
}

/// The clusters that are wanted, by name.
pub fn clusters(frame: Frame, seen: &Seen, wanted: &Wanted) -> Clusters {
    let all = seen.clusters.iter().map(AsRef::as_ref);
    let mut found: Vec<&DaskCluster> = all
        .filter(|one: &&DaskCluster| wanted.finds(&[name_of(*one), namespace_of(*one)]))
        .filter(|one| wanted.state != "waiting" || !is_ready(one))
        .collect();
    found.sort_by_key(|one| (namespace_of(*one), name_of(*one)));
    let listing = Listing::wanted(wanted, found.len(), CLUSTERS_MAX);
    let runs = seen.by_cluster();
    let runs_on = |one: &DaskCluster| runs.get(&(namespace_of(one), name_of(one))).map_or(0, Vec::len);
    let part = listing.part(found, CLUSTERS_MAX).into_iter();
    let rows = part.map(|one| row(one, runs_on(one))).collect();
    Clusters { namespaces: frame.namespace.is_empty(), frame, listing, clusters: rows }
}

fn row(cluster: &DaskCluster, runs: usize) -> Row {
    let status = cluster.status.clone().unwrap_or_default();
    Row {
        namespace: namespace_of(cluster).to_owned(),
        name: name_of(cluster).to_owned(),
        link: cluster_link(cluster),
        ready: is_ready(cluster),
        why: not_ready(cluster).unwrap_or_default(),
        workers: status.workers.ready,
        wanted: status.workers.desired,
        runs,
    }
}

/// Whether a cluster is as its spec asks for.
pub fn is_ready(cluster: &DaskCluster) -> bool {
    let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.iter().any(|one| one.type_ == ConditionType::Ready.as_str() && one.status == "True")
}

/// Why it is not.
pub fn not_ready(cluster: &DaskCluster) -> Option<String> {
    if is_ready(cluster) {
        return None;
    }
    let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let ready = conditions.iter().find(|one| one.type_ == ConditionType::Ready.as_str());
    let unseen = || "no operator has looked at it yet".to_owned();
    Some(ready.map_or_else(unseen, |one| why(Some(&one.reason), Some(&one.message))))
}
