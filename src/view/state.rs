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
        let why = if ready.message.is_empty() { String::new() } else { format!(": {}", ready.message) };
        Some(format!("cluster/{} {}{why}", self.name_any(), ready.reason))
    }
}

impl State for Flow {}
impl State for FlowBackfill {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cluster_without_a_message_has_its_reason() {
        let state = |message: &str| {
            let cluster: DaskCluster = serde_json::from_value(json!({
                "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "metadata": {"name": "a"}, "spec": {"image": "i"},
                "status": {"observedGeneration": 1, "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Ready", "message": message,
                    "lastTransitionTime": "2027-01-01T00:00:00Z",
                }]},
            }))
            .unwrap();
            cluster.state().unwrap()
        };
        assert_eq!(state(""), "cluster/a Ready");
        assert_eq!(state("2 of 2 workers"), "cluster/a Ready: 2 of 2 workers");
    }
}
