//! Certificates: what the Secret of a cluster says, whether Dask and the operator can use it, and when it is
//! renewed.
//!
//! A Secret has the three files of the type `kubernetes.io/tls`. Dask uses one certificate in both roles, as
//! a server and as a client, never looks at host names, and reads its files only when it starts; so a
//! certificate that does not serve is found here, before any pod is made with it, and named by its Secret and
//! key. What is judged is what both ends judge: OpenSSL under Dask, and rustls in the operator.
//!
//! Nothing of a private key ever gets into a message, a hash or a `Debug`.

mod chain;
pub(super) mod decision;
mod fault;
mod material;
pub(super) mod observed;
mod renewal;
mod secret;
mod sources;
mod strict;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls::pki_types::CertificateDer;

use super::{names, objects};
use material::{Files, Parsed};

pub use decision::{copy_name, request};
pub use fault::{CA, CERTIFICATE, Fault, KEY};
pub use observed::TlsView;
pub use renewal::renew_at;
pub use secret::{Judge, file, is_in_certificate, judge, not_found, not_ours};
pub use sources::{Secrets, is_owned, secrets};

/// What the files of a Secret say, without the private key. Safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// Eight hexadecimal digits over all certificates and the public key. Comments and the encoding of the
    /// private key do not count: with another hash Dask has to be started anew.
    pub hash: String,
    /// Eight hexadecimal digits over the set of CA certificates. Their order, and how often one is there, do
    /// not count.
    pub trust: String,
    /// From when on the certificate is valid.
    pub not_before: Timestamp,
    /// Until when the certificate is valid. At most jiff's last moment: X.509 knows one that is later, for
    /// "never".
    pub not_after: Timestamp,
    /// Until when the CA is valid; of several, the latest.
    pub ca_not_after: Timestamp,
    /// The DNS names of the certificate, sorted.
    pub names: Vec<String>,
}

/// Reads the data of a Secret and judges it at `now`. `secret` is its name, for messages.
///
/// Without `ca.crt` the certificate is its own CA, which only a self-signed one can be.
pub fn read(
    secret: &str,
    data: &BTreeMap<String, ByteString>,
    now: Timestamp,
) -> Result<Certificates, Fault> {
    let files = Files { secret, data };
    let own = files.certificates(CERTIFICATE)?.unwrap_or_default();
    let Some((leaf_der, intermediates)) = own.split_first() else {
        return Err(files.missing(CERTIFICATE, "the certificate"));
    };
    let leaf = files.parse(CERTIFICATE, leaf_der)?;
    files.check_version(&leaf)?;
    // Before its use, or a CA in front of the certificate would be told to be a bad certificate.
    files.check_key(leaf_der)?;
    files.check_use(&leaf)?;
    files.check_time(CERTIFICATE, &leaf, now)?;
    let given = files.certificates(CA)?;
    let cas = match &given {
        Some(cas) => cas.as_slice(),
        None if leaf.is_self_issued() => own.as_slice(),
        None => {
            return Err(files.missing(CA, "the certificate of the CA that issued tls.crt"));
        }
    };
    let authorities = authorities(&files, cas)?;
    // Dask's own temporary certificates and those of `openssl req -x509` are CA and certificate in one.
    if !cas.contains(leaf_der) {
        chain::check(&files, leaf_der, intermediates, &authorities, now)?;
    } else if !leaf.is_self_issued() {
        // It is believed by the operator as it is, and by OpenSSL only with its root.
        strict::check(&files, leaf_der, intermediates, &authorities, now)?;
    }
    Ok(Certificates {
        hash: objects::content_hash(&(given.as_deref().map(plain), plain(&own))),
        trust: trust_of(cas),
        not_before: leaf.not_before(),
        not_after: leaf.not_after(),
        ca_not_after: authorities.iter().map(|(_, ca)| ca.not_after()).max().unwrap_or_default(),
        names: leaf.names(),
    })
}

/// Reads the Secret of an authority of our own, whose certificate is in `tls.crt`, and judges it at `now`.
/// Its trust is that of the certificates that it issues.
pub fn read_authority(
    secret: &str,
    data: &BTreeMap<String, ByteString>,
    now: Timestamp,
) -> Result<Certificates, Fault> {
    let files = Files { secret, data };
    let own = files.certificates(CERTIFICATE)?.unwrap_or_default();
    let Some(der) = own.first() else { return Err(files.missing(CERTIFICATE, "the certificate")) };
    let authority = files.parse(CERTIFICATE, der)?;
    files.check_key(der)?;
    files.check_time(CERTIFICATE, &authority, now)?;
    Ok(Certificates {
        hash: objects::content_hash(&plain(&own)),
        trust: trust_of(std::slice::from_ref(der)),
        not_before: authority.not_before(),
        not_after: authority.not_after(),
        ca_not_after: authority.not_after(),
        names: Vec::new(),
    })
}

fn trust_of(authorities: &[CertificateDer<'_>]) -> String {
    objects::content_hash(&authorities.iter().map(AsRef::<[u8]>::as_ref).collect::<BTreeSet<_>>())
}

/// The certificates of the CA file, each with what it says.
fn authorities<'a>(
    files: &Files<'_>,
    cas: &'a [CertificateDer<'static>],
) -> Result<Vec<(&'a CertificateDer<'static>, Parsed<'a>)>, Fault> {
    let key = if files.has(CA) { CA } else { CERTIFICATE };
    cas.iter().map(|der| Ok((der, files.parse(key, der)?))).collect()
}

fn plain<'a>(certificates: &'a [CertificateDer<'static>]) -> Vec<&'a [u8]> {
    certificates.iter().map(AsRef::as_ref).collect()
}

/// From when until when the first certificate of this PEM is valid. None if there is none.
pub fn validity(pem: &str) -> Option<(Timestamp, Timestamp)> {
    let der = material::first_certificate(pem.as_bytes())?;
    let parsed = Parsed::of(&der)?;
    Some((parsed.not_before(), parsed.not_after()))
}

/// The DNS names that the certificate of a cluster has to have, for clients that do look at host names: its
/// scheduler's as seen from the same namespace and from another one, and `localhost` for a forwarded port.
///
/// The name with the domain of the Kubernetes cluster is not among them: nobody tells the operator that
/// domain.
pub fn names_of(namespace: &str, cluster: &str) -> Vec<String> {
    let scheduler = names::scheduler_name(cluster);
    vec![
        scheduler.clone(),
        format!("{scheduler}.{namespace}"),
        format!("{scheduler}.{namespace}.svc"),
        "localhost".to_owned(),
    ]
}

#[cfg(test)]
mod tests;
