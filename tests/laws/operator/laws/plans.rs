//! Laws of plans, in the states that histories come through: a plan from statuses whose words say nothing
//! does the same, and a plan asks for all that it rests on.
//!
//! The operator makes its own plans; what is planned here is carried out by nobody. What it is planned from
//! is what the store has, with a little that only an operator knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use daskflow::api::{DaskCluster, Flow, FlowBackfill, FlowRun, labels};
use daskflow::cluster_api::Changed;
use daskflow::plan::backfill::runs_counted_on;
use daskflow::plan::cluster::SchedulerView;
use daskflow::plan::facts::{attempt_of, phase_of};
use daskflow::plan::pods::{runner, scheduler, state};
use daskflow::plan::run::ForeignScheduler;
use daskflow::plan::{Wants, backfill, cluster, flow, run};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use serde::de::DeserializeOwned;

use crate::dask::{SchedulerState, Schedulers};
use crate::wants::is_enough;
use crate::words::{Words, decide_nothing};

/// How often plans are made at the most.
const BETWEEN: SignedDuration = SignedDuration::from_secs(1);

/// The label of a Job's pods.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";

/// What there is.
pub(super) struct Plans {
    schedulers: Schedulers,
    flows: BTreeMap<String, Arc<Flow>>,
    runs: BTreeMap<String, Arc<FlowRun>>,
    backfills: BTreeMap<String, Arc<FlowBackfill>>,
    clusters: BTreeMap<String, Arc<DaskCluster>>,
    jobs: BTreeMap<String, Arc<Job>>,
    pods: BTreeMap<String, Arc<Pod>>,
    services: BTreeMap<String, Arc<Service>>,
    policies: BTreeMap<String, Arc<NetworkPolicy>>,
    /// Whether something has changed that plans are made from.
    is_new: bool,
    /// When plans were made last.
    looked: Timestamp,
}

fn keep<K: DeserializeOwned>(all: &mut BTreeMap<String, Arc<K>>, change: &Changed) {
    all.remove(&change.name);
    let object = change.after.as_deref().map(|object| serde_json::from_value(object.clone()).unwrap());
    all.extend(object.map(|object| (change.name.clone(), Arc::new(object))));
}

impl Plans {
    pub(super) fn new(schedulers: Schedulers) -> Self {
        Self {
            schedulers,
            flows: BTreeMap::new(),
            runs: BTreeMap::new(),
            backfills: BTreeMap::new(),
            clusters: BTreeMap::new(),
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            services: BTreeMap::new(),
            policies: BTreeMap::new(),
            is_new: false,
            looked: Timestamp::UNIX_EPOCH,
        }
    }

    pub(super) fn take(&mut self, change: &Changed) {
        match change.kind {
            "Flow" => keep(&mut self.flows, change),
            "FlowRun" => keep(&mut self.runs, change),
            "FlowBackfill" => keep(&mut self.backfills, change),
            "DaskCluster" => keep(&mut self.clusters, change),
            "Job" => keep(&mut self.jobs, change),
            "Pod" => keep(&mut self.pods, change),
            "Service" => keep(&mut self.services, change),
            "NetworkPolicy" => keep(&mut self.policies, change),
            _ => return,
        }
        self.is_new = true;
    }

    /// Plans for all that there is, if something has changed and it is time.
    ///
    /// # Panics
    ///
    /// If a plan breaks a law.
    pub(super) fn look(&mut self, now: Timestamp) {
        if !self.is_new || now.duration_since(self.looked) < BETWEEN {
            return;
        }
        (self.is_new, self.looked) = (false, now);
        for flow in self.flows.values() {
            let observed = self.of_flow(flow);
            let silent = flow::plan(&Flow::clone(flow).silent(), &observed.clone().silent(), now);
            decide_nothing(&flow::plan(flow, &observed, now), silent);
        }
        for run in self.runs.values() {
            let observed = self.of_run(run);
            let silent = run::plan(&FlowRun::clone(run).silent(), &observed.clone().silent(), now);
            decide_nothing(&run::plan(run, &observed, now), silent);
        }
        for backfill in self.backfills.values() {
            let flow = self.flows.get(&backfill.spec.flow).cloned();
            let observed = backfill::Observed { flow, runs: self.runs.values().cloned().collect() };
            let silent = FlowBackfill::clone(backfill).silent();
            let silent = backfill::plan(&silent, &observed.clone().silent(), now);
            decide_nothing(&backfill::plan(backfill, &observed, now), silent);
        }
        for cluster in self.clusters.values() {
            for known in [Wants::NOTHING, Wants::ALL] {
                let observed = self.of_cluster(cluster, known);
                let plan = cluster::plan(cluster, &observed, now);
                let silent = DaskCluster::clone(cluster).silent();
                decide_nothing(&plan, cluster::plan(&silent, &observed.clone().silent(), now));
                is_enough(&plan, known, |known| {
                    cluster::plan(cluster, &cluster::Observed { known, ..observed.clone() }, now)
                });
            }
        }
    }

    fn runners(&self) -> BTreeSet<String> {
        let pods = self.pods.values().filter(|pod| state::is_component(pod, labels::RUNNER));
        let at_work = pods.filter(|pod| state::is_at_work(pod, runner::CONTAINER));
        at_work.filter_map(|pod| state::label(pod, labels::RUN).map(str::to_owned)).collect()
    }

    fn unfinished(&self) -> impl Iterator<Item = &Arc<FlowRun>> {
        self.runs.values().filter(|run| !phase_of(run).is_final())
    }

    fn of_flow(&self, flow: &Flow) -> flow::Observed {
        let all = || self.backfills.values();
        flow::Observed {
            runs: self.runs.values().cloned().collect(),
            runners: self.runners(),
            cluster_exists: !self.clusters.is_empty(),
            backfills: all().map(|backfill| backfill.name_any()).collect(),
            backfilled: all().flat_map(|backfill| runs_counted_on(backfill, flow)).collect(),
            ..flow::Observed::default()
        }
    }

    fn of_run(&self, object: &FlowRun) -> run::Observed {
        let job_name = format!("{}-{}", object.name_any(), attempt_of(object));
        let is_of_job = |pod: &&Arc<Pod>| state::label(pod, JOB_NAME) == Some(&job_name);
        let name = object.name_any();
        let another = self.pods.values().any(|pod| {
            state::label(pod, labels::RUN) == Some(&name)
                && !is_of_job(&pod)
                && state::is_at_work(pod, runner::CONTAINER)
        });
        let cluster = self.clusters.values().next().cloned();
        let answering = ForeignScheduler::Answering { workers: 1, tls: None };
        run::Observed {
            flow: self.flows.get(&object.spec.flow).cloned(),
            foreign: if cluster.is_some() { ForeignScheduler::NotAsked } else { answering },
            cluster,
            siblings: self.unfinished().filter(|run| run.name_any() != name).cloned().collect(),
            job: self.jobs.get(&job_name).cloned(),
            pod: self.pods.values().find(is_of_job).cloned(),
            another_runner: another,
            scheduler: self.scheduler().and_then(|pod| state::start_of(pod, scheduler::CONTAINER)),
            ..run::Observed::default()
        }
    }

    fn of_cluster(&self, object: &DaskCluster, known: Wants) -> cluster::Observed {
        let is_of_cluster = |pod: &&Arc<Pod>| {
            let is_part =
                [labels::SCHEDULER, labels::WORKER].iter().any(|part| state::is_component(pod, part));
            is_part && state::label(pod, labels::CLUSTER_NAME) == Some(&object.name_any())
        };
        let said = self.state();
        let observed = cluster::Observed {
            service: self.services.values().next().cloned(),
            network_policy: self.policies.get(&object.name_any()).cloned(),
            pods: self.pods.values().filter(is_of_cluster).cloned().collect(),
            known,
            runs: self.unfinished().cloned().collect(),
            runners: self.runners(),
            ..cluster::Observed::default()
        };
        let Some(said) = said else { return observed };
        let is_told = known.covers(Wants::WORKERS);
        let tasks = || said.workers.iter().map(|(name, worker)| (name.clone(), worker.tasks)).collect();
        cluster::Observed {
            scheduler: SchedulerView::Answering { workers: said.registered() },
            closable: is_told.then(|| said.closing_order()),
            busy: is_told.then(tasks),
            closes: is_told,
            ..observed
        }
    }

    /// The pod of the scheduler, if its container runs.
    fn scheduler(&self) -> Option<&Arc<Pod>> {
        let mut pods = self.pods.values();
        pods.find(|pod| state::is_component(pod, labels::SCHEDULER) && state::runs(pod, scheduler::CONTAINER))
    }

    fn state(&self) -> Option<SchedulerState> {
        self.schedulers.at(state::ip(self.scheduler()?)?)
    }
}
