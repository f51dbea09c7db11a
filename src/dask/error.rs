//! What can go wrong between us and a scheduler, sorted by what the caller does about it.
use super::frame::FrameError;
use super::lenient::{ENTRIES_MAX, is_too_many};
use super::version::Version;
use std::io;
use std::time::Duration;

/// Why a conversation with a scheduler failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers there: no such host, refused, no route. Worth another try.
    #[error("scheduler is unreachable")]
    Unreachable(#[source] io::Error),
    /// Nothing that this host means is an address to which connections may go ([`Reach`](super::Reach)).
    /// Wrong until the address changes.
    #[error("no address of {host} is one to which connections may go")]
    OutOfReach {
        /// The host.
        host: String,
    },
    /// The address says TLS and the port speaks plain TCP, or the other way around. Wrong until the address
    /// changes; but a scheduler that dies just when it is greeted looks the same, so believe it when it comes
    /// twice.
    #[error("{0}")]
    WrongScheme(&'static str),
    /// The scheduler ended the TLS session because of our certificate. Wrong until the certificates change,
    /// ours or the scheduler's CA file.
    #[error("scheduler refused our certificate: {reason}")]
    CredentialsRefused {
        /// What it has against it, and what to do.
        reason: &'static str,
    },
    /// We ended the TLS session because of the scheduler's certificate. Wrong until the certificates change,
    /// the scheduler's or our CA file.
    #[error("scheduler's certificate is refused: {reason}")]
    Untrusted {
        /// What is against it, and what to do. Names that the scheduler gave are cut.
        reason: String,
    },
    /// No TLS session came about, or it broke, for a reason that is no certificate: for instance nothing in
    /// common.
    #[error(
        "TLS with the scheduler failed: it must offer TLS 1.2 or 1.3, with ECDHE and AES-GCM or ChaCha20"
    )]
    Tls(#[source] rustls::Error),
    /// Something answers that is no Dask scheduler. Wrong until the address changes.
    #[error("peer does not speak Dask's protocol: {0}")]
    NotADaskPeer(&'static str),
    /// A scheduler older than distributed 2021.3.1, whose framing is another. Wrong until it is upgraded.
    #[error("scheduler is older than distributed 2021.3.1, the oldest that is supported")]
    UnsupportedVersion,
    /// The operation failed in the scheduler. The connection stays good; the same request will fail again.
    #[error("scheduler failed: {text}")]
    Remote {
        /// What the scheduler says, cut to 1000 bytes.
        text: String,
    },
    /// The peer hung up, or this connection was given up after an earlier failure. A scheduler also hangs up
    /// when it cannot write an answer (measured), so a request that ends so again and again is not worth
    /// repeating.
    #[error("connection to the scheduler is closed")]
    Closed(#[source] Option<io::Error>),
    /// No answer in time. Once means slow, several times in a row means down.
    #[error("scheduler did not {what} within {limit:?}")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// A long message has begun and does not come to its end, or so slowly that it would keep others from the
    /// memory that long messages share.
    #[error("scheduler did not send its message of {bytes} bytes to the end within {limit:?}")]
    Unended {
        /// What it announced.
        bytes: u64,
        /// How long was waited.
        limit: Duration,
    },
    /// The answer cannot be understood.
    #[error("answer of the scheduler cannot be read")]
    Decode(#[source] DecodeError),
    /// The request cannot be written in MessagePack: a fault of this program.
    #[error("request {op} cannot be written")]
    Encode {
        /// The operation.
        op: String,
        /// Why.
        source: rmp_serde::encode::Error,
    },
    /// This scheduler is too old for the operation. Not asked, because it would answer nonsense.
    #[error("{op} needs distributed {since} or later and the scheduler has {version}")]
    Unsupported {
        /// The operation.
        op: &'static str,
        /// The first version that has it.
        since: Version,
        /// The scheduler's.
        version: Version,
    },
    /// The scheduler ended the connection in place of telling its state, or told it in a shape not
    /// understood: what the debugging operation `dump_state` may do after any upgrade. A scheduler that dies
    /// just then looks the same. Ask [`Scheduler::coarse_activity`](super::Scheduler::coarse_activity), over
    /// a new connection.
    #[error("scheduler does not report the state of its tasks (dump_state)")]
    StateUntold(#[source] Box<Error>),
    /// The question would keep the scheduler from its work for too long. The connection stays good.
    #[error("scheduler has {tasks} tasks, more than the {limit} that can be asked about one by one")]
    TooManyTasks {
        /// How many it has.
        tasks: u64,
        /// How many are asked about at most.
        limit: u64,
    },
    /// The scheduler answered nil, as each does to an operation that it does not have. The connection stays
    /// good.
    #[error("scheduler does not know the operation {op}")]
    UnknownOperation {
        /// The operation.
        op: String,
    },
    /// The scheduler that answers has another identity than the one that answered before, which has gone.
    /// Never given by this module, which knows one connection only; who connects anew compares
    /// [`Identity::id`](super::Identity::id).
    #[error("another scheduler answers at {address}")]
    AnotherScheduler {
        /// Where.
        address: String,
    },
    /// The answer is larger than is accepted.
    #[error("answer of the scheduler is too large")]
    TooLarge(#[source] FrameError),
    /// The answer lists more workers or others than are accepted.
    #[error("answer of the scheduler has more than the {limit} entries that are accepted")]
    TooManyEntries {
        /// So many.
        limit: usize,
    },
}

/// Why an answer cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The stream lost its framing.
    #[error("framing is broken")]
    Frame(#[source] FrameError),
    /// The message has another shape than it should.
    #[error("message has not the shape that was expected")]
    Message(#[source] rmp_serde::decode::Error),
    /// More came than was asked for, so nothing tells which answer belongs to which question.
    #[error("a message came that was not asked for")]
    Unasked,
}

impl From<rmp_serde::decode::Error> for Error {
    fn from(error: rmp_serde::decode::Error) -> Self {
        if is_too_many(&error) {
            return Self::TooManyEntries { limit: ENTRIES_MAX };
        }
        Self::Decode(DecodeError::Message(error))
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLarge { .. } | FrameError::TooManyFrames { .. } => Self::TooLarge(error),
            _ => Self::Decode(DecodeError::Frame(error)),
        }
    }
}
