//! One `DaskCluster`: its scheduler, its workers, its status.
//!
//! Invariants: never two schedulers (the pod's fixed name is the lock); no worker is created or deleted on the word of
//! a cache; a worker that is registered is deleted only after the scheduler let it go, unless the whole cluster goes.

mod admission;
mod autoscale;
mod back_off;
mod certificates;
mod drain;
mod groups;
mod idle;
mod leave;
pub mod load;
mod network;
mod questions;
mod retirements;
mod scheduler;
mod secrets;
mod silent;
mod status;
mod violations;
mod workers;

pub use certificates::{TlsView, copy_name};
pub use groups::may_have_workers;
pub use load::Load;
pub use network::network_policy;
pub use questions::questions;
#[cfg(test)]
pub(crate) use retirements::Outcome;
pub use retirements::{Retirements, Said, Wish};
pub use secrets::{Secrets, is_owned, secrets};
pub use violations::violations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde_json::Value;

use certificates::Decision;
use groups::Group;
use idle::Rest;

use super::conditions::says;
use super::pods::{self, Violation, state};
use super::site::Site;
use super::{Applied, Next, Note, Plan, Step, Victim, VictimKind, subset};
use crate::api::dask_cluster::{IdleAction, Refusal, ServiceType};
use crate::api::worker_group::Drain;
use crate::api::{ConditionType, DaskCluster, DaskClusterStatus, FlowRun, Reason, labels};
use pods::tls::Certificate;
use pods::worker::DEFAULT_GROUP;

/// For how long the status says that a cluster closes before anything is taken from under a run that was about to start:
/// times in a status are whole seconds, so a whole one has passed. A run reads the cluster and creates its Job within
/// milliseconds of each other.
const ANNOUNCED: Duration = Duration::from_secs(2);

/// What was observed of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Where the cluster lives.
    pub site: Site,
    /// The scheduler's Service.
    pub service: Option<Arc<Service>>,
    /// The NetworkPolicy of the cluster's name, whoever owns it.
    pub network_policy: Option<Arc<NetworkPolicy>>,
    /// All pods of the cluster, runners not among them.
    pub pods: Vec<Arc<Pod>>,
    /// Whether the pods were listed from the API server just now, rather than from a cache.
    pub live: bool,
    /// What the scheduler says.
    pub scheduler: SchedulerView,
    /// The workers in the order in which the scheduler would close them, idle ones and those with least data first.
    /// None when it was not asked or did not answer.
    pub closable: Option<Vec<String>>,
    /// The workers that the scheduler gives no more tasks: it was asked to close them, or is letting them go.
    pub closing: BTreeSet<String>,
    /// What the scheduler was asked to do with workers that are to leave, and what it answered.
    pub retirements: Retirements,
    /// How many tasks lie with each worker, those not counted that never begin there because it is closed. None when the
    /// scheduler was not asked or did not answer.
    pub busy: Option<BTreeMap<String, u64>>,
    /// Whether the scheduler can close workers to new tasks. Unknown is no.
    pub closes: bool,
    /// What the scheduler told of its load.
    pub load: Load,
    /// The runs on this cluster that have not ended, those that wait for a place on it among them.
    pub runs: Vec<Arc<FlowRun>>,
    /// Runs whose runner's pod has not ended, whatever became of the run itself.
    pub runners: BTreeSet<String>,
    /// When the last of the other runs on this cluster ended.
    pub last_run_end: Option<Timestamp>,
    /// Its certificates.
    pub tls: TlsView,
    /// Random bits for new names.
    pub seed: u64,
}

/// What the Dask scheduler says over the native protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SchedulerView {
    /// Nobody is connected to it.
    #[default]
    Unknown,
    /// It could not be reached, or the connection was lost.
    Unreachable {
        /// The reason word.
        reason: Reason,
        /// A sentence.
        message: String,
    },
    /// It answers.
    Answering {
        /// The Dask names of the registered workers.
        workers: BTreeSet<String>,
    },
}

impl SchedulerView {
    /// The registered workers, if the scheduler answers.
    pub fn registered(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Answering { workers } => Some(workers),
            _ => None,
        }
    }
}

/// Whether a live look has to ask how many tasks lie with each worker.
pub fn asks_who_is_busy(cluster: &DaskCluster) -> bool {
    groups::of_spec(cluster).any(|(_, workers)| workers.drain == Drain::Wait)
}

/// Plans the next steps for `cluster`.
pub fn plan(cluster: &DaskCluster, observed: &Observed, now: Timestamp) -> Plan<DaskClusterStatus> {
    if cluster.metadata.deletion_timestamp.is_some() {
        return Plan::status_only(cluster.status.clone().unwrap_or_default());
    }
    let mut work = Work::new(cluster, observed, now);
    let violation = work.fill();
    work.wait_for_pods();
    // Last: what an issuer cannot do must keep no worker from being replaced. A cluster that goes needs none.
    let steps = std::mem::take(&mut work.tls.steps);
    if work.rest.action != Some(IdleAction::Delete) {
        work.steps.extend(steps);
    }
    if let Some(violation) = violation.as_ref().filter(|violation| is_news(cluster, violation)) {
        work.notes.push(Note::warning(violation.reason, violation.message.clone()));
    }
    let look_again = (work.look_again || !work.steps.is_empty()) && !observed.live;
    let status = status::status(&work, violation.as_ref());
    work.notes.extend(status::news_of_certificates(work.conditions(), &status.conditions));
    work.notes.extend(status::news_of_scheduler(&work));
    work.notes.extend(status::news_of_pods(work.conditions(), &status.conditions));
    work.notes.extend(leave::news(&work, &status.conditions));
    let figures = Vec::new();
    Plan {
        steps: work.steps,
        status,
        events: work.notes,
        figures,
        next: work.next,
        look_again,
        urgency: super::Urgency::Now,
    }
}

/// A violation is told once, not at every look.
fn is_news(cluster: &DaskCluster, violation: &Violation) -> bool {
    let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    !says(conditions, ConditionType::Stalled, &violation.message)
}

/// A plan under construction.
pub(crate) struct Work<'a> {
    cluster: &'a DaskCluster,
    observed: &'a Observed,
    now: Timestamp,
    rest: Rest,
    tls: Decision,
    groups: Vec<Group<'a>>,
    steps: Vec<Step>,
    notes: Vec<Note>,
    next: Next,
    /// Who may leave is for the scheduler to say, and it was not asked yet.
    look_again: bool,
    /// Why workers that should go cannot, or a size cannot be told.
    held: Option<(Reason, String)>,
    /// Whether that is worth a warning: the scheduler was asked to let them go, and did not.
    warns: bool,
    /// The scheduler does not let workers go.
    keeps_workers: bool,
    /// Why something waits to be replaced.
    outdated: Option<String>,
    /// No run is to start any more: the scheduler is about to be replaced.
    closes: bool,
}

impl<'a> Work<'a> {
    fn new(cluster: &'a DaskCluster, observed: &'a Observed, now: Timestamp) -> Self {
        let rest = idle::judge(cluster, observed, now);
        let mut tls = certificates::decide(cluster, observed, now);
        let asleep = rest.action == Some(IdleAction::ScaleToZero);
        let groups = groups::all(cluster, observed, (asleep, tls.serving.as_ref()), now);
        let notes = rest.note.clone().into_iter().chain(std::mem::take(&mut tls.notes)).collect();
        Self {
            cluster,
            observed,
            now,
            groups,
            steps: Vec::new(),
            notes,
            next: rest.next.sooner(tls.next, now),
            look_again: rest.look_again,
            held: None,
            warns: false,
            keeps_workers: false,
            outdated: None,
            closes: false,
            rest,
            tls,
        }
    }

    /// Whether no pod is to run.
    fn is_suspended(&self) -> bool {
        self.cluster.spec.suspend || self.rest.action == Some(IdleAction::Suspend)
    }

    /// Adds all steps. Gives what is wrong with the spec: what runs goes on running, and only the part that cannot be
    /// built is left undone.
    fn fill(&mut self) -> Option<Violation> {
        if self.rest.closes {
            return None;
        }
        if self.rest.action == Some(IdleAction::Delete) {
            self.steps.push(delete_cluster(self.cluster));
            return None;
        }
        self.service();
        network::fill(self);
        if self.is_suspended() {
            self.suspend();
            return None;
        }
        let pod = pods::scheduler::pod(self.cluster, self.observed.site, self.tls.scheduler.as_ref());
        let (tries, violation) = self.tries();
        let violation =
            pod.as_ref().err().cloned().or(violation).or_else(|| violations::of_values(self.cluster));
        let is_new = !self.observed.pods.iter().any(|pod| state::is_component(pod, labels::SCHEDULER));
        if violation.is_some() && is_new {
            // A spec that is wrong starts no half of a cluster.
            return violation;
        }
        if self.tls.missing {
            // Without its certificate no half of a cluster is started either.
            return violation;
        }
        self.steps.extend(tries);
        if let Ok(pod) = pod {
            scheduler::fill(self, pod);
        }
        self.load();
        workers::fill(self);
        violation
    }

    /// The pods of each group that the API server has to judge: those of a new spec with a template in it, and of one in
    /// which it has refused something. What it refuses is told at once, not when the next worker is due.
    fn tries(&self) -> (Vec<Step>, Option<Violation>) {
        let told = self.status().and_then(|status| status.observed_generation);
        let is_new = told != self.cluster.metadata.generation;
        let was_refused = self.status().is_some_and(|status| status.refusal == Some(Refusal::Object));
        let (mut tries, mut violation) = (Vec::new(), None);
        for (name, workers) in groups::of_spec(self.cluster) {
            let (site, certificate) = (self.observed.site, self.tls.serving.as_ref());
            match pods::worker::pod(self.cluster, site, certificate, (name, workers), 0) {
                Ok(pod) if workers.template.is_some() && (is_new || was_refused) => {
                    tries.push(Step::Try(Box::new(scheduler::nameless(pod))));
                }
                Ok(_) => {}
                Err(fault) => violation = violation.or(Some(fault)),
            }
        }
        (tries, violation)
    }

    fn service(&mut self) {
        let wanted = pods::scheduler::service(self.cluster, self.observed.site);
        let as_value = |service: &Service| serde_json::to_value(service).unwrap_or(Value::Null);
        let there = self.observed.service.as_deref().map_or(Value::Null, as_value);
        if !subset::is_subset(&as_value(&wanted), &there) {
            self.steps.push(Step::Apply(Box::new(Applied::Service(wanted))));
            self.notes.extend(exposure(self.cluster, self.observed.site));
        }
    }

    fn suspend(&mut self) {
        let alive: Vec<_> =
            self.observed.pods.iter().filter(|pod| state::life(pod) != state::PodLife::Leaving).collect();
        if !alive.is_empty() && self.rest.note.is_none() {
            self.notes
                .push(Note::normal(Reason::Suspending, "the cluster is suspended: its pods are deleted"));
        }
        for pod in alive {
            self.steps.push(delete(pod));
        }
    }

    /// Tells what the autoscaler changed, and when it knows nothing.
    fn load(&mut self) {
        for group in &self.groups {
            let before = group.told.map_or(0, |told| usize::try_from(told.desired).unwrap_or(0));
            let is_autoscaled = group.spec.is_some_and(|spec| spec.autoscale.is_some());
            if is_autoscaled && group.told.is_some() && before != group.wanted {
                let message =
                    format!("the group {} goes from {before} to {} workers", group.name, group.wanted);
                self.notes.push(Note::normal(Reason::WorkersScaled, message));
            }
        }
        let is_autoscaled = |group: &Group<'_>| group.spec.is_some_and(|spec| spec.autoscale.is_some());
        let asks = self.groups.iter().any(is_autoscaled);
        let load = &self.observed.load;
        if let Some(why) = load.failure.clone().filter(|_| asks) {
            let message = format!("the sizes stay: the scheduler does not report its load: {why}");
            self.hold(Reason::LoadUnknown, message);
        }
        let untold = load.targets.last().is_some_and(|target| target.resources.is_none());
        let by_resources = |group: &&Group<'_>| group.name != DEFAULT_GROUP && is_autoscaled(group);
        let group = self.groups.iter().find(by_resources).filter(|_| untold).map(|group| group.name);
        if let Some(name) = group {
            let message = format!(
                "the group {name} keeps its size: the scheduler does not report which resources its tasks ask for; give \
                 the group replicas if that lasts"
            );
            self.hold(Reason::LoadUnknown, message);
        }
    }

    /// Nothing changes when a pod has waited for its volumes or its sandbox for too long.
    fn wait_for_pods(&mut self) {
        let late = self.observed.pods.iter().filter_map(|pod| state::prepared_until(pod));
        for at in late.filter(|at| *at > self.now) {
            self.next = self.next.sooner(Next::At(at), self.now);
        }
    }

    /// Whether the worker in this pod and the scheduler trust the same authorities.
    fn is_understood(&self, pod: &Pod) -> bool {
        let trust = |certificate: &Certificate| certificate.trust.clone();
        Certificate::of(pod).as_ref().map(trust) == self.tls.serving.as_ref().map(trust)
    }

    /// Notes why something stays that should go; the first reason stands.
    fn hold(&mut self, reason: Reason, message: String) {
        self.keeps_workers |= reason == Reason::WorkersHeld;
        self.held.get_or_insert((reason, message));
    }

    /// The status that was written last.
    fn status(&self) -> Option<&'a DaskClusterStatus> {
        self.cluster.status.as_ref()
    }

    /// The conditions that were written last.
    fn conditions(&self) -> &'a [Condition] {
        self.status().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }
}

/// Whoever reaches a scheduler without TLS can run code in the pods of its cluster.
fn exposure(cluster: &DaskCluster, site: Site) -> Option<Note> {
    let service = &cluster.spec.scheduler.service;
    let is_open = match service.type_ {
        ServiceType::ClusterIP => false,
        ServiceType::NodePort => true,
        ServiceType::LoadBalancer => service.load_balancer_source_ranges.is_empty(),
    };
    let message = format!(
        "the scheduler's Service is of type {} without tls: whoever reaches its port {} can run code in this cluster's pods; \
         set tls, type ClusterIP, or loadBalancerSourceRanges",
        service.type_.as_str(),
        site.comm_port()
    );
    (is_open && cluster.spec.tls.is_none()).then(|| Note::warning(Reason::SchedulerExposed, message))
}

fn delete_cluster(cluster: &DaskCluster) -> Step {
    Step::Delete(Victim {
        kind: VictimKind::Cluster,
        name: cluster.name_any(),
        uid: cluster.metadata.uid.clone(),
    })
}

/// Deletes exactly this pod.
pub(crate) fn delete(pod: &Pod) -> Step {
    Step::Delete(victim(pod))
}

/// Exactly this pod.
pub(crate) fn victim(pod: &Pod) -> Victim {
    Victim { kind: VictimKind::Pod, name: state::name(pod).to_owned(), uid: pod.metadata.uid.clone() }
}

#[cfg(test)]
mod tests;
