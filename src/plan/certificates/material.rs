//! From the bytes of a Secret to certificates and a private key: PEM, X.509, and what each one alone must be
//! like.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::time::ASN1Time;

use super::fault::{CA, CERTIFICATE, Fault, KEY};
use crate::api::Reason;

/// How PEM marks a private key with a password: in PKCS#8, and in the older form (RFC 1421).
const PASSWORD_MARKS: &[&str] = &["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];

/// The data of a Secret, with its name for messages.
pub struct Files<'a> {
    pub secret: &'a str,
    pub data: &'a BTreeMap<String, ByteString>,
}

impl Files<'_> {
    pub fn fault(&self, key: &str, reason: Reason, text: &str) -> Fault {
        Fault { reason, message: format!("Secret {}: {key}: {text}", self.secret) }
    }

    pub fn missing(&self, key: &str, what: &str) -> Fault {
        let text = format!("there is no such key, or it is empty; put {what} there, in PEM");
        self.fault(key, Reason::SecretKeyMissing, &text)
    }

    /// Whether there is anything under this key. cert-manager leaves `ca.crt` empty where its issuer tells no
    /// CA.
    pub fn has(&self, key: &str) -> bool {
        self.content(key).is_some()
    }

    fn content(&self, key: &str) -> Option<&[u8]> {
        self.data.get(key).map(|content| content.0.trim_ascii()).filter(|content| !content.is_empty())
    }

    /// The certificates under this key, one at least. None if there is no such key.
    pub fn certificates(&self, key: &str) -> Result<Option<Vec<CertificateDer<'static>>>, Fault> {
        let Some(content) = self.content(key) else { return Ok(None) };
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
        // What the error says is not passed on: it may quote a line of the file.
        let text = match read {
            Ok(certificates) if !certificates.is_empty() => return Ok(Some(certificates)),
            Ok(_) if content.starts_with(&[0x30]) => {
                "it is DER; convert it with `openssl x509 -inform der`, so that it begins with `-----BEGIN CERTIFICATE-----`"
            }
            Ok(_) => "there is no certificate in it; it has to begin with `-----BEGIN CERTIFICATE-----`",
            Err(_) => "it is damaged PEM; put the whole text of the certificate there, with all its lines",
        };
        Err(self.fault(key, Reason::CertificateNotPEM, text))
    }

    pub fn parse<'a>(&self, key: &str, der: &'a CertificateDer<'_>) -> Result<Parsed<'a>, Fault> {
        Parsed::of(der).ok_or_else(|| {
            let text = "a certificate in it is not X.509; put one there that `openssl x509 -text` can read";
            self.fault(key, Reason::CertificateNotPEM, text)
        })
    }

    /// Whether the certificate is of a version that rustls reads.
    pub fn check_version(&self, leaf: &Parsed<'_>) -> Result<(), Fault> {
        if leaf.0.version() == X509Version::V3 {
            return Ok(());
        }
        let text = "the certificate is not of X.509 version 3, which rustls needs; issue it with an extension, such as \
                    `openssl x509 -req -extfile` with subjectAltName";
        Err(self.fault(CERTIFICATE, Reason::UnsupportedCertificate, text))
    }

    /// Whether the certificate is one that a Dask process can show, as a server and as a client.
    pub fn check_use(&self, leaf: &Parsed<'_>) -> Result<(), Fault> {
        let unsupported = |text| Err(self.fault(CERTIFICATE, Reason::UnsupportedCertificate, text));
        if !leaf.serves_both() {
            return unsupported(
                "Dask uses one certificate as a server and as a client; issue it with both serverAuth and \
                 clientAuth in extendedKeyUsage, or without extendedKeyUsage",
            );
        }
        if !leaf.may_sign_handshake() {
            return unsupported(
                "issue the certificate with digitalSignature in keyUsage, or without keyUsage",
            );
        }
        Ok(())
    }

    /// Whether the private key is there, can be used, and is the certificate's.
    pub fn check_key(&self, leaf: &CertificateDer<'static>) -> Result<(), Fault> {
        // Python, too, looks into the certificate's file only if no file is given for the key.
        let (key, content) = match (self.content(KEY), self.content(CERTIFICATE)) {
            (Some(content), _) => (KEY, content),
            (None, Some(content)) => (CERTIFICATE, content),
            (None, None) => return Err(self.missing(KEY, "the private key")),
        };
        if has_password(content) {
            let text = "the private key has a password; put it there without: `openssl pkey -in KEY`";
            return Err(self.fault(key, Reason::KeyEncrypted, text));
        }
        let private = match PrivateKeyDer::from_pem_slice(content) {
            Ok(private) => private,
            Err(_) if key == CERTIFICATE => return Err(self.missing(KEY, "the private key")),
            Err(_) => {
                let text = "there is no private key in it, or it is damaged; it has to begin with \
                            `-----BEGIN PRIVATE KEY-----` and to have all its lines";
                return Err(self.fault(key, Reason::CertificateNotPEM, text));
            }
        };
        let signing = ring::default_provider().key_provider.load_private_key(private);
        let signing = signing.map_err(|_| self.unsupported_key(key))?;
        if CertifiedKey::new(vec![leaf.clone()], signing).keys_match().is_ok() {
            return Ok(());
        }
        let text = "it is the key of another certificate than the first one of tls.crt; put both there as they were issued, \
                    the certificate before those of its issuers";
        Err(self.fault(key, Reason::KeyMismatch, text))
    }

    fn unsupported_key(&self, key: &str) -> Fault {
        let text = "the key is of a kind that rustls cannot use; take ECDSA (P-256 or P-384), RSA (2048 to 4096 bits) or \
                    Ed25519";
        self.fault(key, Reason::UnsupportedKey, text)
    }

    /// Whether `now` is within the time for which a certificate was issued.
    pub fn check_time(&self, key: &str, certificate: &Parsed<'_>, now: Timestamp) -> Result<(), Fault> {
        let whose = if key == CA { "the CA" } else { "the certificate" };
        let (from, until) = (certificate.not_before(), certificate.not_after());
        if now > until {
            let text = format!("{whose} has expired at {until}; put a new one there");
            return Err(self.fault(key, Reason::CertificateExpired, &text));
        }
        if now < from {
            let text = format!("{whose} is valid from {from} on; wait until then, or put another one there");
            return Err(self.fault(key, Reason::CertificateNotYetValid, &text));
        }
        Ok(())
    }
}

fn has_password(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    PASSWORD_MARKS.iter().any(|mark| text.contains(mark))
}

/// The first certificate of a PEM text.
pub fn first_certificate(pem: &[u8]) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem).ok()
}

/// What a certificate says of itself.
pub struct Parsed<'a>(X509Certificate<'a>);

impl<'a> Parsed<'a> {
    /// None if this is not a certificate, or more than one.
    pub fn of(der: &'a CertificateDer<'_>) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der.as_ref()).ok()?;
        rest.is_empty().then_some(Self(certificate))
    }

    pub fn not_before(&self) -> Timestamp {
        moment(self.0.validity().not_before)
    }

    pub fn not_after(&self) -> Timestamp {
        moment(self.0.validity().not_after)
    }

    /// Whether it says that it issued itself.
    pub fn is_self_issued(&self) -> bool {
        self.0.subject().as_raw() == self.0.issuer().as_raw()
    }

    /// Whether it may have issued the other one, by their names and, where both have one, the identifier of
    /// its key.
    pub fn has_issued(&self, other: &Self) -> bool {
        let asked = other.authority_key();
        let own = self.subject_key();
        let is_key = asked.zip(own).is_none_or(|(asked, own)| asked == own);
        self.0.subject().as_raw() == other.0.issuer().as_raw() && is_key && self.may_issue()
    }

    /// Whether both are of one name and key.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.subject().as_raw() == other.0.subject().as_raw()
            && self.0.public_key().raw == other.0.public_key().raw
    }

    /// What Python refuses from 3.13 on, and what to issue it with instead. `has_issuer`: it is not the root.
    pub fn strict_fault(&self, has_issuer: bool) -> Option<(&'static str, &'static str)> {
        let constraints = self.0.basic_constraints().ok().flatten();
        let is_ca = constraints.as_ref().is_some_and(|constraints| constraints.value.ca);
        let usage = self.0.key_usage().ok().flatten();
        let signs = usage.as_ref().is_some_and(|usage| usage.value.key_cert_sign());
        if self.0.version() != X509Version::V3 {
            return Some(("it is not of X.509 version 3", "basicConstraints=critical,CA:TRUE"));
        }
        if !is_ca && self.may_issue() {
            return Some(("it has no basicConstraints", "basicConstraints=critical,CA:TRUE"));
        }
        if is_ca && constraints.as_ref().is_some_and(|constraints| !constraints.critical) {
            return Some(("its basicConstraints are not critical", "basicConstraints=critical,CA:TRUE"));
        }
        if is_ca && usage.is_none() {
            return Some(("it has no keyUsage", "keyUsage=critical,keyCertSign,cRLSign"));
        }
        let has_path =
            constraints.as_ref().is_some_and(|constraints| constraints.value.path_len_constraint.is_some());
        if has_path && !signs {
            return Some(("it limits the path and may not sign", "keyUsage=critical,keyCertSign,cRLSign"));
        }
        if !is_ca && signs {
            return Some(("it is no CA and has keyCertSign", "keyUsage=critical,digitalSignature"));
        }
        if self.0.issuer().iter().next().is_none() {
            return Some(("its issuer has no name", "a subject of the issuer"));
        }
        if self.0.subject().iter().next().is_none() && !self.has_critical_names() {
            return Some(("it has no subject", "a subject, or subjectAltName=critical,…"));
        }
        if is_ca && self.subject_key().is_none() {
            return Some(("it has no subjectKeyIdentifier", "subjectKeyIdentifier=hash"));
        }
        if has_issuer && self.authority_key().is_none() {
            return Some(("it has no authorityKeyIdentifier", "authorityKeyIdentifier=keyid"));
        }
        let is_critical = |one: &X509Extension<'_>| one.critical && is_key_identifier(one);
        self.0.extensions().iter().any(is_critical).then_some((
            "an identifier of a key is critical",
            "subjectKeyIdentifier and authorityKeyIdentifier that are not critical",
        ))
    }

    fn has_critical_names(&self) -> bool {
        self.0.subject_alternative_name().ok().flatten().is_some_and(|names| names.critical)
    }

    fn subject_key(&self) -> Option<&[u8]> {
        self.0.extensions().iter().find_map(|one| match one.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0),
            _ => None,
        })
    }

    fn authority_key(&self) -> Option<&[u8]> {
        self.0.extensions().iter().find_map(|one| match one.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(key) => key.key_identifier.as_ref().map(|key| key.0),
            _ => None,
        })
    }

    /// Whether OpenSSL lets it issue others: a CA by its basicConstraints, or without any by its keyUsage;
    /// and any of version 1, which could not say.
    pub fn may_issue(&self) -> bool {
        if self.0.version() == X509Version::V1 {
            return true;
        }
        match self.0.basic_constraints() {
            Ok(Some(constraints)) => constraints.value.ca,
            Ok(None) => {
                self.0.key_usage().is_ok_and(|usage| usage.is_some_and(|usage| usage.value.key_cert_sign()))
            }
            Err(_) => false,
        }
    }

    /// Whether its extendedKeyUsage, where it has one, allows servers and clients. OpenSSL wants both words
    /// even where anyExtendedKeyUsage is there.
    fn serves_both(&self) -> bool {
        match self.0.extended_key_usage() {
            Ok(Some(usage)) => usage.value.server_auth && usage.value.client_auth,
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Whether its keyUsage, where it has one, is what OpenSSL asks of a client (`check_purpose_ssl_client`).
    fn may_sign_handshake(&self) -> bool {
        match self.0.key_usage() {
            Ok(Some(usage)) => usage.value.digital_signature() || usage.value.key_agreement(),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Its DNS names, sorted, each once.
    pub fn names(&self) -> Vec<String> {
        let Ok(Some(alternative)) = self.0.subject_alternative_name() else { return Vec::new() };
        let dns = alternative.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let mut names: Vec<String> = dns.collect();
        names.sort();
        names.dedup();
        names
    }
}

fn is_key_identifier(extension: &X509Extension<'_>) -> bool {
    use ParsedExtension::{AuthorityKeyIdentifier, SubjectKeyIdentifier};
    matches!(extension.parsed_extension(), AuthorityKeyIdentifier(_) | SubjectKeyIdentifier(_))
}

/// The moment in jiff's words. "Never" is 9999-12-31T23:59:59Z in X.509 (RFC 5280, 4.1.2.5), a day after
/// jiff's last.
fn moment(time: ASN1Time) -> Timestamp {
    let seconds = time.timestamp();
    let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(end)
}
