//! What is observed of a gateway, for one run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::search::{Others, candidates};
use super::words::Fault;
use super::workers::of_report;
use super::{Gateways, Outcome, PATIENCE};
use crate::api::FlowRun;
use crate::api::gateway::{GatewayAccess, GatewayStatus};
use crate::gateway::Call;
use crate::gateway::message::{self, Report, State};
use crate::operator::caches::Stores;
use crate::plan::run::Ground;
use crate::plan::run::gateway::{
    ClusterState, ClusterView, Creation, EndOfCluster, GatewayView, Intent, Offer, Workers,
};

/// What is asked of a gateway for a run.
pub(in crate::operator) struct Asked<'a> {
    pub(in crate::operator) run: &'a FlowRun,
    pub(in crate::operator) access: &'a GatewayAccess,
    /// Whether the scheduler of the run's cluster is asked for its workers.
    pub(in crate::operator) with_workers: bool,
    /// The present moment.
    pub(in crate::operator) now: Timestamp,
}

impl Gateways {
    /// What the gateway says of the run's cluster, or offers.
    pub(in crate::operator) async fn view(&self, stores: &Stores, asked: Asked<'_>) -> GatewayView {
        let known = asked.run.status.as_ref().and_then(|status| status.gateway.as_ref());
        let view = match (known, known.and_then(|known| known.cluster.as_deref())) {
            (None, _) => self.offer(&asked).await,
            (Some(known), None) => self.creation(stores, &asked, known).await,
            (Some(known), Some(cluster)) => self.cluster(&asked, known, cluster).await,
        };
        match view {
            Ok(view) => view,
            Err(Fault { reason, message, lacks_login, .. }) => {
                let workers = match known {
                    Some(known) => self.workers_after_all(&asked, known).await,
                    None => Workers::NotAsked,
                };
                GatewayView::Silent { reason, message, lacks_login, workers }
            }
        }
    }

    async fn offer(&self, asked: &Asked<'_>) -> Result<GatewayView, Fault> {
        let (options, clock) = self.options(asked).await?;
        Ok(GatewayView::Answering(Offer { options, clock, by: self.by().to_owned() }))
    }

    async fn options(
        &self,
        asked: &Asked<'_>,
    ) -> Result<(BTreeMap<String, Value>, Option<Timestamp>), Fault> {
        let namespace = asked.run.namespace().unwrap_or_default();
        let answer = self.call(&namespace, asked.access, &Call::options(), PATIENCE).await?;
        let options = message::options(&answer.body).map_err(|error| Fault::of(asked.access, &error))?;
        Ok((options.into_iter().map(|option| (option.field, option.default)).collect(), answer.date))
    }

    /// What became of the request that stands in the run's status.
    async fn creation(
        &self,
        stores: &Stores,
        asked: &Asked<'_>,
        known: &GatewayStatus,
    ) -> Result<GatewayView, Fault> {
        let Some(intent) = Intent::of(asked.run) else { return Ok(GatewayView::NotAsked) };
        let others = self.others(stores, &intent, (&known.access.address, asked.now));
        let outcome = self.kept().requests.get(&intent).cloned();
        let creation = match outcome {
            Some(Outcome::Made(name)) => Creation::Made(name),
            Some(Outcome::Refused { reason, message, until }) => Creation::Refused { reason, message, until },
            Some(Outcome::Lost(at)) => self.lost(asked, known, &others, at).await?,
            None if known.by == self.by() => match others.before.into_values().next() {
                Some(run) => Creation::Waits { run },
                None => Creation::Untried,
            },
            // Another start of the operator may have asked.
            None => self.lost(asked, known, &others, known.asked_at.0).await?,
        };
        Ok(GatewayView::Asked(creation))
    }

    /// The other runs, with what this process knows of them and their statuses do not yet.
    fn others(&self, stores: &Stores, intent: &Intent, at: (&str, Timestamp)) -> Others {
        // The cluster may be that of any run, in any namespace. Only while a request is open all are looked
        // at.
        let runs = stores.runs.all();
        let mut others = Others::of(runs.iter().map(AsRef::as_ref), intent, at);
        self.keep_only(&others.open);
        // What a Flow names belongs to others, also while no run uses it.
        for flow in stores.flows.all() {
            others.claimed.extend(Ground::of(&flow).shared_at_gateway().map(str::to_owned));
        }
        for (other, outcome) in &self.kept().requests {
            match outcome {
                Outcome::Made(name) => {
                    others.claimed.insert(name.clone());
                }
                // It is over, though its run waits before it asks again.
                Outcome::Refused { .. } => {
                    others.before.remove(other);
                    others.beside.remove(other);
                }
                Outcome::Lost(_) => {}
            }
        }
        others
    }

    async fn lost(
        &self,
        asked: &Asked<'_>,
        known: &GatewayStatus,
        others: &Others,
        at: Timestamp,
    ) -> Result<Creation, Fault> {
        if !others.before.is_empty() || !others.beside.is_empty() {
            return Ok(Creation::Lost { at, found: None });
        }
        let (defaults, _) = self.options(asked).await?;
        let namespace = asked.run.namespace().unwrap_or_default();
        let answer = self.call(&namespace, asked.access, &Call::list(), PATIENCE).await?;
        let all = message::list(&answer.body).map_err(|error| Fault::of(asked.access, &error))?;
        Ok(Creation::Lost { at, found: Some(candidates(all, known, &defaults, &others.claimed)) })
    }

    async fn cluster(
        &self,
        asked: &Asked<'_>,
        known: &GatewayStatus,
        name: &str,
    ) -> Result<GatewayView, Fault> {
        let ended = |how| ClusterState::Ended(how);
        let Some(report) = self.report_if_any(asked, name).await? else {
            let state = self.kept().missing((&asked.access.address, name), asked.now);
            let workers = self.workers_after_all(asked, known).await;
            return Ok(GatewayView::Cluster(ClusterView { state, dashboard: None, workers, said: None }));
        };
        let state = match report.state {
            State::Pending => ClusterState::Starting,
            State::Running => ClusterState::Running,
            State::Stopping | State::Stopped => ended(EndOfCluster::Stopped),
            State::Failed => ended(EndOfCluster::Failed),
        };
        let is_to_be_asked =
            asked.with_workers && state == ClusterState::Running && known.secret_name.is_some();
        let workers = if is_to_be_asked {
            self.workers(asked, name, of_report(&report)).await
        } else {
            Workers::NotAsked
        };
        let said = self.kept().said.get(name).cloned();
        Ok(GatewayView::Cluster(ClusterView { state, dashboard: report.dashboard_route, workers, said }))
    }

    /// What the gateway says of a cluster. None: it does not know it.
    async fn report_if_any(&self, asked: &Asked<'_>, name: &str) -> Result<Option<Report>, Fault> {
        let namespace = asked.run.namespace().unwrap_or_default();
        let report = match self.report(&namespace, asked.access, name).await {
            // A proxy says so as well whose gateway is away: one that offers clusters knows which it has.
            Err(fault) if fault.status == Some(404) => self.offer(asked).await.map(|_| None),
            other => other.map(Some),
        };
        if !matches!(report, Ok(None)) {
            self.kept().is_not_missing((&asked.access.address, name));
        }
        report
    }
}
