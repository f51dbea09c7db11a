//! What an object is at in one line, for whoever waits for it.

use kube::ResourceExt;

use crate::api::{ConditionType, DaskCluster, Flow, FlowBackfill, FlowRun, is_seen};

/// An object that can be waited for.
pub trait State {
    /// What it is at: none before an operator has looked, and of what is not waited for long.
    fn state(&self) -> Option<String> {
        None
    }
}

impl State for FlowRun {
    fn state(&self) -> Option<String> {
        let status = self.status.as_ref().filter(|status| is_seen(status.observed_generation))?;
        let attempt = status.attempt.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
        let why = status.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        Some(format!("run/{} {}{attempt}{why}", self.name_any(), status.phase.as_str()))
    }
}

impl State for DaskCluster {
    fn state(&self) -> Option<String> {
        let status = self.status.as_ref().filter(|status| is_seen(status.observed_generation))?;
        let ready = status.conditions.iter().find(|one| one.type_ == ConditionType::Ready.as_str())?;
        Some(format!("cluster/{} {}: {}", self.name_any(), ready.reason, ready.message))
    }
}

impl State for Flow {}
impl State for FlowBackfill {}
