//! What the planner of a Flow is given.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{Resource, ResourceExt};

use crate::api::FlowRun;
use crate::plan::pods::state;

/// What was observed of a Flow.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// All its runs.
    pub runs: Vec<Arc<FlowRun>>,
    /// Admitted runs that are in no cache, but were found by asking for them: the run itself, or its runner.
    pub found: BTreeSet<String>,
    /// Runs whose runner's pod has not ended, whatever became of the run itself.
    pub runners: BTreeSet<String>,
    /// Whether the status is not written yet: what is deleted waits until that remembers it.
    pub unwritten: bool,
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

impl CodeMap {
    /// What is known of a ConfigMap that these Jobs were made with.
    pub fn of(map: &impl Resource, jobs: &[Arc<Job>]) -> Self {
        Self {
            name: map.name_any(),
            uid: map.uid(),
            created: map.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            in_use: jobs.iter().any(|job| !state::has_ended(job)),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    #[test]
    fn code_is_in_use_until_the_last_job_with_it_has_ended() {
        let metadata = json!({"name": "etl-code", "uid": "u", "creationTimestamp": "2026-12-01T09:00:00Z"});
        let map: ConfigMap = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        let job = |conditions| {
            let job = json!({"metadata": {"name": "a"}, "status": {"conditions": conditions}});
            Arc::new(serde_json::from_value::<Job>(job).unwrap())
        };
        let (ended, going) = (job(json!([{"type": "Complete", "status": "True"}])), job(json!([])));
        let code = CodeMap::of(&map, &[ended.clone(), going]);
        assert_eq!((code.name.as_str(), code.uid.as_deref(), code.in_use), ("etl-code", Some("u"), true));
        assert_eq!(code.created, "2026-12-01T09:00:00Z".parse().unwrap());
        assert!(!CodeMap::of(&map, &[ended]).in_use);
        assert!(!CodeMap::of(&map, &[]).in_use);
    }
}
