//! TLS towards a scheduler: which certificates are believed, which of ours are taken, and what the errors
//! say.
//!
//! The schedulers are scripts in this program behind rustls; `real_tls.rs` has real ones. Keys of other forms
//! than PKCS#8 are made by the program openssl.

use super::certificates::{
    Authority, Pair, VERSION_1, openssl, self_signed_authority, self_signed_expired, self_signed_plain,
};
use super::peer::{answer, handshake, peer};
use daskflow::dask::tls::FileFault;
use daskflow::dask::{Address, Credentials, CredentialsError, Error, MembershipStream, Scheduler, Scheme};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Long enough for anything that comes at all.
const PLENTY: Duration = Duration::from_secs(20);

/// Short, where nothing is going to come.
const BRIEF: Duration = Duration::from_millis(100);

/// Both versions of TLS that are spoken.
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A scheduler on 127.0.0.1 that shows `shown` and takes the clients of `clients`. On each connection it
/// shakes hands and answers one question for its workers: one, with two threads.
async fn scheduler(shown: &Pair, clients: &Authority, version: &'static SupportedProtocolVersion) -> Address {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let chain: Result<_, _> = CertificateDer::pem_slice_iter(shown.certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
    // Unchecked, because some tests show the certificate of another key.
    let shown = CertifiedKey::new(chain.unwrap(), provider.key_provider.load_private_key(key).unwrap());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let (plain, _requests) = peer(vec![handshake(), answer(&json!({"tcp://a:1": 2}))]).await;
                let mut plain = TcpStream::connect((plain.host(), plain.port())).await.unwrap();
                tokio::io::copy_bidirectional(&mut stream, &mut plain).await.unwrap_or_default();
            });
        }
    });
    Address::new(Scheme::Tls, "127.0.0.1", port).unwrap()
}

fn credentials(ca: &str, ours: &Pair) -> Credentials {
    Credentials::from_pem(ca.as_bytes(), ours.certificate.as_bytes(), ours.key.as_bytes()).unwrap()
}

async fn ask(address: &Address, credentials: &Credentials) -> Result<u64, Error> {
    let mut scheduler = Scheduler::connect(address, Some(credentials), PLENTY).await?;
    Ok(scheduler.ncores().await?.values().sum())
}

/// What comes of asking a scheduler that shows `shown`, with `ca` for CA file, over either version of TLS.
/// Ours is good.
async fn asked(shown: &Pair, ca: &str) -> [Result<u64, Error>; 2] {
    asked_with(shown, ca, |credentials| credentials).await
}

async fn asked_with(
    shown: &Pair,
    ca: &str,
    strict: impl Fn(Credentials) -> Credentials,
) -> [Result<u64, Error>; 2] {
    let clients = Authority::new("clients");
    let ours = strict(credentials(ca, &clients.issue(&[])));
    let [old, new] = VERSIONS.map(|version| scheduler(shown, &clients, version));
    [ask(&old.await, &ours).await, ask(&new.await, &ours).await]
}

#[track_caller]
fn answered(answers: [Result<u64, Error>; 2]) {
    for answer in answers {
        assert!(matches!(answer, Ok(2)), "{answer:?}");
    }
}

#[track_caller]
fn untrusted(answers: [Result<u64, Error>; 2], part: &str) {
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// What the files are refused for, in words that a user reads.
fn refused(ca: &str, certificate: &str, key: &str) -> CredentialsError {
    Credentials::from_pem(ca.as_bytes(), certificate.as_bytes(), key.as_bytes()).unwrap_err()
}

#[tokio::test]
async fn what_the_ca_issued_is_believed_whatever_its_names() {
    let ca = Authority::new("ca");
    for names in [["127.0.0.1"].as_slice(), &["other.example"], &[]] {
        answered(asked(&ca.issue(names), &ca.pem).await);
    }
}

#[tokio::test]
async fn what_a_shown_intermediate_issued_is_believed() {
    let ca = Authority::new("ca");
    let between = ca.authority("between");
    let mut shown = between.issue(&[]);
    untrusted(asked(&shown, &ca.pem).await, "no certificate of the CA file issued it");
    shown.certificate.push_str(&between.pem);
    answered(asked(&shown, &ca.pem).await);
}

#[tokio::test]
async fn a_self_signed_certificate_in_the_ca_file_is_believed() {
    for shown in [self_signed_authority("all"), self_signed_plain(&["scheduler"]), self_signed_plain(&[])] {
        answered(asked(&shown, &shown.certificate).await);
        // Among others, wherever it stands.
        let other = Authority::new("other").pem;
        answered(asked(&shown, &(other.clone() + &shown.certificate)).await);
        answered(asked(&shown, &(shown.certificate.clone() + &other)).await);
    }
}

#[tokio::test]
async fn a_self_signed_certificate_that_only_looks_like_it_is_not() {
    let (ours, theirs) = (self_signed_authority("all"), self_signed_authority("all"));
    untrusted(asked(&theirs, &ours.certificate).await, "put it there");
    let (ours, theirs) = (self_signed_plain(&["scheduler"]), self_signed_plain(&["scheduler"]));
    untrusted(asked(&theirs, &ours.certificate).await, "a signature is wrong");
}

#[tokio::test]
async fn a_certificate_shown_without_its_key_is_not_believed() {
    let ca = Authority::new("ca");
    for (copied, ca) in [
        (self_signed_authority("all"), None),
        (self_signed_plain(&[]), None),
        (ca.issue(&["127.0.0.1"]), Some(&ca.pem)),
    ] {
        let ca = ca.unwrap_or(&copied.certificate);
        let shown = Pair { key: self_signed_plain(&[]).key, ..copied.clone() };
        untrusted(asked(&shown, ca).await, "another certificate's key");
    }
}

#[tokio::test]
async fn another_ca_is_not_believed() {
    let ca = Authority::new("ca");
    let shown = ca.issue(&["127.0.0.1"]);
    let other = Authority::new("other").pem;
    untrusted(asked(&shown, &other).await, "no certificate of the CA file issued it");
    let anew = Authority::new("ca").pem;
    untrusted(asked(&shown, &anew).await, "the CA was made anew under its old name");
}

#[tokio::test]
async fn what_is_not_valid_now_is_not_believed() {
    let ca = Authority::new("ca");
    let (expired, early) = (ca.issue_expired(&[]), ca.issue_early(&[]));
    untrusted(asked(&expired, &ca.pem).await, "it expired at 2020-01-01T00:00:00Z: renew it");
    untrusted(asked(&early, &ca.pem).await, "it is valid from 3000-01-01T00:00:00Z on: compare the clocks");
    // Even when it stands in the CA file itself.
    for (shown, part) in [(expired, "expired at"), (early, "compare the clocks")] {
        untrusted(asked(&shown, &shown.certificate).await, part);
        untrusted(asked(&shown, &(ca.pem.clone() + &shown.certificate)).await, part);
    }
    let alone = self_signed_expired(&["scheduler"]);
    untrusted(asked(&alone, &alone.certificate).await, "expired at");
}

#[tokio::test]
async fn version_1_of_x509_is_told_from_a_stranger() {
    let shown = Pair { certificate: VERSION_1.to_owned(), key: self_signed_plain(&[]).key };
    untrusted(asked(&shown, VERSION_1).await, "X.509 version 1: make it anew as version 3");
}

#[tokio::test]
async fn names_are_looked_at_when_that_is_asked_for() {
    let strict = |name: &'static str| move |ours: Credentials| ours.checking_host_name(name).unwrap();
    let ca = Authority::new("ca");
    let shown = ca.issue(&["scheduler.flows.svc", "127.0.0.1"]);
    for name in ["scheduler.flows.svc", "127.0.0.1"] {
        answered(asked_with(&shown, &ca.pem, strict(name)).await);
    }
    for name in ["scheduler.flows", "127.0.0.2"] {
        let answers = asked_with(&shown, &ca.pem, strict(name)).await;
        untrusted(answers, &format!("it is not for {name} but for DnsName(\"scheduler.flows.svc\")"));
    }
    untrusted(asked_with(&ca.issue(&[]), &ca.pem, strict("a.b")).await, "but for no name at all");
    // The last name counts, and the CA file naming the certificate is not enough.
    let twice = |ours: Credentials| strict("scheduler.flows.svc")(strict("a.b")(ours));
    answered(asked_with(&shown, &ca.pem, twice).await);
    let alone = self_signed_plain(&["scheduler"]);
    answered(asked_with(&alone, &alone.certificate, strict("scheduler")).await);
    untrusted(asked_with(&alone, &alone.certificate, strict("a.b")).await, "not for a.b");
    let ours = credentials(&ca.pem, &ca.issue(&[]));
    let error = ours.checking_host_name("[::1]").unwrap_err();
    assert!(error.to_string().contains("without brackets"), "{error}");
}

#[tokio::test]
async fn a_refused_certificate_of_ours_is_no_broken_connection() {
    let (ca, clients) = (Authority::new("ca"), Authority::new("clients"));
    let cases = [
        (Authority::new("strangers").issue(&[]), "does not know who issued it"),
        (clients.issue_expired(&[]), "has expired by the scheduler's clock"),
        (self_signed_authority("all"), "make it"),
    ];
    for version in VERSIONS {
        let address = scheduler(&ca.issue(&[]), &clients, version).await;
        for (ours, part) in &cases {
            let ours = credentials(&ca.pem, ours);
            let error = Scheduler::connect(&address, Some(&ours), PLENTY).await.unwrap_err();
            assert!(matches!(error, Error::CredentialsRefused { .. }), "{version:?}: {error:?}");
            assert!(error.to_string().contains(part), "{error}");
            let error = MembershipStream::connect(&address, Some(&ours), PLENTY).await.unwrap_err();
            assert!(matches!(error, Error::CredentialsRefused { .. }), "{version:?}: {error:?}");
        }
        // It goes on for others, and with the same credentials again.
        let ours = credentials(&ca.pem, &clients.issue(&[]));
        for _ in 0..2 {
            assert!(matches!(ask(&address, &ours).await, Ok(2)));
        }
    }
}

#[tokio::test]
async fn the_wrong_scheme_is_told_either_way() {
    let ca = Authority::new("ca");
    let ours = credentials(&ca.pem, &ca.issue(&[]));
    let (plain, _requests) = peer(vec![handshake()]).await;
    let address = Address::new(Scheme::Tls, plain.host(), plain.port()).unwrap();
    let error = Scheduler::connect(&address, Some(&ours), PLENTY).await.unwrap_err();
    assert!(
        matches!(error, Error::WrongScheme(text) if text.contains("write tcp:// for tls://")),
        "{error:?}"
    );
    for version in VERSIONS {
        let address = scheduler(&ca.issue(&[]), &ca, version).await;
        let error = Scheduler::connect(&address, None, PLENTY).await.unwrap_err();
        assert!(
            matches!(error, Error::WrongScheme(text) if text.contains("needs certificates")),
            "{error:?}"
        );
        let address = Address::new(Scheme::Tcp, address.host(), address.port()).unwrap();
        // Credentials are of no use there.
        for ours in [None, Some(&ours)] {
            let error = Scheduler::connect(&address, ours, PLENTY).await.unwrap_err();
            assert!(matches!(error, Error::WrongScheme(text) if text.contains("TLS")), "{error:?}");
        }
    }
}

#[tokio::test]
async fn the_session_is_within_the_deadline() {
    let ca = Authority::new("ca");
    let ours = credentials(&ca.pem, &ca.issue(&[]));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::new(Scheme::Tls, "127.0.0.1", silent.local_addr().unwrap().port()).unwrap();
    let error = Scheduler::connect(&address, Some(&ours), BRIEF).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { limit: BRIEF, .. }), "{error:?}");
}

/// The first eight bytes are what a plain Dask port gets memory for: of a short hello 2 TiB, which it may be
/// given and dies of, of one of 256 bytes and more 64 PiB, which it never is.
#[tokio::test]
async fn a_hello_asks_a_plain_port_for_more_memory_than_there_can_be() {
    let ca = Authority::new("ca");
    let ours = credentials(&ca.pem, &ca.issue(&[]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // An address of digits makes the shortest hello: it names no server.
    let address = Address::new(Scheme::Tls, "127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let connecting = tokio::spawn(async move { Scheduler::connect(&address, Some(&ours), PLENTY).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    let length = stream.read_u64_le().await.unwrap();
    assert!(length >= 1 << 56, "{length:#x}");
    connecting.abort();
}

#[test]
fn keys_of_every_form_are_read_wherever_they_stand() {
    let ca = Authority::new("ca");
    let ours = ca.issue(&[]);
    let sec1 = openssl(&["ec"], &ours.key);
    assert!(sec1.contains("BEGIN EC PRIVATE KEY"), "openssl made another form");
    for key in [&ours.key, &sec1] {
        credentials(&ca.pem, &Pair { key: key.clone(), ..ours.clone() });
        // In the certificate file, before or after the certificate.
        for certificate in [format!("{key}{}", ours.certificate), format!("{}{key}", ours.certificate)] {
            credentials(&ca.pem, &Pair { certificate, key: " \n".to_owned() });
        }
    }
    let pkcs8 = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "");
    let ours = ca.issue_for(&rcgen::KeyPair::from_pem(&pkcs8).unwrap());
    let pkcs1 = openssl(&["rsa", "-traditional"], &pkcs8);
    assert!(pkcs1.contains("BEGIN RSA PRIVATE KEY"), "openssl made another form");
    for key in [pkcs8, pkcs1] {
        credentials(&ca.pem, &Pair { key, ..ours.clone() });
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_never_quoted() {
    let ca = Authority::new("ca");
    let ours = ca.issue(&[]);
    let (certificate, key) = (ours.certificate.as_str(), ours.key.as_str());
    let one_line = key.replace('\n', "");
    let encrypted = openssl(&["pkcs8", "-topk8", "-passout", "pass:secret"], key);
    let encrypted_sec1 = openssl(&["ec", "-aes256", "-passout", "pass:secret"], key);
    let odd = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp521r1"], "");
    let cut = &key[..key.len() / 2];
    let other = self_signed_plain(&[]).key;
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (of_ca, of_certificate, of_key) =
        (CredentialsError::Ca, CredentialsError::Certificate, CredentialsError::Key);
    let cases = [
        (refused("", certificate, key), of_ca(FileFault::NoCertificate)),
        (refused("no PEM", certificate, key), of_ca(FileFault::NoCertificate)),
        (refused(key, certificate, key), of_ca(FileFault::NoCertificate)),
        (refused(&ca.pem.replace('\n', ""), certificate, key), of_ca(FileFault::BrokenPem)),
        (refused(&ca.pem, "no PEM", key), of_certificate(FileFault::NoCertificate)),
        (refused(&ca.pem, &certificate[..99], key), of_certificate(FileFault::BrokenPem)),
        (refused(&ca.pem, VERSION_1, key), of_certificate(FileFault::Version1)),
        (refused(&ca.pem, certificate, "no PEM"), of_key(FileFault::NoKey)),
        (refused(&ca.pem, certificate, certificate), of_key(FileFault::NoKey)),
        (refused(&ca.pem, certificate, ""), of_key(FileFault::NoKeyInEither)),
        (refused(&ca.pem, certificate, cut), of_key(FileFault::BrokenPem)),
        (refused(&ca.pem, certificate, &one_line), of_key(FileFault::BrokenPem)),
        (refused(&ca.pem, certificate, &encrypted), of_key(FileFault::EncryptedKey)),
        (refused(&ca.pem, certificate, &encrypted_sec1), of_key(FileFault::EncryptedKey)),
        (refused(&ca.pem, certificate, &odd), of_key(FileFault::UnusableKey)),
        (refused(&ca.pem, certificate, &other), of_key(FileFault::KeyOfAnother)),
        (refused(&ca.pem, &format!("{certificate}{other}"), ""), of_certificate(FileFault::KeyOfAnother)),
        (refused(&ca.pem, &format!("{certificate}{encrypted}"), ""), of_certificate(FileFault::EncryptedKey)),
        // The first certificate is ours; those of the CA come after it.
        (refused(&ca.pem, &format!("{}{certificate}", ca.pem), key), of_key(FileFault::KeyOfAnother)),
    ];
    let secrets: Vec<&str> =
        [key, &odd, &other, &encrypted, &encrypted_sec1].iter().flat_map(|key| key.lines()).collect();
    for (error, expected) in cases {
        assert_eq!(error, expected);
        let text = format!("{error} {error:?}");
        let quoted =
            secrets.iter().find(|line| !line.starts_with("-----") && line.len() > 8 && text.contains(*line));
        assert_eq!(quoted, None, "{text}");
    }
    for (error, file) in [
        (refused(no_der, certificate, key), "CA file has a certificate that cannot be used ("),
        (refused(&ca.pem, no_der, key), "certificate file has a certificate that cannot be used ("),
    ] {
        assert!(error.to_string().starts_with(file), "{error}");
    }
    let text = format!("{:?}", credentials(&ca.pem, &ours).checking_host_name("a.b").unwrap());
    assert_eq!(text, r#"Credentials { issuers: 1, host_name: Some(DnsName("a.b")), .. }"#);
}

#[tokio::test]
async fn one_bad_certificate_does_not_spoil_the_ca_file() {
    let ca = Authority::new("ca");
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for file in [format!("{no_der}{}", ca.pem), format!("{}{no_der}{VERSION_1}", ca.pem)] {
        answered(asked(&ca.issue(&[]), &file).await);
    }
}
