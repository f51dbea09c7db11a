use std::time::Duration;

use super::*;
use crate::api::tls::{Issuer, IssuerRef, Tls, TlsStatus};
use crate::plan::certificates::{Certificates, Fault, TlsView, copy_name};
use crate::plan::pods::mounts::Certificate;

const DAY: i64 = 24 * 3_600;

/// A certificate of an authority that began so many days ago and is good for ninety.
fn certificates(hash: &str, trust: &str, days_ago: i64) -> Certificates {
    let begin = now() - jiff::SignedDuration::from_secs(days_ago * DAY);
    let end = begin + jiff::SignedDuration::from_secs(90 * DAY);
    let names = crate::plan::certificates::names_of("team-a", "analytics");
    Certificates {
        hash: hash.to_owned(),
        trust: trust.to_owned(),
        not_before: begin,
        not_after: end,
        ca_not_after: end,
        names,
    }
}

fn secured(issuer: Issuer) -> DaskCluster {
    let mut cluster = cluster(2);
    cluster.metadata.namespace = Some("team-a".to_owned());
    let issuer_ref =
        (issuer == Issuer::CertManager).then(|| IssuerRef { name: "ca".into(), ..IssuerRef::default() });
    let secret_name = (issuer == Issuer::Secret).then(|| "mine".to_owned());
    cluster.spec.tls = Some(Tls { issuer, secret_name, issuer_ref, ..Tls::default() });
    cluster
}

fn missing() -> Fault {
    Fault { reason: Reason::SecretNotFound, message: "there is no Secret".into() }
}

fn view(leaf: &Certificates) -> TlsView {
    let authority = certificates("ca", &leaf.trust, 1);
    let (source, authority) = (Some(Ok(leaf.clone())), Some(Ok(authority)));
    TlsView { source, authority, copied: true, ..TlsView::default() }
}

fn certificate(leaf: &Certificates) -> Certificate {
    Certificate {
        secret: copy_name("analytics", leaf),
        trust: leaf.trust.clone(),
        begins: leaf.not_before,
        ends: leaf.not_after,
    }
}

/// A cluster whose pods were all made with this certificate, and all registered.
fn settled_with(cluster: &DaskCluster, leaf: Option<&Certificates>) -> Observed {
    let certificate = leaf.map(certificate);
    let certificate = certificate.as_ref();
    let mut observed = settled(cluster, 0);
    let group = (worker::DEFAULT_GROUP, &cluster.spec.workers);
    observed.pods = (0..2)
        .map(|seed| running(worker::pod(cluster, Site::Kubernetes, certificate, group, seed + 1).unwrap()))
        .collect();
    let workers = names(&observed.pods).into_iter().collect();
    observed.scheduler = SchedulerView::Answering { workers };
    observed.pods.push(running(scheduler::pod(cluster, Site::Kubernetes, certificate).unwrap()));
    observed.tls = leaf.map(view).unwrap_or_default();
    observed
}

fn pods_of(plan: &Plan<DaskClusterStatus>) -> Vec<&Pod> {
    let created = plan.steps.iter().filter_map(|step| match step {
        Step::Create(object) => Some(object.as_ref()),
        _ => None,
    });
    let pods = created.filter_map(|object| match object {
        Object::Pod(pod) => Some(pod),
        _ => None,
    });
    pods.collect()
}

#[test]
fn a_first_certificate_is_issued_before_any_pod() {
    let cluster = secured(Issuer::Operator);
    let tls = TlsView { source: Some(Err(missing())), authority: Some(Err(missing())), ..TlsView::default() };
    let plan = plan(&cluster, &Observed { known: Wants::ALL, tls, ..Observed::default() }, now());
    assert_eq!(kinds(&plan), ["apply", "issue"]);
    let Some(Step::Issue(issue)) = plan.steps.last() else { panic!("{:?}", plan.steps) };
    assert!(issue.new_authority);
    assert!(issue.names.contains(&"analytics-scheduler.team-a.svc".to_owned()));
    assert_eq!(reason(&plan, ConditionType::Ready), "CertificateNotReady");
    assert_eq!(plan.next, Next::After(Duration::ZERO));
}

#[test]
fn a_duration_that_cannot_be_read_holds_up_no_renewal() {
    let mut cluster = secured(Issuer::Operator);
    cluster.spec.tls.as_mut().unwrap().duration = Some("9999999999999h".into());
    let leaf = certificates("aaaa", "t1", 80);
    let plan = plan(&cluster, &settled_with(&cluster, Some(&leaf)), now());
    let issued = plan.steps.iter().find_map(|step| match step {
        Step::Issue(issue) => Some(issue.life),
        _ => None,
    });
    assert_eq!(issued, Some(Duration::from_secs(90 * 24 * 3600)));
    assert_eq!(reason(&plan, ConditionType::Stalled), "InvalidSpec");
}

#[test]
fn pods_are_made_with_a_copy_that_is_there_before_them() {
    let cluster = secured(Issuer::Operator);
    let leaf = certificates("aaaa", "t1", 1);
    let tls = TlsView { copied: false, ..view(&leaf) };
    let first =
        plan(&cluster, &Observed { known: Wants::ALL, tls: tls.clone(), ..Observed::default() }, now());
    assert_eq!(kinds(&first), ["apply", "copy"]);
    let tls = TlsView { copied: true, ..tls };
    let plan = plan(&cluster, &Observed { known: Wants::ALL, tls, ..Observed::default() }, now());
    assert_eq!(kinds(&plan), ["apply", "create", "create", "create"]);
    for pod in pods_of(&plan) {
        assert_eq!(Certificate::of(pod), Some(certificate(&leaf)));
        let text = serde_json::to_string(pod).unwrap();
        assert!(
            text.contains("\"secretName\":\"analytics-tls-aaaa\"") && text.contains("\"defaultMode\":256"),
            "{text}"
        );
        assert!(!text.contains("analytics-ca"), "the authority's key is mounted: {text}");
    }
    assert_eq!(plan.status.scheduler_address.as_deref(), Some("tls://analytics-scheduler.team-a.svc:8786"));
    let told = plan.status.tls.unwrap();
    assert_eq!(told.secret_name.as_deref(), Some("analytics-tls-aaaa"));
    assert_eq!(told.not_after.unwrap().0, leaf.not_after);
}

#[test]
fn a_settled_cluster_plans_nothing_and_looks_again_when_the_certificate_is_to_be_renewed() {
    let mut cluster = secured(Issuer::Operator);
    let leaf = certificates("aaaa", "t1", 59);
    let observed = settled_with(&cluster, Some(&leaf));
    let first = plan(&cluster, &observed, now());
    assert_eq!(first.steps, []);
    assert_eq!(reason(&first, ConditionType::CertificatesReady), "Ready");
    cluster.status = Some(first.status.clone());
    assert_eq!(plan(&cluster, &observed, now()).status, first.status);
    let Next::After(after) = first.next else { panic!("{:?}", first.next) };
    assert!(after <= Duration::from_secs(300));
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life_and_the_pods_go_on() {
    let cluster = secured(Issuer::Operator);
    let leaf = certificates("aaaa", "t1", 61);
    let observed = settled_with(&cluster, Some(&leaf));
    let plan = plan(&cluster, &observed, now());
    assert_eq!(kinds(&plan), ["issue"]);
    let Some(Step::Issue(issue)) = plan.steps.first() else { panic!("{:?}", plan.steps) };
    assert!(!issue.new_authority, "the authority has most of its life before it");
}

#[test]
fn a_new_certificate_of_the_same_authority_rolls_through_the_workers() {
    let cluster = secured(Issuer::Operator);
    let mut observed = settled_with(&cluster, Some(&certificates("aaaa", "t1", 61)));
    let renewed = certificates("bbbb", "t1", 0);
    observed.tls = view(&renewed);
    let plan = plan(&cluster, &observed, now());
    let made = pods_of(&plan);
    assert_eq!(made.len(), 1, "a quarter more: {:?}", kinds(&plan));
    assert_eq!(Certificate::of(made[0]), Some(certificate(&renewed)));
    assert!(!kinds(&plan).contains(&"replace"), "nobody has asked the scheduler yet whether it is used");
    assert_eq!(plan.status.tls.unwrap().secret_name.as_deref(), Some("analytics-tls-aaaa"));
}

#[test]
fn while_the_scheduler_trusts_another_authority_new_workers_do_too() {
    let cluster = secured(Issuer::Secret);
    let old = certificates("aaaa", "t1", 1);
    let mut observed = settled_with(&cluster, Some(&old));
    observed.tls = view(&certificates("bbbb", "t2", 0));
    observed.pods.remove(0);
    let plan = plan(&cluster, &observed, now());
    let made = pods_of(&plan);
    assert_eq!(made.len(), 1, "{:?}", kinds(&plan));
    assert_eq!(Certificate::of(made[0]), Some(certificate(&old)), "another could not register");
    assert_eq!(reason(&plan, ConditionType::CertificatesReady), "Outdated");
}

#[test]
fn workers_that_the_new_scheduler_does_not_trust_make_room() {
    let cluster = secured(Issuer::Secret);
    let mut observed = settled_with(&cluster, Some(&certificates("aaaa", "t1", 1)));
    let new = certificates("bbbb", "t2", 0);
    observed.pods.pop();
    observed
        .pods
        .push(running(scheduler::pod(&cluster, Site::Kubernetes, Some(&certificate(&new))).unwrap()));
    observed.scheduler = SchedulerView::Answering { workers: BTreeSet::new() };
    observed.tls = view(&new);
    let plan = plan(&cluster, &observed, now());
    assert_eq!(kinds(&plan), ["create", "delete", "delete"]);
}

#[test]
fn tls_is_switched_on_when_nobody_uses_the_scheduler() {
    let mut cluster = secured(Issuer::Operator);
    let leaf = certificates("aaaa", "t1", 0);
    let mut observed = settled_with(&cluster, None);
    observed.tls = view(&leaf);
    let before = plan(&cluster, &observed, now());
    assert_eq!(kinds(&before), Vec::<&str>::new(), "the workers are as the scheduler is");
    assert_eq!(before.status.scheduler_address.as_deref(), Some("tcp://analytics-scheduler.team-a.svc:8786"));
    observed.load.since = Some(now());
    observed.load.idle_since = Some(now());
    observed.load.clients = Some(BTreeSet::new());
    cluster.status = Some(plan(&cluster, &observed, now()).status);
    assert_eq!(kinds(&plan(&cluster, &observed, now() + ANNOUNCED)), ["replace"]);
}

#[test]
fn a_bad_secret_starts_nothing_and_stops_nothing() {
    let cluster = secured(Issuer::Secret);
    let fault = Fault { reason: Reason::KeyMismatch, message: "Secret team-a/mine: tls.key: another".into() };
    let tls = TlsView { source: Some(Err(fault.clone())), ..TlsView::default() };
    let new = plan(&cluster, &Observed { known: Wants::ALL, tls: tls.clone(), ..Observed::default() }, now());
    assert_eq!(kinds(&new), ["apply"]);
    for kind in [ConditionType::Ready, ConditionType::Stalled, ConditionType::CertificatesReady] {
        assert_eq!(reason(&new, kind), "KeyMismatch");
    }
    assert_eq!(new.events.iter().filter(|note| note.reason == Reason::KeyMismatch).count(), 1);
    let mut told = cluster.clone();
    told.status = Some(new.status);
    let again = plan(&told, &Observed { known: Wants::ALL, tls: tls.clone(), ..Observed::default() }, now());
    assert!(again.events.is_empty(), "told once: {:?}", again.events);

    let old = certificates("aaaa", "t1", 1);
    let mut observed = settled_with(&cluster, Some(&old));
    observed.tls = tls;
    observed.pods.remove(0);
    let living = plan(&cluster, &observed, now());
    assert_eq!(Certificate::of(pods_of(&living)[0]), Some(certificate(&old)));
    assert_eq!(reason(&living, ConditionType::CertificatesReady), "KeyMismatch");
}

#[test]
fn an_old_certificate_of_a_busy_scheduler_is_told_before_it_ends_and_after() {
    let cluster = secured(Issuer::Operator);
    let said = |days_ago| {
        let mut observed = settled_with(&cluster, Some(&certificates("aaaa", "t1", days_ago)));
        observed.tls = view(&certificates("bbbb", "t1", 0));
        let plan = plan(&cluster, &observed, now());
        let warned = plan.events.iter().any(|note| note.warning);
        (reason(&plan, ConditionType::CertificatesReady), warned)
    };
    assert_eq!(said(70), ("Outdated".to_owned(), false));
    assert_eq!(said(80), ("CertificateExpiring".to_owned(), true));
    assert_eq!(said(91), ("CertificateExpired".to_owned(), true));
}

#[test]
fn copies_go_with_the_last_pod_that_has_them() {
    let mut cluster = secured(Issuer::Operator);
    let leaf = certificates("bbbb", "t1", 0);
    let mut observed = settled_with(&cluster, Some(&leaf));
    let copies = ["analytics-tls-aaaa", "analytics-tls-bbbb"].map(str::to_owned).to_vec();
    cluster.status = Some(DaskClusterStatus {
        tls: Some(TlsStatus { copies: copies.clone(), ..TlsStatus::default() }),
        ..DaskClusterStatus::default()
    });
    observed.tls.of_runners = ["analytics-tls-aaaa".to_owned()].into();
    let kept = plan(&cluster, &observed, now());
    assert_eq!(kept.status.tls.unwrap().copies, copies, "a runner has it");
    observed.tls.of_runners.clear();
    let plan = plan(&cluster, &observed, now());
    assert_eq!(kinds(&plan), ["delete"]);
    assert_eq!(plan.status.tls.unwrap().copies, ["analytics-tls-bbbb"]);
}

#[test]
fn cert_manager_is_asked_once_and_what_it_says_is_told() {
    let cluster = secured(Issuer::CertManager);
    let tls = TlsView { source: Some(Err(missing())), ..TlsView::default() };
    let mut observed = Observed { known: Wants::ALL, tls, ..Observed::default() };
    let first = plan(&cluster, &observed, now());
    assert_eq!(kinds(&first), ["apply", "request"]);
    let Some(Step::Request(request)) = first.steps.last() else { panic!("{:?}", first.steps) };
    let mut there = request.as_ref().clone();
    there["status"] =
        serde_json::json!({"conditions": [{"type": "Ready", "message": "the issuer is not ready"}]});
    observed.tls.request = Some(there);
    let second = plan(&cluster, &observed, now());
    assert_eq!(kinds(&second), ["apply"]);
    let told = find(&second.status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(told.reason, "CertificateNotReady");
    assert!(told.message.contains("the issuer is not ready"), "{}", told.message);
}

#[test]
fn what_a_template_says_of_certificates_is_not_believed() {
    let mut cluster = cluster(1);
    let forged = serde_json::json!({labels::CERTIFICATE: "analytics-tls-aaaa", labels::TRUST: "t1"});
    cluster.spec.scheduler.template = Some(serde_json::json!({"metadata": {"annotations": forged}}));
    assert_eq!(Certificate::of(&scheduler::pod(&cluster, Site::Kubernetes, None).unwrap()), None);
    let mut pod = scheduler::pod(&cluster, Site::Kubernetes, None).unwrap();
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(labels::CERTIFICATE.to_owned(), "prod-database".to_owned());
    annotations.insert(labels::TRUST.to_owned(), "t1".to_owned());
    assert_eq!(Certificate::of(&pod), None, "no copy for this cluster");
}

#[test]
fn a_scheduler_that_nobody_reaches_for_its_certificate_has_ended_is_replaced() {
    let cluster = secured(Issuer::Secret);
    let mut observed = settled_with(&cluster, Some(&certificates("aaaa", "t1", 91)));
    observed.tls = view(&certificates("bbbb", "t1", 0));
    assert!(!kinds(&plan(&cluster, &observed, now())).contains(&"replace"), "it answers");
    observed.scheduler =
        SchedulerView::Unreachable { reason: Reason::CertificateUntrusted, message: "expired".into() };
    assert!(kinds(&plan(&cluster, &observed, now())).contains(&"replace"));
}

#[test]
fn a_certificate_ends_with_its_authority() {
    let cluster = secured(Issuer::Secret);
    let mut leaf = certificates("aaaa", "t1", 1);
    leaf.ca_not_after = now() + jiff::SignedDuration::from_secs(DAY);
    let plan =
        plan(&cluster, &Observed { known: Wants::ALL, tls: view(&leaf), ..Observed::default() }, now());
    assert_eq!(plan.status.tls.unwrap().not_after.unwrap().0, leaf.ca_not_after);
}

#[test]
fn cert_manager_is_asked_no_more_when_somebody_else_issues() {
    let cluster = secured(Issuer::Operator);
    let leaf = certificates("aaaa", "t1", 1);
    let mut observed = settled_with(&cluster, Some(&leaf));
    observed.tls.request = Some(serde_json::json!({}));
    assert_eq!(kinds(&plan(&cluster, &observed, now())), ["withdraw"]);
}

#[test]
fn tls_that_cannot_be_had_is_no_spec_that_is_carried_out() {
    let cluster = secured(Issuer::Secret);
    let mut observed = settled_with(&cluster, None);
    observed.tls.source = Some(Err(missing()));
    let told = plan(&cluster, &observed, now());
    assert_eq!(reason(&told, ConditionType::Ready), "Ready", "it serves all the same");
    assert_eq!(reason(&told, ConditionType::Stalled), "SecretNotFound");
    let stalled = find(&told.status.conditions, ConditionType::Stalled).unwrap();
    assert_eq!(stalled.status, "True");
    assert!(stalled.message.contains("goes on without TLS"), "{}", stalled.message);
    // A new certificate that is no good, where there is one, is another matter.
    let good = certificates("one", "trust", 1);
    let mut observed = settled_with(&cluster, Some(&good));
    observed.tls.source = Some(Err(missing()));
    assert_eq!(reason(&plan(&cluster, &observed, now()), ConditionType::Stalled), "Ready");
}

#[test]
fn a_worker_that_is_one_too_many_leaves_without_a_look_at_secrets() {
    let mut cluster = secured(Issuer::Operator);
    let leaf = certificates("aaaa", "t1", 1);
    let mut observed = settled_with(&cluster, Some(&leaf));
    observed.known = Wants::NOTHING;
    cluster.spec.workers.replicas = Some(1);
    let first = plan(&cluster, &observed, now());
    let wants = Wants::OBJECT | Wants::PODS | Wants::WORKERS;
    assert_eq!((first.steps.len(), first.wants), (0, wants));
    (observed.known, observed.closable) = (wants, Some(names(&observed.pods)));
    let live = plan(&cluster, &observed, now());
    assert_eq!((kinds(&live), live.wants), (vec!["retire"], wants));
    cluster.spec.workers.replicas = Some(3);
    let grown = plan(&cluster, &observed, now());
    assert_eq!((kinds(&grown), grown.wants), (vec!["create"], wants | Wants::SECRETS));
    cluster.spec.workers.replicas = Some(2);
    observed.tls = view(&certificates("bbbb", "t1", 1));
    assert!(plan(&cluster, &observed, now()).wants.covers(Wants::SECRETS), "they are outdated by a Secret");
}
