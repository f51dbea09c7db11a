//! Whether a certificate leads to the CA, judged by rustls as the operator's own connection does, for both
//! roles.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, Error, RootCertStore};

use super::fault::{CA, CERTIFICATE, Fault};
use super::material::{Files, Parsed};
use super::strict;
use crate::api::Reason;

/// A fault, unless one of the CAs that are valid at `now` has issued the certificate, for servers and for
/// clients.
pub fn check(
    files: &Files<'_>,
    leaf: &CertificateDer<'static>,
    intermediates: &[CertificateDer<'static>],
    authorities: &[(&CertificateDer<'static>, Parsed<'_>)],
    now: Timestamp,
) -> Result<(), Fault> {
    let store = |at: Option<Timestamp>| {
        let usable = authorities
            .iter()
            .filter(|(_, ca)| ca.may_issue() && at.is_none_or(|at| files.check_time(CA, ca, at).is_ok()));
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(usable.map(|(der, _)| (*der).clone()));
        roots
    };
    let Err(error) = verify(leaf, intermediates, store(Some(now)), now) else {
        return strict::check(files, leaf, intermediates, authorities, now);
    };
    // rustls does not look at the time of a trust anchor, OpenSSL does. If that is all, say so.
    if verify(leaf, intermediates, store(None), now).is_ok() {
        for (_, ca) in authorities {
            files.check_time(CA, ca, now)?;
        }
    }
    let (reason, text) = meaning(&error);
    Err(files.fault(CERTIFICATE, reason, text))
}

fn verify(
    leaf: &CertificateDer<'static>,
    intermediates: &[CertificateDer<'static>],
    roots: RootCertStore,
    now: Timestamp,
) -> Result<(), Error> {
    let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms.all;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().unwrap_or(0)));
    let parsed = ParsedCertificate::try_from(leaf)?;
    verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, algorithms)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    clients.map_err(|_| unknown())?.verify_client_cert(leaf, intermediates, now)?;
    Ok(())
}

/// What a refusal of rustls means, for a certificate that is in order by itself.
fn meaning(error: &Error) -> (Reason, &'static str) {
    let Error::InvalidCertificate(error) = error else {
        return (Reason::UnsupportedCertificate, "rustls cannot read the certificate; issue another one");
    };
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            Reason::CertificateUntrusted,
            "no CA in ca.crt has issued the certificate; put the one there that has, and the certificates \
             between both behind the first one of tls.crt",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            Reason::CertificateExpired,
            "a certificate between the first one and the CA has expired; put a new one there",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            Reason::CertificateNotYetValid,
            "a certificate between the first one and the CA is not valid yet; wait, or put another one there",
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            Reason::UnsupportedCertificate,
            "a certificate between the first one and the CA is for another use; Dask uses one certificate as \
             a server and as a client, so extendedKeyUsage has to allow serverAuth and clientAuth all the way",
        ),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => (
            Reason::UnsupportedCertificate,
            "the certificate is signed in a way that rustls does not accept; issue it with SHA-256 and a key of \
             ECDSA (P-256 or P-384), RSA or Ed25519",
        ),
        _ => (
            Reason::UnsupportedCertificate,
            "rustls does not accept the certificate under ca.crt; issue one that is no CA itself, without \
             critical extensions and name constraints, or put the same certificate into ca.crt",
        ),
    }
}
