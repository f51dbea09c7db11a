//! What an operator has of the world beside the API server: a site, the time, chance, and ways to Dask
//! schedulers.

use std::fmt;
use std::sync::Arc;

use crate::daemon::clock::{Chance, Clock};
use crate::dask::{Budget, Connector, Reach};
use crate::plan::site::Site;

/// The site of a cluster, by namespace and name, or of what has none.
type SiteOf = dyn Fn(Option<(&str, &str)>) -> Site + Send + Sync;

/// Which site each cluster has. It answers the same for a cluster for as long as there is one of that name.
#[derive(Clone)]
pub struct Sites(Arc<SiteOf>);

impl Sites {
    /// The same for all clusters.
    pub fn all(site: Site) -> Self {
        Self::by(move |_| site)
    }

    /// As `site` says of namespace and name of a cluster, and of what has none.
    pub fn by(site: impl Fn(Option<(&str, &str)>) -> Site + Send + Sync + 'static) -> Self {
        Self(Arc::new(site))
    }

    /// The site of a cluster, by namespace and name, or of what has none.
    pub fn of(&self, cluster: Option<(&str, &str)>) -> Site {
        (self.0)(cluster)
    }
}

impl fmt::Debug for Sites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sites").field(&self.of(None)).finish()
    }
}

/// What an operator has of the world beside the API server. It is given to it, so that nothing of an operator
/// is global: two of them share what their callers let them share.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where its clusters and runs live.
    pub sites: Sites,
    /// The time of day. How much time has passed is told by tokio's clock.
    pub clock: Clock,
    /// Chance, in names and in waiting times.
    pub chance: Chance,
    /// The way to the schedulers of `DaskCluster`s, at the addresses of their pods.
    pub schedulers: Connector,
    /// The way to the addresses that people write for a scheduler.
    pub addresses: Connector,
}

impl Surroundings {
    /// Those of an operator of Kubernetes, on this machine, with connections to what people write within this
    /// reach only.
    pub fn of_machine(reach: Reach) -> Self {
        let budget = Budget::default();
        Self {
            sites: Sites::all(Site::Kubernetes),
            clock: Clock::of_machine(),
            chance: Chance::of_machine(),
            schedulers: Connector::tcp(Reach::All, &budget),
            addresses: Connector::tcp(reach, &budget),
        }
    }
}
