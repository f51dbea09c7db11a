#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::api::Reason;

/// The files of `testdata`, which its `make.sh` made with OpenSSL.
macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("testdata/", $name))
    };
}

const CA_FILE: &str = pem!("ca.crt");
const LEAF: &str = pem!("leaf.crt");
const LEAF_KEY: &str = pem!("leaf.key");
const SECRET: &str = "team-a/my-tls";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A moment at which all certificates are valid, but for the ones that were made for a day.
fn now() -> Timestamp {
    at("2030-01-01T00:00:00Z")
}

/// The data of a Secret; a file that is empty is not in it.
fn secret(ca: &str, certificate: &str, key: &str) -> BTreeMap<String, ByteString> {
    [(CA, ca), (CERTIFICATE, certificate), (KEY, key)]
        .into_iter()
        .filter(|(_, content)| !content.is_empty())
        .map(|(key, content)| (key.to_owned(), ByteString(content.as_bytes().to_vec())))
        .collect()
}

fn good(data: &BTreeMap<String, ByteString>) -> Certificates {
    read(SECRET, data, now()).unwrap()
}

/// That the message is of the secret and the key, is one line, and has no line of a file in it.
fn assert_tells(fault: &Fault, key: &str, data: &BTreeMap<String, ByteString>) {
    assert!(fault.message.starts_with(&format!("Secret {SECRET}: {key}: ")), "{}", fault.message);
    assert!(!fault.message.contains('\n') && !fault.message.contains("  "), "{}", fault.message);
    for content in data.values() {
        let text = String::from_utf8_lossy(&content.0);
        // Lines that name what follows are quoted in advice; all others are content.
        for line in text.lines().filter(|line| line.len() >= 4 && !line.starts_with('-')) {
            assert!(!fault.message.contains(line), "{line}: {}", fault.message);
        }
    }
}

#[rstest]
#[case::pkcs8(CA_FILE, LEAF, LEAF_KEY)]
#[case::sec1(CA_FILE, LEAF, pem!("leaf-sec1.key"))]
#[case::key_behind_the_certificate(CA_FILE, concat!(pem!("leaf.crt"), pem!("leaf.key")), "")]
#[case::p384(CA_FILE, pem!("p384.crt"), pem!("p384.key"))]
#[case::ed25519(CA_FILE, pem!("ed25519.crt"), pem!("ed25519.key"))]
#[case::rsa(CA_FILE, pem!("rsa.crt"), pem!("rsa.key"))]
#[case::rsa_pkcs1(CA_FILE, pem!("rsa.crt"), pem!("rsa-pkcs1.key"))]
#[case::no_key_usage(CA_FILE, pem!("plain.crt"), LEAF_KEY)]
#[case::self_signed_ca(pem!("self.crt"), pem!("self.crt"), LEAF_KEY)]
#[case::self_signed_ca_alone("", pem!("self.crt"), LEAF_KEY)]
#[case::self_signed_plain("", pem!("self-plain.crt"), LEAF_KEY)]
#[case::in_the_ca_file(concat!(pem!("ca.crt"), pem!("leaf.crt")), LEAF, LEAF_KEY)]
#[case::ca_as_leaf_in_the_ca_file(concat!(pem!("ca.crt"), pem!("ca-as-leaf.crt")), pem!("ca-as-leaf.crt"), LEAF_KEY)]
#[case::chain(CA_FILE, concat!(pem!("below.crt"), pem!("intermediate.crt")), LEAF_KEY)]
#[case::intermediate_in_the_ca_file(concat!(pem!("intermediate.crt"), pem!("ca.crt")), pem!("below.crt"), LEAF_KEY)]
#[case::two_cas_of_one_name(concat!(pem!("other-ca.crt"), pem!("ca.crt")), LEAF, LEAF_KEY)]
#[case::an_expired_ca_beside(concat!(pem!("day-ca.crt"), pem!("ca.crt")), LEAF, LEAF_KEY)]
#[case::windows_lines(CA_FILE, &pem!("leaf.crt").replace('\n', "\r\n"), LEAF_KEY)]
fn secret_that_serves_is_read(#[case] ca: &str, #[case] certificate: &str, #[case] key: &str) {
    let read = good(&secret(ca, certificate, key));
    assert!(read.not_before < now() && now() < read.not_after && now() < read.ca_not_after);
    assert_eq!((read.hash.len(), read.trust.len()), (8, 8));
}

#[rstest]
#[case::no_certificate(CA_FILE, "", LEAF_KEY, Reason::SecretKeyMissing, CERTIFICATE)]
#[case::blank_certificate(CA_FILE, "\n", LEAF_KEY, Reason::SecretKeyMissing, CERTIFICATE)]
#[case::no_key(CA_FILE, LEAF, "", Reason::SecretKeyMissing, KEY)]
#[case::no_ca("", LEAF, LEAF_KEY, Reason::SecretKeyMissing, CA)]
#[case::text(CA_FILE, "a certificate", LEAF_KEY, Reason::CertificateNotPEM, CERTIFICATE)]
#[case::der(CA_FILE, "0\u{1}\u{2}", LEAF_KEY, Reason::CertificateNotPEM, CERTIFICATE)]
#[case::files_exchanged(CA_FILE, LEAF_KEY, LEAF, Reason::CertificateNotPEM, CERTIFICATE)]
#[case::cut(CA_FILE, &pem!("leaf.crt")[..200], LEAF_KEY, Reason::CertificateNotPEM, CERTIFICATE)]
#[case::not_x509(
    CA_FILE,
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    LEAF_KEY,
    Reason::CertificateNotPEM,
    CERTIFICATE
)]
#[case::ca_text("the CA", LEAF, LEAF_KEY, Reason::CertificateNotPEM, CA)]
#[case::ca_not_x509(
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    LEAF,
    LEAF_KEY,
    Reason::CertificateNotPEM,
    CA
)]
#[case::key_text(CA_FILE, LEAF, "hunter2 is my key", Reason::CertificateNotPEM, KEY)]
#[case::key_cut(CA_FILE, LEAF, &pem!("leaf.key")[..100], Reason::CertificateNotPEM, KEY)]
#[case::key_is_certificate(CA_FILE, LEAF, LEAF, Reason::CertificateNotPEM, KEY)]
#[case::another_key(CA_FILE, LEAF, pem!("rsa.key"), Reason::KeyMismatch, KEY)]
#[case::ca_before_leaf(CA_FILE, concat!(pem!("ca.crt"), pem!("leaf.crt")), LEAF_KEY, Reason::KeyMismatch,
    KEY)]
#[case::another_key_inside(CA_FILE, concat!(pem!("leaf.crt"), pem!("p384.key")), "", Reason::KeyMismatch, CERTIFICATE)]
#[case::password(CA_FILE, LEAF, pem!("leaf-encrypted.key"), Reason::KeyEncrypted, KEY)]
#[case::password_of_old(CA_FILE, pem!("rsa.crt"), pem!("rsa-encrypted.key"), Reason::KeyEncrypted, KEY)]
#[case::password_inside(CA_FILE, concat!(pem!("leaf.crt"), pem!("leaf-encrypted.key")), "", Reason::KeyEncrypted,
    CERTIFICATE)]
#[case::p521(CA_FILE, pem!("p521.crt"), pem!("p521.key"), Reason::UnsupportedKey, KEY)]
#[case::version_1(CA_FILE, pem!("v1.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CERTIFICATE)]
#[case::version_1_as_ca(pem!("v1.crt"), pem!("v1.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CERTIFICATE)]
#[case::server_only(CA_FILE, pem!("server-only.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CERTIFICATE)]
#[case::server_only_in_the_ca_file(pem!("server-only.crt"), pem!("server-only.crt"), LEAF_KEY,
    Reason::UnsupportedCertificate, CERTIFICATE)]
#[case::client_only(CA_FILE, pem!("client-only.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CERTIFICATE)]
#[case::no_signature(CA_FILE, pem!("no-signature.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CERTIFICATE)]
#[case::ca_as_leaf(CA_FILE, pem!("ca-as-leaf.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CERTIFICATE)]
#[case::another_ca(pem!("self.crt"), LEAF, LEAF_KEY, Reason::CertificateUntrusted, CERTIFICATE)]
#[case::another_ca_of_the_name(pem!("other-ca.crt"), LEAF, LEAF_KEY, Reason::CertificateUntrusted, CERTIFICATE)]
#[case::no_ca_at_all(pem!("self-plain.crt"), pem!("under-plain.crt"), pem!("p384.key"), Reason::CertificateUntrusted,
    CERTIFICATE)]
#[case::intermediate_is_missing(CA_FILE, pem!("below.crt"), LEAF_KEY, Reason::CertificateUntrusted, CERTIFICATE)]
#[case::intermediate_as_ca(pem!("intermediate.crt"), pem!("below.crt"), LEAF_KEY, Reason::CertificateUntrusted, CA)]
#[case::intermediate_as_ca_and_between(pem!("intermediate.crt"), concat!(pem!("below.crt"), pem!("intermediate.crt")), LEAF_KEY,
    Reason::CertificateUntrusted, CA)]
#[case::in_the_ca_file_without_its_root(concat!(pem!("other-ca.crt"), pem!("leaf.crt")), LEAF, LEAF_KEY,
    Reason::CertificateUntrusted, CA)]
#[case::root_behind_the_certificate(pem!("intermediate.crt"), concat!(pem!("below.crt"), pem!("ca.crt")), LEAF_KEY,
    Reason::CertificateUntrusted, CA)]
#[case::no_authority_key(pem!("late-ca.crt"), pem!("no-authority-key.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CERTIFICATE)]
#[case::lax_ca(pem!("lax-ca.crt"), pem!("under-lax.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CA)]
#[case::ca_without_usage(pem!("usage-ca.crt"), pem!("under-usage.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CA)]
#[case::ca_of_version_1(pem!("v1-ca.crt"), pem!("under-v1.crt"), LEAF_KEY, Reason::UnsupportedCertificate, CA)]
#[case::intermediate_has_expired(CA_FILE, concat!(pem!("below.crt"), pem!("short-intermediate.crt")), LEAF_KEY,
    Reason::CertificateExpired, CERTIFICATE)]
#[case::ca_has_expired(pem!("day-ca.crt"), LEAF, LEAF_KEY, Reason::CertificateExpired, CA)]
fn secret_that_does_not_serve_is_told(
    #[case] ca: &str,
    #[case] certificate: &str,
    #[case] key: &str,
    #[case] reason: Reason,
    #[case] place: &str,
) {
    let data = secret(ca, certificate, key);
    let fault = read(SECRET, &data, now()).unwrap_err();
    assert_eq!(fault.reason, reason, "{}", fault.message);
    assert_tells(&fault, place, &data);
}

#[test]
fn time_of_a_certificate_counts() {
    let data = secret("", pem!("self.crt"), LEAF_KEY);
    let Certificates { not_before, not_after, .. } = good(&data);
    let told = |now| read(SECRET, &data, now).map(|_| ()).map_err(|fault| (fault.reason, fault.message));
    let second = jiff::SignedDuration::from_secs(1);
    // OpenSSL and rustls both take the first and the last second as valid.
    assert_eq!(told(not_after), Ok(()));
    assert_eq!(told(not_before), Ok(()));
    let (reason, message) = told(not_after.saturating_add(second).unwrap()).unwrap_err();
    assert_eq!(reason, Reason::CertificateExpired);
    assert!(message.contains(&not_after.to_string()), "{message}");
    let (reason, message) = told(not_before.saturating_sub(second).unwrap()).unwrap_err();
    assert_eq!(reason, Reason::CertificateNotYetValid);
    assert!(message.contains(&not_before.to_string()), "{message}");
    assert!(told(Timestamp::MIN).is_err() && told(Timestamp::MAX).is_err());
}

#[test]
fn time_of_the_ca_counts_too() {
    let data = secret(CA_FILE, pem!("endless.crt"), LEAF_KEY);
    let fault = read(SECRET, &data, at("2026-06-01T00:00:00Z")).unwrap_err();
    assert_eq!(fault.reason, Reason::CertificateNotYetValid);
    assert_tells(&fault, CA, &data);
}

#[test]
fn certificate_without_end_ends_with_time_itself() {
    let read = good(&secret(CA_FILE, pem!("endless.crt"), LEAF_KEY));
    assert_eq!(read.not_after, Timestamp::MAX);
    assert!(renew_at(read.not_before, read.not_after) > now());
}

#[test]
fn names_are_sorted() {
    let read = good(&secret(CA_FILE, LEAF, LEAF_KEY));
    assert_eq!(read.names, ["demo-scheduler", "demo-scheduler.team-a", "localhost"]);
    assert!(good(&secret("", pem!("self.crt"), LEAF_KEY)).names.is_empty());
}

#[test]
fn trust_is_a_set() {
    let trust = |ca: &str| good(&secret(ca, LEAF, LEAF_KEY)).trust;
    let both = trust(concat!(pem!("ca.crt"), pem!("other-ca.crt")));
    assert_eq!(both, trust(concat!(pem!("other-ca.crt"), pem!("ca.crt"), "a comment\n", pem!("ca.crt"))));
    assert_ne!(both, trust(CA_FILE));
}

#[test]
fn hash_is_of_what_dask_reads() {
    let hash = |ca: &str, certificate: &str, key: &str| good(&secret(ca, certificate, key)).hash;
    let leaf = hash(CA_FILE, LEAF, LEAF_KEY);
    assert_eq!(leaf, hash(CA_FILE, LEAF, pem!("leaf-sec1.key")), "the same key in other dress");
    assert_eq!(leaf, hash(CA_FILE, concat!("a comment\n", pem!("leaf.crt")), LEAF_KEY));
    assert_ne!(leaf, hash(CA_FILE, pem!("plain.crt"), LEAF_KEY), "the same key, another certificate");
    assert_ne!(leaf, hash(concat!(pem!("ca.crt"), pem!("other-ca.crt")), LEAF, LEAF_KEY));
    assert_ne!(leaf, hash(CA_FILE, concat!(pem!("leaf.crt"), pem!("intermediate.crt")), LEAF_KEY));
    let own = pem!("self.crt");
    assert_ne!(hash("", own, LEAF_KEY), hash(own, own, LEAF_KEY), "the CA's file is another one");
}

#[test]
fn what_is_told_holds_no_key() {
    let printed = format!("{:?}", good(&secret(CA_FILE, concat!(pem!("leaf.crt"), pem!("leaf.key")), "")));
    for line in LEAF_KEY.lines().filter(|line| !line.starts_with('-')) {
        assert!(!printed.contains(line));
    }
}

#[test]
fn cut_or_changed_files_never_panic_and_never_tell() {
    let certificate = LEAF.as_bytes();
    let whole = secret(CA_FILE, LEAF, LEAF_KEY);
    for position in 0..certificate.len() {
        let mut data = whole.clone();
        let changed = data.get_mut(CERTIFICATE).unwrap();
        changed.0[position] = changed.0[position].wrapping_add(1);
        if let Err(fault) = read(SECRET, &data, now()) {
            assert!(fault.message.starts_with("Secret team-a/my-tls: "), "{}", fault.message);
        }
        let mut data = whole.clone();
        data.get_mut(KEY).unwrap().0.truncate(position);
        if let Err(fault) = read(SECRET, &data, now()) {
            assert_tells(&fault, KEY, &data);
        }
    }
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let pem = prop::sample::select(vec![
        CA_FILE,
        LEAF,
        LEAF_KEY,
        pem!("v1.crt"),
        pem!("rsa-encrypted.key"),
        pem!("endless.crt"),
        "-----BEGIN CERTIFICATE-----\n",
        "-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\n",
        "MIIB\n",
    ]);
    let piece = prop_oneof![
        pem.prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..80),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_judged(
        ca in prop::option::of(content()), certificate in content(), key in prop::option::of(content()),
        second in -377_705_023_201_i64..253_402_207_200,
    ) {
        let now = Timestamp::from_second(second).unwrap();
        let files = [(CA, ca), (CERTIFICATE, Some(certificate)), (KEY, key)];
        let data = files.into_iter().filter_map(|(key, content)| Some((key.to_owned(), ByteString(content?)))).collect();
        if let Err(fault) = read(SECRET, &data, now) {
            prop_assert!(fault.message.starts_with("Secret team-a/my-tls: "));
        }
    }

    #[test]
    fn any_der_in_pem_is_judged(der in prop::collection::vec(any::<u8>(), 0..400)) {
        let lines = base64(&der);
        let certificate = format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n");
        let key = format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n");
        prop_assert!(read(SECRET, &secret(CA_FILE, &certificate, LEAF_KEY), now()).is_err());
        prop_assert!(read(SECRET, &secret(&certificate, LEAF, LEAF_KEY), now()).is_err());
        prop_assert!(read(SECRET, &secret(CA_FILE, LEAF, &key), now()).is_err());
    }

    #[test]
    fn renewal_is_within_the_life(first in -377_705_023_201_i64..253_402_207_200, other in -377_705_023_201_i64..253_402_207_200) {
        let [from, until] = [first.min(other), first.max(other)].map(|second| Timestamp::from_second(second).unwrap());
        let renewal = renew_at(from, until);
        prop_assert!(from <= renewal && renewal <= until);
        prop_assert_eq!(renew_at(until, from), until);
    }
}

fn base64(bytes: &[u8]) -> String {
    serde_json::to_value(ByteString(bytes.to_vec())).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn renewal_is_at_two_thirds() {
    let renewal = renew_at(at("2027-01-01T00:00:00Z"), at("2027-03-31T23:00:00Z"));
    assert_eq!(renewal, at("2027-03-01T23:20:00Z"));
}

#[test]
fn names_of_a_scheduler() {
    let expected = ["demo-scheduler", "demo-scheduler.team-a", "demo-scheduler.team-a.svc", "localhost"];
    assert_eq!(names_of("team-a", "demo"), expected);
}

#[test]
fn validity_is_of_the_first_certificate() {
    let (from, until) = validity(concat!(pem!("day-ca.crt"), pem!("ca.crt"))).unwrap();
    assert_eq!(until.duration_since(from).as_hours(), 24);
    assert_eq!(validity(LEAF_KEY), None);
}
