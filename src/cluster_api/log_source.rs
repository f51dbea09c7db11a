//! Where the logs of containers come from: whoever runs the pods has them.

use futures::stream::BoxStream;
use jiff::Timestamp;

/// Which log is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// The namespace of the pod.
    pub namespace: String,
    /// The name of the pod.
    pub pod: String,
    /// Its uid: a pod of the same name may have been there before.
    pub uid: String,
    /// One of its containers.
    pub container: String,
    /// Whether that of the container's run before the present one is meant.
    pub previous: bool,
    /// Whether what is still to come is meant as well.
    pub follow: bool,
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// What it says, without its end.
    pub text: Vec<u8>,
}

/// What a container has written.
pub struct Log {
    /// What is there.
    pub there: Vec<LogLine>,
    /// What comes, until the container ends. It is read only where the request says `follow`.
    pub then: BoxStream<'static, LogLine>,
}

/// Where logs come from.
pub trait LogSource: Send + Sync {
    /// The log of a container; none where it has not begun, or has no run before.
    fn log(&self, request: &LogRequest) -> Option<Log>;
}
