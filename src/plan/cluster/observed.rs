//! What the planner of a cluster is given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;

use super::load::Load;
use super::retirements::Retirements;
use crate::api::{FlowRun, Reason};
use crate::plan::Wants;
use crate::plan::certificates::TlsView;
use crate::plan::site::Site;

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
    /// What of this was looked at live just now. Who may leave, and whether nobody uses the cluster, is
    /// decided by nothing else.
    pub known: Wants,
    /// What the scheduler says.
    pub scheduler: SchedulerView,
    /// The workers in the order in which the scheduler would close them, idle ones and those with least data
    /// first. None when it was not asked or did not answer.
    pub closable: Option<Vec<String>>,
    /// The workers that the scheduler gives no more tasks: it was asked to close them, or is letting them go.
    pub closing: BTreeSet<String>,
    /// What the scheduler was asked to do with workers that are to leave, and what it answered.
    pub retirements: Retirements,
    /// How many tasks lie with each worker, those not counted that never begin there because it is closed.
    /// None when the scheduler was not asked or did not answer.
    pub busy: Option<BTreeMap<String, u64>>,
    /// Whether the scheduler can close workers to new tasks. Unknown is no.
    pub closes: bool,
    /// What the scheduler told of its load.
    pub load: Load,
    /// The runs on this cluster that have not ended, those that wait for a place on it among them.
    pub runs: Vec<Arc<FlowRun>>,
    /// Runs whose runner's pod has not ended, whatever became of the run itself.
    pub runners: BTreeSet<String>,
    /// Runs with a place that are gone, and whose runner was found at work by asking for it: no cache has it.
    pub found: BTreeSet<String>,
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
