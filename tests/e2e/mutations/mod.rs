//! Every field of every kind is changed on living objects, one at a time, and back again:
//! `make test-mutations`.
//!
//! After a change the operator must have seen the spec, the conditions must agree with each other, and
//! nothing may be written at rest; after the way back the conditions and the children must be those of
//! before. The changes come from the schemas in `crds/`, so that a new field is changed as well; one of which
//! no value is ever taken is an anomaly too.

mod bases;
mod changes;
mod exceptions;
mod findings;
mod judge;
mod schema;
mod specs;
mod values;
mod walk;
mod warnings;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use kube::Client;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::bases::{Base, WORKS, bases, surroundings};
use self::findings::{Fault, Finding};
use self::schema::KINDS;
use self::walk::{Gathered, Walk};
use self::warnings::Log;
use self::world::World;
use crate::support::clock::now;
use crate::support::figures::say;
use crate::support::settings::settings;
use crate::support::{Namespace, operator};

/// How long nothing may be written after the last change.
const END: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a search of about twenty minutes: make test-mutations"]
async fn mutations() {
    let settings = settings().unwrap_or_else(|why| panic!("{why}: run `make test-mutations`"));
    let client = Client::try_default().await.expect("the kubeconfig can be read");
    operator::must_run(&client).await;
    let wanted = wanted();
    let mut bases = bases(settings);
    bases.retain(|base| wanted.is_empty() || wanted.split(',').any(|words| base.name.contains(words)));
    assert!(!bases.is_empty(), "no base is called {wanted}");

    let name = format!("mut-{:04x}", fastrand::u16(..));
    let namespace = Namespace::called(client.clone(), settings, name, "mutations").await;
    let walk = Walk::new(World::watch(client.clone(), &namespace.name));
    let log = Log::read(client.clone(), now());
    let before = starts(&client).await;
    for (kind, object) in surroundings(settings) {
        walk.world
            .create(kind, &object)
            .await
            .unwrap_or_else(|refusal| panic!("{object}: {}", refusal.message));
    }
    namespace.until_ready(WORKS, 1).await;
    join_all(bases.iter().map(|base| walk_one(&walk, base))).await;
    let mut findings = written_at_the_end(&walk.world).await;
    let rounds = walk.gathered().rounds.clone();
    findings.extend(log.warnings(&namespace.name, &rounds).await);
    if wanted.is_empty() {
        findings.extend(untried(&bases, &walk.gathered()));
    }
    let after = starts(&client).await;
    walk.gathered().findings.extend(findings);
    namespace.delete().await;
    let anomalies = report(&walk.gathered(), &bases);
    assert_eq!(before, after, "the operator was started again");
    assert!(anomalies == 0, "{anomalies} anomalies");
}

async fn walk_one(walk: &Walk, base: &Base) {
    let (begin, count) = (Instant::now(), base.changes().len());
    say(&format!("{}: {count} changes of {} objects", base.name, base.slots));
    walk.base(base).await;
    say(&format!("{}: done after {} s", base.name, begin.elapsed().as_secs()));
}

/// What the names of the bases must hold that are walked: one of these words, with commas between them.
#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
fn wanted() -> String {
    std::env::var("DASKFLOW_MUTATIONS").unwrap_or_default()
}

/// The pods of the operator, and how often each was started again.
async fn starts(client: &Client) -> BTreeMap<String, i32> {
    let pods = operator::pods(client).await.unwrap_or_default();
    let count = |pod: k8s_openapi::api::core::v1::Pod| {
        let containers = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
        let restarts = containers.iter().map(|container| container.restart_count).sum();
        (pod.metadata.name.unwrap_or_default(), restarts)
    };
    pods.into_iter().map(count).collect()
}

/// What is still written when all objects have their first spec again.
async fn written_at_the_end(world: &World) -> Vec<Finding> {
    let begin = world.versions();
    sleep(END).await;
    let end = world.versions();
    let written = begin.into_iter().filter_map(|(key, count)| {
        let more = end.get(&key)?.checked_sub(count).filter(|more| *more > 0)?;
        let (kind, object) = key;
        let seen = world.get(&kind, &object)?;
        let last = judge::written(&seen.before, &seen.object);
        let why = format!("{more} versions in {END:?} after all changes, the last one: {last:?}");
        let fault = Fault::Restless(why);
        Some(Finding {
            base: String::new(),
            kind,
            object,
            leaf: "no change".into(),
            patch: Value::Null,
            fault,
        })
    });
    written.collect()
}

/// The fields that can be changed, and of which no value was taken.
fn untried(bases: &[Base], gathered: &Gathered) -> Vec<Finding> {
    let mut all = Vec::new();
    for (kind, plural) in KINDS {
        let mut leaves = Vec::new();
        schema::leaves(&schema::of_spec(plural), "spec", &mut leaves);
        let is_taken = |leaf: &String| gathered.taken.contains(&(kind, leaf.clone()));
        let of_kind = || bases.iter().filter(|base| base.kind == kind);
        let missing =
            leaves.into_iter().filter(|leaf| !is_taken(leaf) && of_kind().any(|base| base.has(leaf)));
        all.extend(missing.map(|leaf| Finding {
            base: String::new(),
            kind: kind.to_owned(),
            object: String::new(),
            leaf,
            patch: Value::Null,
            fault: Fault::Untried,
        }));
    }
    all
}

/// Prints the table and all that was found. How many anomalies there are.
fn report(gathered: &Gathered, bases: &[Base]) -> usize {
    let (excused, anomalies): (Vec<_>, Vec<_>) =
        gathered.findings.iter().partition(|finding| finding.excuse().is_some());
    say("");
    say(&format!(
        "{:<14}{:>8}{:>10}{:>8}{:>12}{:>11}",
        "kind", "tried", "refused", "taken", "no change", "anomalies"
    ));
    for (kind, counts) in &gathered.counts {
        let found = anomalies.iter().filter(|finding| finding.kind == *kind).count();
        let walk::Counts { tried, refused, taken, same } = counts;
        say(&format!("{kind:<14}{tried:>8}{refused:>10}{taken:>8}{same:>12}{found:>11}"));
    }
    let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &excused {
        *by_reason.entry(finding.excuse().unwrap_or_default()).or_default() += 1;
    }
    for (why, count) in by_reason {
        say(&format!("as documented, {count} times: {why}"));
    }
    for finding in &anomalies {
        say(&format!("ANOMALY: {finding}"));
    }
    let names: BTreeSet<&str> = anomalies.iter().map(|finding| finding.base.as_str()).collect();
    for base in bases.iter().filter(|base| names.contains(base.name)) {
        let runs =
            if base.runs.is_empty() { String::new() } else { format!(", with {} FlowRuns", base.runs.len()) };
        say(&format!("base {} is a {}{runs} of the spec {}", base.name, base.kind, base.spec));
    }
    anomalies.len()
}
