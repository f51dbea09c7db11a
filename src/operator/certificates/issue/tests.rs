#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use rstest::rstest;

use super::*;
use crate::api::Reason;

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

fn now() -> Timestamp {
    "2030-01-01T12:00:00.5Z".parse().unwrap()
}

fn ca() -> Pem {
    authority("demo", "team-a", 365 * DAY, now()).unwrap()
}

fn names() -> Vec<String> {
    certificates::names_of("team-a", "demo")
}

fn secret(ca: &str, leaf: &Pem) -> BTreeMap<String, ByteString> {
    [
        (certificates::CA, ca),
        (certificates::CERTIFICATE, leaf.certificate.as_str()),
        (certificates::KEY, leaf.key.as_str()),
    ]
    .into_iter()
    .map(|(key, content)| (key.to_owned(), ByteString(content.as_bytes().to_vec())))
    .collect()
}

fn read(ca: &str, leaf: &Pem, now: Timestamp) -> Result<certificates::Certificates, certificates::Fault> {
    certificates::read("team-a/demo-tls", &secret(ca, leaf), now)
}

#[test]
fn what_is_issued_has_the_trust_of_its_authority() {
    let ca = ca();
    let leaf = leaf(&ca, &names(), 90 * DAY, now()).unwrap();
    let authority =
        certificates::read_authority("team-a/demo-ca", &secret(&ca.certificate, &ca), now()).unwrap();
    assert_eq!(authority.trust, read(&ca.certificate, &leaf, now()).unwrap().trust);
    assert_ne!(
        authority.trust,
        certificates::read_authority(
            "a/b",
            &secret("", &super::authority("other", "b", DAY, now()).unwrap()),
            now()
        )
        .unwrap()
        .trust
    );
}

#[test]
fn what_is_issued_serves() {
    let ca = ca();
    let leaf = leaf(&ca, &names(), 90 * DAY, now()).unwrap();
    let certificates = read(&ca.certificate, &leaf, now()).unwrap();
    assert_eq!(
        certificates,
        read(&ca.certificate, &leaf, now() + 80 * DAY).unwrap(),
        "hashes do not depend on time"
    );
    let mut expected = names();
    expected.sort();
    assert_eq!(certificates.names, expected);
    assert_eq!(certificates.not_before, "2030-01-01T11:45:00Z".parse().unwrap());
    assert!(certificates.not_after >= now() + 90 * DAY);
    assert!(certificates.not_after < now() + 90 * DAY + Duration::from_secs(1));
    assert!(certificates.ca_not_after >= now() + 365 * DAY);
}

#[test]
fn another_certificate_of_the_ca_is_trusted_alike() {
    let ca = ca();
    let [first, second] = [(); 2].map(|()| leaf(&ca, &names(), DAY, now()).unwrap());
    let [first, second] = [first, second].map(|leaf| read(&ca.certificate, &leaf, now()).unwrap());
    assert_ne!(first.hash, second.hash);
    assert_eq!(first.trust, second.trust);
}

#[test]
fn renewed_ca_is_another_one_and_both_may_be_trusted_at_once() {
    let (old, new) = (ca(), ca());
    let [under_old, under_new] = [&old, &new].map(|ca| leaf(ca, &names(), DAY, now()).unwrap());
    assert_eq!(read(&new.certificate, &under_old, now()).unwrap_err().reason, Reason::CertificateUntrusted);
    let alone = read(&new.certificate, &under_new, now()).unwrap();
    assert_ne!(alone.trust, read(&old.certificate, &under_old, now()).unwrap().trust);
    let bundles = [[&old, &new], [&new, &old]].map(|cas| cas.map(|ca| ca.certificate.clone()).concat());
    for leaf in [&under_old, &under_new] {
        let [one, other] = bundles.each_ref().map(|bundle| read(bundle, leaf, now()).unwrap().trust);
        assert_eq!(one, other);
        assert_ne!(one, alone.trust);
    }
}

#[rstest]
#[case::seconds(Duration::from_secs(6))]
#[case::minute(MINUTE)]
#[case::minutes(5 * MINUTE)]
#[case::days(30 * DAY)]
fn life_counts_from_now_and_is_not_renewed_at_once(#[case] life: Duration) {
    let ca = ca();
    let later = now() + DAY;
    let leaf = leaf(&ca, &names(), life, later).unwrap();
    let certificates = read(&ca.certificate, &leaf, later + life).unwrap();
    assert!(
        certificates.not_before < later
            && certificates.not_before >= later - 15 * MINUTE - Duration::from_secs(1)
    );
    let renewal = certificates::renew_at(certificates.not_before, certificates.not_after);
    assert!(renewal > later + life / 3, "{renewal}");
    assert!(read(&ca.certificate, &leaf, later + life + Duration::from_secs(2)).is_err());
}

#[test]
fn certificate_lives_within_its_ca() {
    let ca = ca();
    let (from, until) = certificates::validity(&ca.certificate).unwrap();
    let late = leaf(&ca, &names(), 400 * DAY, now()).unwrap();
    assert_eq!(certificates::validity(&late.certificate).unwrap(), (from, until));
    let early = leaf(&ca, &names(), DAY, from).unwrap();
    assert_eq!(certificates::validity(&early.certificate).unwrap().0, from);
    for outside in [until, from - MINUTE] {
        assert!(matches!(leaf(&ca, &names(), DAY, outside), Err(Error::Authority { .. })));
    }
}

#[test]
fn longest_life_is_one() {
    let ca = authority("demo", "team-a", Duration::MAX, now()).unwrap();
    let leaf = leaf(&ca, &names(), Duration::MAX, now()).unwrap();
    assert!(read(&ca.certificate, &leaf, now()).unwrap().not_after > now());
}

#[test]
fn longest_names_serve() {
    let (namespace, cluster) = ("n".repeat(63), "c".repeat(53));
    let ca = authority(&cluster, &namespace, DAY, now()).unwrap();
    let leaf = leaf(&ca, &certificates::names_of(&namespace, &cluster), DAY, now()).unwrap();
    assert_eq!(read(&ca.certificate, &leaf, now()).unwrap().names.len(), 4);
}

#[test]
fn leaf_may_not_issue() {
    let ca = ca();
    let first = leaf(&ca, &names(), DAY, now()).unwrap();
    let second = leaf(&first, &names(), DAY, now()).unwrap();
    assert_eq!(read(&first.certificate, &second, now()).unwrap_err().reason, Reason::CertificateUntrusted);
}

#[test]
fn what_is_no_ca_is_refused() {
    let ca = ca();
    let broken = Pem { certificate: "x".to_owned(), key: ca.key.clone() };
    assert!(matches!(leaf(&broken, &names(), DAY, now()), Err(Error::Rcgen(_))));
    let broken = Pem { certificate: ca.certificate, key: "x".to_owned() };
    assert!(matches!(leaf(&broken, &names(), DAY, now()), Err(Error::Rcgen(_))));
}

#[test]
fn key_is_not_printed() {
    let ca = ca();
    let printed = format!("{ca:?}");
    assert!(printed.contains("redacted") && !printed.contains("PRIVATE KEY"));
    assert!(ca.key.lines().all(|line| line.starts_with('-') || !printed.contains(line)));
}
