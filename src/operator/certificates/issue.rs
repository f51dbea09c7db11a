//! Makes a CA for a cluster, and the certificate of its processes: ECDSA P-256, with rcgen over ring.
//!
//! The certificates keep the rules of RFC 5280 that OpenSSL checks with `X509_V_FLAG_X509_STRICT`, since
//! Python does so from 3.13 on.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::plan::certificates;

/// How long before its making a certificate is valid, for clocks that are late. At most a third of its life,
/// or a very short life would be due for renewal when it begins.
const LATE_CLOCKS: Duration = Duration::from_secs(15 * 60);
/// The most characters of a common name (RFC 5280, appendix A.1).
const COMMON_NAME_MAX: usize = 64;

/// A certificate with its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// The certificate, in PEM.
    pub certificate: String,
    /// The private key, in PEM (PKCS#8).
    pub key: String,
}

impl fmt::Debug for Pem {
    /// Without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("certificate", &self.certificate).field("key", &"[redacted]").finish()
    }
}

/// Why no certificate could be issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The CA cannot issue, or a name is not a DNS name.
    #[error("the certificate could not be issued")]
    Rcgen(#[from] rcgen::Error),
    /// The CA's own life is over, or has not begun.
    #[error("the CA is valid from {from} until {until}, so it cannot issue a certificate at {now}")]
    Authority {
        /// From when on it is valid.
        from: Timestamp,
        /// Until when it is valid.
        until: Timestamp,
        /// When the certificate was to be issued.
        now: Timestamp,
    },
}

/// A new CA of this cluster, which may issue certificates but no other CA.
pub fn authority(
    cluster: &str,
    namespace: &str,
    life: Duration,
    now: Timestamp,
) -> Result<Pem, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::OrganizationName, namespace);
    params.distinguished_name.push(DnType::CommonName, common_name(&format!("{cluster} CA")));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit(&mut params, begin(life, now), end(life, now));
    Ok(pem(&params.self_signed(&key)?, &key))
}

/// A new certificate with these DNS names from the CA, for a server and for a client. It begins a quarter of
/// an hour before `now`, and lives `life` from `now` on, but never outside the life of the CA.
pub fn leaf(authority: &Pem, names: &[String], life: Duration, now: Timestamp) -> Result<Pem, Error> {
    let (from, until) =
        certificates::validity(&authority.certificate).ok_or(rcgen::Error::CouldNotParseCertificate)?;
    if now < from || now >= until {
        return Err(Error::Authority { from, until, now });
    }
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    let name = names.first().map_or("dask", String::as_str);
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, common_name(name));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    limit(&mut params, begin(life, now).max(from), end(life, now).min(until));
    Ok(pem(&params.signed_by(&key, &issuer)?, &key))
}

fn pem(certificate: &Certificate, key: &KeyPair) -> Pem {
    Pem { certificate: certificate.pem(), key: key.serialize_pem() }
}

fn common_name(name: &str) -> String {
    name.chars().take(COMMON_NAME_MAX).collect()
}

fn begin(life: Duration, now: Timestamp) -> Timestamp {
    now.saturating_sub(LATE_CLOCKS.min(life / 3)).unwrap_or(now)
}

/// Certificates know whole seconds: the last one is taken whole, so that the life is not shorter than asked
/// for.
fn end(life: Duration, now: Timestamp) -> Timestamp {
    now.saturating_add(life)
        .and_then(|end| end.saturating_add(Duration::from_nanos(999_999_999)))
        .unwrap_or(now)
}

/// Sets the validity. Negative years and such are not asked for: times before 1970 become 1970.
fn limit(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |at: Timestamp| Duration::from_secs(at.as_second().try_into().unwrap_or(0));
    params.not_before = epoch + since(from);
    params.not_after = epoch + since(until);
}

#[cfg(test)]
mod tests;
