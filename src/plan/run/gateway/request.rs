//! The way to a cluster: from the intent to workers that are registered.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::view::{ClusterState, ClusterView, Creation, GatewayView, Offer};
use super::words::ended;
use super::{AT_ONCE, Found, GatewayOrder, Intent, SETTLES, TURN};
use super::{bind, forget, is_as_wanted, is_bound, order, uncertain};
use crate::api::gateway::{AskedBounds, Gateway, GatewayStatus};
use crate::api::{Phase, Reason};
use crate::plan::run::attempt::End;
use crate::plan::run::work::Work;
use crate::plan::{Next, Note, Wants};

impl Work<'_> {
    /// One step on the way to the cluster. Whether the attempt is over by it.
    pub(in crate::plan::run) fn tend_gateway(&mut self, source: &Gateway) -> bool {
        if let Some(cluster) = &source.cluster {
            self.join(source, cluster);
            return false;
        }
        if !is_bound(self.run) {
            self.want(Wants::OBJECT);
            self.steps.push(bind(self.run, true));
            return false;
        }
        let view = self.observed.gateway.clone();
        let known = self.status.gateway.as_deref().cloned();
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
        self.status.gateway = Some(Box::new(GatewayStatus {
            access: source.access(),
            attempt: self.status.attempt.unwrap_or(1),
            shared: false,
            options: source.options.clone(),
            asked_at: Time(self.now),
            since: offer.clock.map(Time),
            by: offer.by,
            cluster: None,
            secret_name: None,
            workers: None,
            adapt: None,
            dashboard: None,
        }));
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
            ClusterState::Starting | ClusterState::Missing => {}
            ClusterState::Running => {
                self.equip(known, (&name, view.dashboard.as_ref()));
                self.size(known, source, &name);
            }
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

    /// Asks for the workers that the Flow wants, where they were not asked for yet.
    fn size(&mut self, known: &GatewayStatus, source: &Gateway, name: &str) {
        let cluster = name.to_owned();
        let workers = source.workers.map(|count| i32::try_from(count.get()).unwrap_or(i32::MAX));
        let adapt = source.adapt.map(AskedBounds::from);
        if let Some(count) = source.workers.filter(|_| known.workers != workers) {
            self.steps.push(order(known, GatewayOrder::Scale { cluster, workers: count.get() }));
        } else if let Some(between) = source.adapt.filter(|_| known.adapt != adapt) {
            self.steps.push(order(known, GatewayOrder::Adapt { cluster, between }));
        }
        if let Some(gateway) = &mut self.status.gateway {
            (gateway.workers, gateway.adapt) = (workers, adapt);
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
        if self.status.gateway.as_deref().is_none_or(is_wanted) {
            return true;
        }
        self.leave_gateway()
    }
}
