//! What an operator has of the world beside the API server: the time, chance, and ways to Dask schedulers.

use super::clock::{Chance, Clock};
use crate::dask::{Budget, Connector, Reach};

/// What an operator has of the world beside the API server. It is given to it, so that nothing of an operator
/// is global: two of them share what their callers let them share.
#[derive(Clone, Debug)]
pub struct Surroundings {
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
    /// Those of the machine, with connections to what people write within this reach only.
    pub fn of_machine(reach: Reach) -> Self {
        let budget = Budget::default();
        Self {
            clock: Clock::of_machine(),
            chance: Chance::of_machine(),
            schedulers: Connector::tcp(Reach::All, &budget),
            addresses: Connector::tcp(reach, &budget),
        }
    }
}
