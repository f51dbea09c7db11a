//! Free ports of this machine, two for each cluster's scheduler: for Dask, and for its web UI.
//!
//! They are chosen when a cluster is first asked about, and stay its own for as long as it is there: which
//! clusters are there is asked whenever ports are chosen. The end of a cluster gives nothing back by itself.
//! Who is still looking at it just then, or creates it anew, would have other ports than the scheduler.
//!
//! The scheduler listens a moment later: another program may take one of them meanwhile, and then the
//! scheduler fails and is started again until the port is free. They are below those that systems draw for
//! outgoing connections (Linux from 32768 on, macOS from 49152 on), so that none of these takes one.
//!
//! Where objects are kept, a cluster has the same ports after the next start, if they are free then: what was
//! made and had not begun has its address.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::Kind;
use crate::cluster_api::ClusterApi;
use crate::daemon::clock::Chance;
use crate::manifest::admission::Defined;
use crate::plan::compat::adapter::TheirKind;
use crate::plan::names::short_hash;
use crate::plan::site::Site;

/// The first port that may be chosen.
const FIRST: u16 = 20_000;
/// How many pairs of ports there are.
const PAIRS: u16 = 5_000;

/// Whose name is that of a cluster. The program of a `DaskJob` begins before its cluster is there, and looks
/// for the scheduler where it was first asked about.
const NAMES: [Defined; 3] = [
    Defined::Ours(Kind::DaskCluster),
    Defined::DaskKubernetes(TheirKind::Cluster.as_str()),
    Defined::DaskKubernetes(TheirKind::Job.as_str()),
];

/// Whether there is a cluster, or will be, by namespace and name.
type IsThere = Box<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// The ports of all clusters.
pub struct Ports {
    /// Decides where the search for a cluster's ports begins, so that two programs that start at the same
    /// time hardly meet.
    seed: String,
    is_there: IsThere,
    taken: Mutex<BTreeMap<(String, String), u16>>,
}

impl Ports {
    /// Those of the clusters of an API, which are kept in a folder or for as long as this process lives. None
    /// is taken yet.
    pub fn of(api: &ClusterApi, kept: Option<&Path>, chance: &Chance) -> Self {
        let drawn = || chance.seed().to_string();
        let (api, seed) = (api.clone(), kept.map_or_else(drawn, |folder| folder.display().to_string()));
        Self::new(seed, move |namespace, name| NAMES.into_iter().any(|kind| api.has(kind, namespace, name)))
    }

    fn new(seed: String, is_there: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        Self { seed, is_there: Box::new(is_there), taken: Mutex::default() }
    }

    /// The site of a cluster, by namespace and name, or of what has none.
    pub fn site(&self, cluster: Option<(&str, &str)>) -> Site {
        let comm = cluster.map_or(0, |(namespace, name)| {
            let mut taken = self.lock();
            let key = (namespace.to_owned(), name.to_owned());
            if let Some(comm) = taken.get(&key) {
                return *comm;
            }
            taken.retain(|(namespace, name), _| (self.is_there)(namespace, name));
            let comm = free(begin(&format!("{} {namespace}/{name}", self.seed)), &taken);
            taken.insert(key, comm);
            comm
        });
        Site::Machine { comm, dashboard: if comm == 0 { 0 } else { comm + 1 } }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), u16>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first of two free ports, from that of the beginning; that if there are none, so that the scheduler's
/// own message says so.
fn free(begin: u16, taken: &BTreeMap<(String, String), u16>) -> u16 {
    let port = |step: u16| FIRST + 2 * ((begin + step) % PAIRS);
    let is_free = |port: &u16| {
        !taken.values().any(|other| other == port) && [*port, *port + 1].into_iter().all(is_open)
    };
    (0..PAIRS).map(port).find(is_free).unwrap_or(port(0))
}

/// Where the search for ports begins: the same in every release.
fn begin(text: &str) -> u16 {
    let hash = u64::from_str_radix(&short_hash(text, 15), 16).unwrap_or_default();
    u16::try_from(hash % u64::from(PAIRS)).unwrap_or_default()
}

/// Whether no process listens at a port.
fn is_open(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    fn comm(site: Site) -> u16 {
        let Site::Machine { comm, .. } = site else { panic!("{site:?}") };
        comm
    }

    /// Otherwise the program of a job works on the scheduler of another cluster.
    #[tokio::test]
    async fn the_cluster_of_a_job_has_its_ports_before_it_is_there() {
        let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
        api.serve_dask_kubernetes();
        let jobs = TheirKind::Job.resource();
        let jobs: kube::Api<kube::core::DynamicObject> =
            kube::Api::namespaced_with(api.client(), "default", &jobs);
        let pod = serde_json::json!({"containers": [{"name": "any", "image": "any:1"}]});
        let spec = serde_json::json!({"job": {"spec": pod}, "cluster": {"spec": {
            "scheduler": {"spec": pod, "service": {"ports": [{"port": 8786}]}}, "worker": {"replicas": 1, "spec": pod},
        }}});
        let mut job = kube::core::DynamicObject::new("sums", &TheirKind::Job.resource());
        job.data = serde_json::json!({"spec": spec});
        jobs.create(&kube::api::PostParams::default(), &job).await.unwrap();
        let ports = Ports::of(&api, None, &Chance::seeded(1));
        let sums = ports.site(Some(("default", "sums")));
        assert_ne!(ports.site(Some(("default", "idle"))), sums);
        assert_eq!(ports.site(Some(("default", "sums"))), sums);
    }

    #[test]
    fn a_cluster_keeps_its_ports_and_no_other_has_them() {
        let ports = Ports::new("1".to_owned(), |_, _| true);
        let one = ports.site(Some(("a", "one")));
        let other = ports.site(Some(("b", "one")));
        assert_eq!(ports.site(Some(("a", "one"))), one);
        assert_ne!(one, other);
        assert_eq!(ports.site(None), Site::Machine { comm: 0, dashboard: 0 });
    }

    #[test]
    fn ports_are_free_again_once_their_cluster_is_there_no_more_and_nothing_listens() {
        let there = Arc::new(AtomicBool::new(true));
        let asked = there.clone();
        let ports = Ports::new("2".to_owned(), move |_, name| name != "one" || asked.load(Relaxed));
        let one = comm(ports.site(Some(("a", "one"))));
        there.store(false, Relaxed);
        // Whoever looks at it just while it goes sees it where it is, and leaves nothing behind.
        assert_eq!(comm(ports.site(Some(("a", "one")))), one);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, one + 1)).unwrap();
        let two = comm(ports.site(Some(("a", "two"))));
        assert_ne!(comm(ports.site(Some(("a", "one")))), one, "its web UI is in use");
        drop(listener);
        ports.site(Some(("a", "three")));
        assert_eq!(comm(ports.site(Some(("a", "one")))), one);
        assert_eq!(comm(ports.site(Some(("a", "two")))), two);
        let begin = (one - FIRST) / 2;
        assert_eq!(free(begin, &BTreeMap::new()), one);
        assert_ne!(free(begin, &ports.lock()), one, "they have an owner");
    }

    #[test]
    fn kept_clusters_have_the_same_ports_after_a_start_whichever_is_asked_about_first() {
        let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
        let start = |chance: u64| Ports::of(&api, Some(Path::new("/kept")), &Chance::seeded(chance));
        let names = [Some(("a", "one")), Some(("a", "two")), Some(("b", "one"))];
        let (first, second) = (start(1), start(2));
        let before = names.map(|name| first.site(name));
        let after = [names[2], names[0], names[1]].map(|name| second.site(name));
        assert_eq!([&after[1], &after[2], &after[0]], before.each_ref());
    }
}
