//! A cluster of a Dask Gateway. One that it makes for a run: how it is asked for, waited for, and ended. One
//! that exists: how a run comes to it ([`shared`]), of which none of the following is needed.
//!
//! Invariants. That a gateway is about to be asked stands in the run's status, and a finalizer on the run,
//! before it is asked: so no cluster is made that stands nowhere, whenever the operator ends. The gateway
//! is asked once for each such intent, since it takes no name and makes two clusters where it is asked twice.
//! A request whose answer was lost is followed by a search for the cluster that it may have made; only one
//! that can be no other's is taken, and what stays uncertain is reported and never ended. The run's status
//! has the way to the gateway, so that the cluster is ended whatever the Flow says by then.

mod ending;
mod request;
mod shared;
mod step;
mod view;
mod words;

pub use step::{GatewayOrder, GatewayStep, Intent};
pub use view::{ClusterState, ClusterView, Creation, EndOfCluster, GatewayView, Offer, Workers};

pub(super) use ending::{clean_up, deletion};
pub(super) use words::{lost, not_ready, unknown};

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::EnvVar;
use kube::ResourceExt;

use crate::api::gateway::{Gateway, GatewayAccess, GatewayStatus};
use crate::api::{FlowRun, FlowRunStatus};
use crate::plan::pods::container;
use crate::plan::pods::mounts::Files;
use crate::plan::pods::runner::Target;
use crate::plan::{Step, names};

/// What keeps a run from being deleted as long as the gateway may have a cluster for it.
pub const FINALIZER: &str = "daskflow.dev/gateway";
/// How long after a request whose answer was lost its cluster may still appear among the user's: longer than
/// a request may take.
const SETTLES: SignedDuration = SignedDuration::from_secs(15);
/// How long the end of a cluster is tried for a run that is being deleted.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// How soon what this process alone knows is looked at.
const AT_ONCE: Duration = Duration::from_millis(50);
/// How soon a run looks again whether it is its turn to ask. The gateway is not asked for that.
const TURN: Duration = Duration::from_millis(250);
/// How soon a gateway is asked again that does not answer while a cluster of it is to be ended.
const TRY_AGAIN: Duration = Duration::from_secs(15);
/// How often a cluster is looked at while its run is at work.
pub(super) const WATCHED_EVERY: Duration = Duration::from_secs(15);

/// Which gateway is to be asked, if any: the one of the run's status, else the one that is to make the
/// cluster that its Flow wants. One that has it is asked about it when the status has its name.
pub(super) fn to_ask(run: &FlowRun, source: Option<&Gateway>) -> Option<GatewayAccess> {
    let makes = source.filter(|source| source.cluster.is_none());
    known(run).map(|known| known.access.clone()).or_else(|| makes.map(Gateway::access))
}

/// Whether what the status knows was asked of this gateway, with these options, or is the cluster that is
/// named.
fn is_as_wanted(known: &GatewayStatus, source: &Gateway) -> bool {
    let is_it = match &source.cluster {
        Some(_) => known.shared && known.cluster == source.cluster,
        None => !known.shared && known.options == source.options,
    };
    is_it && known.access == source.access()
}

/// What is known in this status of the gateway's cluster.
fn known(run: &FlowRun) -> Option<&GatewayStatus> {
    run.status.as_ref()?.gateway.as_deref()
}

/// What a runner has to know of the cluster.
pub(super) fn target(run: &FlowRun) -> Target {
    let Some(gateway) = known(run) else { return Target::default() };
    let (Some(cluster), Some(secret), Some((host, port))) =
        (&gateway.cluster, &gateway.secret_name, gateway.access.proxy())
    else {
        return Target::default();
    };
    Target {
        address: format!("tls://daskgateway-{cluster}:{port}"),
        tls: Some(Files { secret: secret.clone(), own_authority: false, key_in_certificate: false }),
        // Whoever ends its workers or its scheduler gets others from the gateway, or none.
        is_shared: true,
        proxy: Some(host),
        env: gateway.dashboard_address().map(|address| link(&address)).into_iter().collect(),
        ..Target::default()
    }
}

/// What Dask takes for the link to the dashboard: the host of the scheduler's address leads to none.
fn link(address: &str) -> EnvVar {
    // It is a template of Dask, in a value of Kubernetes.
    let template = address.replace('{', "{{").replace('}', "}}");
    container::env("DASK_DISTRIBUTED__DASHBOARD__LINK", container::escape(&template))
}

/// The Secret with the certificate for a cluster's scheduler.
fn secret_name(run: &FlowRun, cluster: &str) -> String {
    format!("{}-gateway-{}", run.name_any(), names::short_hash(cluster, 8))
}

/// Whether the run stays until its cluster has ended.
fn is_bound(run: &FlowRun) -> bool {
    run.finalizers().iter().any(|name| name == FINALIZER)
}

/// The step that makes the run stay until its cluster has ended, or lets it go.
fn bind(run: &FlowRun, is_bound: bool) -> Step {
    let mut finalizers = run.finalizers().to_vec();
    finalizers.retain(|name| name != FINALIZER);
    finalizers.extend(is_bound.then(|| FINALIZER.to_owned()));
    Step::Finalize { run: run.name_any(), version: run.resource_version(), finalizers }
}

fn order(known: &GatewayStatus, order: GatewayOrder) -> Step {
    Step::Gateway(Box::new(GatewayStep { access: known.access.clone(), order }))
}

fn stop(known: &GatewayStatus, cluster: &str) -> Step {
    order(known, GatewayOrder::Stop { cluster: cluster.to_owned() })
}

/// The cluster that an uncertain request made, as far as one can tell.
enum Found<'a> {
    /// This one, and no other.
    One(&'a str),
    /// It cannot be said yet.
    NotYet,
    /// None that is certainly the run's, and it will not come any more. So many could be.
    None(usize),
}

impl<'a> Found<'a> {
    fn of(lost: (jiff::Timestamp, Option<&'a [String]>), now: jiff::Timestamp) -> Self {
        let (at, found) = lost;
        let settled = at.checked_add(SETTLES).is_ok_and(|until| until <= now);
        match found {
            None => Self::NotYet,
            Some(_) if !settled => Self::NotYet,
            Some([one]) => Self::One(one),
            Some(all) => Self::None(all.len()),
        }
    }
}

/// What to report of a request of which it stays unknown what came of it.
fn uncertain(known: &GatewayStatus, found: usize) -> String {
    let address = &known.access.address;
    let which = match found {
        0 => "no cluster of its options has appeared since".to_owned(),
        count => format!(
            "{count} clusters of its options have appeared since, and it is not certain which is the run's"
        ),
    };
    format!(
        "the answer of the gateway at {address} to the request for a cluster was lost, and {which}: look for clusters there that no run has"
    )
}

/// Forgets the cluster.
fn forget(status: &mut FlowRunStatus) {
    status.gateway = None;
}

#[cfg(test)]
mod tests;
