//! Clusters of Dask Gateways, as this daskflow ends: they are processes of others, and would go on without
//! it.

use std::time::Duration;

use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep};

use super::news::News;
use crate::api::FlowRun;
use crate::causes::chain;

/// How long the ends are waited for.
const LIMIT: Duration = Duration::from_secs(20);
/// How often it is looked whether they have come.
const LOOK: Duration = Duration::from_millis(200);

/// Lets the operator, which still is at work, end the clusters that gateways have made for runs, and waits
/// for that; those that Flows name go on. A run that has not ended is deleted, unless runs are kept over a
/// restart: then it goes on after it, and so does its cluster.
pub async fn end(client: &Client, is_kept: bool, news: &News) {
    let runs: Api<FlowRun> = Api::all(client.clone());
    let deadline = Instant::now() + LIMIT;
    let mut is_said = false;
    loop {
        let left = match runs.list(&ListParams::default()).await {
            Ok(list) => list.items.into_iter().filter(|run| is_to_end(run, is_kept)).collect::<Vec<_>>(),
            Err(error) => return tracing::warn!(error = chain(&error), "runs could not be listed"),
        };
        if left.is_empty() {
            return;
        }
        if !is_said {
            news.say(&format!("ending clusters of Dask Gateways: {}", left.len()));
            is_said = true;
        }
        if Instant::now() > deadline {
            return left.iter().for_each(|run| news.say(&format!("it may go on: {}", cluster(run))));
        }
        for run in left.iter().filter(|run| !has_ended(run) && run.metadata.deletion_timestamp.is_none()) {
            let own: Api<FlowRun> = Api::namespaced(client.clone(), &run.namespace().unwrap_or_default());
            if let Err(error) = own.delete(&run.name_any(), &DeleteParams::background()).await {
                tracing::warn!(error = chain(&error), "a run could not be deleted");
            }
        }
        sleep(LOOK).await;
    }
}

fn is_to_end(run: &FlowRun, is_kept: bool) -> bool {
    let gateway = run.status.as_ref().and_then(|status| status.gateway.as_ref());
    let has_cluster = gateway.is_some_and(|gateway| !gateway.shared);
    has_cluster && (!is_kept || has_ended(run))
}

fn has_ended(run: &FlowRun) -> bool {
    run.status.as_ref().is_some_and(|status| status.phase.is_final())
}

/// The cluster of a run, in words.
fn cluster(run: &FlowRun) -> String {
    let gateway = run.status.as_ref().and_then(|status| status.gateway.as_ref());
    let name = gateway.and_then(|gateway| gateway.cluster.as_deref()).unwrap_or("one of an unknown name");
    let address = gateway.map(|gateway| gateway.access.address.as_str()).unwrap_or_default();
    format!("{name}, of the gateway at {address}")
}
