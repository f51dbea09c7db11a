//! The specs of the objects that are changed.

use serde_json::{Map, Value, json};

use super::bases::{IMAGE, SUSPENDED};
use crate::support::settings::Settings;

/// A cluster of one worker that starts quickly.
pub fn small(settings: &Settings) -> Value {
    json!({
        "image": settings.dask,
        "workers": {"replicas": 1, "threads": 1, "memory": "400Mi", "nanny": false},
    })
}

/// A spec with other fields as well.
pub fn with(mut spec: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("fields of a spec: {more}") };
    spec.as_object_mut().unwrap().extend(more);
    spec
}

/// A schedule that ticks once a year.
pub fn yearly() -> Value {
    json!({"clocks": [{"name": "yearly", "cron": "0 0 1 1 *"}]})
}

/// A Flow of few fields.
pub fn plain() -> Value {
    json!({
        "image": IMAGE,
        "command": ["python", "-c", "pass"],
        "cluster": {"ref": {"name": SUSPENDED}},
        "schedule": yearly(),
    })
}

/// A Flow whose runs sleep for a day, as many of them as there are.
pub fn sleeper(cluster: &str) -> Value {
    json!({
        "cluster": {"ref": {"name": cluster}},
        "command": ["sleep", "86400"],
        "concurrency": "Allow",
        "clusterTimeout": "24h",
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
        "schedule": yearly(),
    })
}

/// Environment variables of each sort.
fn env() -> Value {
    json!([
        {"name": "PLAIN", "value": "x"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "there", "key": "key", "optional": true}}},
    ])
}

/// Requests and limits.
fn resources() -> Value {
    json!({"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}})
}

/// A pod template.
fn template() -> Value {
    json!({"metadata": {"labels": {"team": "a"}}, "spec": {"terminationGracePeriodSeconds": 5}})
}

/// A Flow with all fields that go together.
pub fn full() -> Value {
    json!({
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecrets": [{"name": "there"}],
        "code": {"inline": "pass\n"},
        "engine": "Dask",
        "entrypoint": "Python",
        "python": "python",
        "args": ["--fast", "a"],
        "parameters": {"x": 42},
        "env": env(),
        "envFrom": [{"prefix": "A_", "secretRef": {"name": "there"}}, {"configMapRef": {"name": "there", "optional": true}}],
        "resources": resources(),
        "serviceAccountName": "default",
        "template": template(),
        "cluster": {"ref": {"name": SUSPENDED}},
        "concurrency": "Queue",
        "maxActive": 2,
        "maxQueued": 5,
        "catchUp": {"policy": "All", "limit": 3},
        "retries": {"limit": 1, "infrastructure": 1, "delay": "10s", "maxDelay": "1m", "factor": 3},
        "timeout": "1h",
        "deadline": "2h",
        "startingDeadline": "3h",
        "clusterTimeout": "5m",
        "history": {"succeeded": 2, "failed": 2, "olderThan": "7d"},
        "schedule": schedule(),
    })
}

/// A schedule with a clock of each sort, and all that decides about ticks.
fn schedule() -> Value {
    json!({
        "timeZone": "Europe/Paris",
        "daylightSaving": "CronJob",
        "jitter": "10m",
        "adjust": "NextWeekday",
        "only": {
            "days": ["Weekday", "Sunday"],
            "between": [{"from": "06:00", "to": "18:00"}],
            "dates": [{"from": "01-01", "to": "12-31"}],
        },
        "except": {
            "days": ["MonthEnd"],
            "between": [{"from": "12:00", "to": "13:00"}],
            "dates": [{"from": "12-24", "to": "01-02"}],
        },
        "clocks": [
            {
                "name": "cron", "cron": "0 8 3 2 *", "timeZone": "Asia/Tokyo", "parameters": {"x": 1},
                "suspend": false, "maxRuns": 9, "startAt": "2026-01-01T00:00:00Z", "endAt": "2999-01-01T00:00:00Z",
            },
            {"name": "interval", "interval": "1y", "startAt": "2020-02-03T10:00:00Z"},
            {"name": "rrule", "rrule": "DTSTART=20200204T100000Z;FREQ=YEARLY;BYMONTH=2;BYDAY=1TU"},
            {"name": "dates", "dates": ["2091-02-06T10:00:00Z", "2092-02-06T10:00:00Z"]},
        ],
    })
}

/// A Service with all fields.
fn service() -> Value {
    json!({
        "type": "LoadBalancer",
        "annotations": {"example.com/a": "b"},
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "loadBalancerClass": "example.com/lb",
        "externalTrafficPolicy": "Local",
    })
}

/// A group of workers with all fields that a fixed number of workers may have.
fn group() -> Map<String, Value> {
    let group = json!({
        "replicas": 1,
        "threads": 2,
        "memory": "1GiB",
        "nanny": true,
        "resources": resources(),
        "args": ["--lifetime", "1h"],
        "daskResources": {"GPU": 1},
        "drain": "Wait",
        "drainTimeout": "10m",
        "priorityClassName": "system-cluster-critical",
        "scratch": {"size": "1Gi", "medium": "Memory"},
        "topologySpread": [{"topologyKey": "kubernetes.io/hostname", "maxSkew": 2, "whenUnsatisfiable": "ScheduleAnyway"}],
        "template": template(),
    });
    group.as_object().cloned().unwrap()
}

/// A cluster with all fields that go together.
pub fn rich() -> Value {
    let mut scaled = group();
    scaled.remove("replicas");
    scaled.insert("name".into(), json!("scaled"));
    scaled.insert(
        "autoscale".into(),
        json!({"minimum": 0, "maximum": 4, "targetDuration": "10s", "scaleDownAfter": "2m"}),
    );
    let mut fixed = group();
    fixed.insert("name".into(), json!("fixed"));
    json!({
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "imagePullSecrets": [{"name": "there"}],
        "entrypoint": "Python",
        "python": "python",
        "env": env(),
        "podDefaults": template(),
        "maxActiveRuns": 5,
        "networkPolicy": {"enabled": true},
        "rollout": "Immediate",
        "scheduler": {"args": ["--idle-timeout", "0"], "resources": resources(), "service": service(), "template": template()},
        "workers": group(),
        "workerGroups": [scaled, fixed],
        "tls": {"issuer": "Operator", "duration": "720h", "verifyHostName": true},
        "idle": {"after": "1h", "action": "Suspend"},
        "suspend": false,
    })
}
