//! TLS towards a scheduler: what we show it, and the session itself.
//!
//! Dask's TLS is mutual: each side shows a certificate, and believes those that its CA file names or issued.
//! [`trust`] is how we believe; here is what we show, read from the three files that Dask itself is
//! configured with (`ca-file`, `cert`, `key`). TLS 1.2 and 1.3, with ring as the only provider of
//! cryptography.
//!
//! **A short `ClientHello` kills a plain scheduler.** Dask's plain port takes the first eight bytes for a
//! length and gets as much memory. Of a `ClientHello` below 256 bytes they read as about 2 TiB: where the
//! kernel overcommits, as the nodes of Kubernetes do, the memory is there and Python begins to fill it with
//! zeros, and the scheduler answers nobody until it is killed (measured on 2022.2.0 to 2026.8.0 with rustls'
//! own 205 bytes). From 256 bytes on they read as 64 PiB, which no kernel gives: the scheduler drops that one
//! connection at once (measured on the same). So a wrong `tls://` must not be sent in few bytes, and
//! [`HELLO_PADDING`] makes them more.
//!
//! Sessions are not resumed: connections are kept for long, so little would be gained, and a certificate that
//! has expired since would go unseen.
//!
//! [`trust`]: super::trust
use super::error::Error;
use super::trust::{self, Trust};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, InconsistentKeys, InvalidMessage};
use std::sync::Arc;
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What marks a private key that needs a password: PKCS#8's own kind of part, and the header of the older
/// kinds.
const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// A protocol that nobody speaks, offered only to make every `ClientHello` longer than 255 bytes. Dask's
/// listeners ask for no application protocol, and so leave it unread.
const HELLO_PADDING: &[u8] = b"x-padding-that-makes-a-plain-dask-port-drop-this-connection-at-once";

/// What is shown to a scheduler, and what is believed of it. A clone is cheap and the same; new files are new
/// credentials.
#[derive(Clone)]
pub struct Credentials {
    trust: Arc<Trust>,
    shown: Arc<CertifiedKey>,
    config: Arc<ClientConfig>,
    /// Whom to ask for in place of the host of the address.
    asked_for: Option<ServerName<'static>>,
}

/// Which of the three files cannot be used, and why. No text has any part of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The CA file.
    #[error("CA file {0}")]
    Ca(FileFault),
    /// The certificate file.
    #[error("certificate file {0}")]
    Certificate(FileFault),
    /// The key file.
    #[error("key file {0}")]
    Key(FileFault),
    /// The name that the scheduler's certificate must be for, cut to 80 characters.
    #[error("host name {0:?} is none: write a DNS name, or an IP address without brackets")]
    HostName(String),
}

/// What is wrong with a file. Reads as what follows the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// Not PEM, or of other things only.
    #[error("has no certificate: it must be PEM, with a part -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// Not PEM, or of other things only.
    #[error(
        "has no private key: it must be PEM, with a part -----BEGIN PRIVATE KEY----- (or EC or RSA PRIVATE KEY)"
    )]
    NoKey,
    /// The key file is empty, and the certificate file has certificates only.
    #[error("is empty, and the certificate file has no private key either: give the key in one of them")]
    NoKeyInEither,
    /// PEM that was cut, or has lost its line breaks.
    #[error("is broken PEM: give it whole, with its line breaks")]
    BrokenPem,
    /// The key needs a password.
    #[error("has a private key under a password: take the password off (openssl pkey -in KEY -out NEW)")]
    EncryptedKey,
    /// The key is broken, or of a kind that is not known.
    #[error(
        "has a private key that cannot be used: make it RSA of 2048 bits or more, ECDSA P-256 or P-384, or Ed25519"
    )]
    UnusableKey,
    /// The key is good, but not that of our certificate.
    #[error("has the private key of another certificate than the first one of the certificate file")]
    KeyOfAnother,
    /// What `openssl x509 -req` makes without extensions.
    #[error(
        "has a certificate of X.509 version 1: make it anew as version 3 (openssl x509 -req with -extfile)"
    )]
    Version1,
    /// The text is webpki's.
    #[error("has a certificate that cannot be used ({0}): make it anew")]
    UnusableCertificate(String),
}

impl Credentials {
    /// Reads the three files, all of them PEM. `ca` may have several certificates; those that cannot be
    /// issuers are left out while there is another. `certificate` is ours, followed by those between it and
    /// the CA, if any. `key` is PKCS#8, SEC1 or PKCS#1; when it is empty the key is looked for in
    /// `certificate`, as Dask does. Whether our certificate has expired is for the scheduler to say.
    pub fn from_pem(ca: &[u8], certificate: &[u8], key: &[u8]) -> Result<Self, CredentialsError> {
        let provider = ring::default_provider();
        let trust = Trust::of(
            certificates(ca).map_err(CredentialsError::Ca)?,
            provider.signature_verification_algorithms,
        )
        .map_err(|error| CredentialsError::Ca(unusable(&error)))?;
        let chain = certificates(certificate).map_err(CredentialsError::Certificate)?;
        let is_in_certificate = key.trim_ascii().is_empty();
        let blame = if is_in_certificate { CredentialsError::Certificate } else { CredentialsError::Key };
        let key =
            private_key(if is_in_certificate { certificate } else { key }).map_err(|fault| match fault {
                FileFault::NoKey if is_in_certificate => CredentialsError::Key(FileFault::NoKeyInEither),
                fault => blame(fault),
            })?;
        let shown = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => blame(FileFault::KeyOfAnother),
            rustls::Error::InvalidCertificate(_) => CredentialsError::Certificate(unusable(&error)),
            _ => blame(FileFault::UnusableKey),
        })?;
        Self::of(Arc::new(trust), Arc::new(shown), provider)
    }

    /// Believes only a scheduler whose certificate is also for this name, a DNS name or an IP address: one of
    /// its subject alternative names. Dask itself looks at no names.
    pub fn checking_host_name(self, name: &str) -> Result<Self, CredentialsError> {
        let trust = Trust::clone(&self.trust).with_host_name(server_name(name)?);
        let made = Self::of(Arc::new(trust), self.shown, ring::default_provider())?;
        Ok(Self { asked_for: self.asked_for, ..made })
    }

    /// Asks for this name in TLS' SNI, and not for the host of the address: a proxy knows schedulers by it.
    pub fn asking_for(self, name: &str) -> Result<Self, CredentialsError> {
        Ok(Self { asked_for: Some(server_name(name)?), ..self })
    }

    fn of(
        trust: Arc<Trust>,
        shown: Arc<CertifiedKey>,
        provider: CryptoProvider,
    ) -> Result<Self, CredentialsError> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| CredentialsError::Certificate(unusable(&error)))?
            .dangerous()
            .with_custom_certificate_verifier(trust.clone())
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown.clone())));
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![HELLO_PADDING.to_vec()];
        Ok(Self { trust, shown, config: Arc::new(config), asked_for: None })
    }

    /// Makes a session over a connection to `host`. It has no time limit of its own.
    pub(super) async fn secure<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match &self.asked_for {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|error| {
                Error::Unreachable(io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))
            })?,
        };
        TlsConnector::from(self.config.clone()).connect(name, stream).await.map_err(named)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (issuers, host_name) = self.trust.summary();
        f.debug_struct("Credentials")
            .field("issuers", &issuers)
            .field("host_name", &host_name)
            .finish_non_exhaustive()
    }
}

/// What an error of a stream means that may be a TLS session. With TLS 1.3 a scheduler that refuses our
/// certificate says so at the first read only, after a handshake that seemed to succeed (measured).
pub(super) fn named(error: io::Error) -> Error {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return Error::Closed(Some(error));
    };
    match tls {
        rustls::Error::AlertReceived(alert) => match trust::refusal(*alert) {
            Some(reason) => Error::CredentialsRefused { reason },
            None => Error::Tls(tls.clone()),
        },
        rustls::Error::InvalidCertificate(error) => Error::Untrusted { reason: trust::distrust(error) },
        // The first bytes of a plain Dask port, or of HTTP.
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Error::WrongScheme("the port does not speak TLS: write tcp:// for tls://"),
        tls => Error::Tls(tls.clone()),
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, CredentialsError> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| CredentialsError::HostName(name.chars().take(80).collect()))
}

fn certificates(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(file).collect::<Result<_, _>>().map_err(|_| FileFault::BrokenPem)?;
    if found.is_empty() { Err(FileFault::NoCertificate) } else { Ok(found) }
}

/// The words of the PEM reader are not given on: they may quote a line of the file.
fn private_key(file: &[u8]) -> Result<PrivateKeyDer<'static>, FileFault> {
    let found = PrivateKeyDer::from_pem_slice(file);
    let is_encrypted = ENCRYPTED.iter().any(|mark| file.windows(mark.len()).any(|window| window == *mark));
    match found {
        Ok(key) => Ok(key),
        Err(_) if is_encrypted => Err(FileFault::EncryptedKey),
        Err(pem::Error::NoItemsFound) => Err(FileFault::NoKey),
        Err(_) => Err(FileFault::BrokenPem),
    }
}

fn unusable(error: &rustls::Error) -> FileFault {
    match error {
        rustls::Error::InvalidCertificate(error) if trust::is_version_1(error) => FileFault::Version1,
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => {
            FileFault::UnusableCertificate(other.0.to_string())
        }
        rustls::Error::InvalidCertificate(error) => FileFault::UnusableCertificate(error.to_string()),
        error => FileFault::UnusableCertificate(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::AlertDescription;

    fn of_tls(error: rustls::Error) -> Error {
        named(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn alerts_about_our_certificate_are_told_from_others() {
        let ours = [
            (AlertDescription::CertificateRequired, "got none"),
            (AlertDescription::NoCertificate, "got none"),
            (AlertDescription::UnknownCA, "scheduler's CA file"),
            (AlertDescription::BadCertificate, "scheduler's log"),
            (AlertDescription::CertificateUnknown, "scheduler's log"),
            (AlertDescription::AccessDenied, "scheduler's log"),
            (AlertDescription::CertificateExpired, "renew it"),
            (AlertDescription::CertificateRevoked, "anew"),
            (AlertDescription::UnsupportedCertificate, "clientAuth"),
            (AlertDescription::DecryptError, "the key is another's"),
        ];
        for (alert, part) in ours {
            let error = of_tls(rustls::Error::AlertReceived(alert));
            assert!(matches!(error, Error::CredentialsRefused { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.starts_with("scheduler refused our certificate: ") && text.contains(part), "{text}");
        }
        for alert in [AlertDescription::HandshakeFailure, AlertDescription::ProtocolVersion] {
            let error = of_tls(rustls::Error::AlertReceived(alert));
            assert!(matches!(error, Error::Tls(_)), "{error:?}");
        }
    }

    #[test]
    fn an_error_of_the_stream_below_is_a_closed_connection() {
        let error = named(io::ErrorKind::ConnectionReset.into());
        assert!(
            matches!(&error, Error::Closed(Some(error)) if error.kind() == io::ErrorKind::ConnectionReset)
        );
    }

    #[test]
    fn every_reason_against_the_scheduler_tells_what_to_do() {
        let cases = [
            (CertificateError::Expired, "make it anew"),
            (CertificateError::UnknownIssuer, "the CA file must hold"),
            (CertificateError::BadSignature, "the CA was made anew"),
            (CertificateError::InvalidPurpose, "serverAuth"),
            (CertificateError::UnhandledCriticalExtension, "make it anew"),
        ];
        for (error, part) in cases {
            let error = of_tls(error.into());
            assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
