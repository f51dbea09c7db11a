//! How many workers a cluster has.

use http::Request;
use http::header::CONTENT_TYPE;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::error::Error;
use super::runs::MANAGER;
use super::wait::{self, is_observed};
use crate::api::worker_group::Drain;
use crate::api::{DaskCluster, WorkersSpec};
use crate::manifest::similar::similar;
use crate::view::followed;

/// The group of `spec.workers`.
pub const DEFAULT: &str = "default";

/// A change of a group.
#[derive(Clone, Debug)]
pub struct Change {
    /// How many workers it had.
    pub before: usize,
    /// What happens to the tasks of workers that are removed.
    pub drain: Drain,
    /// The cluster after it.
    pub cluster: DaskCluster,
}

/// Sets the number of workers of a group.
///
/// # Errors
/// There is no such group, or it scales itself, or what is set would be put back, or the request failed.
pub async fn scale(cluster: &Cluster, of: &DaskCluster, group: &str, workers: i32) -> Result<Change, Error> {
    let name = of.name_any();
    let (path, spec) = place(of, group)?;
    if let Some(why) = followed::no_scale(of, (group, spec), workers) {
        return Err(Error::Senseless(why));
    }
    if let Some(autoscale) = &spec.autoscale {
        return Err(Error::Senseless(format!(
            "the group {group} of the DaskCluster {name} scales itself between {} and {} workers: change minimum and maximum of its autoscale",
            autoscale.minimum.size(),
            autoscale.maximum.size()
        )));
    }
    let (before, drain) = (spec.fixed_size(), spec.drain);
    let api: Api<DaskCluster> = cluster.api();
    let action = format!("patch daskclusters in the namespace {}", cluster.namespace);
    let patched = match path {
        None => {
            let size = json!({"spec": {"workers": {"replicas": workers}}});
            api.patch(&name, &PatchParams::apply(MANAGER), &Patch::Merge(size)).await
        }
        Some(index) => {
            // A list is replaced as a whole by a merge; the test keeps another group of this place untouched.
            let at = format!("/spec/workerGroups/{index}");
            let steps = json!([
                {"op": "test", "path": format!("{at}/name"), "value": group},
                {"op": "add", "path": format!("{at}/replicas"), "value": workers},
            ]);
            patch_by_steps(cluster, &name, &steps).await
        }
    };
    let patched = patched.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 => wait::deleted::<DaskCluster>(&name),
        other => Error::of(other, &action),
    })?;
    Ok(Change { before, drain, cluster: patched })
}

/// A JSON Patch, which kube sends only with a type of its own for it.
async fn patch_by_steps(cluster: &Cluster, name: &str, steps: &Value) -> kube::Result<DaskCluster> {
    let path = DaskCluster::url_path(&(), Some(&cluster.namespace));
    let request = Request::patch(format!("{path}/{name}?fieldManager={MANAGER}"))
        .header(CONTENT_TYPE, "application/json-patch+json")
        .body(steps.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    cluster.client.request(request).await
}

/// Where a group is in the spec: none for the default one, else its place in the list.
fn place<'a>(of: &'a DaskCluster, group: &str) -> Result<(Option<usize>, &'a WorkersSpec), Error> {
    if group == DEFAULT {
        return Ok((None, &of.spec.workers));
    }
    let groups = &of.spec.worker_groups;
    if let Some((index, found)) = groups.iter().enumerate().find(|(_, found)| found.name == group) {
        return Ok((Some(index), &found.workers));
    }
    let mut names: Vec<&str> = vec![DEFAULT];
    names.extend(groups.iter().map(|group| group.name.as_str()));
    let meant = similar(group, names.iter().copied()).map(|meant| format!("; did you mean {meant}?"));
    Err(Error::Senseless(format!(
        "the DaskCluster {} has no group called {group}; it has {}{}",
        of.name_any(),
        names.join(", "),
        meant.unwrap_or_default()
    )))
}

/// Waits until as many workers of a group are registered as were asked for.
///
/// # Errors
/// As of [`wait::until`].
pub async fn until_scaled(
    cluster: &Cluster,
    name: &str,
    group: &str,
    workers: i32,
    seen: &mut wait::Seen<'_>,
) -> Result<DaskCluster, Error> {
    wait::until(cluster, name, seen, |found: &DaskCluster| {
        let Some(status) = &found.status else { return false };
        let of_group = status.groups.iter().find(|one| one.name == group);
        let is_there = of_group.is_some_and(|one| (one.desired, one.ready) == (workers, workers));
        is_observed(found, status.observed_generation) && is_there
    })
    .await
}
