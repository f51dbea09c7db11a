//! Whom to believe at a TLS port: the certificates of the CA file, as Dask itself does, and not names.
//!
//! A scheduler is believed when it shows
//!
//! 1. a certificate that stands in the CA file byte for byte. Plain `openssl req -x509` makes a self-signed
//!    certificate that is its own CA, and Dask's users deploy it on both sides; webpki takes no CA for a
//!    server (measured: `CaUsedAsEndEntity`). Or else
//! 2. one that a certificate of the CA file has issued, directly or through the others that the scheduler
//!    shows.
//!
//! Either way it must have the key of that certificate, and the certificate must be valid now. Under 1 webpki
//! is asked for that by a search without roots, which can only fail, and reads the times before anything
//! else; under 2 it does so by itself. What webpki does not look at are the times of the CA certificate under
//! 2: one that has expired while what it issued has not is believed here, and refused by Dask's own
//! processes.
use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// How much of a text that webpki made, partly of the peer's own, goes into a reason.
const SHOWN_BYTES: usize = 300;

/// The certificates of a CA file, and the name that the scheduler's must have, if any.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    certificates: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    host_name: Option<ServerName<'static>>,
}

impl Trust {
    /// Believes these certificates and what they issued. One that cannot be an issuer does not spoil the
    /// others.
    ///
    /// # Errors
    ///
    /// What the last one lacks, when none can be an issuer.
    pub(super) fn of(
        certificates: Vec<CertificateDer<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let mut last = Ok(());
        for certificate in &certificates {
            last = roots.add(certificate.clone());
        }
        if roots.is_empty() {
            last?;
        }
        Ok(Self { certificates, roots, algorithms, host_name: None })
    }

    /// The scheduler's certificate must be for this name as well.
    pub(super) fn with_host_name(self, name: ServerName<'static>) -> Self {
        Self { host_name: Some(name), ..self }
    }

    /// How many certificates can be issuers, and the name that is asked for.
    pub(super) fn summary(&self) -> (usize, Option<&ServerName<'static>>) {
        (self.roots.len(), self.host_name.as_ref())
    }

    /// Refuses what has expired, is not valid yet or has no readable times. All else that webpki has against
    /// the certificate, such as that it is a CA, does not count where the CA file names it.
    fn check_times(&self, certificate: &ParsedCertificate<'_>, now: UnixTime) -> Result<(), rustls::Error> {
        let nobody = RootCertStore::empty();
        let searched =
            verify_server_cert_signed_by_trust_anchor(certificate, &nobody, &[], now, self.algorithms.all);
        match searched {
            Err(rustls::Error::InvalidCertificate(
                error @ (CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
                | CertificateError::BadEncoding),
            )) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if self.certificates.contains(end_entity) {
            self.check_times(&certificate, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if let Some(name) = &self.host_name {
            verify_server_name(&certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate is refused for being X.509 version 1. webpki's own error is not among rustls' words,
/// so it is known by its text.
pub(super) fn is_version_1(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if other.0.to_string() == "UnsupportedCertVersion")
}

/// Why we do not believe the scheduler, and what to do about it.
pub(super) fn distrust(error: &CertificateError) -> String {
    let reason = match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            return format!(
                "it expired at {}: renew it, and restart the scheduler, which reads it only when it starts",
                at(*not_after)
            );
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            return format!("it is valid from {} on: compare the clocks, or make it anew", at(*not_before));
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") };
            return format!(
                "it is not for {} but for {}: make it with that subject alternative name, or ask for one of its own",
                expected.to_str(),
                shown(&names)
            );
        }
        CertificateError::Expired => "it has expired, or ends before it begins: make it anew",
        CertificateError::UnknownIssuer => {
            "no certificate of the CA file issued it: the CA file must hold the CA that the scheduler's certificate \
             was made with"
        }
        CertificateError::BadSignature => {
            "a signature is wrong: the CA was made anew under its old name, or the scheduler has another \
             certificate's key"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage is not that of a server: make it with serverAuth, or without the extension"
        }
        error if is_version_1(error) => {
            "it is of X.509 version 1: make it anew as version 3 (openssl x509 -req with -extfile)"
        }
        CertificateError::Other(other) if other.0.to_string() == "CaUsedAsEndEntity" => {
            "it is a CA's and not in the CA file: put it there, or make one for the scheduler that is no CA"
        }
        error => return format!("{}: make it anew", shown(&error.to_string())),
    };
    reason.to_owned()
}

/// What a scheduler means that ends a TLS session with this alert, when it means our certificate.
pub(super) fn refusal(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::UnknownCA => {
            "it does not know who issued it: the scheduler's CA file must hold the certificate's issuer"
        }
        AlertDescription::CertificateExpired => "it has expired by the scheduler's clock: renew it",
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "it asks for one that it can use and got none: use a key of a kind that it supports"
        }
        AlertDescription::CertificateRevoked => "it is revoked: make it anew",
        AlertDescription::UnsupportedCertificate => {
            "it is of a kind or for a use that the scheduler does not take: make it with clientAuth, or without \
             extended key usage"
        }
        AlertDescription::DecryptError => {
            "its signature is wrong for the scheduler: the CA was made anew under its old name, or the key is another's"
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => {
            "it is not taken: make it with the CA of the scheduler's CA file; the scheduler's log says more"
        }
        _ => return None,
    })
}

fn at(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |time| time.to_string())
}

fn shown(text: &str) -> String {
    text.char_indices().take_while(|(at, _)| *at < SHOWN_BYTES).map(|(_, c)| c).collect()
}
