//! What a gateway is to do, as steps of a plan.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Map, Value};

use crate::api::FlowRun;
use crate::api::gateway::{GatewayAccess, GatewayAdapt};

/// What a gateway is to do. Who carries it out speaks to the gateway; what comes of it is observed later.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayStep {
    /// The gateway.
    pub access: GatewayAccess,
    /// What it is to do.
    pub order: GatewayOrder,
}

/// What a gateway is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum GatewayOrder {
    /// Make a cluster, once for this intent.
    Create {
        /// For which run, and which of its intents.
        intent: Intent,
        /// With these options.
        options: Map<String, Value>,
    },
    /// Give the certificate for the cluster's scheduler, which is written into this Secret.
    Certificate {
        /// The cluster.
        cluster: String,
        /// The Secret, still without files.
        secret: Box<Secret>,
    },
    /// Give the cluster so many workers.
    Scale {
        /// The cluster.
        cluster: String,
        /// How many.
        workers: u32,
    },
    /// Give the cluster as many workers as its work needs, between these bounds.
    Adapt {
        /// The cluster.
        cluster: String,
        /// How many at least, and how many at most.
        between: GatewayAdapt,
    },
    /// Nothing: the cluster may go on, and is asked about no more. It is logged and counted, since no event
    /// can be written where the namespace is being deleted.
    Leave {
        /// The cluster, where its name is known.
        cluster: Option<String>,
    },
    /// End the cluster.
    Stop {
        /// The cluster.
        cluster: String,
    },
}

/// The intent of a run to ask a gateway for a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Intent {
    /// When it was written.
    pub asked_at: Timestamp,
    /// The uid of its run.
    pub run: String,
}

impl Intent {
    /// The one that stands in the status of a run, and has no cluster yet.
    pub fn of(run: &FlowRun) -> Option<Self> {
        let gateway = run.status.as_ref()?.gateway.as_ref()?;
        let asked_at = gateway.cluster.is_none().then_some(gateway.asked_at.0)?;
        Some(Self { asked_at, run: run.metadata.uid.clone()? })
    }
}
