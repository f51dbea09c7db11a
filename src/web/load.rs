//! Asks the scheduler of a cluster what it has to do, by the port of its dashboard and with the rights of
//! whoever looks. On a person's machine only: in a cluster the way there would need rights that few have.
//!
//! The answer is that of pods of users: it is bounded in time and size, and only numbers of it are taken.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use http::header::HOST;
use http::{Request, StatusCode, Uri};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::page::load::{Counts, Load, Memory};
use crate::api::DaskCluster;
use crate::causes::chain;
use crate::client::forward::{Port, Scheduler, is_here};
use crate::client::{Cluster, Error};

/// How long a page waits for a scheduler.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is shown before the scheduler is asked again: a page may be drawn twice a second.
const FRESH: Duration = Duration::from_secs(5);
/// The longest answers that are read, in bytes. A worker has one to two kilobytes of the second.
const COUNTS_MAX: usize = 64 * 1024;
const IDENTITY_MAX: usize = 4 * 1024 * 1024;

/// What a scheduler says, or why it says nothing.
pub(super) type Answer = Result<Load, String>;
type Place = (String, String);

/// The answers of a short while ago.
#[derive(Default)]
pub(super) struct Loads(Mutex<HashMap<Place, (Instant, Answer)>>);

impl Loads {
    /// What the scheduler of a cluster says, now or a short while ago.
    pub async fn of(&self, cluster: &Cluster, dask: &DaskCluster, now: Timestamp) -> Answer {
        let place = (cluster.namespace.clone(), dask.name_any());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&place).cloned();
        if let Some((at, answer)) = known
            && at.elapsed() < FRESH
        {
            return answer;
        }
        let late = || Err(format!("the scheduler did not answer within {} s", PATIENCE.as_secs()));
        let answer = timeout(PATIENCE, ask(cluster, dask, now)).await.unwrap_or_else(|_| late());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (at, _)| at.elapsed() < FRESH);
        all.insert(place, (Instant::now(), answer.clone()));
        answer
    }
}

async fn ask(cluster: &Cluster, dask: &DaskCluster, now: Timestamp) -> Answer {
    let own = dask.status.as_ref().and_then(|status| status.dashboard_address.as_deref());
    if let Some(own) = own.filter(|own| is_here(own)) {
        let connected = connect(own).await;
        let stream =
            connected.map_err(|error| format!("the scheduler cannot be reached: {}", chain(&error)))?;
        return read(stream, now).await;
    }
    let scheduler = Scheduler::of(cluster, dask);
    let (_, mut opened) = scheduler.dial(Port::Dashboard).await.map_err(|error: Error| error.to_string())?;
    let stream = opened.take_stream(Port::Dashboard.number());
    let answer = read(stream.ok_or("the port of the scheduler cannot be forwarded")?, now).await;
    opened.abort();
    answer
}

/// A port of this machine.
async fn connect(address: &str) -> io::Result<TcpStream> {
    let uri: Uri = address.parse().map_err(io::Error::other)?;
    let authority = uri.authority().ok_or_else(|| io::Error::other("its address names no port"))?;
    TcpStream::connect(authority.as_str()).await
}

async fn read(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, now: Timestamp) -> Answer {
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("the scheduler is not reached: {error}"))?;
    // It ends with the sender, and with this.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let counts = get(&mut sender, "/json/counts.json", COUNTS_MAX).await?;
    let counts =
        Counts::read(&counts).ok_or("what answers at the scheduler's port is no scheduler of Dask")?;
    // Without it there is enough to show.
    let identity = get(&mut sender, "/json/identity.json", IDENTITY_MAX).await;
    let memory = identity.ok().and_then(|identity| Memory::read(&identity));
    Ok(Load { at: now, counts, memory })
}

async fn get(sender: &mut SendRequest<Body>, path: &str, bytes_max: usize) -> Result<Bytes, String> {
    let failed = |error: &dyn std::error::Error| format!("the scheduler does not answer: {}", chain(error));
    let request = Request::get(path).header(HOST, "scheduler").body(Body::empty());
    // A second request on a connection that has not yet seen the end of the first answer is refused.
    sender.ready().await.map_err(|error| failed(&error))?;
    let answer = sender.send_request(request.map_err(|error| failed(&error))?);
    let (head, body) = answer.await.map_err(|error| failed(&error))?.into_parts();
    if head.status != StatusCode::OK {
        return Err(format!("the scheduler answers {path} with {}", head.status));
    }
    to_bytes(Body::new(body), bytes_max).await.map_err(|error| failed(&error))
}
