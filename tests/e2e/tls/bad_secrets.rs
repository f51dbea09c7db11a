//! Secrets that do not serve, and what is told of each: one word, the Secret, the key in it, and nothing of
//! its content.

use daskflow::api::{ConditionType, DaskCluster, Flow, FlowRun, Reason};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use serde_json::{Value, json};

use crate::certificates::{Authority, Pair, VERSION_1, openssl};
use crate::support::manifests::{abroad, named_run, secret, with};
use crate::support::workers::condition;
use crate::support::{Load, Namespace, operator, poll, small_cluster, test, within};

/// The case that is put right in the end.
const HEALED: &str = "other-key";

#[tokio::test]
async fn each_bad_secret_is_explained() {
    test("each_bad_secret_is_explained", Load::Dask, async |namespace| {
        let authority = Authority::new("good");
        let good = authority.issue(&["dask"]);
        let cases = cases(&authority, &good);
        for case in &cases {
            case.create(namespace).await;
        }
        for case in &cases {
            case.assert_told_of_cluster(namespace).await;
            case.assert_told_of_run(namespace).await;
        }
        assert!(namespace.list::<Pod>("").await.is_empty(), "no pod was made for a bad Secret");

        // Put right, it is seen without anybody's help.
        let key = json!({"stringData": {"tls.key": good.key}});
        namespace.change::<Secret>(HEALED, key).await;
        namespace.until_ready(HEALED, 0).await;
        namespace.until_reason(&format!("run-{HEALED}"), Reason::SchedulerUnreachable, 60).await;

        let keys: Vec<&str> =
            cases.iter().flat_map(|case| &case.files).map(|(_, text)| text.as_str()).collect();
        assert_no_key_is_told(namespace, &keys).await;
    })
    .await;
}

/// A Secret that does not serve.
struct Case {
    /// Its name, and that of the cluster it is for.
    name: &'static str,
    reason: Reason,
    /// The key in the Secret that is at fault.
    key: &'static str,
    /// What is in it; if nothing is, it does not exist.
    files: Vec<(&'static str, String)>,
}

fn cases(authority: &Authority, good: &Pair) -> Vec<Case> {
    let case = |name, reason, key, (ca, certificate, private): (&str, &str, &str)| {
        let files = [("ca.crt", ca), ("tls.crt", certificate), ("tls.key", private)];
        let files = files.into_iter().filter(|(_, text)| !text.is_empty());
        let files = files.map(|(key, text)| (key, text.to_owned())).collect();
        Case { name, reason, key, files }
    };
    let (ca, certificate, key) = (authority.pem.as_str(), good.certificate.as_str(), good.key.as_str());
    let (expired, early) = (authority.issue_expired(&["dask"]), authority.issue_early(&["dask"]));
    let (other, other_ca) = (authority.issue(&["dask"]), Authority::new("other"));
    let locked = openssl(&["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:dask"], key);
    vec![
        case("absent", Reason::SecretNotFound, "tls.crt", ("", "", "")),
        case("no-certificate", Reason::SecretKeyMissing, "tls.crt", (ca, "", key)),
        case("no-key", Reason::SecretKeyMissing, "tls.key", (ca, certificate, "")),
        case("no-ca", Reason::SecretKeyMissing, "ca.crt", ("", certificate, key)),
        case("not-pem", Reason::CertificateNotPEM, "tls.crt", (ca, "a certificate", key)),
        case("key-not-pem", Reason::CertificateNotPEM, "tls.key", (ca, certificate, "a key")),
        case(HEALED, Reason::KeyMismatch, "tls.key", (ca, certificate, &other.key)),
        case("expired", Reason::CertificateExpired, "tls.crt", (ca, &expired.certificate, &expired.key)),
        case("early", Reason::CertificateNotYetValid, "tls.crt", (ca, &early.certificate, &early.key)),
        case("version-1", Reason::UnsupportedCertificate, "tls.crt", (VERSION_1, VERSION_1, key)),
        case("password", Reason::KeyEncrypted, "tls.key", (ca, certificate, &locked)),
        case("other-ca", Reason::CertificateUntrusted, "tls.crt", (&other_ca.pem, certificate, key)),
    ]
}

impl Case {
    /// Makes the Secret, a cluster that has its certificate from there, and a run with it to another cluster.
    async fn create(&self, namespace: &Namespace) {
        if !self.files.is_empty() {
            let files: Vec<_> = self.files.iter().map(|(key, text)| (*key, text.as_str())).collect();
            namespace.create::<Secret>(secret(self.name, &files)).await;
        }
        let image = &namespace.settings.dask;
        let tls = json!({"tls": {"issuer": "Secret", "secretName": self.name}});
        namespace.create::<DaskCluster>(with(small_cluster(self.name, image, 0), tls)).await;
        let address = format!("tls://nowhere.{}.svc:8786", namespace.name);
        let cluster = json!({"address": address, "tls": {"secretName": self.name}});
        let flow = format!("flow-{}", self.name);
        namespace.create::<Flow>(abroad(&flow, "pass", image, &cluster)).await;
        namespace.create::<FlowRun>(named_run(&flow, &self.run(), Value::Null)).await;
    }

    fn run(&self) -> String {
        format!("run-{}", self.name)
    }

    async fn assert_told_of_cluster(&self, namespace: &Namespace) {
        let words = [self.name, self.key];
        let status = namespace.until_cluster_says(self.name, self.reason, &words).await;
        for kind in [ConditionType::CertificatesReady, ConditionType::Ready] {
            let told = condition(&status, kind);
            assert_eq!(
                (told.status.as_str(), told.reason.as_str()),
                ("False", self.reason.as_str()),
                "{told:?}"
            );
            self.assert_names(namespace, &told.message);
        }
        self.assert_event(namespace, self.name).await;
    }

    async fn assert_told_of_run(&self, namespace: &Namespace) {
        let status = namespace.until_reason(&self.run(), self.reason, 60).await;
        assert!(!status.phase.is_final(), "it waits until the Secret is put right: {status:?}");
        self.assert_names(namespace, status.message.as_deref().unwrap_or_default());
        self.assert_event(namespace, &self.run()).await;
    }

    /// The Secret's full name is there, and the key.
    fn assert_names(&self, namespace: &Namespace, message: &str) {
        let secret = format!("{}/{}", namespace.name, self.name);
        assert!(
            message.contains(&secret) && message.contains(self.key),
            "{} of {}: {message}",
            self.key,
            self.name
        );
    }

    async fn assert_event(&self, namespace: &Namespace, object: &str) {
        let reason = self.reason.as_str();
        let messages = poll(within(30, format!("an event tells {reason} of {object}")), async || {
            let messages = namespace.events(object, reason).await;
            if messages.is_empty() { Err("none".to_owned()) } else { Ok(messages) }
        });
        for message in messages.await {
            self.assert_names(namespace, &message);
        }
    }
}

/// No line of a private key is in any status or event, nor in the log of the operator.
async fn assert_no_key_is_told(namespace: &Namespace, files: &[&str]) {
    let mut said = vec![operator::log(&namespace.client).await];
    assert!(!said.concat().is_empty(), "the operator has a log");
    said.push(serde_json::to_string(&namespace.list::<DaskCluster>("").await).unwrap());
    said.push(serde_json::to_string(&namespace.list::<Flow>("").await).unwrap());
    said.push(serde_json::to_string(&namespace.list::<FlowRun>("").await).unwrap());
    said.push(serde_json::to_string(&namespace.list::<Event>("").await).unwrap());
    let keys: Vec<&&str> = files.iter().filter(|text| text.contains("PRIVATE KEY")).collect();
    assert!(keys.len() > 5, "{} keys", keys.len());
    for needle in keys.into_iter().flat_map(|key| needles(key)) {
        assert!(
            said.iter().all(|text| !text.contains(&needle)),
            "a part of a private key was told: {needle}"
        );
    }
}

/// What would betray a private key: each line of its PEM, and the beginning of it as Secrets have it in JSON.
fn needles(key: &str) -> Vec<String> {
    let lines = key.lines().filter(|line| line.len() >= 16 && !line.starts_with("-----"));
    let in_secret = serde_json::to_value(ByteString(key.as_bytes().to_vec())).unwrap();
    let mut needles: Vec<String> = lines.map(str::to_owned).collect();
    needles.push(in_secret.as_str().unwrap().chars().skip(60).take(60).collect());
    needles
}
