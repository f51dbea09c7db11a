//! The ports of a scheduler, forwarded to this machine.
//!
//! Each connection is one request to the API server, and goes to the scheduler that runs then: when it is
//! replaced, the next connection goes to the new one, under the same local address.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Portforwarder};
use kube::{Api, ResourceExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::cluster::Cluster;
use super::error::Error;
use super::find::{Found, Named, find};
use super::wait;
use crate::api::{ConditionType, DaskCluster, FlowRun, Kind, labels};
use crate::plan::facts::phase_of;
use crate::plan::site::Site;
use crate::view::cure::cure;

/// How long a connection waits for a scheduler that is being replaced.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many connections there are at the same time: each takes two file descriptors, of which a process often
/// has 256, and a Dask client has a few.
const CONNECTIONS_MAX: usize = 100;
/// Between two looks for it.
const PAUSE: Duration = Duration::from_millis(500);
/// After the local port could not be accepted from, as where there are no more file descriptors.
const REST: Duration = Duration::from_millis(100);

/// A port of a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// That of its web UI.
    Dashboard,
    /// That of Dask clients.
    Comm,
}

impl Port {
    /// Its number in a pod.
    pub fn number(self) -> u16 {
        match self {
            Self::Dashboard => Site::Kubernetes.dashboard_port(),
            Self::Comm => Site::Kubernetes.comm_port(),
        }
    }
}

/// What is seen of a port that is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A connection goes to this pod.
    Connects(String),
    /// A connection does not come about, or breaks, by this.
    Fails(String),
}

/// The scheduler of a DaskCluster.
#[derive(Clone)]
pub struct Scheduler {
    cluster: Cluster,
    dask: DaskCluster,
}

impl Scheduler {
    /// That of the DaskCluster of this name, or else of the run of this name.
    ///
    /// # Errors
    /// There is neither, the run has no DaskCluster, or a request failed.
    pub async fn find(cluster: &Cluster, named: &Named) -> Result<Self, Error> {
        Self::among(cluster, cluster_or_run(cluster, named).await?).await
    }

    /// That of this DaskCluster, or of this run.
    pub(super) async fn among(cluster: &Cluster, found: Found) -> Result<Self, Error> {
        let found = match found {
            Found::Run(run) => of_kind(cluster, cluster_name(&run)?).await?,
            other => other,
        };
        match found {
            Found::Cluster(dask) => Ok(Self { cluster: cluster.clone(), dask: *dask }),
            other => Err(Error::Senseless(format!("{} is no DaskCluster", other.name()))),
        }
    }

    /// That of this DaskCluster.
    pub fn of(cluster: &Cluster, dask: &DaskCluster) -> Self {
        Self { cluster: cluster.clone(), dask: dask.clone() }
    }

    /// The name of its DaskCluster.
    pub fn name(&self) -> String {
        self.dask.name_any()
    }

    /// The Secret with what a client of it needs; none where it speaks no TLS.
    pub fn secret(&self) -> Option<&str> {
        self.dask.status.as_ref()?.tls.as_ref()?.secret_name.as_deref()
    }

    /// The address that the status has for a port.
    ///
    /// # Errors
    /// The scheduler has not started yet, or there is none now.
    pub fn address(&self, port: Port) -> Result<&str, Error> {
        let address = self.dask.status.as_ref().and_then(|status| match port {
            Port::Dashboard => status.dashboard_address.as_deref(),
            Port::Comm => status.scheduler_address.as_deref(),
        });
        address.ok_or_else(|| self.not_running())
    }

    /// Opens a connection to a port of the pod that it runs in now.
    ///
    /// # Errors
    /// It does not run, or the API server refuses.
    pub async fn dial(&self, port: Port) -> Result<(String, Portforwarder), Error> {
        let api: Api<Pod> = self.cluster.api();
        let place = format!("in the namespace {}", self.cluster.namespace);
        let (name, component) = (self.name(), labels::SCHEDULER);
        let selector = format!("{}={name},{}={component}", labels::CLUSTER_NAME, labels::COMPONENT);
        let listed = api.list(&ListParams::default().labels(&selector)).await;
        let listed = listed.map_err(|error| Error::of(error, &format!("list pods {place}")))?;
        let runs = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
        };
        let newest = listed.items.into_iter().filter(runs).max_by_key(ResourceExt::creation_timestamp);
        let pod = newest.ok_or_else(|| self.not_running())?.name_any();
        let opened = api.portforward(&pod, &[port.number()]).await;
        let opened = opened.map_err(|error| Error::of(error, &format!("create pods/portforward {place}")))?;
        Ok((pod, opened))
    }

    /// Forwards all connections of a local port, until the DaskCluster is deleted: that is what it gives.
    pub async fn forward(&self, port: Port, listener: TcpListener, mut seen: impl FnMut(News)) -> Error {
        let (news, mut heard) = unbounded();
        let mut connections: Vec<AbortOnDropHandle<()>> = Vec::new();
        let (cluster, name) = (self.cluster.clone(), self.name());
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut deleted = Box::pin(deletion(&cluster, &name));
        loop {
            tokio::select! {
                error = &mut deleted => return error,
                Some(one) = heard.next() => seen(one),
                accepted = accept(&listener, &places) => match accepted {
                    Ok((local, place)) => {
                        connections.retain(|connection| !connection.is_finished());
                        let carried = carry(self.clone(), port, local, news.clone());
                        let carried = async move {
                            carried.await;
                            drop(place);
                        };
                        connections.push(AbortOnDropHandle::new(tokio::spawn(carried)));
                    }
                    Err(error) => {
                        seen(News::Fails(error.to_string()));
                        sleep(REST).await;
                    }
                },
            }
        }
    }

    /// That there is no pod to connect to, and why.
    fn not_running(&self) -> Error {
        let status = self.dask.status.clone().unwrap_or_default();
        let ready = ConditionType::Ready.as_str();
        let condition = status.conditions.iter().find(|one| one.type_ == ready && one.status != "True");
        let why = condition.map(|one| {
            let cure = cure(Kind::DaskCluster, &one.reason).map(|cure| format!(" {cure}"));
            format!(" ({}: {}).{}", one.reason, one.message, cure.unwrap_or_default())
        });
        let name = self.name();
        let why = why.unwrap_or_else(|| format!(": `daskflow status cluster/{name}` shows why"));
        Error::Senseless(format!("the scheduler of the cluster {name} does not run now{why}"))
    }
}

/// The DaskCluster of this name, or else the run.
pub(super) async fn cluster_or_run(cluster: &Cluster, named: &Named) -> Result<Found, Error> {
    match find(cluster, named, &[Kind::DaskCluster, Kind::FlowRun]).await {
        // A run's own cluster has its name.
        Err(Error::Ambiguous { name, .. }) => of_kind(cluster, name).await,
        found => found,
    }
}

async fn of_kind(cluster: &Cluster, name: String) -> Result<Found, Error> {
    find(cluster, &Named { kind: Some(Kind::DaskCluster), name }, &[Kind::DaskCluster]).await
}

/// The DaskCluster that a run has.
fn cluster_name(run: &FlowRun) -> Result<String, Error> {
    let name = run.name_any();
    let at_gateway = run.status.as_ref().and_then(|status| status.gateway.as_ref()?.cluster.as_ref());
    match run.status.as_ref().and_then(|status| status.cluster.clone()) {
        Some(cluster) if !cluster.contains(':') => Ok(cluster),
        Some(address) if address.starts_with("http") => Err(Error::Senseless(match at_gateway {
            Some(cluster) => format!(
                "the cluster of the run {name} is behind the Dask Gateway at {address}: connect with the login of its Secret there, by \
                 Gateway({address:?}).connect({cluster:?}) of dask_gateway"
            ),
            None => format!(
                "the run {name} has no cluster of the Dask Gateway at {address} now: it is {}",
                phase_of(run).as_str()
            ),
        })),
        Some(address) => Err(Error::Senseless(format!(
            "the run {name} has the scheduler at {address}, which is no DaskCluster: connect to it yourself"
        ))),
        None => Err(Error::Senseless(format!(
            "the run {name} has no cluster yet: it is {}; `daskflow status {name}` shows what it waits for",
            phase_of(run).as_str()
        ))),
    }
}

/// Whether an address is one of this machine, as on `daskflow local`: nothing needs to be forwarded.
pub fn is_here(address: &str) -> bool {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    ["127.", "localhost:", "[::1]:"].iter().any(|here| host.starts_with(here))
}

/// Ends when the DaskCluster is deleted. Where that cannot be watched, it never ends.
async fn deletion(cluster: &Cluster, name: &str) -> Error {
    match wait::until::<DaskCluster>(cluster, name, &mut |_| {}, |_| false).await {
        Err(error @ Error::Deleted { .. }) => error,
        _ => std::future::pending().await,
    }
}

/// The next connection, as soon as there is a place for it; the others wait in the queue of the port.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (local, _) = listener.accept().await?;
    Ok((local, place))
}

/// One connection, from its begin to its end.
async fn carry(scheduler: Scheduler, port: Port, mut local: TcpStream, news: UnboundedSender<News>) {
    // There is no one to hear it only when all ends.
    let say = |one: News| drop(news.unbounded_send(one));
    let until = Instant::now() + PATIENCE;
    let (pod, mut opened) = loop {
        match timeout_at(until, scheduler.dial(port)).await {
            Ok(Ok(opened)) => break opened,
            Ok(Err(error)) => say(News::Fails(error.to_string())),
            Err(_) => {
                let why = format!("no answer for {} s", PATIENCE.as_secs());
                say(News::Fails(Error::Unreachable { why }.to_string()));
            }
        }
        if Instant::now() >= until {
            return;
        }
        sleep(PAUSE).await;
    };
    let number = port.number();
    let (Some(mut remote), Some(refusal)) = (opened.take_stream(number), opened.take_error(number)) else {
        return;
    };
    say(News::Connects(pod.clone()));
    tokio::select! {
        // That one of both ends breaks off is the end of a connection like any other.
        _ = tokio::io::copy_bidirectional(&mut local, &mut remote) => {}
        Some(why) = refusal => say(News::Fails(format!("{pod}: {why}"))),
    }
    opened.abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_known() {
        for (address, expected) in [
            ("http://127.0.0.1:8787/status", true),
            ("tcp://127.0.0.1:1", true),
            ("tls://localhost:1", true),
            ("http://[::1]:8787/status", true),
            ("http://analytics-scheduler.a.svc:8787/status", false),
            ("tcp://10.127.0.1:8786", false),
            ("tcp://localhost.example.org:8786", false),
        ] {
            assert_eq!(is_here(address), expected, "{address}");
        }
    }
}
