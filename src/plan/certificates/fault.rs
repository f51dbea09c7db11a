//! The files of a Secret with a certificate, and what may be wrong with them.

use crate::api::Reason;

/// The key of a Secret that holds the certificates of the CA, in PEM. It may be missing: see
/// [`read`](super::read).
pub const CA: &str = "ca.crt";
/// The key of a Secret that holds the certificate, in PEM, and behind it what leads from it to the CA.
pub const CERTIFICATE: &str = "tls.crt";
/// The key of a Secret that holds the private key, in PEM. It may be missing if [`CERTIFICATE`] holds the
/// private key too, as Python permits.
pub const KEY: &str = "tls.key";

/// Why a Secret does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The reason word.
    pub reason: Reason,
    /// What is wrong, in which key of which Secret, and what to do. It quotes none of the content.
    pub message: String,
}
