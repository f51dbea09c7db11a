//! Why a gateway did not do what it was asked.

use std::time::Duration;

/// Why a gateway did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection was cut, or does not speak HTTP. Whether the request was carried out is unknown.
    #[error("the connection failed before the answer had come")]
    Cut(#[source] hyper::Error),
    /// No answer in time. Whether the request was carried out is unknown.
    #[error("no answer within {} s", limit.as_secs())]
    Late {
        /// The time that an answer has.
        limit: Duration,
    },
    /// An answer that says no.
    #[error("it answers {status}: {words}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The gateway's own words, as [`super::Hidden`] shows them.
        words: String,
    },
    /// The gateway is somewhere else. Nothing is sent there.
    #[error("it redirects to {to:?}")]
    Redirected {
        /// Where to, as it says, likewise.
        to: String,
    },
    /// The answer is longer than a gateway's.
    #[error("its answer is longer than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// The answer is none of a gateway.
    #[error("its answer is none of a Dask Gateway: {0}")]
    NotUnderstood(&'static str),
    /// There is no TLS session: the certificate is not believed, or the port does not speak TLS.
    #[error("no TLS session: {0}")]
    Tls(String),
    /// The request cannot be written: an option or a user has what no header or path may have.
    #[error("the request cannot be made: {0}")]
    Unwritable(&'static str),
}

impl Error {
    /// Whether the gateway certainly has not done what it was asked: it said no, or was not asked at all.
    /// Answers of 500 and above are no certain refusal: a proxy gives them for a server that it lost.
    pub fn is_certain(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status < 500,
            Self::Redirected { .. } | Self::Tls(_) | Self::Unwritable(_) => true,
            Self::Cut(_) | Self::Late { .. } | Self::TooLong { .. } | Self::NotUnderstood(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_which_no_refusal_came_may_have_been_carried_out() {
        let refused = |status| Error::Refused { status, words: String::new() };
        for certain in [refused(401), refused(422), Error::Redirected { to: String::new() }] {
            assert!(certain.is_certain(), "{certain:?}");
        }
        let late = Error::Late { limit: Duration::from_secs(1) };
        for uncertain in [refused(500), refused(502), late, Error::NotUnderstood("no JSON")] {
            assert!(!uncertain.is_certain(), "{uncertain:?}");
        }
    }
}
