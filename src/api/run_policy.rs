//! When runs of a `Flow` may start, how often they are tried, and how long they are remembered.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::count::Count;
use super::duration::{self, Age, Duration};

/// What happens when a run is due while another one of the same flow is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Concurrency {
    /// Runs may overlap.
    Allow,
    /// A run waits until the active one has ended; of several waiting ticks only the newest runs.
    #[default]
    Forbid,
    /// The newest run takes the place of the active one, which is cancelled; it starts when that one has
    /// ended.
    Replace,
    /// Up to `maxActive` runs are active, and up to `maxQueued` wait: first come, first served.
    Queue,
}

/// What happens to ticks that passed while no run could be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatchUp {
    /// Which of them run.
    #[serde(default)]
    pub policy: CatchUpPolicy,
    /// Under `All`: how many of them at the most, the newest ones; the others count as missed.
    #[serde(default = "CatchUp::default_limit")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: Count<1>,
}

impl CatchUp {
    fn default_limit() -> Count<1> {
        10.into()
    }
}

impl Default for CatchUp {
    fn default() -> Self {
        Self { policy: CatchUpPolicy::default(), limit: Self::default_limit() }
    }
}

/// Which of the ticks that passed run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CatchUpPolicy {
    /// The newest one, if it is within `startingDeadline`.
    #[default]
    Latest,
    /// None: only ticks that are on time run, which is within `startingDeadline`, else within 30 seconds.
    None,
    /// All that are within `startingDeadline`, oldest first, up to `limit`.
    All,
}

/// How often an attempt that failed is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Further attempts after failures of the flow itself: an error in the script, a failed flow, a timeout.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    pub limit: i32,
    /// Further attempts after failures of the infrastructure: an evicted, preempted or killed runner, a lost
    /// node or cluster, an image that cannot be pulled, a cluster that does not start.
    #[serde(default = "Retries::default_infrastructure")]
    #[schemars(range(min = 0, max = 100))]
    pub infrastructure: i32,
    /// The longest wait before the second attempt; the wait itself is random, between 0 and this.
    #[serde(default = "Retries::default_delay")]
    #[x_kube(validation = duration::from_zero("0s, 30s or 5m"))]
    pub delay: Duration,
    /// By how much the longest wait grows with each attempt.
    #[serde(default = "Retries::default_factor")]
    #[schemars(range(min = 1, max = 10))]
    pub factor: Count<1>,
    /// The upper bound of the longest wait.
    #[serde(default = "Retries::default_max_delay")]
    #[x_kube(validation = duration::from_zero("0s, 30s or 5m"))]
    pub max_delay: Duration,
}

impl Retries {
    fn default_infrastructure() -> i32 {
        3
    }

    fn default_delay() -> Duration {
        "30s".into()
    }

    fn default_factor() -> Count<1> {
        2.into()
    }

    fn default_max_delay() -> Duration {
        "10m".into()
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            limit: 0,
            infrastructure: Self::default_infrastructure(),
            delay: Self::default_delay(),
            factor: Self::default_factor(),
            max_delay: Self::default_max_delay(),
        }
    }
}

/// How many finished runs are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Succeeded runs that are kept.
    #[serde(default = "History::default_limit")]
    #[schemars(range(min = 0, max = 1000))]
    pub succeeded: Count,
    /// Runs that are kept of those that ended in any other way.
    #[serde(default = "History::default_limit")]
    #[schemars(range(min = 0, max = 1000))]
    pub failed: Count,
    /// Finished runs that ended longer ago are deleted, even if fewer are kept than the numbers above allow.
    /// Days have 24 hours. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = duration::of_an_age())]
    pub older_than: Option<Age>,
}

impl History {
    fn default_limit() -> Count {
        3.into()
    }
}

impl Default for History {
    fn default() -> Self {
        Self { succeeded: Self::default_limit(), failed: Self::default_limit(), older_than: None }
    }
}
