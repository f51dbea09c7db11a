//! A cluster of a gateway that exists: a Flow names it, and other Flows and people may use it.
//!
//! Nothing is made for a run, so nothing has to be asked for once, searched for or ended, and nothing keeps
//! the run from being deleted. What the run has of it is the Secret with its certificate.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;

use super::view::{ClusterState, GatewayView};
use super::{AT_ONCE, GatewayOrder, is_as_wanted, order, secret_name};
use crate::api::gateway::{DASHBOARD_BYTES_MAX, Gateway, GatewayStatus};
use crate::api::labels;
use crate::plan::Next;
use crate::plan::pods::{common_labels, controller_ref};
use crate::plan::run::work::Work;

impl Work<'_> {
    /// One step on the way to a cluster that exists.
    pub(super) fn join(&mut self, source: &Gateway, cluster: &str) {
        let Some(known) = self.status.gateway.as_deref().cloned() else {
            self.status.gateway = Some(Box::new(GatewayStatus {
                access: source.access(),
                attempt: self.status.attempt.unwrap_or(1),
                shared: true,
                options: None,
                asked_at: Time(self.now),
                since: None,
                by: String::new(),
                cluster: Some(cluster.to_owned()),
                secret_name: None,
                workers: None,
                adapt: None,
                dashboard: None,
            }));
            self.next = self.next.sooner(Next::After(AT_ONCE), self.now);
            return;
        };
        // What was looked at is what the status had before.
        let is_seen = super::known(self.run).is_some_and(|seen| is_as_wanted(seen, source));
        if let GatewayView::Cluster(view) = &self.observed.gateway
            && view.state == ClusterState::Running
            && is_seen
        {
            self.equip(&known, (cluster, view.dashboard.as_ref()));
        }
    }

    /// Sees to what a runner needs to connect to a cluster that runs.
    pub(super) fn equip(&mut self, known: &GatewayStatus, (name, dashboard): (&str, Option<&String>)) {
        let secret = secret_name(self.run, name);
        if known.secret_name.is_none() {
            let secret = Box::new(self.certificate(&secret));
            self.steps.push(order(known, GatewayOrder::Certificate { cluster: name.to_owned(), secret }));
        }
        if let Some(gateway) = &mut self.status.gateway {
            gateway.secret_name = Some(secret);
            gateway.dashboard = dashboard.filter(|path| path.len() <= DASHBOARD_BYTES_MAX).cloned();
        }
    }

    /// The Secret of a cluster, without its files.
    fn certificate(&self, name: &str) -> Secret {
        let mut all_labels: BTreeMap<String, String> = common_labels(&self.run.spec.flow, "gateway");
        all_labels.insert(labels::FLOW.to_owned(), self.run.spec.flow.clone());
        all_labels.insert(labels::RUN.to_owned(), self.run.name_any());
        Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: self.run.namespace(),
                owner_references: controller_ref(self.run).map(|owner| vec![owner]),
                labels: Some(all_labels),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            immutable: Some(true),
            ..Secret::default()
        }
    }
}
