//! What the planner of a Flow is given.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::FlowRun;

/// What was observed of a Flow.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// All its runs.
    pub runs: Vec<Arc<FlowRun>>,
    /// Whether the Flow was read from the API server just now, rather than from a cache.
    pub live: bool,
    /// Admitted runs that are in no cache, but were found by asking for them.
    pub found: BTreeSet<String>,
    /// Runs whose runner's pod has not ended, whatever became of the run itself.
    pub runners: BTreeSet<String>,
    /// Whether the `DaskCluster` of `cluster.ref` exists; true where there is none to exist.
    pub cluster_exists: bool,
    /// What is missing of `code.configMap`.
    pub code_missing: Option<String>,
    /// The code ConfigMaps of this Flow.
    pub code_maps: Vec<CodeMap>,
    /// Its backfills, ended ones too: their runs stay as long as they do.
    pub backfills: BTreeSet<String>,
    /// The names that the runs of the ticks of unfinished backfills have, whoever made them: such a run may
    /// be why a tick is left out.
    pub backfilled: BTreeSet<String>,
}

/// A ConfigMap with code, as far as deleting it is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeMap {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// Whether a Job that has not ended mounts it.
    pub in_use: bool,
}
