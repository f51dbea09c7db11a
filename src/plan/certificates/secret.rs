//! The Secret around the files: whether it is there, whose it is, and which file stands for one that is not
//! in it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::{CA, CERTIFICATE, Certificates, Fault, KEY};
use crate::api::Reason;

/// How the files of a Secret are judged: [`super::read`] or [`super::read_authority`].
pub type Judge = fn(&str, &BTreeMap<String, ByteString>, Timestamp) -> Result<Certificates, Fault>;

/// Judges the Secret that was found under this namespace and name.
pub fn judge(
    (namespace, name): (&str, &str),
    found: Option<&Secret>,
    now: Timestamp,
    read: Judge,
) -> Result<Certificates, Fault> {
    let Some(secret) = found else { return Err(not_found((namespace, name))) };
    let none = BTreeMap::new();
    read(&format!("{namespace}/{name}"), secret.data.as_ref().unwrap_or(&none), now)
}

/// There is no such Secret.
pub fn not_found((namespace, name): (&str, &str)) -> Fault {
    let message = format!(
        "there is no Secret {namespace}/{name}: create it with the keys {CA}, {CERTIFICATE} and {KEY}"
    );
    Fault { reason: Reason::SecretNotFound, message }
}

/// A Secret of the name that we need is somebody else's.
pub fn not_ours((namespace, name): (&str, &str)) -> Fault {
    let message = format!("Secret {namespace}/{name} exists and is not ours: rename it or delete it");
    Fault { reason: Reason::NameTaken, message }
}

/// Whether a Secret has no file of this name, so that the certificate's stands for it: a self-signed
/// certificate is its own authority, and Python permits the key in the certificate's file.
pub fn is_in_certificate(data: &BTreeMap<String, ByteString>, name: &str) -> bool {
    data.get(name).is_none_or(|bytes| bytes.0.is_empty())
}

/// The file of this name, or the one that stands for it; nothing where there is neither.
pub fn file<'a>(data: &'a BTreeMap<String, ByteString>, name: &str) -> &'a [u8] {
    let name = if is_in_certificate(data, name) { CERTIFICATE } else { name };
    data.get(name).map(|bytes| bytes.0.as_slice()).unwrap_or_default()
}
