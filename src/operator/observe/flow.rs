//! Observes a `Flow`.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;

use crate::api::common::ConfigMapKey;
use crate::api::object_name::is_object_name;
use crate::api::{DaskCluster, Flow, FlowRun, labels};
use crate::operator::caches::list_live;
use crate::operator::context::Context;
use crate::operator::failure::Error;
use crate::operator::lookup;
use crate::operator::reconcile::Planned;
use crate::operator::unwritten::Unwritten;
use crate::plan::backfill::runs_counted_on;
use crate::plan::facts::phase_of;
use crate::plan::flow::{self, CodeMap, Observed};
use crate::plan::pods::runner::{self, Script};
use crate::plan::pods::state;
use crate::plan::run::{Ground, ScriptView};
use crate::plan::{Plan, Wants};

impl Planned for Flow {
    async fn plan(
        &self,
        context: &Context,
        known: Wants,
        now: Timestamp,
    ) -> Result<Plan<Self::Status>, Error> {
        let observed = observe(context, self, known).await?;
        Ok(flow::plan(self, &observed, now))
    }

    fn unwritten(context: &Context) -> Option<&Unwritten<Self::Status>> {
        Some(&context.unwritten_flows)
    }
}

async fn observe(context: &Context, flow: &Flow, known: Wants) -> Result<Observed, Error> {
    let (namespace, name) = (flow.namespace().unwrap_or_default(), flow.name_any());
    let runs = runs_of(context, (&namespace, &name), known).await?;
    let runners = runs_at_work(context.stores.by.pods_by_flow.of(&namespace, &name));
    let cluster_exists = Ground::of(flow).shared().is_none_or(|cluster| {
        context.stores.clusters.get(&ObjectRef::new(cluster).within(&namespace)).is_some()
            || context.undecodable.has::<DaskCluster>(&namespace, cluster)
    });
    let mut backfills = context.stores.by.backfills_by_flow.of(&namespace, &name);
    backfills.retain(|backfill| backfill.metadata.deletion_timestamp.is_none());
    Ok(Observed {
        backfilled: backfills.iter().flat_map(|backfill| runs_counted_on(backfill, flow)).collect(),
        backfills: backfills.iter().map(|backfill| backfill.name_any()).collect(),
        found: found(context, flow, &runs, &runners).await?,
        code_missing: code_missing(context, flow).await?,
        code_maps: code_maps(context, &namespace, &name),
        unwritten: context.unwritten_flows.has(flow),
        runners,
        cluster_exists,
        runs,
    })
}

/// The Flow of this name.
pub(super) async fn flow_of(
    context: &Context,
    (namespace, name): (&str, &str),
    known: Wants,
) -> Result<Option<Arc<Flow>>, Error> {
    if !known.covers(Wants::FLOW) {
        return Ok(context.stores.flows.get(&ObjectRef::new(name).within(namespace)));
    }
    let api: Api<Flow> = Api::namespaced(context.client.clone(), namespace);
    Ok(lookup::by_name(&api, name).await?.map(Arc::new))
}

/// All runs of a Flow, adopted or not.
pub(super) async fn runs_of(
    context: &Context,
    (namespace, flow): (&str, &str),
    known: Wants,
) -> Result<Vec<Arc<FlowRun>>, Error> {
    if !known.covers(Wants::RUNS) {
        return Ok(context.stores.by.runs_by_flow.of(namespace, flow));
    }
    let params = ListParams::default().fields(&format!("spec.flow={flow}"));
    Ok(list_live(&context.client, namespace, &params, &context.stores.runs.store()).await?)
}

/// The runs of those of these pods that are runners and have not ended.
pub(super) fn runs_at_work(pods: impl IntoIterator<Item = Arc<Pod>>) -> BTreeSet<String> {
    let runners = pods.into_iter().filter(|pod| state::is_component(pod, labels::RUNNER));
    let at_work = runners.filter(|pod| state::is_at_work(pod, runner::CONTAINER));
    at_work.filter_map(|pod| state::label(&pod, labels::RUN).map(str::to_owned)).collect()
}

/// All pods of the runners of a run, as they are now.
pub(super) async fn live_runners(
    context: &Context,
    namespace: &str,
    run: &str,
) -> Result<Vec<Arc<Pod>>, Error> {
    if !is_object_name(run) {
        return Ok(Vec::new());
    }
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let list = api.list(&ListParams::default().labels(&format!("{}={run}", labels::RUN))).await?;
    Ok(list.items.into_iter().map(Arc::new).collect())
}

/// Admitted runs that the cache does not know, but the API server does: they were created a moment ago. And
/// those that are gone, and whose runner it knows to be at work: nor may the cache of pods know that one.
async fn found(
    context: &Context,
    flow: &Flow,
    runs: &[Arc<FlowRun>],
    runners: &BTreeSet<String>,
) -> Result<BTreeSet<String>, Error> {
    let namespace = flow.namespace().unwrap_or_default();
    let admitted = flow.status.as_ref().map(|status| status.admitted.as_slice()).unwrap_or_default();
    let api: Api<FlowRun> = Api::namespaced(context.client.clone(), &namespace);
    let mut found = BTreeSet::new();
    for name in admitted.iter().filter(|name| !runs.iter().any(|run| run.name_any() == **name)) {
        let ours = |run: &FlowRun| run.spec.flow == flow.name_any() && !phase_of(run).is_final();
        let is_there = lookup::by_name(&api, name).await?.as_ref().is_some_and(ours);
        let is_at_work = !is_there
            && !runners.contains(name)
            && runs_at_work(live_runners(context, &namespace, name).await?).contains(name);
        if is_there || is_at_work {
            found.insert(name.clone());
        }
    }
    Ok(found)
}

/// What is missing of the users' ConfigMap, where it has to be looked for.
async fn code_missing(context: &Context, flow: &Flow) -> Result<Option<String>, Error> {
    let Some(key) = flow::code_to_look_for(flow) else { return Ok(None) };
    match script(context, &flow.namespace().unwrap_or_default(), key).await? {
        ScriptView::Missing(message) => Ok(Some(message)),
        _ => Ok(None),
    }
}

/// Reads a script from a ConfigMap.
pub(super) async fn script(
    context: &Context,
    namespace: &str,
    key: &ConfigMapKey,
) -> Result<ScriptView, Error> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let Some(map) = lookup::by_name(&api, &key.name).await? else {
        return Ok(ScriptView::Missing(format!(
            "there is no ConfigMap called {} in this namespace",
            key.name
        )));
    };
    Ok(Script::of(map, key).map_or_else(ScriptView::Missing, ScriptView::Found))
}

fn code_maps(context: &Context, namespace: &str, flow: &str) -> Vec<CodeMap> {
    let by = &context.stores.by;
    let maps = by.code_by_flow.of(namespace, flow);
    maps.iter()
        .map(|map| CodeMap::of(map.as_ref(), &by.jobs_by_code.of(namespace, &map.name_any())))
        .collect()
}
