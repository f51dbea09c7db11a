//! What an operator has of the world beside the API server: a site, the time, chance, and ways to Dask
//! schedulers.

use crate::daemon::clock::{Chance, Clock};
use crate::dask::{Budget, Connector, Reach};
use crate::plan::site::Site;

/// What an operator has of the world beside the API server. It is given to it, so that nothing of an operator
/// is global: two of them share what their callers let them share.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where its clusters and runs live.
    pub site: Site,
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
            site: Site::Kubernetes,
            clock: Clock::of_machine(),
            chance: Chance::of_machine(),
            schedulers: Connector::tcp(Reach::All, &budget),
            addresses: Connector::tcp(reach, &budget),
        }
    }
}
