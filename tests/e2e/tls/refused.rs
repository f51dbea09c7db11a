//! Schedulers that somebody else runs and that cannot be talked to, and what is told of each.

use daskflow::api::{Flow, FlowRun, Reason};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::secret_of;
use crate::certificates::{Authority, self_signed_plain};
use crate::clusters::foreign_scheduler;
use crate::support::manifests::{abroad, named_run, secret};
use crate::support::{Load, Namespace, poll, test, within};

#[tokio::test]
async fn each_refused_connection_is_explained() {
    test("each_refused_connection_is_explained", Load::Dask, async |namespace| {
        make_schedulers_and_secrets(namespace).await;
        let cases = [
            ("tls-to-plain", "tls://plain", json!({"secretName": "scheduler"}), Reason::WrongScheme),
            ("tcp-to-tls", "tcp://secure", Value::Null, Reason::WrongScheme),
            ("stranger", "tls://secure", json!({"secretName": "stranger"}), Reason::CredentialsRefused),
            ("distrust", "tls://secure", json!({"secretName": "distrust"}), Reason::CertificateUntrusted),
            (
                "other-name",
                "tls://secure",
                json!({"secretName": "scheduler", "verifyHostName": true}),
                Reason::CertificateUntrusted,
            ),
        ];
        for (name, host, tls, _) in &cases {
            let mut cluster = json!({"address": format!("{host}.{}.svc:8786", namespace.name)});
            if !tls.is_null() {
                cluster["tls"] = tls.clone();
            }
            namespace.create::<Flow>(abroad(name, "pass", &namespace.settings.dask, &cluster)).await;
            namespace.create::<FlowRun>(named_run(name, &format!("run-{name}"), Value::Null)).await;
        }
        for (name, host, _, reason) in &cases {
            let run = format!("run-{name}");
            let status = namespace.until_reason(&run, *reason, 90).await;
            assert!(!status.phase.is_final(), "it waits: {status:?}");
            let address = format!("{host}.{}.svc:8786", namespace.name);
            let message = status.message.unwrap_or_default();
            assert!(message.contains(&address), "{address}: {message}");
            let wait = within(30, format!("an event tells {} of {run}", reason.as_str()));
            poll(wait, async || {
                let told = namespace.events(&run, reason.as_str()).await;
                if told.is_empty() { Err("none".to_owned()) } else { Ok(()) }
            })
            .await;
        }
    })
    .await;
}

/// Two schedulers, `plain` and `secure`, of which the second trusts its own certificate alone; that, and what
/// others have who come to it.
async fn make_schedulers_and_secrets(namespace: &Namespace) {
    let pair = self_signed_plain(&["another-name"]);
    let files = [("tls.crt", pair.certificate.as_str()), ("tls.key", &pair.key)];
    namespace.create::<Secret>(secret("scheduler", &files)).await;
    foreign_scheduler(namespace, "plain", None).await;
    foreign_scheduler(namespace, "secure", Some("scheduler")).await;

    let other = Authority::new("other");
    let stranger = other.issue(&["stranger"]);
    // It trusts the scheduler, which does not trust it.
    let both = format!("{}{}", other.pem, pair.certificate);
    namespace.create::<Secret>(secret_of("stranger", &stranger, &both)).await;
    namespace.create::<Secret>(secret_of("distrust", &stranger, &other.pem)).await;
}
