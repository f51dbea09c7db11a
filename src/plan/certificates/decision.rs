//! The certificates of a cluster: which one its pods are made with, and when another is needed.
//!
//! Pods are made with a copy of the issuer's Secret that never changes, named by its content. So a pod that
//! is made anew has what its neighbours have, whatever became of the Secret meanwhile, and a new certificate
//! rolls through the cluster as any change of the spec does. Pods that trust other authorities cannot talk:
//! workers and runners are made with what the scheduler was started with, until it is replaced.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::observed::{Seen, TlsView};
use super::sources::source_name;
use super::{Certificates, Fault, names_of, renew_at};
use crate::api::duration::Written;
use crate::api::tls::{Issuer, TlsStatus};
use crate::api::{DaskCluster, Reason, labels};
use crate::plan::pods::mounts::Certificate;
use crate::plan::pods::{common_labels, controller_ref, state};
use crate::plan::{Issue, Next, Note, Step, Victim, VictimKind, names, subset};

/// How long a certificate is good for where the spec does not say: 90 days, cert-manager's default.
const DURATION: Duration = Duration::from_secs(90 * 24 * 3_600);
/// How long an authority is good for at least, and in lives of its certificates: it is renewed seldom,
/// because that restarts the whole cluster.
const AUTHORITY_MIN: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
const AUTHORITY_LIVES: u32 = 10;
/// How often Secrets of others are read: the kubelet looks at mounted ones about as often.
const LOOK: Duration = Duration::from_secs(30);
/// How often our own are: nobody is to change them.
const LOOK_AT_OURS: Duration = Duration::from_secs(300);

/// When a renewed certificate is looked at.
const RETRY: Duration = Duration::from_secs(2);

/// The name of the copy of these certificates.
pub fn copy_name(cluster: &str, certificates: &Certificates) -> String {
    format!("{}{}", names::certificate_copies(cluster), certificates.hash)
}

/// What is decided about the certificates of a cluster.
#[derive(Clone, Debug, Default)]
pub(in crate::plan) struct Decision {
    /// What a scheduler is made with. None: plain TCP.
    pub(in crate::plan) scheduler: Option<Certificate>,
    /// What workers are made with: as the scheduler is to be, or as it is while it trusts another authority.
    pub(in crate::plan) serving: Option<Certificate>,
    /// What the scheduler that is there was made with; where there is none, what it will be made with.
    pub(in crate::plan) in_use: Option<Certificate>,
    /// TLS is asked for, and there is nothing to make the first pod with.
    pub(in crate::plan) missing: bool,
    /// Why there is no good certificate of the issuer's.
    pub(in crate::plan) fault: Option<Fault>,
    /// What is to be done for the certificates; no pod waits for it in the same plan.
    pub(in crate::plan) steps: Vec<Step>,
    /// What is told.
    pub(in crate::plan) notes: Vec<Note>,
    /// When to look again.
    pub(in crate::plan) next: Next,
    /// What is told of them in the status.
    pub(in crate::plan) status: Option<TlsStatus>,
}

/// Decides about the certificates of a cluster.
pub(in crate::plan) fn decide(cluster: &DaskCluster, observed: &Seen<'_>, now: Timestamp) -> Decision {
    let mut decision = chosen(cluster, observed.pods, observed.tls);
    if let Some(tls) = &cluster.spec.tls {
        let look = if tls.issuer == Issuer::Operator { LOOK_AT_OURS } else { LOOK };
        decision.next = Next::After(look);
        if tls.issuer != Issuer::CertManager && observed.tls.request.is_some() {
            // Two who write one Secret would never end.
            decision.steps.push(Step::Withdraw(names::certificate_name(&cluster.name_any())));
        }
        match tls.issuer {
            Issuer::Operator => issue(&mut decision, cluster, observed, now),
            Issuer::CertManager => ask_cert_manager(&mut decision, cluster, observed),
            Issuer::Secret => {}
        }
        copy(&mut decision, cluster, observed);
    }
    decision.status = status(&mut decision, cluster, observed);
    decision
}

/// The certificates that pods are made with.
pub(in crate::plan) fn chosen(cluster: &DaskCluster, pods: &[Arc<Pod>], view: &TlsView) -> Decision {
    let mut schedulers = pods.iter().filter(|pod| state::is_component(pod, labels::SCHEDULER));
    let serving = schedulers.next().map(|pod| Certificate::of(pod));
    let mut decision = Decision::default();
    let wanted = match (&cluster.spec.tls, &view.source) {
        (None, _) => Ok(None),
        // Until its copy is there no pod is made with it.
        (Some(_), Some(Ok(certificates))) if view.copied => {
            Ok(Some(certificate(&cluster.name_any(), certificates)))
        }
        (Some(_), Some(Err(fault))) => Err(Some(fault.clone())),
        (Some(_), _) => Err(None),
    };
    let trust = |certificate: &Option<Certificate>| certificate.as_ref().map(|one| one.trust.clone());
    decision.in_use = match (&serving, &wanted) {
        (Some(serving), _) => serving.clone(),
        (None, Ok(wanted)) => wanted.clone(),
        (None, Err(_)) => None,
    };
    match (wanted, serving) {
        (Ok(wanted), Some(serving)) if trust(&wanted) != trust(&serving) => {
            (decision.scheduler, decision.serving) = (wanted, serving);
        }
        (Ok(wanted), _) => (decision.scheduler, decision.serving) = (wanted.clone(), wanted),
        (Err(fault), Some(serving)) => {
            (decision.scheduler, decision.serving, decision.fault) = (serving.clone(), serving, fault);
        }
        (Err(fault), None) => (decision.missing, decision.fault) = (true, fault),
    }
    decision
}

fn certificate(cluster: &str, certificates: &Certificates) -> Certificate {
    Certificate {
        secret: copy_name(cluster, certificates),
        trust: certificates.trust.clone(),
        begins: certificates.not_before,
        // Dask believes no certificate longer than its authority.
        ends: certificates.not_after.min(certificates.ca_not_after),
    }
}

/// Issues a certificate where there is none, where the one that is there has lived two thirds of its life, or
/// where it is not what the cluster needs.
fn issue(decision: &mut Decision, cluster: &DaskCluster, observed: &Seen<'_>, now: Timestamp) {
    let (Some(source), Some(authority)) = (&observed.tls.source, &observed.tls.authority) else { return };
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let names = names_of(&namespace, &name);
    let is_fresh = |one: &Certificates| renew_at(one.not_before, one.not_after) > now;
    let authority = authority.as_ref().ok().filter(|authority| is_fresh(authority));
    let has_names = |one: &Certificates| names.iter().all(|name| one.names.contains(name));
    let good = source.as_ref().ok().filter(|one| {
        is_fresh(one) && has_names(one) && authority.is_some_and(|authority| authority.trust == one.trust)
    });
    if let Some(one) = good {
        let renewal = Next::At(renew_at(one.not_before, one.not_after));
        decision.next = decision.next.sooner(renewal, now);
        return;
    }
    let duration = duration(cluster);
    let owned = |name: String| metadata(cluster, name);
    decision.steps.push(Step::Issue(Box::new(Issue {
        authority: owned(names::authority_name(&name)),
        new_authority: authority.is_none(),
        authority_life: AUTHORITY_MIN.max(duration.saturating_mul(AUTHORITY_LIVES)),
        certificate: owned(names::certificate_name(&name)),
        names,
        life: duration,
    })));
    // The first one is waited for. Should one that was just made not do, it must not be made over and over.
    let is_first = matches!(source, Err(fault) if fault.reason == Reason::SecretNotFound);
    decision.next = Next::After(if is_first { Duration::ZERO } else { RETRY });
    let note = match source {
        Ok(_) => Note::normal(Reason::CertificateRenewed, "the certificate of the cluster is renewed"),
        Err(_) => Note::normal(Reason::CertificateIssued, "a certificate for the cluster is issued"),
    };
    decision.notes.push(note);
    // It is no fault that the first one is still to be made.
    if decision.fault.as_ref().is_some_and(|fault| fault.reason == Reason::SecretNotFound) {
        let message = "the certificate of the cluster is being issued".to_owned();
        decision.fault = Some(Fault { reason: Reason::CertificateNotReady, message });
    }
}

fn duration(cluster: &DaskCluster) -> Duration {
    let written = cluster.spec.tls.as_ref().and_then(|tls| tls.duration.as_ref());
    // Certificates expire whatever is wrong with the spec: a duration that cannot be read holds up no
    // renewal.
    written.and_then(Written::get).unwrap_or(DURATION)
}

/// The metadata of a Secret of ours.
fn metadata(cluster: &DaskCluster, name: String) -> ObjectMeta {
    let mut all = common_labels(&cluster.name_any(), "certificate");
    all.insert(labels::CLUSTER_NAME.to_owned(), cluster.name_any());
    ObjectMeta {
        name: Some(name),
        namespace: cluster.namespace(),
        owner_references: controller_ref(cluster).map(|owner| vec![owner]),
        labels: Some(all),
        ..ObjectMeta::default()
    }
}

/// Asks cert-manager for a certificate, and tells what it says while there is none.
fn ask_cert_manager(decision: &mut Decision, cluster: &DaskCluster, observed: &Seen<'_>) {
    let wanted = request(cluster);
    let there = observed.tls.request.as_ref();
    if there.is_none_or(|there| !subset::is_subset(&wanted, there)) {
        decision.steps.push(Step::Request(Box::new(wanted)));
    }
    let conditions = there.and_then(|there| there.pointer("/status/conditions")?.as_array());
    let ready = conditions.and_then(|all| all.iter().find(|one| one["type"] == "Ready"));
    let refuses = ready.is_some_and(|ready| ready["status"] == "False");
    let is_missing = decision.fault.as_ref().is_some_and(|fault| fault.reason == Reason::SecretNotFound);
    if is_missing || (refuses && decision.fault.is_none()) {
        let said = ready.and_then(|ready| ready["message"].as_str()).unwrap_or("it has not answered yet");
        let message = format!(
            "cert-manager has not issued the Certificate {}: {said}",
            names::certificate_name(&cluster.name_any())
        );
        decision.fault = Some(Fault { reason: Reason::CertificateNotReady, message });
    }
}

/// The Certificate of cert-manager:
/// <https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.Certificate>.
pub fn request(cluster: &DaskCluster) -> Value {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let issuer = cluster.spec.tls.as_ref().and_then(|tls| tls.issuer_ref.clone()).unwrap_or_default();
    let duration = duration(cluster).as_secs();
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": metadata(cluster, names::certificate_name(&name)),
        "spec": {
            "secretName": names::certificate_name(&name),
            "commonName": names::scheduler_name(&name),
            "dnsNames": names_of(&namespace, &name),
            "duration": format!("{duration}s"),
            "renewBefore": format!("{}s", duration / 3),
            "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
            "usages": ["digital signature", "server auth", "client auth"],
            "issuerRef": {
                "name": issuer.name,
                "kind": issuer.kind.as_deref().unwrap_or("Issuer"),
                "group": issuer.group.as_deref().unwrap_or("cert-manager.io"),
            },
        },
    })
}

/// Copies what pods are to be made with.
fn copy(decision: &mut Decision, cluster: &DaskCluster, observed: &Seen<'_>) {
    let (Some(tls), Some(Ok(certificates))) = (&cluster.spec.tls, &observed.tls.source) else { return };
    let is_replaced = |step: &Step| matches!(step, Step::Issue(_));
    if observed.tls.copied || decision.steps.iter().any(is_replaced) {
        return;
    }
    let name = cluster.name_any();
    let secret = Secret {
        metadata: metadata(cluster, copy_name(&name, certificates)),
        immutable: Some(true),
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    };
    decision.next = Next::After(Duration::ZERO);
    decision.steps.push(Step::Copy {
        from: source_name(&name, tls),
        hash: certificates.hash.clone(),
        to: Box::new(secret),
    });
}

/// What is told, and the copies that nobody needs any more.
fn status(decision: &mut Decision, cluster: &DaskCluster, observed: &Seen<'_>) -> Option<TlsStatus> {
    let told = cluster.status.as_ref().and_then(|status| status.tls.clone()).unwrap_or_default();
    let certificates: Vec<Certificate> =
        observed.pods.iter().filter_map(|pod| Certificate::of(pod)).collect();
    let mut used: BTreeSet<String> = certificates.iter().map(|one| one.secret.clone()).collect();
    used.extend(decision.scheduler.iter().chain(&decision.serving).map(|one| one.secret.clone()));
    used.extend(observed.tls.of_runners.iter().cloned());
    if observed.has_runs {
        // What a run that starts now may have read.
        used.extend(told.secret_name);
    }
    let copies = names::certificate_copies(&cluster.name_any());
    used.retain(|name| name.starts_with(&copies));
    let unused = told.copies.iter().filter(|name| !used.contains(*name));
    let delete =
        |name: &String| Step::Delete(Victim { kind: VictimKind::Secret, name: name.clone(), uid: None });
    // Before what needs room.
    decision.steps.splice(0..0, unused.map(delete));
    if cluster.spec.tls.is_none() && used.is_empty() {
        return None;
    }
    let ends = certificates.iter().chain(&decision.scheduler).map(|one| one.ends).min();
    Some(TlsStatus {
        secret_name: decision.in_use.as_ref().map(|one| one.secret.clone()),
        not_after: ends.map(Time),
        copies: used.into_iter().collect(),
    })
}

/// Whether a certificate has lived five sixths of its life: half of the time that its renewal has is gone.
pub(in crate::plan) fn is_expiring(certificate: &Certificate, now: Timestamp) -> bool {
    let life: SignedDuration = certificate.ends.duration_since(certificate.begins);
    let left: SignedDuration = certificate.ends.duration_since(now);
    left.checked_mul(6).is_some_and(|left| left < life)
}
