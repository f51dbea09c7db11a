//! Runs that people make and end.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};

use super::cluster::Cluster;
use super::error::Error;
use super::{read, wait};
use crate::api::{Flow, FlowBackfill, FlowRun, FlowRunSpec, Kind, labels};
use crate::manifest::similar::similar;
use crate::plan::facts::{logical_time, phase_of};
use crate::view::objects;

/// Who writes: the owner of the fields that are set.
pub(super) const MANAGER: &str = "daskflow-command";

/// What is asked of a run that is made by hand.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Parameters over the Flow's.
    pub parameters: Map<String, Value>,
    /// The logical time. None: when the run is created.
    pub logical_time: Option<Timestamp>,
    /// The clock whose parameters it has.
    pub clock: Option<String>,
    /// What it is asked for with, as the value of [`labels::REQUESTED_BY`].
    pub requested_by: Option<&'static str>,
}

/// Creates a run of a Flow. Its name begins with the Flow's, then `word`.
///
/// # Errors
/// The request failed.
pub async fn create(cluster: &Cluster, flow: &str, word: &str, wish: Wish) -> Result<FlowRun, Error> {
    let spec = FlowRunSpec {
        flow: flow.to_owned(),
        scheduled_time: wish.logical_time.map(Time),
        clock: wish.clock,
        parameters: (!wish.parameters.is_empty()).then_some(Value::Object(wish.parameters)),
        ..FlowRunSpec::default()
    };
    let mut run = FlowRun::new("", spec);
    run.metadata = ObjectMeta {
        generate_name: Some(format!("{flow}-{word}-")),
        annotations: wish.requested_by.map(|by| [(labels::REQUESTED_BY.to_owned(), by.to_owned())].into()),
        ..ObjectMeta::default()
    };
    let api: Api<FlowRun> = cluster.api();
    let action = format!("create flowruns in the namespace {}", cluster.namespace);
    let how = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    api.create(&how, &run).await.map_err(|error| Error::of(error, &action))
}

/// Creates a run of the same logical time and the same parameters as one that has ended, with those of the
/// wish in their place.
///
/// # Errors
/// It has not ended; or the request failed.
pub async fn retry(cluster: &Cluster, earlier: &FlowRun, wish: Wish) -> Result<FlowRun, Error> {
    let name = earlier.name_any();
    if !phase_of(earlier).is_final() {
        return Err(Error::Senseless(format!(
            "the run {name} has not ended ({}): wait for it, or cancel it with `daskflow cancel {name} --wait`",
            phase_of(earlier).as_str()
        )));
    }
    // What its attempts were given, so that a Flow that was changed since runs with the same.
    let status = earlier.status.as_ref();
    let given = status.and_then(|status| status.merged_parameters.as_ref());
    let given = given.or(earlier.spec.merged_parameters.as_ref()).or(earlier.spec.parameters.as_ref());
    let mut parameters = given.and_then(Value::as_object).cloned().unwrap_or_default();
    parameters.extend(wish.parameters);
    let wish = Wish { parameters, logical_time: Some(logical_time(earlier)), clock: None, ..wish };
    create(cluster, &earlier.spec.flow, "retry", wish).await
}

/// Looks whether a Flow has a clock of this name.
///
/// # Errors
/// It has none: a run of it would fail at once.
pub fn find_clock(flow: &Flow, clock: &str) -> Result<(), Error> {
    let entries = flow.spec.schedule.as_ref().map(|schedule| schedule.clocks.as_slice()).unwrap_or_default();
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    if names.contains(&clock) {
        return Ok(());
    }
    let hint = match (similar(clock, names.iter().copied()), names.as_slice()) {
        (Some(nearest), _) => format!("did you mean {nearest}?"),
        (None, []) => "it has none".to_owned(),
        (None, all) => format!("it has {}", all.join(", ")),
    };
    Err(Error::Senseless(format!("the Flow {} has no clock {clock}: {hint}", flow.name_any())))
}

/// Asks for a run to be cancelled.
///
/// # Errors
/// The request failed.
pub async fn cancel(cluster: &Cluster, name: &str) -> Result<FlowRun, Error> {
    let api: Api<FlowRun> = cluster.api();
    let patch = Patch::Merge(json!({"spec": {"cancel": true}}));
    let patched = api.patch(name, &PatchParams::apply(MANAGER), &patch).await;
    let action = format!("patch flowruns in the namespace {}", cluster.namespace);
    patched.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 => wait::deleted::<FlowRun>(name),
        other => Error::of(other, &action),
    })
}

/// Waits until a run has ended.
///
/// # Errors
/// As of [`wait::until`].
pub async fn until_ended(cluster: &Cluster, name: &str, seen: &mut wait::Seen<'_>) -> Result<FlowRun, Error> {
    wait::until(cluster, name, seen, |run: &FlowRun| phase_of(run).is_final()).await
}

/// The newest run of a Flow, which a Flow's name stands for where a run is wanted.
///
/// # Errors
/// It has none, or the request failed.
pub async fn newest(cluster: &Cluster, flow: &Flow) -> Result<FlowRun, Error> {
    let name = flow.name_any();
    let runs = read::runs_of(cluster, &name).await?;
    runs.into_iter().max_by_key(objects::place).ok_or_else(|| {
        Error::Senseless(format!("the Flow {name} has no run yet: start one with `daskflow run {name}`"))
    })
}

/// Creates a backfill.
///
/// # Errors
/// The request failed.
pub async fn create_backfill(cluster: &Cluster, backfill: &FlowBackfill) -> Result<FlowBackfill, Error> {
    let api: Api<FlowBackfill> = cluster.api();
    let how = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let action = format!("create flowbackfills in the namespace {}", cluster.namespace);
    api.create(&how, backfill).await.map_err(|error| Error::of(error, &action))
}

/// The kinds among which a run is looked for where a Flow's name stands for its newest.
pub const RUN_OR_FLOW: [Kind; 2] = [Kind::FlowRun, Kind::Flow];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_one_of_the_flow() {
        let said = |clocks: Value, clock: &str| {
            let flow: Flow = serde_json::from_value(json!({
                "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl"},
                "spec": {"cluster": {}, "schedule": {"clocks": clocks}},
            }))
            .unwrap();
            find_clock(&flow, clock).err().map(|error| error.to_string())
        };
        let clocks = || json!([{"name": "nightly", "interval": "1d"}, {"name": "b", "interval": "1h"}]);
        assert_eq!(said(clocks(), "b"), None);
        let of = |hint: &str| Some(format!("the Flow etl has no clock {hint}"));
        assert_eq!(said(clocks(), "nope"), of("nope: it has nightly, b"));
        assert_eq!(said(clocks(), "nightl"), of("nightl: did you mean nightly?"));
        assert_eq!(said(json!([]), "b"), of("b: it has none"));
    }
}
