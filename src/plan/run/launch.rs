//! What a run needs before its runner starts, and the runner itself.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::{Map, Value};

use super::phase::ASK_AGAIN;
use super::{ForeignScheduler, ScriptView, Wiring, Work, logical_time};
use crate::api::{ConditionType, DaskCluster, Flow, Phase, Reason, labels};
use crate::plan::cluster::may_have_workers;
use crate::plan::conditions;
use crate::plan::flow::parameters;
use crate::plan::pods::runner::{self, Attempt, LogicalTime, Target};
use crate::plan::pods::tls::Files;
use crate::plan::pods::{common_labels, controller_ref, scheduler_address};
use crate::plan::schedule::parse_duration;
use crate::plan::{Next, Note, Object, Step, Urgency, names};

/// How long what passes by itself is not told.
pub(super) const SETTLE: SignedDuration = SignedDuration::from_secs(3);

impl Work<'_> {
    /// Makes the run's own cluster where the Flow has a template.
    pub(super) fn ensure_own_cluster(&mut self, flow: &Flow) {
        let Some(template) = flow.spec.cluster.template.as_ref().filter(|_| self.observed.cluster.is_none())
        else {
            return;
        };
        let name = names::cluster_name_for_run(&self.run.name_any());
        let mut all_labels = common_labels(&flow.name_any(), "cluster");
        all_labels.insert(labels::FLOW.to_owned(), flow.name_any());
        all_labels.insert(labels::RUN.to_owned(), self.run.name_any());
        let mut cluster = DaskCluster::new(&name, template.clone());
        cluster.metadata = ObjectMeta {
            name: Some(name.clone()),
            namespace: self.run.namespace(),
            owner_references: controller_ref(self.run).map(|owner| vec![owner]),
            labels: Some(all_labels),
            ..ObjectMeta::default()
        };
        if !self.observed.live {
            self.look_again = true;
        }
        self.notes.push(Note::normal(
            Reason::ClusterCreated,
            format!("the DaskCluster {name} is created for this run"),
        ));
        self.steps.push(Step::Create(Box::new(Object::Cluster(cluster))));
    }

    /// A runner was asked for at `since`: that it starts is told when it takes its time. Not where the cluster counts its runs
    /// by what is told of them.
    pub(super) fn starts_soon(&mut self, since: Timestamp) {
        let counts =
            |cluster: &Arc<DaskCluster>| cluster.spec.max_active_runs.is_some() || cluster.spec.suspend;
        if self.observed.cluster.as_ref().is_some_and(counts) {
            return;
        }
        self.urgency = since.checked_add(SETTLE).map_or(Urgency::Now, Urgency::By);
    }

    /// What the run still waits for.
    pub(super) fn not_ready(&self, flow: &Flow) -> Option<(Reason, String)> {
        if let ScriptView::Missing(message) = &self.observed.script {
            return Some((Reason::CodeNotFound, message.clone()));
        }
        let source = &flow.spec.cluster;
        if let Some(address) = &source.address {
            return foreign_not_ready(address, &self.observed.foreign);
        }
        let name = super::cluster_name(self.run, flow).unwrap_or_default();
        let Some(cluster) = &self.observed.cluster else {
            let reason =
                if source.template.is_some() { Reason::ClusterNotReady } else { Reason::ClusterNotFound };
            let message = match reason {
                Reason::ClusterNotFound => format!("there is no DaskCluster called {name} in this namespace"),
                _ => format!("the DaskCluster {name} of this run is being created"),
            };
            return Some((reason, message));
        };
        cluster_not_ready(cluster).or_else(|| self.is_behind(cluster))
    }

    /// Whether the cluster's status tells of another scheduler than the one that is there: a runner would be given the
    /// scheme and the certificate of the one before.
    fn is_behind(&self, cluster: &DaskCluster) -> Option<(Reason, String)> {
        let told = cluster.status.as_ref().and_then(|status| status.tls.as_ref()?.secret_name.as_ref());
        let there = match &self.observed.wiring {
            Wiring::Unknown => return None,
            Wiring::Plain => None,
            Wiring::Tls(secret) => Some(secret),
        };
        (there != told).then(|| {
            let message =
                format!("the scheduler of the DaskCluster {} is being replaced", cluster.name_any());
            (Reason::ClusterNotReady, message)
        })
    }

    /// Creates the code's ConfigMap and the Job, for a run that was just read live.
    pub(super) fn launch(&mut self, flow: &Flow) {
        if self.observed.another_runner {
            // A pod on a node that does not answer is stopped when Kubernetes says so, and not before.
            self.next = self.next.sooner(Next::After(ASK_AGAIN), self.now);
            let message = "the runner of an earlier attempt has not ended yet";
            return self.enter(Phase::Provisioning, Reason::RunnerStarting, message);
        }
        let (flow, script) = self.to_be_run(flow);
        let (flow, script) = (&flow, script.as_ref());
        self.remember_parameters(flow);
        let target = self.target(flow);
        let parameters = self.parameters(flow);
        if let Some(violation) = parameters::violation(&parameters, "spec.parameters") {
            return self.enter(Phase::Failed, violation.reason, violation.message);
        }
        let attempt = Attempt {
            flow,
            run: self.run,
            number: super::attempt_of(self.run),
            target: &target,
            script,
            parameters,
            time: self.time(),
            timeout: flow.spec.timeout.as_deref().and_then(|text| parse_duration(text).ok()),
        };
        let job = match runner::job(&attempt) {
            Ok(job) => job,
            Err(violation) => return self.enter(Phase::Failed, violation.reason, violation.message),
        };
        let name = job.name_any();
        self.remember_program(flow, script, &job);
        self.look_again = !self.observed.live;
        self.steps
            .extend(runner::code(flow, script).map(|code| Step::Create(Box::new(Object::ConfigMap(code)))));
        self.steps.push(Step::Create(Box::new(Object::Job(job))));
        self.status.job = Some(name.clone());
        self.status.scheduler.clone_from(&self.observed.scheduler);
        if let Some(left_out) = script.map(|script| script.left_out).filter(|left_out| *left_out > 0) {
            let message = format!(
                "the Job {name} is created; {left_out} more keys of the ConfigMap with its script are not beside it, because they are too large together"
            );
            self.notes.push(Note::normal(Reason::RunnerCreated, message));
        }
        self.enter(Phase::Provisioning, Reason::RunnerStarting, "the runner's container is starting");
        self.starts_soon(self.now);
    }

    fn time(&self) -> LogicalTime {
        let neighbour = |key: &str| self.run.annotations().get(key).cloned();
        LogicalTime {
            scheduled: logical_time(self.run).to_string(),
            previous: neighbour(labels::PREVIOUS_TICK),
            next: neighbour(labels::NEXT_TICK),
        }
    }

    fn target(&self, flow: &Flow) -> Target {
        if let Some(address) = &flow.spec.cluster.address {
            let tls = match &self.observed.foreign {
                ForeignScheduler::Answering { tls, .. } => tls.clone(),
                _ => None,
            };
            return Target { address: address.clone(), tls, is_shared: true, ..Target::default() };
        }
        let Some(cluster) = &self.observed.cluster else { return Target::default() };
        // What the scheduler was started with counts, not what the spec asks for by now.
        let secret = cluster.status.as_ref().and_then(|status| status.tls.as_ref()?.secret_name.clone());
        let tls = secret.map(|secret| Files { secret, own_authority: false, key_in_certificate: false });
        let namespace = cluster.namespace().unwrap_or_default();
        Target {
            address: scheduler_address(&namespace, &cluster.name_any(), tls.is_some()),
            tls,
            image: Some(cluster.spec.image.clone()),
            pull_policy: cluster.spec.image_pull_policy,
            pull_secrets: cluster.spec.image_pull_secrets.clone(),
            env: cluster.spec.env.clone(),
            python: cluster.spec.python.clone(),
            entrypoint: cluster.spec.entrypoint,
            pod_defaults: cluster.spec.pod_defaults.clone(),
            is_shared: flow.spec.cluster.template.is_none(),
        }
    }

    /// Those of the run's tick, or of its first attempt.
    fn parameters(&self, flow: &Flow) -> Map<String, Value> {
        match self.status.merged_parameters.as_ref().and_then(Value::as_object) {
            Some(begun) if self.run.spec.merged_parameters.is_none() => begun.clone(),
            _ => parameters::of_run(flow, self.run),
        }
    }
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

/// A cluster is ready for a run when its scheduler answers and all wanted workers are registered: of an autoscaled group
/// the minimum, which may be none, since the run itself brings more.
fn cluster_not_ready(cluster: &DaskCluster) -> Option<(Reason, String)> {
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
