//! The page of a cluster, with what is read for it beside its object.

use axum::body::Body;
use http::Response;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::asked::Asked;
use super::door::Door;
use super::page::cluster::{self, Around};
use super::page::frame::Frame;
use super::problem::Problem;
use super::reads::{PATIENCE, Read, live, not_there};
use super::watches::Scope;
use crate::api::{DaskCluster, Kind, Reason, labels};
use crate::client::forward::is_here;
use crate::client::{Cluster, Error};

/// The most events and pods that are read for a page.
const ITEMS_MAX: u32 = 500;

impl Asked<'_> {
    /// A cluster.
    pub async fn cluster(&self, namespace: &str, name: &str) -> Result<Response<Body>, Problem> {
        let (frame, read) = self.around(("clusters", Kind::DaskCluster), namespace, name).await?;
        let (seen, watched) = match read {
            Read::Opening(page) => return Ok(page),
            Read::Seen(seen, watched) => (seen, watched),
        };
        let found = seen.cluster(namespace, name).ok_or_else(|| not_there("DaskCluster", namespace, name))?;
        let live =
            live(&Scope::Namespace(namespace.to_owned()), watched.number(), &format!("&cluster={name}"));
        let around = self.around_cluster(found, namespace, name).await;
        let now = self.site.options.clock.now();
        let page = cluster::cluster(Frame { live, ..frame }, &seen, found, around, now);
        Ok(self.answer(&page, &seen.notes))
    }

    async fn around_cluster(&self, found: &DaskCluster, namespace: &str, name: &str) -> Around {
        let own = self.visit.user.cluster.within(namespace);
        let of_cluster = format!("involvedObject.name={name},reason={}", Reason::WorkersScaled.as_str());
        let events = ListParams::default().fields(&of_cluster).limit(ITEMS_MAX);
        let workers = format!("{}={name},{}={}", labels::CLUSTER_NAME, labels::COMPONENT, labels::WORKER);
        let pods = ListParams::default().labels(&workers).limit(ITEMS_MAX);
        let load = async {
            if !matches!(self.site.options.door, Door::Loopback(_)) {
                return None;
            }
            Some(self.site.loads.of(&own, found, self.site.options.clock.now()).await)
        };
        let (events, pods, load) = tokio::join!(list::<Event>(&own, &events), list::<Pod>(&own, &pods), load);
        let dashboard = self.dashboard(found, namespace, name);
        let notes = [events.note, pods.note].into_iter().flatten().collect();
        Around {
            forwards: matches!(self.site.options.door, Door::Loopback(_)) && dashboard.is_none(),
            dashboard,
            events: events.items,
            pods: pods.items,
            notes,
            load,
        }
    }

    /// Where the dashboard of a cluster is for this browser, if it can be reached from there.
    fn dashboard(&self, found: &DaskCluster, namespace: &str, name: &str) -> Option<String> {
        let own = found.status.as_ref().and_then(|status| status.dashboard_address.clone())?;
        let is_mine = matches!(self.site.options.door, Door::Loopback(_));
        if is_mine && is_here(&own) {
            return Some(own);
        }
        let link = self.site.options.links.dashboard_of(namespace, name);
        link.or_else(|| self.site.dashboards.address(namespace, name))
    }
}

/// Objects beside ours, as far as they were read.
struct Listed<K> {
    /// None where they could not be.
    items: Option<Vec<K>>,
    /// Why they could not, or that these are not all.
    note: Option<String>,
}

async fn list<K>(cluster: &Cluster, wanted: &ListParams) -> Listed<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let (api, plural): (Api<K>, _) = (cluster.api(), K::plural(&()));
    match timeout(PATIENCE, api.list(wanted)).await {
        Ok(Ok(listed)) => {
            let is_cut = listed.metadata.continue_.is_some_and(|rest| !rest.is_empty());
            let note = is_cut.then(|| format!("only {ITEMS_MAX} {plural} of this cluster are counted"));
            Listed { items: Some(listed.items), note }
        }
        Ok(Err(error)) => {
            let action = format!("list {plural} in the namespace {}", cluster.namespace);
            Listed { items: None, note: Some(format!("without {plural}: {}", Error::of(error, &action))) }
        }
        Err(_) => {
            let note = format!("without {plural}: the API server did not answer in time");
            Listed { items: None, note: Some(note) }
        }
    }
}
