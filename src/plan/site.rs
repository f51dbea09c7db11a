//! Where clusters and runs live: what others have to know of the place at which Dask's processes and runners
//! are started.
//!
//! It is an argument of whoever plans or looks for a scheduler, as the time is, so that no planner knows by
//! itself where it is.

use super::names;

/// A place where clusters and runs live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Site {
    /// Each process in a pod of its own, with an address and all ports of its own; the scheduler behind a
    /// Service, and files mounted.
    #[default]
    Kubernetes,
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
        }
    }

    /// The port of a scheduler that Dask clients and workers connect to.
    pub fn comm_port(self) -> u16 {
        match self {
            Self::Kubernetes => 8786,
        }
    }

    /// The port of a scheduler's web UI and `/health`.
    pub fn dashboard_port(self) -> u16 {
        match self {
            Self::Kubernetes => 8787,
        }
    }

    /// The port of a worker's `/health`.
    pub fn worker_port(self) -> u16 {
        match self {
            Self::Kubernetes => 8788,
        }
    }

    /// Where a process finds a folder.
    pub fn path(self, folder: Folder) -> &'static str {
        match (self, folder) {
            (Self::Kubernetes, Folder::Code) => "/daskflow",
            (Self::Kubernetes, Folder::Tls) => "/etc/daskflow/tls",
            (Self::Kubernetes, Folder::Scratch) => "/scratch",
        }
    }

    /// The command that starts Python where a spec names none: that of the image.
    pub fn python(self) -> &'static str {
        match self {
            Self::Kubernetes => "python",
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
    }
}
