//! What the planner of a run is given.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::gateway::GatewayView;
use crate::api::{DaskCluster, Flow, FlowRun, Reason};
use crate::plan::pods::mounts::Files;
use crate::plan::pods::script::Script;
use crate::plan::site::Site;

/// What was observed of a run.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Where it runs.
    pub site: Site,
    /// Its Flow.
    pub flow: Option<Arc<Flow>>,
    /// The `DaskCluster` that it runs on, whether referenced or its own.
    pub cluster: Option<Arc<DaskCluster>>,
    /// The `DaskCluster` that was made for the run, also where it is on another one by now.
    pub own: Option<Arc<DaskCluster>>,
    /// What the scheduler of `cluster.address` says.
    pub foreign: ForeignScheduler,
    /// What the gateway says of the run's cluster, or offers.
    pub gateway: GatewayView,
    /// The script of `code.configMap`.
    pub script: ScriptView,
    /// The Job of its attempt.
    pub job: Option<Arc<Job>>,
    /// The newest pod of that Job.
    pub pod: Option<Arc<Pod>>,
    /// Whether the runner of another attempt is at work.
    pub another_runner: bool,
    /// Which start of the cluster's Dask scheduler is at work: the pod's uid and how often its container was
    /// restarted.
    pub scheduler: Option<String>,
    /// What the pod of the cluster's Dask scheduler was made with.
    pub wiring: Wiring,
    /// The other unfinished runs of the Flow.
    pub siblings: Vec<Arc<FlowRun>>,
    /// Whether the status that the run has here is not written yet.
    pub unwritten: bool,
}

/// What is known of a script in a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ScriptView {
    /// The Flow has none, or it is not needed now.
    #[default]
    NotNeeded,
    /// This is it.
    Found(Script),
    /// The ConfigMap or its key is missing.
    Missing(String),
}

/// How the Dask scheduler of a cluster is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wiring {
    /// There is no pod of it that anybody knows.
    #[default]
    Unknown,
    /// Plain TCP.
    Plain,
    /// TLS, with the certificate in this Secret.
    Tls(String),
}

/// What is known of a scheduler outside of any `DaskCluster`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ForeignScheduler {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It answers.
    Answering {
        /// It has so many workers.
        workers: usize,
        /// Where it speaks TLS: what a runner needs for that.
        tls: Option<Files>,
    },
    /// It cannot be spoken to, and why.
    Unreachable {
        /// The reason word.
        reason: Reason,
        /// A sentence.
        message: String,
    },
}
