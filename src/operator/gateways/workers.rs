//! What the scheduler of a gateway's cluster says of its workers. It is asked through the gateway's proxy.
//!
//! Invariants. That nothing answers there is one thing, and that the scheduler could not be asked, or answers
//! something else, another: only the first says that the cluster is not there. Where the answer decides how a
//! run has ended, one question that fails says nothing: it is asked again, within a bounded time.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use tokio::time::{Instant, sleep, timeout};

use super::view::Asked;
use super::{Gateways, PATIENCE};
use crate::api::Reason;
use crate::api::gateway::{GatewayAccess, GatewayStatus};
use crate::causes::chain;
use crate::dask::{self, Address, Credentials, Scheduler, Scheme};
use crate::gateway::message::{self, Report};
use crate::gateway::server_name;
use crate::operator::certificates::credentials::{of_files, reason_of};
use crate::operator::lookup;
use crate::plan::run::gateway::Workers;

/// How long a scheduler may take to answer through the gateway's proxy.
const SCHEDULER: Duration = Duration::from_secs(3);
/// How often that is asked which decides how a run has ended.
const TRIES: u32 = 3;
/// How long after an answer that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// How long after the first question the last one begins at the latest.
const LAST_TRY: Duration = Duration::from_secs(8);

/// What is asked again when it fails.
struct Tries {
    left: u32,
    until: Instant,
}

impl Tries {
    fn of(asked: &Asked<'_>) -> Self {
        // A run without a runner looks again by itself.
        let left = if has_job(asked) { TRIES - 1 } else { 0 };
        Self { left, until: Instant::now() + LAST_TRY }
    }

    /// Waits for the next one. False: there is none.
    async fn another(&mut self) -> bool {
        if self.left == 0 || Instant::now() + PAUSE > self.until {
            return false;
        }
        self.left -= 1;
        sleep(PAUSE).await;
        true
    }
}

impl Gateways {
    /// Asks the scheduler of a cluster of which its gateway says nothing, with the certificate that the run
    /// has. The gateway's proxy and its clusters are other processes, which may go on. Only what the end of a
    /// runner means depends on it.
    pub(super) async fn workers_after_all(&self, asked: &Asked<'_>, known: &GatewayStatus) -> Workers {
        let (Some(cluster), Some(secret)) = (&known.cluster, &known.secret_name) else {
            return Workers::NotAsked;
        };
        if !asked.with_workers || !has_job(asked) {
            return Workers::NotAsked;
        }
        let credentials = self.certificate_of_run(asked, secret).await;
        self.workers(asked, cluster, credentials).await
    }

    /// The certificate for the scheduler, from the run's Secret; else why there is none.
    async fn certificate_of_run(&self, asked: &Asked<'_>, secret: &str) -> Result<Credentials, String> {
        let api: Api<Secret> =
            Api::namespaced(self.client.clone(), &asked.run.namespace().unwrap_or_default());
        let mut tries = Tries::of(asked);
        let found = loop {
            let why = match timeout(PATIENCE, lookup::by_name(&api, secret)).await {
                Ok(Ok(found)) => break found,
                Ok(Err(error)) => chain(&error),
                Err(_) => "the API server is late".to_owned(),
            };
            tracing::warn!(secret, why, "the certificate of a gateway's cluster could not be read");
            if !tries.another().await {
                return Err(format!("the Secret {secret} with its certificate could not be read"));
            }
        };
        let found = found.ok_or_else(|| format!("there is no Secret {secret} with its certificate"))?;
        of_files(&found.data.unwrap_or_default(), None)
            .map_err(|error| format!("the certificate in the Secret {secret} is of no use: {error}"))
    }

    /// Asks the scheduler of a cluster, through the gateway's proxy, with these credentials.
    pub(super) async fn workers(
        &self,
        asked: &Asked<'_>,
        cluster: &str,
        credentials: Result<Credentials, String>,
    ) -> Workers {
        let access = asked.access;
        let (address, credentials) = match credentials.and_then(|found| way(access, cluster, &found)) {
            Ok(way) => way,
            Err(why) => return unknown(cluster, Reason::SchedulerUnreachable, &why),
        };
        let mut tries = Tries::of(asked);
        loop {
            let error = match self.ask_scheduler(&address, &credentials).await {
                Ok(count) => return Workers::Registered(count),
                Err(error) => error,
            };
            tracing::info!(
                cluster,
                error = chain(&error),
                "the scheduler of a gateway's cluster does not answer"
            );
            if !tries.another().await {
                return without_answer(access, cluster, &error);
            }
        }
    }

    async fn ask_scheduler(
        &self,
        address: &Address,
        credentials: &Credentials,
    ) -> Result<usize, dask::Error> {
        let scheduler = Scheduler::connect_by(&self.connector, address, Some(credentials), SCHEDULER).await?;
        Ok(scheduler.with_call_limit(SCHEDULER).ncores().await?.len())
    }
}

fn has_job(asked: &Asked<'_>) -> bool {
    asked.run.status.as_ref().is_some_and(|status| status.job.is_some())
}

/// Where the scheduler is asked, and as whom; else why it cannot be.
fn way(
    access: &GatewayAccess,
    cluster: &str,
    credentials: &Credentials,
) -> Result<(Address, Credentials), String> {
    let credentials =
        credentials.clone().asking_for(&server_name(cluster)).map_err(|error| error.to_string())?;
    let (host, port) = access.proxy().ok_or("the gateway's proxy has no address")?;
    let address = Address::new(Scheme::Tls, &host, port).map_err(|error| error.to_string())?;
    Ok((address, credentials))
}

/// What it means that the scheduler has not said how many workers it has.
fn without_answer(access: &GatewayAccess, cluster: &str, error: &dask::Error) -> Workers {
    use dask::Error::{Closed, OutOfReach, Timeout, Unended, Unreachable, Untrusted};

    match error {
        // The proxy hangs up where it knows no such cluster, or its scheduler takes no connection; Traefik,
        // the one of dask-gateway on Kubernetes, shows a certificate of its own instead of the cluster's.
        Unreachable(_) | Closed(_) | Timeout { .. } | Unended { .. } | Untrusted { .. } => {
            let proxy = access.proxy_address.as_deref().unwrap_or(&access.address);
            let message = format!(
                "the scheduler of the gateway's cluster {cluster} does not answer through the proxy at {proxy}: is it where \
                 the gateway takes connections to schedulers (proxyAddress), and may the operator connect there?"
            );
            Workers::Silent { reason: reason_of(error), message }
        }
        OutOfReach { host } => {
            let why = format!(
                "{host} is not in the networks that the operator connects to (never a loopback, link-local or metadata \
                 address, unless its administrator allows it)"
            );
            unknown(cluster, reason_of(error), &why)
        }
        // Something answers.
        _ => unknown(cluster, reason_of(error), &chain(error)),
    }
}

fn unknown(cluster: &str, reason: Reason, why: &str) -> Workers {
    let message = format!("the scheduler of the gateway's cluster {cluster} could not be asked: {why}");
    Workers::Unknown { reason, message }
}

/// The certificate that a gateway gives for a cluster, which is its own authority.
pub(super) fn of_report(report: &Report) -> Result<Credentials, String> {
    let (certificate, key) = (pem(report.tls_cert.as_ref()), pem(report.tls_key.as_ref()));
    Credentials::from_pem(certificate, certificate, key)
        .map_err(|error| format!("the certificate that the gateway gives for it is of no use: {error}"))
}

/// The text of a PEM file, which is empty where there is none.
fn pem(file: Option<&message::Pem>) -> &[u8] {
    file.map(message::Pem::as_bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
