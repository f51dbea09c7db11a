//! Dashboards of clusters on ports of this machine: under a path of the page they would not work, as they
//! lead to addresses without it.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::api::Kind;
use crate::client::find::Named;
use crate::client::forward::{Port, Scheduler};
use crate::client::{Cluster, Error};

type Place = (String, String);

/// The dashboards that are forwarded, until the program ends or their clusters are deleted.
#[derive(Default)]
pub(super) struct Dashboards(Mutex<HashMap<Place, (SocketAddr, AbortOnDropHandle<()>)>>);

impl Dashboards {
    /// Forwards that of a cluster, if it is not yet.
    ///
    /// # Errors
    /// It has no scheduler that runs, or there is no right to reach it.
    pub async fn open(&self, cluster: &Cluster, name: &str) -> Result<(), Error> {
        if self.address(&cluster.namespace, name).is_some() {
            return Ok(());
        }
        let named = Named { kind: Some(Kind::DaskCluster), name: name.to_owned() };
        let scheduler = Scheduler::find(cluster, &named).await?;
        // Whether it can be reached at all is said at once.
        drop(scheduler.dial(Port::Dashboard).await?);
        let bound = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) =
            bound.map_err(|error| Error::Senseless(format!("no port of 127.0.0.1 can be used: {error}")))?;
        let forward = async move {
            // Ends when the cluster is deleted.
            let _ = scheduler.forward(Port::Dashboard, listener, |_| {}).await;
        };
        let task = AbortOnDropHandle::new(tokio::spawn(forward));
        let place = (cluster.namespace.clone(), name.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place, (address, task));
        Ok(())
    }

    /// Where that of a cluster is on this machine.
    pub fn address(&self, namespace: &str, name: &str) -> Option<String> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (_, task)| !task.is_finished());
        let place = (namespace.to_owned(), name.to_owned());
        // Under another name than the page's: its cookie does not go there.
        all.get(&place).map(|(address, _)| format!("http://localhost:{}/status", address.port()))
    }
}
