//! Where the cluster of a run comes from. No other file asks which field of `spec.cluster` a Flow has, so
//! that another source is another variant of [`Ground`], and what has to be observed of it.
//!
//! A [`Ground`] is what the Flow says now, and a run that has no Job yet follows it. An attempt that has one
//! stays where it began, so [`cluster_to_observe`] and [`lost`] go by the run's status. What was made for a
//! run is known by its owner, whatever the Flow has become since ([`release`]).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::gateway;
use super::observed::{ForeignScheduler, Observed, Wiring};
use crate::api::gateway::Gateway;
use crate::api::tls::ClientTls;
use crate::api::{
    ConditionType, DaskCluster, DaskClusterSpec, Flow, FlowRun, FlowRunStatus, Phase, Reason, labels,
};
use crate::plan::cluster::{self, may_have_workers};
use crate::plan::facts::{job_of, phase_of};
use crate::plan::pods::mounts::Files;
use crate::plan::pods::runner::Target;
use crate::plan::pods::{Violation, common_labels, controller_ref};
use crate::plan::site::Site;
use crate::plan::violations::moved;
use crate::plan::{Note, Object, Step, Victim, VictimKind, conditions, names};

/// Where the cluster of a Flow's runs comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ground<'a> {
    /// `cluster.ref`: a `DaskCluster` of this name, which others may use as well.
    Shared(&'a str),
    /// `cluster.template`: a `DaskCluster` that is made for each run and deleted after it.
    Own(&'a DaskClusterSpec),
    /// `cluster.address`: a Dask scheduler outside of any `DaskCluster`, and what it is shown where it speaks
    /// TLS.
    Foreign(&'a str, Option<&'a ClientTls>),
    /// `cluster.gateway`: a cluster that a Dask Gateway makes for each run, and that is ended after it.
    Gateway(&'a Gateway),
}

impl<'a> Ground<'a> {
    /// What the Flow says. The API server sees to it that it names exactly one.
    pub fn of(flow: &'a Flow) -> Self {
        let source = &flow.spec.cluster;
        if let Some(gateway) = &source.gateway {
            return Self::Gateway(gateway);
        }
        match (&source.template, &source.address, &source.ref_) {
            (Some(template), _, _) => Self::Own(template),
            (None, Some(address), _) => Self::Foreign(address, source.tls.as_ref()),
            (None, None, named) => Self::Shared(named.as_ref().map_or("", |cluster| &cluster.name)),
        }
    }

    /// The `DaskCluster` that has to be there without the run.
    pub fn shared(self) -> Option<&'a str> {
        match self {
            Self::Shared(name) => Some(name),
            Self::Own(_) | Self::Foreign(..) | Self::Gateway(_) => None,
        }
    }

    /// The Dask Gateway that makes it.
    pub(super) fn gateway(self) -> Option<&'a Gateway> {
        match self {
            Self::Gateway(gateway) => Some(gateway),
            Self::Shared(_) | Self::Own(_) | Self::Foreign(..) => None,
        }
    }

    /// The cluster of a gateway that exists, which runs of several Flows may use.
    pub fn shared_at_gateway(self) -> Option<&'a str> {
        self.gateway()?.cluster.as_deref()
    }

    /// The scheduler that has to be asked, because nothing that is watched tells of it, and what it is shown.
    pub(super) fn to_ask(self) -> Option<(&'a str, Option<&'a ClientTls>)> {
        match self {
            Self::Foreign(address, tls) => Some((address, tls)),
            Self::Shared(_) | Self::Own(_) | Self::Gateway(_) => None,
        }
    }

    /// Whether it is outside of any `DaskCluster`: no change of it is watched, it brings no image, and it
    /// does not have to know of its runs.
    pub(super) fn is_outside(self) -> bool {
        matches!(self, Self::Foreign(..) | Self::Gateway(_))
    }

    /// What the run's status calls it: the name of a `DaskCluster`, else the address.
    pub(super) fn name(self, run: &FlowRun) -> String {
        match self {
            Self::Shared(name) | Self::Foreign(name, _) => name.to_owned(),
            Self::Own(_) => own_name(run),
            Self::Gateway(gateway) => gateway.address.clone(),
        }
    }

    /// All that is wrong with it, by the fields of the Flow.
    pub(in crate::plan) fn violations(self) -> Vec<Violation> {
        if let Self::Gateway(gateway) = self {
            return of_gateway(gateway);
        }
        let Self::Own(template) = self else { return Vec::new() };
        let own = DaskCluster::new(&names::cluster_name_for_run("run"), template.clone());
        cluster::violations(&own)
            .iter()
            .map(|fault| moved(fault, "spec.", "spec.cluster.template."))
            .collect()
    }

    /// What is wrong with the Flow where the `DaskCluster` that it shares is not there.
    pub(in crate::plan) fn if_missing(self) -> Option<Violation> {
        let (reason, message) = is_missing(self.shared()?);
        Some(Violation { field: "spec.cluster.ref".to_owned(), reason, message })
    }

    /// Why the run has to wait for it, if so.
    pub(super) fn not_ready(self, run: &FlowRun, observed: &Observed) -> Option<(Reason, String)> {
        match (self, observed.cluster.as_deref()) {
            (Self::Foreign(address, _), _) => foreign_not_ready(address, &observed.foreign),
            (Self::Gateway(source), _) => gateway::not_ready(source, run, &observed.gateway),
            (_, Some(cluster)) => cluster_not_ready(cluster).or_else(|| is_behind(cluster, &observed.wiring)),
            (Self::Shared(name), None) => Some(is_missing(name)),
            (Self::Own(_), None) => {
                let message = format!("the DaskCluster {} of this run is being created", own_name(run));
                Some((Reason::ClusterNotReady, message))
            }
        }
    }

    /// What a runner has to know of it.
    pub(super) fn target(self, run: &FlowRun, observed: &Observed) -> Target {
        match (self, observed.cluster.as_deref()) {
            (Self::Foreign(address, _), _) => foreign_target(address, &observed.foreign),
            (Self::Gateway(_), _) => gateway::target(run),
            (_, Some(cluster)) => cluster_target(cluster, observed.site, self.shared().is_some()),
            (_, None) => Target::default(),
        }
    }

    /// The step that makes what the run needs and is not there yet, and what to say of it.
    pub(super) fn ensure(self, run: &FlowRun, observed: &Observed) -> Option<(Step, Note)> {
        let (Self::Own(template), None) = (self, &observed.cluster) else { return None };
        let name = own_name(run);
        let mut all_labels = common_labels(&run.spec.flow, "cluster");
        all_labels.insert(labels::FLOW.to_owned(), run.spec.flow.clone());
        all_labels.insert(labels::RUN.to_owned(), run.name_any());
        let mut cluster = DaskCluster::new(&name, template.clone());
        cluster.metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: run.namespace(),
            owner_references: controller_ref(run).map(|owner| vec![owner]),
            labels: Some(all_labels),
            ..ObjectMeta::default()
        };
        let message = format!("the DaskCluster {name} is created for this run");
        let step = Step::Create(Box::new(Object::Cluster(cluster)));
        Some((step, Note::normal(Reason::ClusterCreated, message).after_steps()))
    }

    /// The step that takes away what was made for the run and is of no use on this ground.
    pub(super) fn left_behind(self, run: &FlowRun, observed: &Observed) -> Option<Step> {
        match self {
            Self::Own(_) => None,
            Self::Shared(_) | Self::Foreign(..) | Self::Gateway(_) => release(run, observed),
        }
    }
}

/// The step that takes away the cluster that was made for the run, while it is there.
pub(super) fn release(run: &FlowRun, observed: &Observed) -> Option<Step> {
    let is_own =
        |cluster: &&DaskCluster| is_owned(run, cluster) && cluster.metadata.deletion_timestamp.is_none();
    let own = [&observed.own, &observed.cluster].into_iter().filter_map(Option::as_deref).find(is_own)?;
    let (name, uid) = (own.name_any(), own.metadata.uid.clone());
    Some(Step::Delete(Victim { kind: VictimKind::Cluster, name, uid }))
}

/// What became of the cluster that the attempt is on, if it is not what it was. A Dask scheduler that is
/// started anew has forgotten all tasks and results.
pub(super) fn lost(status: &FlowRunStatus, observed: &Observed) -> Option<String> {
    if let Some(lost) = gateway::lost(status, &observed.gateway, false) {
        return Some(lost);
    }
    let begun = status.scheduler.as_ref()?;
    status.job.as_ref()?;
    let name = status.cluster.as_deref().unwrap_or_default();
    match (&observed.cluster, &observed.scheduler) {
        (None, _) => Some(format!("the DaskCluster {name} went away under the run")),
        (_, None) => Some(format!("the Dask scheduler of {name} went away under the run")),
        (_, Some(now)) if now != begun => {
            Some(format!("the Dask scheduler of {name} was started anew under the run"))
        }
        _ => None,
    }
}

/// The name of the `DaskCluster` to observe: of a run whose attempt has no Job yet the one that its Flow
/// names now, else the one that the attempt is on.
pub fn cluster_to_observe(run: &FlowRun, flow: Option<&Flow>) -> Option<String> {
    let waits = match phase_of(run) {
        Phase::Queued | Phase::Retrying => true,
        Phase::Provisioning => job_of(run).is_none(),
        _ => false,
    };
    let ground = flow.map(Ground::of);
    let named = ground.filter(|ground| !ground.is_outside()).map(|ground| ground.name(run));
    let begun = run.status.as_ref().and_then(|status| status.cluster.clone());
    if waits && ground.is_some() { named } else { begun.or(named) }
}

/// Whether the run may be on this cluster. One that has the name of the run's own, and another owner, is not
/// it.
pub fn is_usable(run: &FlowRun, flow: Option<&Flow>, cluster: &DaskCluster) -> bool {
    let is_to_be_own = flow.is_some_and(|flow| matches!(Ground::of(flow), Ground::Own(_)));
    !(is_to_be_own && cluster.name_any() == own_name(run)) || is_owned(run, cluster)
}

/// A cluster is ready for a run when its scheduler answers and all wanted workers are registered: of an
/// autoscaled group the minimum, which may be none, since the run itself brings more.
pub(super) fn cluster_not_ready(cluster: &DaskCluster) -> Option<(Reason, String)> {
    let name = cluster.name_any();
    let status = cluster.status.clone().unwrap_or_default();
    if status.observed_generation != cluster.metadata.generation {
        return Some((Reason::ClusterNotReady, format!("the DaskCluster {name} is being set up")));
    }
    if status.idle.is_some_and(|idle| idle.asleep) {
        let message = format!("the DaskCluster {name} was idle, and is starting again");
        return Some((Reason::ClusterNotReady, message));
    }
    if !may_have_workers(cluster) {
        return Some((Reason::ClusterNotReady, format!("the DaskCluster {name} has 0 workers: scale it up")));
    }
    let ready = conditions::find(&status.conditions, ConditionType::Ready)?;
    // A cluster that is suspended is as its spec wants it, and serves nobody.
    if ready.status == "True" && !conditions::is_true(&status.conditions, ConditionType::Suspended) {
        return None;
    }
    let reason = Reason::from_word(&ready.reason).unwrap_or(Reason::ClusterNotReady);
    Some((reason, format!("the DaskCluster {name} is not ready: {}", ready.message)))
}

/// Whether the cluster's status tells of another scheduler than the one that is there: a runner would be
/// given the scheme and the certificate of the one before.
fn is_behind(cluster: &DaskCluster, wiring: &Wiring) -> Option<(Reason, String)> {
    let told = cluster.status.as_ref().and_then(|status| status.tls.as_ref()?.secret_name.as_ref());
    let there = match wiring {
        Wiring::Unknown => return None,
        Wiring::Plain => None,
        Wiring::Tls(secret) => Some(secret),
    };
    (there != told).then(|| {
        let message = format!("the scheduler of the DaskCluster {} is being replaced", cluster.name_any());
        (Reason::ClusterNotReady, message)
    })
}

fn foreign_not_ready(address: &str, scheduler: &ForeignScheduler) -> Option<(Reason, String)> {
    match scheduler {
        ForeignScheduler::Answering { workers, .. } if *workers > 0 => None,
        ForeignScheduler::Answering { .. } => {
            Some((Reason::WorkersStarting, format!("the scheduler at {address} has no workers")))
        }
        ForeignScheduler::NotAsked => {
            Some((Reason::ClusterNotReady, format!("the scheduler at {address} is being asked")))
        }
        ForeignScheduler::Unreachable { reason, message } => Some((*reason, message.clone())),
    }
}

/// What the API server's patterns let pass and is no address.
fn of_gateway(gateway: &Gateway) -> Vec<Violation> {
    let access = gateway.access();
    let is_none =
        |field: &str, message: &str| Violation::invalid(format!("spec.cluster.gateway.{field}"), message);
    if access.rest().is_none() {
        let message = "write the address of the gateway's REST API as http://HOST, https://HOST:PORT or https://HOST/PREFIX";
        return vec![is_none("address", message)];
    }
    if access.proxy().is_none() {
        let message = "write where the gateway's proxy takes connections to schedulers as HOST:PORT";
        return vec![is_none("proxyAddress", message)];
    }
    Vec::new()
}

fn is_missing(name: &str) -> (Reason, String) {
    (Reason::ClusterNotFound, format!("there is no DaskCluster called {name} in this namespace"))
}

fn foreign_target(address: &str, scheduler: &ForeignScheduler) -> Target {
    let tls = match scheduler {
        ForeignScheduler::Answering { tls, .. } => tls.clone(),
        ForeignScheduler::NotAsked | ForeignScheduler::Unreachable { .. } => None,
    };
    Target { address: address.to_owned(), tls, is_shared: true, ..Target::default() }
}

fn cluster_target(cluster: &DaskCluster, site: Site, is_shared: bool) -> Target {
    // What the scheduler was started with counts, not what the spec asks for by now.
    let secret = cluster.status.as_ref().and_then(|status| status.tls.as_ref()?.secret_name.clone());
    let tls = secret.map(|secret| Files { secret, own_authority: false, key_in_certificate: false });
    let namespace = cluster.namespace().unwrap_or_default();
    Target {
        address: site.scheduler_address((&namespace, &cluster.name_any()), tls.is_some()),
        tls,
        image: Some(cluster.spec.image.clone()),
        pull_policy: cluster.spec.image_pull_policy,
        pull_secrets: cluster.spec.image_pull_secrets.clone(),
        env: cluster.spec.env.clone(),
        python: cluster.spec.python.clone(),
        entrypoint: cluster.spec.entrypoint,
        pod_defaults: cluster.spec.pod_defaults.clone(),
        is_shared,
        proxy: None,
    }
}

fn own_name(run: &FlowRun) -> String {
    names::cluster_name_for_run(&run.name_any())
}

fn is_owned(run: &FlowRun, cluster: &DaskCluster) -> bool {
    cluster.owner_references().iter().any(|owner| Some(&owner.uid) == run.metadata.uid.as_ref())
}
