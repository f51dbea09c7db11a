//! One `DaskCluster`: its scheduler, its workers, its status.
//!
//! Invariants: never two schedulers (the pod's fixed name is the lock); no worker is created or deleted on
//! the word of a cache; a worker that is registered is deleted only after the scheduler let it go, unless the
//! whole cluster goes.

mod admission;
mod autoscale;
mod back_off;
mod deletion;
mod drain;
mod group;
mod groups;
mod idle;
mod leave;
pub mod load;
mod network;
mod observed;
mod questions;
mod resized;
mod retirements;
mod runs;
mod scheduler;
mod silent;
mod status;
mod violations;
mod work;
mod workers;

pub use groups::may_have_workers;
pub use load::Load;
pub use network::network_policy;
pub use observed::{Observed, SchedulerView};
pub use questions::questions;
pub use resized::Resized;
#[cfg(test)]
pub(crate) use retirements::Outcome;
pub use retirements::{Retirements, Said, Wish};
pub use runs::on_cluster;
pub use violations::violations;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::Value;

use deletion::delete;
use group::Group;
use work::{Created, Work};

use super::certificates::decision;
use super::certificates::observed::Seen;
use super::conditions::says;
use super::pods::{self, Violation, state};
use super::site::Site;
use super::{Applied, Next, Note, Plan, Step, Victim, VictimKind, Wants, subset};
use crate::api::dask_cluster::{IdleAction, Refusal, ServiceType};
use crate::api::worker_group::Drain;
use crate::api::{ConditionType, DaskCluster, DaskClusterStatus, Reason, labels};
use pods::worker::DEFAULT_GROUP;

/// How soon a runner that no cache knows is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Plans the next steps for `cluster`.
pub fn plan(cluster: &DaskCluster, observed: &Observed, now: Timestamp) -> Plan<DaskClusterStatus> {
    if cluster.metadata.deletion_timestamp.is_some() {
        return Plan::status_only(cluster.status.clone().unwrap_or_default());
    }
    let mut work = Work::new(cluster, observed, now);
    let violation = work.fill();
    work.wait_for_pods();
    if !observed.found.is_empty() {
        // Nothing tells when what no cache knows ends.
        work.next = work.next.sooner(Next::After(ASK_AGAIN), now);
    }
    // Last: what an issuer cannot do must keep no worker from being replaced. A cluster that goes needs none.
    let steps = std::mem::take(&mut work.tls.steps);
    if work.rest.action != Some(IdleAction::Delete) {
        work.steps.extend(steps);
    }
    if let Some(violation) = violation.as_ref().filter(|violation| is_news(cluster, violation)) {
        work.notes.push(Note::warning(violation.reason, violation.message.clone()));
    }
    work.notes.extend(work.created.news());
    let wants = wants(&work);
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
        wants,
        urgency: super::Urgency::Now,
    }
}

/// What the plan rests on. No pod is created or deleted by the word of a cache, nor by what a scheduler said
/// a while ago, nor one that a run may be about to use.
fn wants(work: &Work<'_>) -> Wants {
    if work.steps.is_empty() && work.wants.is_nothing() {
        return Wants::NOTHING;
    }
    let cluster = work.cluster;
    let mut wants = work.wants | Wants::OBJECT | Wants::PODS | Wants::WORKERS;
    if groups::of_spec(cluster).any(|(_, workers)| workers.drain == Drain::Wait) {
        wants |= Wants::BUSY;
    }
    let asked = questions(cluster, &work.observed.pods, &work.observed.tls);
    if asked.is_some_and(|asked| asked.activity) {
        wants |= Wants::ACTIVITY | Wants::RUNS;
    }
    if cluster.spec.tls.is_some() && rests_on_certificates(work) {
        wants |= Wants::SECRETS;
    }
    wants
}

/// Whether a pod is made, or counts as outdated, by what the Secrets of the cluster hold. That of a worker
/// which leaves only because it is one too many does not.
fn rests_on_certificates(work: &Work<'_>) -> bool {
    let is_of_what_is_there = |step: &Step| match step {
        Step::Delete(victim) => victim.kind == VictimKind::Pod,
        Step::Retire { .. } | Step::CloseToTasks { .. } | Step::Annotate { .. } => true,
        _ => false,
    };
    let is_outdated = |group: &Group<'_>| !group.outdated.is_empty();
    work.groups.iter().any(is_outdated) || !work.steps.iter().all(is_of_what_is_there)
}

/// A violation is told once, not at every look.
fn is_news(cluster: &DaskCluster, violation: &Violation) -> bool {
    let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    !says(conditions, ConditionType::Stalled, &violation.message)
}

impl<'a> Work<'a> {
    fn new(cluster: &'a DaskCluster, observed: &'a Observed, now: Timestamp) -> Self {
        let rest = idle::judge(cluster, observed, now);
        let seen = Seen { pods: &observed.pods, tls: &observed.tls, has_runs: !observed.runs.is_empty() };
        let mut tls = decision::decide(cluster, &seen, now);
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
            created: Created::default(),
            next: rest.next.sooner(tls.next, now),
            wants: rest.wants,
            held: None,
            warns: false,
            keeps_workers: false,
            outdated: None,
            closes: false,
            rest,
            tls,
        }
    }

    /// Adds all steps. Gives what is wrong with the spec: what runs goes on running, and only the part that
    /// cannot be built is left undone.
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

    /// The pods of each group that the API server has to judge: those of a new spec with a template in it,
    /// and of one in which it has refused something. What it refuses is told at once, not when the next
    /// worker is due.
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
                let resized = Resized { group: group.name.to_owned(), before, after: group.wanted };
                self.notes.push(Note::normal(Reason::WorkersScaled, resized.to_string()));
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
}

/// Whoever reaches a scheduler without TLS can run code in the pods of its cluster.
fn exposure(cluster: &DaskCluster, site: Site) -> Option<Note> {
    if site.host().is_some() {
        return None;
    }
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

#[cfg(test)]
mod tests;
