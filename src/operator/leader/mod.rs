//! The Lease: who of several operators works. This is the thin loop around [`plan::lease`](crate::plan::lease), which
//! decides, and the guard that keeps reconciles from writing when the claim has ended.
//!
//! Whoever loses the Lease does not become a candidate again: the process ends. What it had in memory, and what it was about
//! to do, is of no use to anybody, and a new process knows nothing wrong.

mod claim;
mod guard;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use tokio_util::sync::CancellationToken;

use super::clock;
use super::heartbeats::Heartbeats;
use super::lookup;
use crate::plan::lease::{Candidate, Decision, Loss, ObservedLease, Timing};

pub use claim::Claim;
pub(super) use guard::{DoesNotLead, Guard};

/// The loop's heartbeat.
pub(super) const HEARTBEAT: &str = "the Lease";

/// Which Lease, and who asks for it.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// The Lease's name.
    pub name: String,
    /// Its namespace; that of the kubeconfig or the service account if there is none.
    pub namespace: Option<String>,
    /// Who this process is. No two processes that live at the same time may have the same.
    pub identity: String,
    /// Seconds that the others wait after the last sign of life.
    pub lease_s: u16,
}

impl LeaseOptions {
    /// The candidate that this is, which does not stand yet.
    pub(super) fn candidate(&self) -> Candidate {
        Candidate::observer(&self.identity, Timing::of_seconds(self.lease_s))
    }
}

/// One candidate at work.
pub(super) struct Election {
    api: Api<Lease>,
    name: String,
    candidate: Candidate,
    /// The Lease as it was seen last, with what others have written into it.
    lease: Option<Lease>,
    claim: Arc<Claim>,
    heartbeats: Arc<Heartbeats>,
    /// The failure that was logged last: one that goes on is logged once.
    failure: Option<String>,
}

impl Election {
    /// A candidate for the Lease of this name. The client must not be behind the guard, and must try nothing again by
    /// itself.
    pub(super) fn new(
        api: Api<Lease>,
        name: &str,
        candidate: Candidate,
        claim: Arc<Claim>,
        heartbeats: Arc<Heartbeats>,
    ) -> Self {
        heartbeats.beat(HEARTBEAT);
        Self { api, name: name.to_owned(), candidate, lease: None, claim, heartbeats, failure: None }
    }

    /// Waits for the Lease, takes it once this process is `able` to work, and renews it, until it is lost, or until it is to
    /// be released: then it is.
    pub(super) async fn run(
        mut self,
        able: CancellationToken,
        release: CancellationToken,
    ) -> Result<(), Loss> {
        while !release.is_cancelled() {
            self.heartbeats.beat(HEARTBEAT);
            if able.is_cancelled() {
                self.candidate.stand();
            }
            match self.candidate.decide(self.claim.now()) {
                Decision::Wait(until) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(self.claim.moment(until)) => {}
                        () = able.cancelled(), if !self.candidate.stands() => {}
                        () = release.cancelled() => {}
                    }
                }
                Decision::Lost(loss) => {
                    self.claim.end();
                    tracing::error!(reason = %loss, identity = self.candidate.identity(), "this operator no longer leads");
                    return Err(loss);
                }
                Decision::Read => self.read().await,
                Decision::Create | Decision::Acquire | Decision::Renew => self.write().await,
            }
        }
        self.release().await;
        Ok(())
    }

    /// How long a request may take now: not beyond the end of the claim.
    fn limit(&self) -> Duration {
        let request = self.candidate.timing().request;
        let rest = self.candidate.leads_until().map(|until| until.saturating_sub(self.claim.now()));
        rest.map_or(request, |rest| rest.min(request))
    }

    async fn read(&mut self) {
        let answer = tokio::time::timeout(self.limit(), lookup::by_name(&self.api, &self.name)).await;
        match answer {
            Ok(Ok(lease)) => {
                self.candidate.saw(lease.as_ref().map(observed), self.claim.now(), clock::jitter());
                self.lease = lease;
                self.learned();
            }
            Ok(Err(error)) => self.failed(&super::failure::chain(&error)),
            Err(_) => self.failed("the API server does not answer"),
        }
    }

    /// Creates the Lease, takes it or renews it.
    async fn write(&mut self) {
        let led = self.candidate.leads_until().is_some();
        let wanted = self.wanted();
        let sent = self.claim.now();
        let Some(answer) = self.send(&wanted).await else { return };
        self.candidate.wrote(observed(&answer), sent, self.claim.now());
        self.lease = Some(answer);
        self.learned();
        if let Some(until) = self.candidate.leads_until() {
            self.claim.extend(until);
        }
        if !led {
            let transitions = self.candidate.transitions();
            tracing::info!(
                lease = self.name,
                identity = self.candidate.identity(),
                transitions,
                "this operator leads"
            );
        }
    }

    /// The Lease as it is after the next write.
    fn wanted(&self) -> Lease {
        let (now, led) = (Some(MicroTime(clock::now())), self.candidate.leads_until().is_some());
        let mut lease = self.lease.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            ..Lease::default()
        });
        let before = lease.spec.take().unwrap_or_default();
        lease.spec = Some(LeaseSpec {
            acquire_time: before.acquire_time.filter(|_| led).or_else(|| now.clone()),
            renew_time: now,
            holder_identity: Some(self.candidate.identity().to_owned()),
            lease_duration_seconds: Some(self.candidate.timing().lease_seconds()),
            lease_transitions: Some(self.candidate.transitions()),
            ..before
        });
        lease
    }

    /// Sends a version of the Lease, over the one that was seen last. None: it was not taken, and the candidate knows.
    async fn send(&mut self, wanted: &Lease) -> Option<Lease> {
        let limit = self.limit();
        let params = PostParams::default();
        let answer = if wanted.metadata.resource_version.is_some() {
            tokio::time::timeout(limit, self.api.replace(&self.name, &params, wanted)).await
        } else {
            tokio::time::timeout(limit, self.api.create(&params, wanted)).await
        };
        match answer {
            Ok(Ok(lease)) => return Some(lease),
            // Somebody was quicker, or the Lease is gone. What cannot be created because there is no such namespace is a
            // failure: it would be tried without a pause.
            Ok(Err(kube::Error::Api(status)))
                if status.code == 409
                    || (status.code == 404 && wanted.metadata.resource_version.is_some()) =>
            {
                tracing::debug!(
                    lease = self.name,
                    reason = status.message,
                    "the Lease has changed meanwhile"
                );
                self.candidate.conflicted(self.claim.now());
            }
            Ok(Err(error)) => self.failed(&super::failure::chain(&error)),
            Err(_) => self.failed("the API server does not answer"),
        }
        None
    }

    fn learned(&mut self) {
        self.failure = None;
        let holder = self.candidate.holder();
        if self.claim.holder(Duration::MAX).is_none_or(|known| known != holder)
            && holder != self.candidate.identity()
            && !holder.is_empty()
        {
            tracing::info!(lease = self.name, holder, "this operator waits: another one holds the Lease");
        }
        self.claim.learn(holder);
    }

    fn failed(&mut self, why: &str) {
        self.candidate.failed(self.claim.now(), clock::jitter());
        if self.failure.as_deref() != Some(why) {
            tracing::warn!(lease = self.name, error = why, "the Lease could not be read or written");
            self.failure = Some(why.to_owned());
        }
    }

    /// Gives the Lease to whoever comes first, if this process holds it. Nobody may be writing any more.
    async fn release(&mut self) {
        let led = self.candidate.leads_until().is_some();
        self.claim.end();
        self.candidate.stopped();
        if !led {
            return;
        }
        // A renewal that was not answered may have been carried out: then its version is not known.
        for _ in 0..2 {
            if !self.candidate.holds() {
                self.read().await;
            }
            let Some(mut lease) = self.lease.clone().filter(|_| self.candidate.holds()) else { return };
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                spec.renew_time = Some(MicroTime(clock::now()));
            }
            if self.send(&lease).await.is_some() {
                tracing::info!(lease = self.name, "the Lease is released");
                return;
            }
        }
    }
}

/// What the candidate sees of a Lease.
fn observed(lease: &Lease) -> ObservedLease {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    ObservedLease {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        duration: seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}
