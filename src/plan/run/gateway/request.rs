//! The way to a cluster: from the intent to workers that are registered.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use serde_json::Value;

use super::view::{ClusterState, ClusterView, Creation, GatewayView, Offer};
use super::words::ended;
use super::{AT_ONCE, Found, GatewayOrder, Intent, SETTLES, TURN};
use super::{bind, forget, is_as_wanted, is_bound, order, secret_name, uncertain};
use crate::api::gateway::{Gateway, GatewayStatus};
use crate::api::{Phase, Reason, labels};
use crate::plan::pods::{common_labels, controller_ref};
use crate::plan::run::attempt::End;
use crate::plan::run::work::Work;
use crate::plan::{Next, Note, Wants};

impl Work<'_> {
    /// One step on the way to the cluster. Whether the attempt is over by it.
    pub(in crate::plan::run) fn tend_gateway(&mut self, source: &Gateway) -> bool {
        if !is_bound(self.run) {
            self.want(Wants::OBJECT);
            self.steps.push(bind(self.run, true));
            return false;
        }
        let view = self.observed.gateway.clone();
        let known = self.status.gateway.clone();
        match (known, view) {
            (None, GatewayView::Answering(offer)) => self.intend(source, offer),
            (Some(known), GatewayView::Asked(creation)) if known.cluster.is_none() => {
                self.follow(&known, creation);
            }
            (Some(known), GatewayView::Cluster(cluster)) => return self.tend(&known, source, &cluster),
            _ => {}
        }
        false
    }

    /// Writes down that the gateway is about to be asked.
    fn intend(&mut self, source: &Gateway, offer: Offer) {
        let wanted = source.options.as_ref().and_then(Value::as_object);
        if wanted.is_some_and(|wanted| wanted.keys().any(|name| !offer.options.contains_key(name))) {
            return;
        }
        self.want(Wants::OBJECT);
        self.status.gateway = Some(GatewayStatus {
            access: source.access(),
            attempt: self.status.attempt.unwrap_or(1),
            options: source.options.clone(),
            asked_at: Time(self.now),
            since: offer.clock.map(Time),
            by: offer.by,
            cluster: None,
            secret_name: None,
            workers: None,
            dashboard: None,
        });
        self.next = self.next.sooner(Next::After(AT_ONCE), self.now);
    }

    /// What follows from what became of the request.
    fn follow(&mut self, known: &GatewayStatus, creation: Creation) {
        match creation {
            Creation::Untried => self.ask(known),
            Creation::Waits { .. } => self.next = self.next.sooner(Next::After(TURN), self.now),
            Creation::Made(name) => self.has_cluster(name),
            Creation::Refused { until, .. } => {
                if until <= self.now {
                    forget(&mut self.status);
                } else {
                    self.wake_at(until);
                }
            }
            Creation::Lost { at, found } => match Found::of((at, found.as_deref()), self.now) {
                Found::One(name) => self.has_cluster(name.to_owned()),
                Found::NotYet => {
                    if let Ok(until) = at.checked_add(SETTLES) {
                        self.wake_at(until.max(self.now));
                    }
                }
                Found::None(count) => {
                    let report = uncertain(known, count);
                    self.notes.push(Note::warning(Reason::GatewayClusterUnknown, report));
                    forget(&mut self.status);
                }
            },
        }
    }

    /// Asks, if the intent is written.
    fn ask(&mut self, known: &GatewayStatus) {
        let Some(intent) = Intent::of(self.run).filter(|_| !self.observed.unwritten) else { return };
        let options = known.options.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
        self.want(Wants::OBJECT);
        self.steps.push(order(known, GatewayOrder::Create { intent, options }));
        // The answer is in this process alone until the next plan writes it down.
        self.next = self.next.sooner(Next::After(AT_ONCE), self.now);
    }

    fn has_cluster(&mut self, name: String) {
        let message = format!("the gateway has made the cluster {name} for this run");
        self.notes.push(Note::normal(Reason::ClusterCreated, message));
        if let Some(gateway) = &mut self.status.gateway {
            gateway.cluster = Some(name);
        }
        self.next = self.next.sooner(Next::After(AT_ONCE), self.now);
    }

    /// Sees to the certificate and the workers of a cluster. Whether the attempt is over, because the cluster
    /// is.
    fn tend(&mut self, known: &GatewayStatus, source: &Gateway, view: &ClusterView) -> bool {
        let Some(name) = known.cluster.clone().filter(|_| is_as_wanted(known, source)) else { return false };
        match view.state {
            ClusterState::Starting => {}
            ClusterState::Running => self.equip(known, source, (&name, view.dashboard.as_ref())),
            ClusterState::Ended(how) => {
                forget(&mut self.status);
                // One of an earlier attempt was lost with that, and is replaced.
                if Some(known.attempt) == self.status.attempt.or(Some(1)) {
                    let end = End::new(Phase::Failed, Reason::ClusterLost, ended(&name, how));
                    self.attempt_failed(end);
                    return true;
                }
            }
        }
        false
    }

    fn equip(&mut self, known: &GatewayStatus, source: &Gateway, (name, dashboard): (&str, Option<&String>)) {
        let workers = source.workers.get();
        let secret = secret_name(self.run, name);
        if known.secret_name.is_none() {
            let secret = Box::new(self.certificate(&secret));
            self.steps.push(order(known, GatewayOrder::Certificate { cluster: name.to_owned(), secret }));
        }
        let asked = i32::try_from(workers).unwrap_or(i32::MAX);
        if known.workers != Some(asked) {
            self.steps.push(order(known, GatewayOrder::Scale { cluster: name.to_owned(), workers }));
        }
        if let Some(gateway) = &mut self.status.gateway {
            (gateway.secret_name, gateway.workers) = (Some(secret), Some(asked));
            gateway.dashboard = dashboard.cloned();
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

    /// Ends the gateway's cluster of the run, where there is one: one step of that. Whether none is left.
    pub(in crate::plan::run) fn leave_gateway(&mut self) -> bool {
        let leaving = super::ending::leave(&mut self.status, &self.observed.gateway, self.now);
        for step in leaving.steps {
            self.add(Some(step));
        }
        self.notes.extend(leaving.notes);
        self.next = self.next.sooner(leaving.next, self.now);
        leaving.is_over
    }

    /// Ends a gateway's cluster that the run has, and that is of no use where its Flow wants it to run now.
    /// Whether none is left.
    pub(in crate::plan::run) fn leave_other_gateway(&mut self, wanted: Option<&Gateway>) -> bool {
        let is_wanted = |known: &GatewayStatus| wanted.is_some_and(|source| is_as_wanted(known, source));
        if self.status.gateway.as_ref().is_none_or(is_wanted) {
            return true;
        }
        self.leave_gateway()
    }
}
