//! Caches of long ago: what a watch has missed, and what an operator sees that begins with old lists.
//!
//! The second of them is Sieve's stale state: an API server that is behind the one which served the operator
//! before, so that for the new operator time goes back.

use std::time::Duration;

use fastrand::Rng;

use super::wire::Wires;

/// What becomes of caches.
#[derive(Clone, Copy, Debug)]
pub enum Past {
    /// The watches of all kinds tell nothing for so many seconds, and what changed meanwhile is forgotten.
    Missed(u8),
    /// All operators die. The lists that the next ones begin with are so many versions behind, and what has
    /// become of our kinds since is not told for so many seconds.
    Returns { versions: u8, seconds: u8 },
}

/// All kinds that are watched and that change in these histories.
const ALL: [&str; 6] = ["flows", "flowruns", "flowbackfills", "jobs", "pods", "daskclusters"];

/// Of these an operator decides by its own writes, which it may take for having been done, or not.
const OURS: [&str; 3] = ["flows", "flowruns", "daskclusters"];

impl Past {
    /// One of them.
    pub fn of(rng: &mut Rng) -> Self {
        if rng.bool() {
            Self::Missed(rng.u8(1..45))
        } else {
            Self::Returns { versions: rng.u8(1..90), seconds: rng.u8(1..60) }
        }
    }

    /// Keeps from the watches what it says.
    pub fn silence(self, wires: &Wires) {
        let (kinds, seconds) = match self {
            // Until after the changes are forgotten, so that what is kept back breaks with the watch.
            Self::Missed(seconds) => (&ALL[..], Duration::from_secs(seconds.into()) + Duration::from_secs(1)),
            Self::Returns { seconds, .. } => (&OURS[..], Duration::from_secs(seconds.into())),
        };
        for kind in kinds {
            wires.silence(kind, seconds);
        }
    }
}
