//! All that is wrong with a `DaskCluster` and that its schema does not refuse.

use std::time::Duration;

use super::groups::of_spec;
use crate::api::DaskCluster;
use crate::api::duration::Written;
use crate::api::worker_group::{Autoscale, TopologySpread};
use crate::plan::pods::{Violation, quantity, scheduler, worker, written};
use crate::plan::site::Site;
use crate::plan::violations::{all, unreadable};

/// Below this a certificate would be renewed before all pods have it.
const CERTIFICATE_LIFE_MIN: Duration = Duration::from_secs(60);

/// The place for which a manifest is checked.
const SITE: Site = Site::Kubernetes;

/// Everything in the spec that no pod can be built from. Empty for a cluster that the operator would build.
pub fn violations(cluster: &DaskCluster) -> Vec<Violation> {
    let mut found = quantities(cluster);
    found.extend(durations(cluster));
    found.extend(packages(cluster));
    found.extend(all(cluster, |cluster| scheduler::pod(cluster, SITE, None).map(drop)));
    for (name, _) in of_spec(cluster) {
        found.extend(all(cluster, |cluster| {
            of_spec(cluster)
                .filter(|group| group.0 == name)
                .try_for_each(|group| worker::pod(cluster, SITE, None, group, 0).map(drop))
        }));
    }
    found
}

/// The first value that is none, or makes no sense beside another: what no builder of a pod looks at.
pub(super) fn of_values(cluster: &DaskCluster) -> Option<Violation> {
    quantities(cluster).into_iter().chain(durations(cluster)).chain(packages(cluster)).next()
}

/// Packages that somebody waits for and nobody installs.
fn packages(cluster: &DaskCluster) -> Vec<Violation> {
    let spec = &cluster.spec;
    let entrypoint = spec.entrypoint;
    let mut found: Vec<Violation> =
        written::idle_packages(&spec.env, entrypoint, "spec.env").into_iter().collect();
    let within =
        |template, container, field: &str| written::idle_packages_in(template, container, entrypoint, field);
    found.extend(within(spec.pod_defaults.as_ref(), written::EVERY, "spec.podDefaults"));
    found.extend(within(spec.scheduler.template.as_ref(), scheduler::CONTAINER, "spec.scheduler.template"));
    for (name, workers) in of_spec(cluster) {
        let field = format!("{}.template", worker::field(name));
        found.extend(within(workers.template.as_ref(), worker::CONTAINER, &field));
    }
    found
}

fn quantities(cluster: &DaskCluster) -> Vec<Violation> {
    let mut found = quantity::violations(&cluster.spec.scheduler.resources, "spec.scheduler.resources");
    for (name, workers) in of_spec(cluster) {
        let field = worker::field(name);
        found.extend(quantity::violations(&workers.resources, &format!("{field}.resources")));
        let size = workers.scratch.as_ref().map(|scratch| &scratch.size);
        found.extend(size.and_then(|size| quantity::no_size(size, &format!("{field}.scratch.size"))));
        found.extend(twice(&workers.topology_spread, &field));
        found.extend(no_label(&workers.topology_spread, &field));
    }
    found
}

/// A rule of spreading that Kubernetes takes once only.
fn twice(rules: &[TopologySpread], field: &str) -> Option<Violation> {
    let is_before = |(index, rule): &(usize, &TopologySpread)| {
        let mut before = rules.iter().take(*index);
        before.any(|one| {
            (&one.topology_key, one.when_unsatisfiable) == (&rule.topology_key, rule.when_unsatisfiable)
        })
    };
    let (index, rule) = rules.iter().enumerate().find(is_before)?;
    let message = format!("{} is in the list already; leave one of them out", rule.topology_key);
    Some(Violation::invalid(format!("{field}.topologySpread[{index}]"), message))
}

/// A rule of spreading over what no label is called: with `ScheduleAnyway` Kubernetes would take it, and
/// spread nothing.
fn no_label(rules: &[TopologySpread], field: &str) -> Option<Violation> {
    let (index, rule) = rules.iter().enumerate().find(|(_, rule)| !is_label(&rule.topology_key))?;
    let message = format!(
        "{:?} is no name of a label of nodes: write one such as kubernetes.io/hostname or topology.kubernetes.io/zone",
        rule.topology_key
    );
    Some(Violation::invalid(format!("{field}.topologySpread[{index}].topologyKey"), message))
}

/// Whether a label can be called so:
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>.
fn is_label(key: &str) -> bool {
    let is_part = |part: &str, bytes_max: usize, others: &[char]| {
        let is_end = |c: char| c.is_ascii_alphanumeric();
        (1..=bytes_max).contains(&part.len())
            && part.starts_with(is_end)
            && part.ends_with(is_end)
            && part.chars().all(|c| is_end(c) || others.contains(&c))
    };
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_prefix = |prefix: &str| is_part(prefix, 253, &['-', '.']) && prefix.to_lowercase() == prefix;
    prefix.is_none_or(is_prefix) && is_part(name, 63, &['-', '_', '.'])
}

/// Durations that the schema's pattern takes and that are too long to be meant, or too short.
fn durations(cluster: &DaskCluster) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, workers) in of_spec(cluster) {
        let field = worker::field(name);
        if let Some(Autoscale { target_duration, scale_down_after, .. }) = &workers.autoscale {
            found.extend(unreadable(format!("{field}.autoscale.targetDuration"), target_duration));
            found.extend(unreadable(format!("{field}.autoscale.scaleDownAfter"), scale_down_after));
        }
        let drain = workers.drain_timeout.as_ref();
        found.extend(drain.and_then(|timeout| unreadable(format!("{field}.drainTimeout"), timeout)));
    }
    let life = cluster.spec.tls.as_ref().and_then(|tls| tls.duration.as_ref());
    found.extend(life.and_then(|life| unreadable("spec.tls.duration", life).or_else(|| too_short(life))));
    let idle = cluster.spec.idle.as_ref();
    found.extend(idle.and_then(|idle| unreadable("spec.idle.after", &idle.after)));
    found
}

fn too_short(life: &Written<Duration>) -> Option<Violation> {
    life.get().filter(|life| *life < CERTIFICATE_LIFE_MIN)?;
    Some(Violation::invalid(
        "spec.tls.duration",
        "a certificate lives for at least a minute: write 1m or more",
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::api::DaskClusterSpec;

    #[test]
    fn all_faults_of_both_templates_are_told() {
        let spec: DaskClusterSpec = serde_json::from_value(json!({
            "image": "a",
            "scheduler": {"template": {"spec": {"nodeSelecter": {"a": "b"}}}},
            "workers": {
                "args": ["--name", "x"],
                "template": {"spec": {"containers": [{"name": "worker", "imge": "x", "comand": []}], "nodes": 1}},
                "resources": {"limits": {"memory": "4GB"}},
            },
        }))
        .unwrap();
        let fields: Vec<String> =
            violations(&DaskCluster::new("a", spec)).into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            [
                "spec.workers.resources.limits[memory]",
                "spec.scheduler.template.spec.nodeSelecter",
                "spec.workers.args",
                "spec.workers.template.spec.containers[0].imge",
                "spec.workers.template.spec.nodes",
            ]
        );
    }

    #[test]
    fn a_rule_of_spreading_is_there_once() {
        let spread = |second: &str| {
            let first = json!({"topologyKey": "zone"});
            let second = json!({"topologyKey": "zone", "whenUnsatisfiable": second});
            let spec = json!({"image": "a", "workers": {"topologySpread": [first, second]}});
            violations(&DaskCluster::new("a", serde_json::from_value(spec).unwrap()))
        };
        assert_eq!(spread("DoNotSchedule"), []);
        assert_eq!(spread("ScheduleAnyway")[0].field, "spec.workers.topologySpread[1]");
    }

    #[test]
    fn durations_that_nobody_can_mean_are_told() {
        let long = "9999999999999h";
        let spec: DaskClusterSpec = serde_json::from_value(json!({
            "image": "a",
            "workers": {"autoscale": {"minimum": 0, "maximum": 1, "scaleDownAfter": long}},
            "workerGroups": [{"name": "gpu", "drain": "Wait", "drainTimeout": long}],
            "idle": {"after": long},
        }))
        .unwrap();
        let fields: Vec<String> =
            violations(&DaskCluster::new("a", spec)).into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            [
                "spec.workers.autoscale.scaleDownAfter",
                "spec.workerGroups[gpu].drainTimeout",
                "spec.idle.after"
            ]
        );
    }

    #[test]
    fn faults_of_a_further_group_name_it() {
        let spec: DaskClusterSpec = serde_json::from_value(json!({
            "image": "a",
            "workers": {"scratch": {"size": "20GB"}},
            "workerGroups": [
                {"name": "good"},
                {
                    "name": "gpu",
                    "args": ["--nworkers=2"],
                    "resources": {"requests": {"cpu": 2}, "limits": {"cpu": 1, "nvidia.com/gpu": "one"}},
                    "scratch": {"size": "-1Gi"},
                },
                {"name": "large", "template": {"spec": {"toleration": [{"key": "a"}], "containers": [{"name": "worker", "imge": "x"}]}}},
            ],
        }))
        .unwrap();
        let fields: Vec<String> =
            violations(&DaskCluster::new("a", spec)).into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            [
                "spec.workers.scratch.size",
                "spec.workerGroups[gpu].resources.limits[nvidia.com/gpu]",
                "spec.workerGroups[gpu].resources.requests[cpu]",
                "spec.workerGroups[gpu].scratch.size",
                "spec.workerGroups[gpu].args",
                "spec.workerGroups[large].template.spec.containers[0].imge",
                "spec.workerGroups[large].template.spec.toleration",
            ]
        );
    }

    #[rstest]
    #[case("zone", true)]
    #[case("topology.kubernetes.io/zone", true)]
    #[case("Rack_1.a-b", true)]
    #[case("not a label!", false)]
    #[case("", false)]
    #[case("a/b/c", false)]
    #[case("/zone", false)]
    #[case("Example.org/zone", false)]
    #[case("zone-", false)]
    fn workers_are_spread_over_labels_only(#[case] key: &str, #[case] is: bool) {
        assert_eq!(is_label(key), is);
        let spec = json!({"image": "a", "workers": {"topologySpread": [{"topologyKey": key}]}});
        let spec: DaskClusterSpec = serde_json::from_value(spec).unwrap();
        let found = quantities(&DaskCluster::new("a", spec));
        assert_eq!(found.is_empty(), is, "{found:?}");
    }
}
