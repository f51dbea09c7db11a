//! Where clusters and runs live: what others have to know of the place at which Dask's processes and runners
//! are started.
//!
//! It is an argument of whoever plans or looks for a scheduler, as the time is, so that no planner knows by
//! itself where it is.

use super::names;

/// The address of all processes on a machine: the only one of its loopback that macOS has.
const LOOPBACK: &str = "127.0.0.1";

/// A place where clusters and runs live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Site {
    /// Each process in a pod of its own, with an address and all ports of its own; the scheduler behind a
    /// Service, and files mounted.
    #[default]
    Kubernetes,
    /// Each process beside all others on this machine, at 127.0.0.1. The ports of a cluster's scheduler are
    /// chosen for it by whoever knows which are free; for what has no cluster they are 0.
    Machine {
        /// What Dask clients and workers connect to.
        comm: u16,
        /// The scheduler's web UI and `/health`.
        dashboard: u16,
    },
}

/// A folder that a process is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// The program of a runner, with the script.
    Code,
    /// Certificate, key and authorities.
    Tls,
    /// What a worker spills.
    Scratch,
}

impl Site {
    /// The address of a cluster's scheduler for its clients:
    /// `tcp://<cluster>-scheduler.<namespace>.svc:8786`, or `tls://…` where it `speaks_tls`.
    pub fn scheduler_address(self, (namespace, cluster): (&str, &str), speaks_tls: bool) -> String {
        let scheme = if speaks_tls { "tls" } else { "tcp" };
        format!("{scheme}://{}:{}", self.scheduler_host(namespace, cluster), self.comm_port())
    }

    /// Host and port of a cluster's web UI.
    pub fn dashboard(self, (namespace, cluster): (&str, &str)) -> String {
        format!("{}:{}", self.scheduler_host(namespace, cluster), self.dashboard_port())
    }

    /// The name ends in `svc`, so that it does not depend on the domain of the Kubernetes cluster.
    fn scheduler_host(self, namespace: &str, cluster: &str) -> String {
        match self {
            Self::Kubernetes => format!("{}.{namespace}.svc", names::scheduler_name(cluster)),
            Self::Machine { .. } => LOOPBACK.to_owned(),
        }
    }

    /// The port of a scheduler that Dask clients and workers connect to.
    pub fn comm_port(self) -> u16 {
        match self {
            Self::Kubernetes => 8786,
            Self::Machine { comm, .. } => comm,
        }
    }

    /// The port of a scheduler's web UI and `/health`.
    pub fn dashboard_port(self) -> u16 {
        match self {
            Self::Kubernetes => 8787,
            Self::Machine { dashboard, .. } => dashboard,
        }
    }

    /// The port of a worker's `/health`, where it has a fixed one at which it can be asked.
    pub fn worker_port(self) -> Option<u16> {
        match self {
            Self::Kubernetes => Some(8788),
            Self::Machine { .. } => None,
        }
    }

    /// The address that a process listens on, where that is not all of its own.
    pub fn host(self) -> Option<&'static str> {
        match self {
            Self::Kubernetes => None,
            Self::Machine { .. } => Some(LOOPBACK),
        }
    }

    /// Where a process finds a folder.
    pub fn path(self, folder: Folder) -> &'static str {
        // On a machine, whoever starts the process puts a folder of its own in the place of each.
        match (self, folder) {
            (Self::Kubernetes | Self::Machine { .. }, Folder::Code) => "/daskflow",
            (Self::Kubernetes | Self::Machine { .. }, Folder::Tls) => "/etc/daskflow/tls",
            (Self::Kubernetes | Self::Machine { .. }, Folder::Scratch) => "/scratch",
        }
    }

    /// The command that starts Python: what a spec names, else that of the image. What a spec names is in its
    /// image, and a machine has a Python of its own.
    pub fn python(self, named: Option<&str>) -> &str {
        match self {
            Self::Kubernetes => named.unwrap_or("python"),
            Self::Machine { .. } => "python",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_kubernetes_a_scheduler_is_behind_its_service() {
        let (site, cluster) = (Site::Kubernetes, ("team-a", "analytics"));
        assert_eq!(site.scheduler_address(cluster, false), "tcp://analytics-scheduler.team-a.svc:8786");
        assert_eq!(site.scheduler_address(cluster, true), "tls://analytics-scheduler.team-a.svc:8786");
        assert_eq!(site.dashboard(cluster), "analytics-scheduler.team-a.svc:8787");
        assert_eq!(site.python(Some("python3.12")), "python3.12");
    }

    #[test]
    fn on_a_machine_a_scheduler_has_ports_of_its_own() {
        let (site, cluster) = (Site::Machine { comm: 20_000, dashboard: 20_001 }, ("team-a", "analytics"));
        assert_eq!(site.scheduler_address(cluster, true), "tls://127.0.0.1:20000");
        assert_eq!(site.dashboard(cluster), "127.0.0.1:20001");
        assert_eq!((site.worker_port(), site.python(Some("python3.12"))), (None, "python"));
    }
}
