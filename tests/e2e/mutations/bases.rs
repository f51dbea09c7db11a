//! The objects that are changed. Most make no pods: their clocks tick once a year, they are suspended, or
//! they wait.

use std::time::Duration;

use serde_json::{Value, json};

use super::changes::{Amount, Change, changes};
use super::schema::{KINDS, of_spec};
use super::specs::{full, plain, rich, sleeper, small, with};
use crate::support::settings::Settings;

/// Objects of one spec, which get its changes by turns.
#[derive(Clone, Debug)]
pub struct Base {
    /// What it is called, and what the names of its objects begin with.
    pub name: &'static str,
    /// The kind that is changed.
    pub kind: &'static str,
    /// Its spec.
    pub spec: Value,
    /// How many objects there are.
    pub slots: usize,
    /// How many values each field gets.
    pub amount: Amount,
    /// Only fields below these are changed; all where it is empty.
    pub only: &'static [&'static str],
    /// Fields below these are not changed.
    pub without: &'static [&'static str],
    /// The cluster of a Flow of its own that each object has, under the object's name: two backfills of one
    /// Flow would share its ticks.
    pub flow_on: Option<&'static str>,
    /// Specs of `FlowRun`s that are created beside a Flow.
    pub runs: Vec<Value>,
    /// What must be true before anything is changed: condition or `phase`, and its status and reason; or
    /// `runs`.
    pub begins: &'static [(&'static str, &'static str)],
    /// How long it may take to come to rest.
    pub limit: Duration,
    /// How many workers a change may ask for: no limit where none of them becomes a pod.
    pub most_workers: i64,
}

impl Base {
    fn new(name: &'static str, kind: &'static str, slots: usize, spec: Value) -> Self {
        Self {
            name,
            kind,
            spec,
            slots,
            amount: Amount::All,
            only: &[],
            without: &[],
            flow_on: None,
            runs: Vec::new(),
            begins: &[],
            limit: Duration::from_secs(60),
            most_workers: i64::MAX,
        }
    }

    /// The changes of this base.
    pub fn changes(&self) -> Vec<Change> {
        let plural = KINDS.iter().find(|(kind, _)| *kind == self.kind).map(|(_, plural)| plural).unwrap();
        let mut all = changes(&of_spec(plural), &self.spec, self.amount);
        all.retain(|change| self.has(&change.leaf) && !self.asks_for_too_many(change));
        all
    }

    fn asks_for_too_many(&self, change: &Change) -> bool {
        let of_workers = [".replicas", ".minimum"].iter().any(|name| change.leaf.ends_with(name));
        of_workers && largest(&change.patch[0]["value"]) > self.most_workers
    }

    /// Whether the base has changes of this field.
    pub fn has(&self, leaf: &str) -> bool {
        let is_below = |field: &&str| {
            leaf.strip_prefix(field).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        };
        (self.only.is_empty() || self.only.iter().any(is_below)) && !self.without.iter().any(is_below)
    }
}

/// The largest integer in a value.
fn largest(value: &Value) -> i64 {
    match value {
        Value::Array(items) => items.iter().map(largest).max().unwrap_or(0),
        Value::Object(fields) => fields.values().map(largest).max().unwrap_or(0),
        value => value.as_i64().unwrap_or(0),
    }
}

/// An image that nobody has.
pub const IMAGE: &str = "registry.example/dask:1";
/// The cluster that is suspended.
pub const SUSPENDED: &str = "suspended";
/// The cluster that works, for runs.
pub const WORKS: &str = "works-here";

/// All bases.
pub fn bases(settings: &Settings) -> Vec<Base> {
    let mut all = flows();
    all.extend(flows_with_runs());
    all.extend(clusters(settings));
    all.extend(runs());
    all.extend(backfills());
    all
}

/// What the bases need: objects that nobody changes.
pub fn surroundings(settings: &Settings) -> Vec<(&'static str, Value)> {
    let of = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let core = |kind: &str, name: &str, data: Value| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": data});
    let mut all = vec![
        (
            "ConfigMap",
            core("ConfigMap", "there", json!({"key": "pass\n", "flow.py": "pass\n", "other.py": "pass\n"})),
        ),
        ("Secret", core("Secret", "there", json!({"key": "eA==", "other.py": "eA=="}))),
        ("DaskCluster", of("DaskCluster", SUSPENDED, json!({"image": IMAGE, "suspend": true}))),
        ("DaskCluster", of("DaskCluster", "there", json!({"image": IMAGE, "suspend": true}))),
        ("DaskCluster", of("DaskCluster", WORKS, small(settings))),
    ];
    for (name, cluster) in [("on-suspended", SUSPENDED), ("on-none", "none"), ("on-works", WORKS)] {
        all.push(("Flow", of("Flow", name, sleeper(cluster))));
    }
    all
}

fn flows() -> Vec<Base> {
    let template: &[&str] = &["spec.cluster.template"];
    let mapped = json!({"code": {"configMap": {"name": "there", "key": "flow.py"}}, "engine": "Auto"});
    let path = json!({"code": {"path": "/flows/flow.py"}});
    let mut on_ref = plain();
    on_ref.as_object_mut().unwrap().remove("command");
    vec![
        Base { without: template, ..Base::new("plain", "Flow", 24, plain()) },
        Base { without: template, ..Base::new("full", "Flow", 36, full()) },
        Base {
            only: &["spec.cluster"],
            ..Base::new(
                "own",
                "Flow",
                24,
                with(plain(), json!({"cluster": {"keepOnFailure": "1h", "template": rich()}})),
            )
        },
        Base {
            only: &["spec.cluster", "spec.image"],
            without: template,
            ..Base::new(
                "abroad",
                "Flow",
                8,
                with(
                    plain(),
                    json!({
                        "cluster": {"address": "tls://dask.example:8786", "tls": {"secretName": "there", "verifyHostName": true}},
                    }),
                ),
            )
        },
        Base {
            only: &["spec.code", "spec.engine", "spec.entrypoint"],
            ..Base::new("mapped", "Flow", 6, with(on_ref.clone(), mapped))
        },
        Base { only: &["spec.code"], ..Base::new("path", "Flow", 4, with(on_ref, path)) },
    ]
}

fn flows_with_runs() -> Vec<Base> {
    let run = json!({});
    let queue = json!({"concurrency": "Queue", "maxActive": 1, "maxQueued": 4, "clusterTimeout": "24h"});
    let waits = with(with(plain(), queue), json!({"cluster": {"ref": {"name": "none"}}}));
    let queued = with(plain(), json!({"clusterTimeout": "24h", "timeout": "24h", "deadline": "48h"}));
    let works = with(sleeper(WORKS), json!({"concurrency": "Forbid", "retries": {"limit": 1}}));
    let one = |base: Base| Base { amount: Amount::One, without: &["spec.cluster.template"], ..base };
    vec![
        one(Base {
            runs: vec![run.clone(), run.clone()],
            begins: &[("runs", "Provisioning ClusterNotFound"), ("runs", "Queued MaxActiveReached")],
            ..Base::new("waits", "Flow", 12, waits)
        }),
        one(Base {
            runs: vec![run.clone(), run.clone()],
            begins: &[("runs", "Queued ClusterSuspended")],
            ..Base::new("queued", "Flow", 12, queued)
        }),
        one(Base {
            runs: vec![run],
            begins: &[("runs", "Running RunnerRunning")],
            limit: Duration::from_secs(120),
            ..Base::new("works", "Flow", 8, works)
        }),
    ]
}

fn clusters(settings: &Settings) -> Vec<Base> {
    let bare = json!({"image": IMAGE, "suspend": true});
    let suspended: &[(&str, &str)] = &[("Suspended", "True Suspended")];
    let tls = |tls: Value| with(bare.clone(), json!({"tls": tls}));
    let scaled = json!({
        "workers": {"autoscale": {"minimum": 1, "maximum": 4, "targetDuration": "10s", "scaleDownAfter": "2m"}},
        "idle": {"after": "1h", "action": "ScaleToZero"},
    });
    // No node takes its pods: what is made of the spec is seen, and nothing runs.
    let nowhere = json!({
        "podDefaults": {"spec": {"nodeSelector": {"daskflow.dev/e2e": "nowhere"}}},
        "workers": {"replicas": 1},
        "workerGroups": [{"name": "fixed", "replicas": 1, "daskResources": {"GPU": 1}}],
        "tls": {"issuer": "Operator"},
        "networkPolicy": {"enabled": true},
        "suspend": false,
    });
    let of = |base: Base| Base { begins: suspended, ..base };
    vec![
        of(Base::new("bare", "DaskCluster", 20, bare.clone())),
        of(Base::new("rich", "DaskCluster", 36, with(rich(), json!({"suspend": true})))),
        of(Base {
            only: &["spec.tls"],
            ..Base::new("secret", "DaskCluster", 4, tls(json!({"issuer": "Secret", "secretName": "there"})))
        }),
        of(Base {
            only: &["spec.tls"],
            ..Base::new(
                "manager",
                "DaskCluster",
                4,
                tls(
                    json!({"issuer": "CertManager", "issuerRef": {"name": "there", "kind": "Issuer", "group": "cert-manager.io"}}),
                ),
            )
        }),
        of(Base {
            only: &["spec.workers.autoscale", "spec.workers.replicas", "spec.idle"],
            ..Base::new("scaled", "DaskCluster", 6, with(bare.clone(), scaled))
        }),
        Base {
            without: &["spec.podDefaults"],
            begins: &[("Reconciling", "True Unschedulable")],
            limit: Duration::from_secs(90),
            most_workers: 3,
            ..Base::new("pending", "DaskCluster", 12, with(bare.clone(), nowhere))
        },
        Base {
            amount: Amount::One,
            only: LIVING,
            begins: &[("Ready", "True Ready"), ("Reconciling", "False Ready")],
            limit: Duration::from_secs(180),
            most_workers: 2,
            ..Base::new("living", "DaskCluster", 3, small(settings))
        },
    ]
}

/// Of a cluster that works each change may replace its pods, so that not every field has one.
const LIVING: &[&str] = &[
    "spec.env",
    "spec.idle",
    "spec.image",
    "spec.maxActiveRuns",
    "spec.networkPolicy",
    "spec.podDefaults",
    "spec.python",
    "spec.rollout",
    "spec.scheduler.args",
    "spec.scheduler.service",
    "spec.scheduler.template",
    "spec.suspend",
    "spec.tls",
    "spec.workerGroups",
    "spec.workers",
];

fn runs() -> Vec<Base> {
    let full = |flow: &str| json!({"flow": flow, "parameters": {"x": 1}, "clock": "yearly", "scheduledTime": "2026-01-01T00:00:00Z"});
    let base =
        |name: &'static str, slots: usize, spec: Value, phase: &'static [(&'static str, &'static str)]| {
            Base { begins: phase, ..Base::new(name, "FlowRun", slots, spec) }
        };
    let mut works = base("run-works", 3, json!({"flow": "on-works"}), &[("phase", "Running")]);
    works.limit = Duration::from_secs(120);
    works.only = &["spec.cancel", "spec.suspend"];
    vec![
        base(
            "run-held",
            8,
            with(full("on-suspended"), json!({"suspend": true})),
            &[("Complete", "False Suspended")],
        ),
        base("run-queued", 4, full("on-suspended"), &[("Complete", "False ClusterSuspended")]),
        base("run-waits", 4, json!({"flow": "on-none"}), &[("Complete", "False ClusterNotFound")]),
        works,
    ]
}

fn backfills() -> Vec<Base> {
    let range = |from: &str, to: &str| json!({"flow": "its own", "from": from, "to": to});
    let own = |base: Base| Base { flow_on: Some(SUSPENDED), ..base };
    let ten = range("2010-06-01T00:00:00Z", "2020-06-01T00:00:00Z");
    let more = json!({"parallelism": 2, "order": "NewestFirst", "skip": "Ran", "clocks": ["yearly"], "parameters": {"x": 2}});
    let none = range("2010-06-01T00:00:00Z", "2010-06-02T00:00:00Z");
    vec![
        own(Base {
            begins: &[("Ready", "True Suspended")],
            ..Base::new(
                "held",
                "FlowBackfill",
                8,
                with(with(ten.clone(), more.clone()), json!({"suspend": true})),
            )
        }),
        own(Base {
            begins: &[("Reconciling", "True Progressing"), ("runs", "Queued ClusterSuspended")],
            ..Base::new("goes", "FlowBackfill", 8, with(ten, more))
        }),
        own(Base { begins: &[("Complete", "True NoTicks")], ..Base::new("over", "FlowBackfill", 4, none) }),
    ]
}
