//! What OpenSSL asks of a chain under Dask, and rustls in the operator does not: that it ends in a root of
//! `ca.crt`, which is so before Python 3.13, and the rules of RFC 5280 that Python checks from 3.13 on
//! (`VERIFY_X509_STRICT`). Which Python is in an image nobody knows before its pods run, so both are asked
//! for.
//!
//! The rules: `check_extensions` in <https://github.com/openssl/openssl/blob/master/crypto/x509/x509_vfy.c>.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::material::{Files, Parsed};
use super::{CA, CERTIFICATE, Fault};
use crate::api::Reason;

/// The most certificates that are followed from one to its issuer; OpenSSL's own limit is 100.
const DEPTH_MAX: usize = 32;

/// A fault, unless a chain leads from the certificate to a root of the CA file, and each of its certificates
/// is as Python wants it. Who signed whom was checked before.
pub fn check(
    files: &Files<'_>,
    leaf: &CertificateDer<'static>,
    intermediates: &[CertificateDer<'static>],
    authorities: &[(&CertificateDer<'static>, Parsed<'_>)],
    now: Timestamp,
) -> Result<(), Fault> {
    let leaf = files.parse(CERTIFICATE, leaf)?;
    let between: Vec<Parsed<'_>> =
        intermediates.iter().map(|der| files.parse(CERTIFICATE, der)).collect::<Result<_, _>>()?;
    let trusted = authorities.iter().map(|(_, ca)| (CA, ca));
    let all: Vec<(&str, &Parsed<'_>)> = between.iter().map(|ca| (CERTIFICATE, ca)).chain(trusted).collect();
    let mut chain = vec![(CERTIFICATE, &leaf)];
    while let Some((_, last)) = chain.last().filter(|(_, last)| !last.is_self_issued()) {
        let mut issuers = all.iter().filter(|(key, ca)| {
            ca.has_issued(last) && files.check_time(key, ca, now).is_ok() && chain.len() < DEPTH_MAX
        });
        // One that Python takes before one of the same name and key that it does not.
        let issuer =
            issuers.clone().find(|(_, ca)| ca.strict_fault(false).is_none()).or_else(|| issuers.next());
        let Some(issuer) = issuer else {
            let text = "the root certificate is missing: Dask believes no chain without it before Python 3.13; add the root \
                        certificate, the one that issued itself, to ca.crt";
            return Err(files.fault(CA, Reason::CertificateUntrusted, text));
        };
        chain.push(*issuer);
    }
    let Some(((key, root), below)) = chain.split_last() else { return Ok(()) };
    if below.is_empty() {
        // Its own issuer: RFC 6818 leaves it out of these rules.
        return Ok(());
    }
    if *key != CA && !authorities.iter().any(|(_, ca)| ca.is_same(root)) {
        let text = "the root certificate is in tls.crt only, where it is not trusted; add the root certificate to ca.crt";
        return Err(files.fault(CA, Reason::CertificateUntrusted, text));
    }
    // From the root on: who issues a CA anew issues all below it anew.
    let below = below.iter().rev().map(|(key, one)| (key, one.strict_fault(true)));
    for (key, fault) in std::iter::once((key, root.strict_fault(false))).chain(below) {
        if let Some((what, cure)) = fault {
            let whose = if *key == CA { "the CA" } else { "a certificate" };
            let text = format!("Python refuses {whose} from 3.13 on: {what}; issue it again with {cure}");
            return Err(files.fault(key, Reason::UnsupportedCertificate, &text));
        }
    }
    Ok(())
}
