//! The requests to the API server: what each is, which goes first, and how many may be on their way at the
//! same time.
//!
//! It only decides. Times are durations since an origin that the caller knows, as everywhere here.

mod asked;
pub mod line;
pub mod pace;

pub use asked::Asked;

/// What a request is for, in the order in which requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// What a run or a cluster waits for: what is read before something is decided, what is created or
    /// deleted, and the statuses of Flows and clusters, which give runs their places.
    Work,
    /// What is written after the fact: the statuses of runs and backfills.
    Status,
    /// Events.
    Event,
}

impl Class {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Work, Self::Status, Self::Event];

    /// The word in the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Status => "status",
            Self::Event => "event",
        }
    }

    /// Its place in the order.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Which class has the first claim to each turn, over and over. Work has three turns of four, and what comes
/// after it is not starved, however long a burst lasts.
pub const ROUND: &[usize] = &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2];
