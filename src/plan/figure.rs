//! What is worth counting: data like the rest of a plan, for whoever keeps counters.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::{Phase, Reason};

/// Something that has happened by the status that a plan writes. Whoever carries the plan out counts it when
/// that status is written, and only then. A status is written over the one that it was computed from, so
/// nothing is counted twice; what happens while nobody hears the API server's answer is not counted at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Ticks passed without a run.
    TicksMissed {
        /// `StartingDeadlineExceeded`: they were too late. `Superseded`: `catchUp` lets newer ones start
        /// instead.
        reason: Reason,
        /// How many.
        count: u32,
    },
    /// The run of a tick exists.
    TickStarted {
        /// How long after the moment at which the Flow starts that tick: its time, and the Flow's share of
        /// `jitter`.
        late: Duration,
    },
    /// The run of a tick was let through to its cluster for the first time.
    TickAdmitted {
        /// How long after the same moment. What the run waited for others is part of it.
        late: Duration,
    },
    /// The Job of the first attempt of a tick's run was created.
    JobCreated {
        /// The same moment. How long after it is for whoever created the Job to say: the request may have
        /// waited.
        start: Timestamp,
    },
    /// The runner's container of an attempt has started.
    RunnerStarted {
        /// How long after the attempt was let through: waiting for the cluster is part of it.
        waited: Duration,
    },
    /// A run has come to its end.
    RunEnded {
        /// The final phase.
        phase: Phase,
        /// Why.
        reason: Reason,
        /// How long the runner of its last attempt was at work. None: it never started.
        took: Option<Duration>,
    },
}

/// From one moment to another; none where clocks that differ turn the order around.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
