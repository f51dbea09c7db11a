//! One cluster.

use askama::Template;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};
use serde::Serialize;

use super::clusters::{is_ready, not_ready};
use super::flow::{Fact, facts};
use super::frame::Frame;
use super::load::Load;
use super::runs::{Row, row};
use super::seen::{Seen, name_of, namespace_of};
use super::sizes::{Sizes, Traces, sizes};
use super::words::{cluster_link, flow_link, second, when};
use crate::api::{DaskCluster, Flow, Kind};
use crate::plan::run::Ground;
use crate::view::{age, followed};

/// How many of its runs are listed.
const RUNS_MAX: usize = 20;

/// Why a page in a cluster does not know what a scheduler has to do.
const NOT_ASKED: &str = "The scheduler is asked only by a page on your own machine: start one with `daskflow ui`, or look at its dashboard.";

/// A group of workers.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many workers are registered.
    pub ready: i32,
    /// How many are asked for.
    pub desired: i32,
    /// The part that is there, in hundredths, for a drawing.
    #[serde(skip)]
    pub hundredths: i32,
}

/// One cluster.
#[derive(Template, Serialize)]
#[template(path = "cluster.html")]
pub struct OneCluster {
    /// Around it.
    #[serde(skip)]
    pub frame: Frame,
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
    pub why: Option<String>,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Why it is neither suspended nor resumed here.
    pub no_suspend: Option<String>,
    /// Its groups.
    pub groups: Vec<Group>,
    /// Its workers over the last hour.
    pub sizes: Sizes,
    /// What could not be read of that.
    pub notes: Vec<String>,
    /// What its scheduler says, where it was asked.
    pub load: Option<Load>,
    /// Why it says nothing.
    pub load_note: Option<String>,
    /// Names and values of what else is known.
    pub facts: Vec<(&'static str, String)>,
    /// Its conditions.
    pub conditions: Vec<Fact>,
    /// The Flows that it is the cluster of, with their pages.
    pub flows: Vec<(String, String)>,
    /// The runs on it that have not ended.
    pub runs: Vec<Row>,
    /// Where its dashboard is, for this browser.
    pub dashboard: Option<String>,
    /// Whether it can be brought to this machine.
    #[serde(skip)]
    pub forwards: bool,
}

/// What is read of a cluster beside its object.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// Where this browser finds its dashboard.
    pub dashboard: Option<String>,
    /// Whether that can be brought to this machine.
    pub forwards: bool,
    /// The events about it; none where they could not be read.
    pub events: Option<Vec<Event>>,
    /// The pods of its workers; none where they could not be read.
    pub pods: Option<Vec<Pod>>,
    /// What could not be read.
    pub notes: Vec<String>,
    /// What its scheduler says, or why it says nothing; none where it is not asked.
    pub load: Option<Result<Load, String>>,
}

/// One cluster with what is around it.
pub fn cluster(
    frame: Frame,
    seen: &Seen,
    cluster: &DaskCluster,
    around: Around,
    now: Timestamp,
) -> OneCluster {
    let status = cluster.status.clone().unwrap_or_default();
    let mut by_cluster = seen.by_cluster();
    let runs = by_cluster.remove(&(namespace_of(cluster), name_of(cluster))).unwrap_or_default();
    let group = |one: &crate::api::dask_cluster::GroupStatus| Group {
        name: one.name.clone(),
        ready: one.ready,
        desired: one.desired,
        hundredths: (one.ready.max(0).saturating_mul(100) / one.desired.max(1)).min(100),
    };
    let traces = Traces { events: around.events.as_deref(), pods: around.pods.as_deref() };
    let (load, load_note) = match around.load {
        None => (None, Some(NOT_ASKED.to_owned())),
        Some(Ok(load)) => (Some(Load { at: second(load.at), ..load }), None),
        Some(Err(why)) => (None, Some(why)),
    };
    OneCluster {
        frame,
        namespace: namespace_of(cluster).to_owned(),
        name: name_of(cluster).to_owned(),
        link: cluster_link(cluster),
        ready: is_ready(cluster),
        why: not_ready(cluster),
        suspended: cluster.spec.suspend,
        no_suspend: followed::no_suspend(cluster),
        groups: status.groups.iter().map(group).collect(),
        sizes: sizes(cluster, traces, now),
        notes: around.notes,
        load,
        load_note,
        facts: known(cluster, now),
        conditions: facts(&status.conditions, Kind::DaskCluster),
        flows: users(cluster, seen).map(|flow| (flow_link(flow), name_of(flow).to_owned())).collect(),
        runs: runs.into_iter().take(RUNS_MAX).map(|run| row(run, now)).collect(),
        dashboard: around.dashboard,
        forwards: around.forwards && status.dashboard_address.is_some(),
    }
}

/// The Flows whose runs share it.
fn users<'a>(cluster: &'a DaskCluster, seen: &'a Seen) -> impl Iterator<Item = &'a Flow> {
    let all = seen.flows.iter().map(AsRef::as_ref);
    all.filter(move |flow: &&Flow| {
        namespace_of(*flow) == namespace_of(cluster) && Ground::of(flow).shared() == Some(name_of(cluster))
    })
}

fn known(cluster: &DaskCluster, now: Timestamp) -> Vec<(&'static str, String)> {
    let status = cluster.status.clone().unwrap_or_default();
    let mut facts = Vec::new();
    let mut add = |name: &'static str, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    let workers = status.workers;
    add("Workers", Some(format!("{} of {}", workers.ready, workers.desired)));
    add("Scheduler", status.scheduler_address);
    add("Dashboard in the cluster", status.dashboard_address);
    add("Scheduler answers since", status.scheduler_ready_since.map(|at| when(at.0, now)));
    add("Scheduler ended last", status.scheduler_ended_at.map(|at| when(at.0, now)));
    let idle = status.idle.filter(|idle| idle.asleep);
    add("Idle since", idle.map(|idle| when(idle.since.0, now)));
    let ends = status.tls.and_then(|tls| tls.not_after);
    add("Certificates end", ends.map(|at| age::ahead(at.0, now)));
    facts
}
