//! The Lease: who of several operators works. This is the thin loop around
//! [`plan::lease`](crate::plan::lease), which decides, and the guard that keeps reconciles from writing when
//! the claim has ended.
//!
//! Whoever loses the Lease does not become a candidate again: the process ends. What it had in memory, and
//! what it was about to do, is of no use to anybody, and a new process knows nothing wrong.

mod candidacy;
mod claim;
mod guard;
#[cfg(test)]
pub(super) mod tests;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::lookup;
use crate::causes::chain;
use crate::daemon::clock::{Chance, Clock};
use crate::daemon::heartbeats::Heartbeats;
use crate::plan::lease::{Asked, Candidate, Decision, Loss, ObservedLease, Timing};

pub(super) use candidacy::Candidacy;
pub use candidacy::{Candidature, Place};
pub use claim::Claim;
pub(super) use claim::DoesNotLead;
pub(super) use guard::Guard;
use ways::Ways;

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

/// How long a leader whose time is over looks for an answer that has arrived and was not read yet: all of the
/// machine may have stood still. It writes nothing meanwhile.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// What a request came to; none of them: it was not answered.
enum Answer {
    Read(Option<kube::Result<Option<Lease>>>),
    Created(Option<kube::Result<Lease>>),
    Replaced(Option<kube::Result<Lease>>),
}

/// One candidate at work.
pub(super) struct Election {
    ways: Ways,
    name: String,
    candidate: Candidate,
    /// The Lease as it was seen last, with what others have written into it.
    lease: Option<Lease>,
    /// What was asked and not answered yet.
    requests: FuturesUnordered<BoxFuture<'static, (Asked, Answer)>>,
    /// The mark of the last write.
    mark: i64,
    claim: Arc<Claim>,
    heartbeats: Arc<Heartbeats>,
    clock: Clock,
    chance: Chance,
    /// The failure that was logged last: one that goes on is logged once.
    failure: Option<String>,
}

impl Election {
    /// A candidate for the Lease of this name.
    pub(super) fn new(
        ways: Ways,
        name: &str,
        candidate: Candidate,
        (claim, heartbeats): (Arc<Claim>, Arc<Heartbeats>),
        (clock, chance): (Clock, Chance),
    ) -> Self {
        heartbeats.beat(HEARTBEAT);
        Self {
            ways,
            name: name.to_owned(),
            candidate,
            lease: None,
            requests: FuturesUnordered::new(),
            mark: 0,
            claim,
            heartbeats,
            clock,
            chance,
            failure: None,
        }
    }

    /// Waits for the Lease, takes it once this process is `able` to work, and renews it, until it is lost, or
    /// until it is to be released: then it is, when nobody may be writing any more.
    pub(super) async fn run(
        mut self,
        able: CancellationToken,
        release: CancellationToken,
    ) -> Result<(), Loss> {
        loop {
            self.heartbeats.beat(HEARTBEAT);
            // However late this loop is, what was answered meanwhile counts.
            while let Some(Some((asked, answer))) = self.requests.next().now_or_never() {
                self.answered(&asked, answer);
            }
            if able.is_cancelled() {
                self.candidate.stand();
            }
            if release.is_cancelled() && !self.candidate.stops() {
                self.claim.end();
                self.candidate.stop(self.claim.now());
            }
            match self.candidate.decide(self.claim.now()) {
                Decision::Wait(until) => self.wait(until, &able, &release).await,
                Decision::Read => self.read(),
                Decision::Create | Decision::Acquire | Decision::Renew => self.hold(),
                Decision::Release => self.release(),
                Decision::Stop => return Ok(()),
                Decision::Lost(loss) => {
                    if loss == Loss::Deadline && self.is_answered_at_last().await {
                        continue;
                    }
                    self.claim.end();
                    tracing::error!(reason = %loss, identity = self.candidate.identity(), "this operator no longer leads");
                    return Err(loss);
                }
            }
        }
    }

    /// Waits for the next answer, and until this time at most.
    async fn wait(&mut self, until: Duration, able: &CancellationToken, release: &CancellationToken) {
        let mut answer = None;
        tokio::select! {
            biased;
            Some(next) = self.requests.next() => answer = Some(next),
            () = tokio::time::sleep_until(self.claim.moment(until)) => {}
            () = able.cancelled(), if !self.candidate.stands() => {}
            () = release.cancelled(), if !self.candidate.stops() => {}
        }
        if let Some((asked, answer)) = answer {
            self.answered(&asked, answer);
        }
    }

    /// Whether there is an answer after all.
    async fn is_answered_at_last(&mut self) -> bool {
        let Ok(Some((asked, answer))) = timeout(LAST_LOOK, self.requests.next()).await else { return false };
        self.answered(&asked, answer);
        true
    }

    fn read(&mut self) {
        if !self.requests.is_empty() {
            self.complain("the API server has not answered yet");
        }
        let asked = self.candidate.reads(self.claim.now());
        let ((api, in_use), name, limit) = (self.ways.next(), self.name.clone(), self.limit());
        self.requests.push(Box::pin(async move {
            let answer = Answer::Read(timeout(limit, lookup::by_name(&api, &name)).await.ok());
            drop(in_use);
            (asked, answer)
        }));
    }

    /// Creates the Lease, takes it or renews it.
    fn hold(&mut self) {
        let led = self.candidate.leads_until().is_some();
        let before = self.spec();
        self.write(LeaseSpec {
            acquire_time: before.acquire_time.filter(|_| led),
            holder_identity: Some(self.candidate.identity().to_owned()),
            lease_duration_seconds: Some(self.candidate.timing().lease_seconds()),
            lease_transitions: Some(self.candidate.transitions()),
            ..before
        });
    }

    /// Gives the Lease to whoever comes first.
    fn release(&mut self) {
        let holder_identity = Some(String::new());
        self.write(LeaseSpec { holder_identity, lease_duration_seconds: Some(1), ..self.spec() });
    }

    /// What the Lease said last.
    fn spec(&self) -> LeaseSpec {
        self.lease.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default()
    }

    /// Writes this, and the time, over the version that was seen last.
    fn write(&mut self, mut spec: LeaseSpec) {
        let now = MicroTime(self.moment());
        spec.acquire_time.get_or_insert_with(|| now.clone());
        spec.renew_time = Some(now);
        let mut metadata = self.lease.as_ref().map(|lease| lease.metadata.clone()).unwrap_or_default();
        metadata.name = Some(self.name.clone());
        metadata.resource_version = self.candidate.rests_on().map(str::to_owned);
        let lease = Lease { metadata, spec: Some(spec) };

        let asked = self.candidate.writes(self.mark, self.claim.now());
        let ((api, in_use), name, limit) = (self.ways.next(), self.name.clone(), self.limit());
        self.requests.push(Box::pin(async move {
            let params = PostParams::default();
            let answer = if lease.metadata.resource_version.is_some() {
                Answer::Replaced(timeout(limit, api.replace(&name, &params, &lease)).await.ok())
            } else {
                Answer::Created(timeout(limit, api.create(&params, &lease)).await.ok())
            };
            drop(in_use);
            (asked, answer)
        }));
    }

    /// The present moment, as Kubernetes keeps it: in microseconds. None is given out twice, so it is the
    /// mark of a write.
    fn moment(&mut self) -> Timestamp {
        let now = self.clock.now();
        self.mark = now.as_microsecond().max(self.mark + 1);
        Timestamp::from_microsecond(self.mark).unwrap_or(now)
    }

    /// How long an answer is waited for: later, it would be of no use.
    fn limit(&self) -> Duration {
        self.candidate.timing().renew_deadline
    }

    fn answered(&mut self, asked: &Asked, answer: Answer) {
        let (now, led) = (self.claim.now(), self.candidate.leads_until());
        match answer {
            Answer::Read(Some(Ok(lease))) => {
                if self.candidate.saw(asked, lease.as_ref().map(observed), now, self.chance.jitter()) {
                    self.lease = lease;
                }
                self.learned(asked);
            }
            Answer::Created(Some(Ok(lease))) | Answer::Replaced(Some(Ok(lease))) => {
                if self.candidate.wrote(asked, observed(&lease), now) {
                    self.lease = Some(lease);
                }
                if self.candidate.stops() && self.candidate.holder().is_empty() {
                    tracing::info!(lease = self.name, "the Lease is released");
                }
                self.learned(asked);
            }
            Answer::Replaced(Some(Err(kube::Error::Api(status)))) if matches!(status.code, 404 | 409) => {
                self.conflicted(asked, &status.message);
            }
            // What cannot be created because there is no such namespace is a failure: it would be tried
            // without a pause.
            Answer::Created(Some(Err(kube::Error::Api(status)))) if status.code == 409 => {
                self.conflicted(asked, &status.message);
            }
            Answer::Read(Some(Err(error)))
            | Answer::Created(Some(Err(error)))
            | Answer::Replaced(Some(Err(error))) => self.failed(asked, &chain(&error)),
            Answer::Read(None) | Answer::Created(None) | Answer::Replaced(None) => {
                self.failed(asked, "the API server does not answer");
            }
        }
        if self.candidate.leads_until() != led {
            self.leads(led.is_none());
        }
    }

    /// The claim lasts longer than it did.
    fn leads(&self, from_now_on: bool) {
        let Some(until) = self.candidate.leads_until() else { return };
        self.claim.extend(until);
        if from_now_on {
            let transitions = self.candidate.transitions();
            tracing::info!(
                lease = self.name,
                identity = self.candidate.identity(),
                transitions,
                "this operator leads"
            );
        }
    }

    /// Somebody was quicker, or the Lease is gone, or this is the answer to what was carried out already.
    fn conflicted(&mut self, asked: &Asked, reason: &str) {
        tracing::debug!(lease = self.name, reason, "the Lease has changed meanwhile");
        self.candidate.conflicted(asked, self.claim.now());
    }

    fn learned(&mut self, asked: &Asked) {
        if self.claim.now() < asked.sent() + self.candidate.timing().patience {
            self.failure = None;
        }
        let holder = self.candidate.holder();
        if self.claim.holder(Duration::MAX).is_none_or(|known| known != holder)
            && holder != self.candidate.identity()
            && !holder.is_empty()
        {
            tracing::info!(lease = self.name, holder, "this operator waits: another one holds the Lease");
        }
        self.claim.learn(holder);
    }

    fn failed(&mut self, asked: &Asked, why: &str) {
        self.candidate.failed(asked, self.claim.now(), self.chance.jitter());
        self.complain(why);
    }

    fn complain(&mut self, why: &str) {
        if self.failure.as_deref() != Some(why) {
            tracing::warn!(lease = self.name, error = why, "the Lease could not be read or written");
            self.failure = Some(why.to_owned());
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
        mark: spec.renew_time.map(|time| time.0.as_microsecond()),
    }
}
