//! Dask Gateways, as runs use them: what they are asked, and what came of it.
//!
//! A gateway is asked anew each time, with the login that its Secret has at that moment; logins are in memory
//! for one call. What is kept are the answers to requests for clusters, until the status of their run has
//! them: a gateway does not know whose request it was.

mod login;
mod search;
mod view;
mod words;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use serde_json::{Map, Value};

use crate::api::Reason;
use crate::api::gateway::{GatewayAccess, GatewayAdapt};
use crate::daemon::clock::Chance;
use crate::dask::{Address, Connector, Scheme};
use crate::gateway::message::{self, Report};
use crate::gateway::{self, Answer, Call, Place};
use crate::plan::certificates::{CA, CERTIFICATE, KEY};
use crate::plan::run::gateway::{ClusterState, EndOfCluster, Intent};

pub(super) use view::Asked;
pub(super) use words::Fault;

/// How long a connection to a gateway may take, and an answer of it that a reconcile waits for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the answer to a request for a cluster is waited for. What comes later is looked for
/// (`plan::run::gateway`).
const CREATION: Duration = Duration::from_secs(10);
/// How long a gateway must not know a cluster until it counts as ended. On Kubernetes it reads its clusters
/// after it has begun to answer, and learns of a new one after it has given its name.
const MISSING_FOR: SignedDuration = SignedDuration::from_secs(30);
/// How long that is remembered.
const MISSING_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// How long a gateway that has refused a cluster is not asked for one again.
const REFUSED_FOR: SignedDuration = SignedDuration::from_secs(30);
/// So many answers are kept at most that may no longer be needed.
const KEPT_MAX: usize = 1_000;

/// The gateways of all runs.
pub(super) struct Gateways {
    client: Client,
    connector: Connector,
    chance: Chance,
    /// Which start of the operator this is.
    by: OnceLock<String>,
    kept: Mutex<Kept>,
}

/// What came of what was asked.
#[derive(Default)]
struct Kept {
    requests: BTreeMap<Intent, Outcome>,
    /// What a gateway had against the number of workers of a cluster.
    said: BTreeMap<String, String>,
    /// The clusters that a gateway does not know, with its address, since when, and when it was last asked.
    missing: BTreeMap<(String, String), (Timestamp, Timestamp)>,
}

impl Kept {
    /// What it means that the gateway at this address does not know this cluster.
    fn missing(&mut self, (address, cluster): (&str, &str), now: Timestamp) -> ClusterState {
        self.missing.retain(|_, (_, last)| now.duration_since(*last) < MISSING_KEPT);
        let (since, last) =
            self.missing.entry((address.to_owned(), cluster.to_owned())).or_insert((now, now));
        // Twice within a long time says nothing of the time between.
        if now.duration_since(*last) > MISSING_FOR {
            *since = now;
        }
        *last = now;
        if now.duration_since(*since) < MISSING_FOR {
            return ClusterState::Missing;
        }
        ClusterState::Ended(EndOfCluster::Unknown)
    }

    /// It knows it, or does not answer.
    fn is_not_missing(&mut self, (address, cluster): (&str, &str)) {
        self.missing.remove(&(address.to_owned(), cluster.to_owned()));
    }
}

/// What came of a request for a cluster.
#[derive(Clone, Debug)]
enum Outcome {
    Made(String),
    Refused {
        reason: Reason,
        message: String,
        until: Timestamp,
    },
    /// It is unknown, since then.
    Lost(Timestamp),
}

impl Gateways {
    /// None was asked yet.
    pub(super) fn new(client: Client, connector: Connector, chance: Chance) -> Self {
        Self { client, connector, chance, by: OnceLock::new(), kept: Mutex::default() }
    }

    /// Which start of the operator this is. Drawn when it is asked for: who has no gateway draws nothing.
    fn by(&self) -> &str {
        self.by.get_or_init(|| format!("{:016x}", self.chance.seed()))
    }

    /// Makes one call, within `limit`.
    async fn call(
        &self,
        namespace: &str,
        access: &GatewayAccess,
        call: &Call,
        limit: Duration,
    ) -> Result<Answer, Fault> {
        Ok(self.call_as(namespace, access, call, limit).await?.0)
    }

    /// The same, with the login by which it was asked.
    async fn call_as(
        &self,
        namespace: &str,
        access: &GatewayAccess,
        call: &Call,
        limit: Duration,
    ) -> Result<(Answer, login::Login), Fault> {
        let rest = access.rest().ok_or_else(|| Fault::no_address(access))?;
        let login = login::read(&self.client, namespace, access).await?;
        let address =
            Address::new(Scheme::Tcp, &rest.host, rest.port).map_err(|_| Fault::no_address(access))?;
        let stream = self
            .connector
            .stream(&address, PATIENCE)
            .await
            .map_err(|error| Fault::unopened(access, &error))?;
        let host = if rest.host.contains(':') { format!("[{}]", rest.host) } else { rest.host.clone() };
        let authority = format!("{host}:{}", rest.port);
        let place = Place {
            prefix: &rest.prefix,
            authority: &authority,
            authorization: &login.authorization,
            hidden: &login.hidden,
        };
        let answer = match &login.trust {
            None => gateway::exchange(stream, &place, call, limit).await,
            Some(trust) => {
                let secured = trust.secure(&rest.host, stream, &login.hidden);
                let secured = tokio::time::timeout(PATIENCE, secured).await;
                match secured.unwrap_or(Err(gateway::Error::Late { limit: PATIENCE })) {
                    Ok(stream) => gateway::exchange(stream, &place, call, limit).await,
                    Err(error @ gateway::Error::Tls(_)) => Err(error),
                    // Nothing was asked over it.
                    Err(error) => Err(gateway::Error::Tls(error.to_string())),
                }
            }
        };
        match answer {
            Ok(answer) => Ok((answer, login)),
            Err(error) => Err(Fault::of(access, &error)),
        }
    }

    /// Asks for a cluster, once for this intent. What comes of it is observed.
    pub(super) async fn create(
        &self,
        (namespace, access): (&str, &GatewayAccess),
        (intent, options): (&Intent, Map<String, Value>),
        now: impl Fn() -> Timestamp,
    ) {
        {
            let mut kept = self.kept();
            if kept.requests.contains_key(intent) {
                return;
            }
            // Should this be given up on the way, the request may have been made.
            kept.requests.insert(intent.clone(), Outcome::Lost(now()));
        }
        let made = self.call(namespace, access, &Call::create(&options), CREATION).await;
        let outcome = match made {
            Ok(answer) => message::created(&answer.body).map_or_else(|_| Outcome::Lost(now()), Outcome::Made),
            Err(fault) if fault.is_certain => {
                let until = now().checked_add(REFUSED_FOR).unwrap_or(Timestamp::MAX);
                Outcome::Refused { reason: fault.reason, message: fault.message, until }
            }
            Err(fault) => {
                tracing::warn!(
                    gateway = access.address,
                    why = fault.message,
                    "the answer to a request for a cluster was lost"
                );
                Outcome::Lost(now())
            }
        };
        self.kept().requests.insert(intent.clone(), outcome);
    }

    /// Sets the number of workers of a cluster.
    pub(super) async fn scale(
        &self,
        place: (&str, &GatewayAccess),
        (cluster, workers): (&str, u32),
    ) -> Result<(), Fault> {
        self.size(place, cluster, &Call::scale(cluster, workers)).await
    }

    /// Lets a gateway choose the number of workers of a cluster.
    pub(super) async fn adapt(
        &self,
        place: (&str, &GatewayAccess),
        (cluster, between): (&str, GatewayAdapt),
    ) -> Result<(), Fault> {
        let between = (between.minimum.get(), between.maximum.get());
        self.size(place, cluster, &Call::adapt(cluster, between)).await
    }

    /// Makes a call that says how many workers a cluster has, and keeps what the gateway has against it.
    async fn size(
        &self,
        (namespace, access): (&str, &GatewayAccess),
        cluster: &str,
        call: &Call,
    ) -> Result<(), Fault> {
        let (answer, login) = self.call_as(namespace, access, call, PATIENCE).await?;
        let said = message::scaled(&answer.body, &login.hidden).map_err(|error| Fault::of(access, &error))?;
        let mut kept = self.kept();
        kept.said.remove(cluster);
        if kept.said.len() < KEPT_MAX {
            kept.said.extend(said.map(|said| (cluster.to_owned(), said)));
        }
        Ok(())
    }

    /// Ends a cluster. What comes of it is observed.
    pub(super) async fn stop(&self, (namespace, access): (&str, &GatewayAccess), cluster: &str) {
        self.kept().said.remove(cluster);
        if let Err(fault) = self.call(namespace, access, &Call::stop(cluster), PATIENCE).await {
            tracing::warn!(gateway = access.address, cluster, why = fault.message, "a cluster was not ended");
        }
    }

    /// Puts the certificate for a cluster's scheduler into this Secret.
    pub(super) async fn certificate(
        &self,
        (namespace, access): (&str, &GatewayAccess),
        cluster: &str,
        secret: &Secret,
    ) -> Result<Secret, Fault> {
        let report = self.report(namespace, access, cluster).await?;
        let (Some(certificate), Some(key)) = (report.tls_cert, report.tls_key) else {
            let error = gateway::Error::NotUnderstood("a cluster that runs has no certificate");
            return Err(Fault::of(access, &error));
        };
        let bytes = |pem: &message::Pem| ByteString(pem.as_bytes().to_vec());
        // It is its own authority.
        let data = [(CA, bytes(&certificate)), (CERTIFICATE, bytes(&certificate)), (KEY, bytes(&key))];
        let data = data.map(|(name, bytes)| (name.to_owned(), bytes)).into();
        Ok(Secret { data: Some(data), ..secret.clone() })
    }

    async fn report(&self, namespace: &str, access: &GatewayAccess, cluster: &str) -> Result<Report, Fault> {
        let answer = self.call(namespace, access, &Call::cluster(cluster), PATIENCE).await?;
        message::report(&answer.body).map_err(|error| Fault::of(access, &error))
    }

    /// Forgets the answers that no status waits for any more.
    fn keep_only(&self, open: &BTreeSet<Intent>) {
        let mut kept = self.kept();
        if kept.requests.len() > KEPT_MAX {
            kept.requests.retain(|intent, _| open.contains(intent));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_ended_when_its_gateway_has_not_known_it_for_a_while() {
        let mut kept = Kept::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let (one, other) = (("http://gw", "c1"), ("http://other", "c1"));
        let ended = ClusterState::Ended(EndOfCluster::Unknown);
        assert_eq!(kept.missing(one, at(0)), ClusterState::Missing);
        assert_eq!(kept.missing(one, at(29)), ClusterState::Missing);
        assert_eq!(kept.missing(other, at(30)), ClusterState::Missing, "it is another one");
        assert_eq!((kept.missing(one, at(30)), kept.missing(one, at(31))), (ended, ended));
        // It was away in between, and has not read its clusters again.
        kept.is_not_missing(one);
        assert_eq!(kept.missing(one, at(32)), ClusterState::Missing);
        assert_eq!(kept.missing(one, at(62)), ended);
        assert_eq!(kept.missing.len(), 2);
        assert_eq!(kept.missing(one, at(93)), ClusterState::Missing, "it was not asked for half a minute");
        kept.missing(one, at(3_700));
        assert_eq!(kept.missing.len(), 1, "what is not asked for any more is forgotten");
    }
}
