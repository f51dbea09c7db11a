//! What is observed of a gateway, for one run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::api::Reason;

/// What is known of a gateway.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum GatewayView {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It does not answer, or says no.
    Silent {
        /// The reason word.
        reason: Reason,
        /// A sentence.
        message: String,
        /// There is no Secret with the login any more.
        lacks_login: bool,
        /// The workers of the cluster that it has made, as the scheduler of that says all the same.
        workers: Workers,
    },
    /// It answers, and was asked for no cluster yet.
    Answering(Offer),
    /// What became of the request for a cluster.
    Asked(Creation),
    /// Where the cluster stands.
    Cluster(ClusterView),
}

/// What a gateway offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// The options that a cluster may have, with their defaults.
    pub options: BTreeMap<String, Value>,
    /// What time it is at the gateway, where it says so.
    pub clock: Option<Timestamp>,
    /// Which start of the operator asks.
    pub by: String,
}

/// What became of the request for a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Creation {
    /// It was certainly not made yet.
    Untried,
    /// The same, and another run's comes before it.
    Waits {
        /// That run.
        run: String,
    },
    /// The cluster of this name was made.
    Made(String),
    /// The gateway has certainly made none.
    Refused {
        /// The reason word.
        reason: Reason,
        /// A sentence.
        message: String,
        /// It is not asked again before this instant.
        until: Timestamp,
    },
    /// The answer was lost, or the operator that asked has ended.
    Lost {
        /// When.
        at: Timestamp,
        /// The clusters that can be meant: of equal options, begun since, and of no other run. None: that
        /// cannot be said now.
        found: Option<Vec<String>>,
    },
}

/// What is known of a gateway's cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterView {
    /// Where it stands.
    pub state: ClusterState,
    /// Its dashboard, as a path of the gateway's address.
    pub dashboard: Option<String>,
    /// Its workers, as its scheduler says.
    pub workers: Workers,
    /// What the gateway had against the number of workers, in its words.
    pub said: Option<String>,
}

/// Where a gateway's cluster stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// It starts.
    Starting,
    /// It runs, as far as the gateway knows.
    Running,
    /// The gateway does not know it, which may pass: of a cluster that it has just made, and after its own
    /// start, it says so for a moment as well.
    Missing,
    /// It has ended or is about to.
    Ended(EndOfCluster),
}

/// How a cluster has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfCluster {
    /// Somebody has ended it, or the gateway itself, since it was idle.
    Stopped,
    /// It failed.
    Failed,
    /// The gateway does not know it, and that lasts.
    Unknown,
}

/// What a scheduler behind a gateway says of its workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// It was not asked.
    #[default]
    NotAsked,
    /// So many are registered.
    Registered(usize),
    /// It does not answer.
    Silent {
        /// The reason word.
        reason: Reason,
        /// A sentence.
        message: String,
    },
    /// It could not be asked, or something else answers in its place: that says nothing of the cluster.
    Unknown {
        /// The reason word.
        reason: Reason,
        /// A sentence.
        message: String,
    },
}
