//! Questions to a scheduler, one at a time over one kept connection.
//!
//! It does not reconnect: after a failure that leaves an answer in doubt every further call gives
//! [`Error::Closed`] at once, and the caller connects anew when it sees fit.
use super::address::Address;
use super::budget::Payload;
use super::connection::{Connection, Stream};
use super::connector::Connector;
use super::error::{DecodeError, Error};
use super::lenient::{ByAddress, Length, Scalar};
use super::message::{
    self, Identity, Names, NoArguments, ReplyError, Retirement, TaskCounts, Totals, Versions, WorkerInfo,
    WorkerName,
};
use super::tls::Credentials;
use super::version::{CHECK_IDLE_SINCE, CLOSES_TO_TASKS_SINCE, TOTALS_SINCE, Version};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is waited for unless told otherwise. Most come within a millisecond; a scheduler that
/// takes in a large graph or collects garbage is silent for seconds (measured), so less would cry wolf.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// A scheduler that answers questions.
///
/// A call that is dropped before its end leaves an answer under way, so the connection is given up.
#[derive(Debug)]
pub struct Scheduler {
    connection: Connection,
    /// An answer is under way, failed or was not understood: the next bytes cannot be told from it.
    in_doubt: bool,
    version: Option<Version>,
    call_limit: Duration,
}

#[derive(Serialize)]
struct WorkerCount {
    n_workers: u32,
}

#[derive(Serialize)]
struct Closing {
    n: u64,
    attribute: &'static str,
}

#[derive(Serialize)]
struct Processing<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    workers: Option<&'a [String]>,
}

#[derive(Serialize)]
struct Target {
    target_duration: String,
}

impl Scheduler {
    /// Connects, over TLS with these credentials or over plain TCP as the address says, and shakes hands, all
    /// within `deadline`. A `tls://` address without credentials is [`Error::WrongScheme`].
    pub async fn connect(
        address: &Address,
        credentials: Option<&Credentials>,
        deadline: Duration,
    ) -> Result<Self, Error> {
        Self::connect_by(&Connector::default(), address, credentials, deadline).await
    }

    /// As [`Self::connect`], by this connector.
    pub async fn connect_by(
        connector: &Connector,
        address: &Address,
        credentials: Option<&Credentials>,
        deadline: Duration,
    ) -> Result<Self, Error> {
        connector.open(address, credentials, deadline).await.map(Self::new)
    }

    /// Shakes hands over a stream that is open already, such as a TLS session, within `deadline`.
    pub async fn over(stream: impl Stream + 'static, deadline: Duration) -> Result<Self, Error> {
        Connection::over(stream, deadline).await.map(Self::new)
    }

    /// With another limit for each call than [`CALL_LIMIT`].
    #[must_use]
    pub fn with_call_limit(self, call_limit: Duration) -> Self {
        Self { call_limit, ..self }
    }

    /// Whether the connection can still be used. A peer that has gone since the last call is not noticed
    /// here.
    pub fn is_usable(&self) -> bool {
        !self.in_doubt
    }

    /// Asks for any operation and waits at most `limit` for the answer. The arguments are a struct or map,
    /// put beside the operation's name. Nil is answered to an operation that the scheduler does not have:
    /// where `R` cannot be nil that is [`Error::UnknownOperation`].
    pub async fn call<A, R>(&mut self, op: &str, arguments: &A, limit: Duration) -> Result<R, Error>
    where
        A: Serialize,
        R: DeserializeOwned + Send + 'static,
    {
        if self.in_doubt {
            return Err(Error::Closed(None));
        }
        let request = message::encode_request(op, arguments)
            .map_err(|source| Error::Encode { op: op.to_owned(), source })?;
        self.in_doubt = true;
        let reply = self.exchange(&request, limit).await?;
        let value = match reply.decoded(message::decode_reply).await {
            Ok(value) => Ok(value),
            Err(ReplyError::Remote { text }) => Err(Error::Remote { text }),
            Err(ReplyError::Nil) => Err(Error::UnknownOperation { op: op.to_owned() }),
            Err(ReplyError::Shape(error)) => return Err(error.into()),
        };
        self.in_doubt = false;
        value
    }

    /// What the scheduler runs on.
    pub async fn versions(&mut self) -> Result<Versions, Error> {
        let versions: Versions = self.ask("versions", &NoArguments {}).await?;
        self.version = Some(versions.distributed);
        Ok(versions)
    }

    /// The scheduler's release; asked for once on each connection.
    pub async fn version(&mut self) -> Result<Version, Error> {
        match self.version {
            Some(version) => Ok(version),
            None => self.versions().await.map(|versions| versions.distributed),
        }
    }

    /// The scheduler and all its workers: about 800 bytes for each. For frequent polling see [`Self::totals`]
    /// and [`Self::ncores`].
    pub async fn identity(&mut self) -> Result<Identity, Error> {
        self.ask("identity", &NoArguments {}).await
    }

    /// How many workers, threads and bytes the cluster has. Costs little from 2025.4.0 on; earlier schedulers
    /// cannot leave out the workers' details, so for them this is as dear as [`Self::identity`].
    pub async fn totals(&mut self) -> Result<Totals, Error> {
        let identity: Identity = if self.version().await? >= TOTALS_SINCE {
            self.ask("identity", &WorkerCount { n_workers: 0 }).await?
        } else {
            self.identity().await?
        };
        Ok(identity.totals())
    }

    /// Threads of each worker, by address: the cheapest list of workers.
    pub async fn ncores(&mut self) -> Result<BTreeMap<String, u64>, Error> {
        let ncores: ByAddress<u64> = self.ask("ncores", &NoArguments {}).await?;
        Ok(ncores.0)
    }

    /// Names the `n` workers that had better go, as [`Self::closing_order`] does all of them. Changes
    /// nothing.
    pub async fn workers_to_close(&mut self, n: u64) -> Result<Vec<WorkerName>, Error> {
        let names: Names = self.ask("workers_to_close", &Closing { n, attribute: "name" }).await?;
        Ok(names.0)
    }

    /// Retires these workers: copies the data that only they hold to other workers, then lets them go.
    /// Answers which were retired, by address. A worker that is asked for and is *not* in the answer holds
    /// data that cannot move, or is unknown: leave it alone.
    ///
    /// Running tasks are not awaited; they start again elsewhere, except with [`Retirement::closing`], which
    /// lets them end. The copying has no limit of its own, so `limit` is the caller's; after it nothing tells
    /// whether the workers were retired.
    pub async fn retire_workers(
        &mut self,
        retirement: &Retirement,
        limit: Duration,
    ) -> Result<BTreeMap<String, WorkerInfo>, Error> {
        let mut retirement = retirement.clone();
        retirement.names.retain(|name| *name != WorkerName::Other);
        if retirement.names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let retired: ByAddress<WorkerInfo> = self.call("retire_workers", &retirement, limit).await?;
        Ok(retired.0)
    }

    /// Whether this scheduler closes workers to new tasks by [`Retirement::closing`], and tells what they
    /// still run ([`WorkerInfo::running`]).
    pub async fn closes_to_tasks(&mut self) -> Result<bool, Error> {
        self.version().await.map(|version| version >= CLOSES_TO_TASKS_SINCE)
    }

    /// How many tasks lie with each worker, running or waiting there, by address. With `workers` only with
    /// those; an address among them that is gone makes the scheduler fail ([`Error::Remote`]).
    pub async fn processing(&mut self, workers: Option<&[String]>) -> Result<BTreeMap<String, u64>, Error> {
        let counts: TaskCounts = self.ask("processing", &Processing { workers }).await?;
        Ok(counts.0.into_iter().map(|(address, Length(count))| (address, count)).collect())
    }

    /// How many workers would finish all known work in about `target_duration`. Not clamped: 0 when idle.
    /// Counts tasks that the scheduler itself holds back only from 2023.8.0 on (source).
    pub async fn adaptive_target(&mut self, target_duration: Duration) -> Result<u64, Error> {
        let target_duration = format!("{}ms", target_duration.as_millis());
        self.ask("adaptive_target", &Target { target_duration }).await
    }

    /// Since when the scheduler has been idle, in seconds since the epoch by its own clock; nothing while it
    /// is not. Any change since the last question gives nothing once. Before 2024.1.0 it moves only when
    /// asked (source), and before 2023.4.1 its answer is of no use, so it is [`Error::Unsupported`].
    pub async fn check_idle(&mut self) -> Result<Option<f64>, Error> {
        let version = self.version().await?;
        if version < CHECK_IDLE_SINCE {
            return Err(Error::Unsupported { op: "check_idle", since: CHECK_IDLE_SINCE, version });
        }
        self.ask("check_idle", &NoArguments {}).await
    }

    /// Stops the scheduler, and through it its workers. Good when it has hung up, which it does in place of
    /// an answer (measured on 2022.2.0 and 2026.8.0); the processes end within seconds. A connection that was
    /// lost before is [`Error::Closed`], since nothing was asked.
    pub async fn terminate(&mut self) -> Result<(), Error> {
        if self.in_doubt {
            return Err(Error::Closed(None));
        }
        let ended: Result<Option<Scalar>, Error> = self.ask("terminate", &NoArguments {}).await;
        match ended {
            Ok(_) | Err(Error::Closed(_)) => {
                self.in_doubt = true;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn new(connection: Connection) -> Self {
        Self { connection, in_doubt: false, version: None, call_limit: CALL_LIMIT }
    }

    pub(super) async fn ask<A: Serialize, R: DeserializeOwned + Send + 'static>(
        &mut self,
        op: &str,
        arguments: &A,
    ) -> Result<R, Error> {
        self.call(op, arguments, self.call_limit).await
    }

    async fn exchange(&mut self, request: &[u8], limit: Duration) -> Result<Payload, Error> {
        if self.connection.has_unread() {
            return Err(Error::Decode(DecodeError::Unasked));
        }
        let deadline = Instant::now() + limit;
        self.connection.send(request, limit).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        let reply = self.connection.receive(left).await?;
        reply.ok_or(Error::Timeout { what: "answer", limit })
    }
}
