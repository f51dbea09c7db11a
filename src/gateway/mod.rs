//! A client of Dask Gateway's REST API: what its calls look like, and one exchange at a time over a stream
//! that its caller has opened.
//!
//! It is not a policy: it neither retries nor decides what a refusal means. What always holds: one connection
//! serves one call, so no cookie of one user reaches the call of another (the server takes a cookie over the
//! credentials beside it); a redirect is not followed, since it would carry the credentials to another
//! address; answers are bounded; keys are in no error and no `Debug`; and a login is in no words of a gateway
//! that are passed on.

pub mod call;
pub mod error;
pub mod exchange;
pub mod hidden;
pub mod message;
pub mod tls;

pub use call::Call;
pub use error::Error;
pub use exchange::{Answer, Place, exchange};
pub use hidden::Hidden;
pub use tls::Trust;

/// What the name of a cluster follows in the server name by which the gateway's proxy knows its scheduler.
const SERVER_NAME_PREFIX: &str = "daskgateway-";

/// The name that a client of a cluster's scheduler asks the gateway's proxy for, in TLS' SNI.
pub fn server_name(cluster: &str) -> String {
    format!("{SERVER_NAME_PREFIX}{cluster}")
}
