//! What a service account asked of the API server, by its audit log, and what it may ask, by the roles that
//! are there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

/// A resource and a verb.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The API group; empty for the core.
    pub group: String,
    /// The plural name, with the subresource after a slash.
    pub resource: String,
    /// What is done.
    pub verb: String,
}

impl Display for Right {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.verb, self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(out, ".{}", self.group) }
    }
}

/// What was asked, each once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// Resource and verb.
    pub what: Right,
    /// None: about no namespace, or all of them.
    pub namespace: Option<String>,
    /// Whether rights were missing.
    pub denied: bool,
}

/// All that this user asked about resources.
pub fn asked(log: &Path, user: &str) -> BTreeSet<Asked> {
    let mut asked = BTreeSet::new();
    each_event(log, user, |event| asked.extend(read(event)));
    asked
}

/// How often this user asked for what, verb and resource, in a span of time.
pub fn requests(log: &Path, user: &str, begin: Timestamp, end: Timestamp) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    each_event(log, user, |event| {
        let at = event["requestReceivedTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        if at.is_some_and(|at| begin <= at && at <= end) {
            for asked in read(event).into_iter().take(1) {
                *counts.entry(asked.what.to_string()).or_default() += 1;
            }
        }
    });
    counts
}

fn each_event(log: &Path, user: &str, mut take: impl FnMut(&Value)) {
    let file = File::open(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let quoted = format!("\"{user}\"");
    for line in BufReader::new(file).split(b'\n') {
        let line = line.unwrap();
        // Most lines are about others, and the last one may not be written to its end.
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        if !text.contains(&quoted) {
            continue;
        }
        let Ok(event) = serde_json::from_str::<Value>(text) else { continue };
        if event["user"]["username"] == user {
            take(&event);
        }
    }
}

fn read(event: &Value) -> Vec<Asked> {
    let about = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let Some(resource) = about["resource"].as_str() else { return Vec::new() };
    let resource = match about["subresource"].as_str() {
        Some(subresource) => format!("{resource}/{subresource}"),
        None => resource.to_owned(),
    };
    let asked = |verb: &str| Asked {
        what: Right { group: text(&about["apiGroup"]), resource: resource.clone(), verb: verb.to_owned() },
        namespace: about["namespace"].as_str().map(str::to_owned),
        denied: event["annotations"]["authorization.k8s.io/decision"] == "forbid",
    };
    let verb = text(&event["verb"]);
    let mut all = vec![asked(&verb)];
    // The API server asks for the right to create before a patch makes its object.
    if verb == "patch" && event["responseStatus"]["code"] == 201 {
        all.push(asked("create"));
    }
    all
}

/// What is granted where.
#[derive(Clone, Debug)]
pub struct Grant {
    /// One rule of a role.
    pub rule: PolicyRule,
    /// None: in all namespaces.
    pub namespace: Option<String>,
}

impl Grant {
    /// All that it allows, in words that have no wildcard.
    pub fn rights(&self) -> Vec<Right> {
        let mut all = Vec::new();
        for group in self.rule.api_groups.iter().flatten() {
            for resource in self.rule.resources.iter().flatten() {
                all.extend(self.rule.verbs.iter().map(|verb| Right {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                }));
            }
        }
        all
    }

    /// Whether it allows this.
    pub fn covers(&self, asked: &Asked) -> bool {
        (self.namespace.is_none() || self.namespace == asked.namespace) && self.rights().contains(&asked.what)
    }
}

/// All that roles grant to this service account by its name.
pub async fn grants(client: &Client, namespace: &str, account: &str) -> Vec<Grant> {
    let is_ours = |subjects: &Option<Vec<Subject>>| {
        subjects.iter().flatten().any(|subject| {
            subject.kind == "ServiceAccount"
                && subject.name == account
                && subject.namespace.as_deref() == Some(namespace)
        })
    };
    let everything = ListParams::default();
    let wide: Api<ClusterRoleBinding> = Api::all(client.clone());
    let narrow: Api<RoleBinding> = Api::all(client.clone());
    let wide = wide.list(&everything).await.unwrap().items;
    let narrow = narrow.list(&everything).await.unwrap().items;
    let wide = wide.iter().filter(|binding| is_ours(&binding.subjects));
    let narrow = narrow.iter().filter(|binding| is_ours(&binding.subjects));
    let wide = wide.map(|binding| (&binding.role_ref, None));
    let narrow = narrow.map(|binding| (&binding.role_ref, binding.namespace()));
    let mut grants = Vec::new();
    for (role, namespace) in wide.chain(narrow).collect::<Vec<_>>() {
        let rules = rules(client, role, namespace.as_deref()).await;
        grants.extend(rules.into_iter().map(|rule| Grant { rule, namespace: namespace.clone() }));
    }
    grants
}

async fn rules(client: &Client, role: &RoleRef, namespace: Option<&str>) -> Vec<PolicyRule> {
    let rules = match namespace.filter(|_| role.kind == "Role") {
        Some(namespace) => {
            Api::<Role>::namespaced(client.clone(), namespace).get(&role.name).await.unwrap().rules
        }
        None => Api::<ClusterRole>::all(client.clone()).get(&role.name).await.unwrap().rules,
    };
    rules.unwrap_or_default()
}
