//! `spec.suspend` of any of our kinds.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::cluster::Cluster;
use super::error::Error;
use super::find::Found;
use super::runs::MANAGER;
use super::wait::{self, is_observed};
use crate::api::flow_run::WaitsFor;
use crate::api::{ConditionType, DaskCluster, Flow, FlowBackfill, FlowRun, Ours};
use crate::plan::facts::{has_started, phase_of};
use crate::view::followed;

/// Refuses a cluster whose `spec.suspend` would be put back.
///
/// # Errors
/// It follows one of dask-kubernetes.
pub fn refuse_followed(found: &Found) -> Result<(), Error> {
    let Found::Cluster(cluster) = found else { return Ok(()) };
    followed::no_suspend(cluster).map_or(Ok(()), |why| Err(Error::Senseless(why)))
}

/// Sets `spec.suspend`; gives the object as it is then.
///
/// # Errors
/// The request failed, or what it sets would be put back.
pub async fn set(cluster: &Cluster, found: &Found, suspend: bool) -> Result<Found, Error> {
    refuse_followed(found)?;
    let name = found.name();
    Ok(match found {
        Found::Cluster(_) => Found::Cluster(Box::new(patch(cluster, &name, suspend).await?)),
        Found::Flow(_) => Found::Flow(Box::new(patch(cluster, &name, suspend).await?)),
        Found::Run(_) => Found::Run(Box::new(patch(cluster, &name, suspend).await?)),
        Found::Backfill(_) => Found::Backfill(Box::new(patch(cluster, &name, suspend).await?)),
    })
}

async fn patch<K: Ours>(cluster: &Cluster, name: &str, suspend: bool) -> Result<K, Error> {
    let api: Api<K> = cluster.api();
    let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
    let action = format!("patch {} in the namespace {}", K::plural(&()), cluster.namespace);
    api.patch(name, &PatchParams::apply(MANAGER), &patch).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 => wait::deleted::<K>(name),
        other => Error::of(other, &action),
    })
}

/// Whether `spec.suspend` of an object is set.
pub fn is_set(found: &Found) -> bool {
    match found {
        Found::Cluster(found) => found.spec.suspend,
        Found::Flow(found) => found.spec.suspend,
        Found::Run(found) => found.spec.suspend,
        Found::Backfill(found) => found.spec.suspend,
    }
}

/// Waits until the operator has carried it out: of a cluster until its pods are deleted, or it is ready
/// again; of a run until its runner has ended, or it is in the queue again; of others until it was seen.
///
/// # Errors
/// As of [`wait::until`].
pub async fn until_done(
    cluster: &Cluster,
    found: &Found,
    suspend: bool,
    seen: &mut wait::Seen<'_>,
) -> Result<Found, Error> {
    let name = found.name();
    Ok(match found {
        Found::Cluster(_) => {
            let is_done = |found: &DaskCluster| is_cluster_done(found, suspend);
            Found::Cluster(Box::new(wait::until(cluster, &name, seen, is_done).await?))
        }
        Found::Run(_) => {
            let is_done = |found: &FlowRun| is_run_done(found, suspend);
            Found::Run(Box::new(wait::until(cluster, &name, seen, is_done).await?))
        }
        Found::Flow(_) => {
            let is_seen = |found: &Flow| {
                is_observed(found, found.status.as_ref().and_then(|status| status.observed_generation))
            };
            Found::Flow(Box::new(wait::until(cluster, &name, seen, is_seen).await?))
        }
        Found::Backfill(_) => {
            let is_seen = |found: &FlowBackfill| {
                is_observed(found, found.status.as_ref().and_then(|status| status.observed_generation))
            };
            Found::Backfill(Box::new(wait::until(cluster, &name, seen, is_seen).await?))
        }
    })
}

fn is_cluster_done(cluster: &DaskCluster, suspend: bool) -> bool {
    let Some(status) = &cluster.status else { return false };
    let wanted = if suspend { ConditionType::Suspended } else { ConditionType::Ready };
    let holds = status.conditions.iter().any(|one| one.type_ == wanted.as_str() && one.status == "True");
    is_observed(cluster, status.observed_generation) && holds
}

fn is_run_done(run: &FlowRun, suspend: bool) -> bool {
    let Some(status) = &run.status else { return false };
    let waits = status.waits_for == Some(WaitsFor::Resume) && status.job.is_none();
    let is_done = if suspend { waits } else { !waits };
    phase_of(run).is_final() || (is_observed(run, status.observed_generation) && is_done)
}

/// The runs of a Flow that go on though it is suspended.
pub fn go_on(flow: &Flow, runs: &[FlowRun]) -> Vec<String> {
    let is_active = |run: &&FlowRun| {
        run.spec.flow == flow.name_any()
            && !phase_of(run).is_final()
            && run.status.as_ref().is_none_or(|status| status.waits_for != Some(WaitsFor::Resume))
            && has_started(run)
    };
    runs.iter().filter(is_active).map(ResourceExt::name_any).collect()
}
