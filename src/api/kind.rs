//! The kinds of `daskflow.dev` as a value.

/// The kinds of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`super::DaskCluster`]
    DaskCluster,
    /// [`super::Flow`]
    Flow,
    /// [`super::FlowRun`]
    FlowRun,
    /// [`super::FlowBackfill`]
    FlowBackfill,
}

impl Kind {
    /// All of them, in the order in which they are to be installed.
    pub const ALL: [Self; 4] = [Self::DaskCluster, Self::Flow, Self::FlowRun, Self::FlowBackfill];

    /// The word in `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DaskCluster => "DaskCluster",
            Self::Flow => "Flow",
            Self::FlowRun => "FlowRun",
            Self::FlowBackfill => "FlowBackfill",
        }
    }
}
