use serde_json::json;

use super::*;

fn workers(limits: &[(&str, Amount)]) -> WorkersSpec {
    let mut workers = WorkersSpec::default();
    workers.resources.limits =
        limits.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    workers
}

#[test]
fn threads_follow_the_cpu_limit_rounded_up() {
    assert_eq!(threads(&workers(&[])), 1);
    assert_eq!(threads(&workers(&[("cpu", Amount::Number(3))])), 3);
    assert_eq!(threads(&workers(&[("cpu", Amount::Text("1500m".into()))])), 2);
    assert_eq!(threads(&workers(&[("cpu", Amount::Text("0.5".into()))])), 1);
    assert_eq!(threads(&WorkersSpec { threads: Some(4), ..WorkersSpec::default() }), 4);
}

#[test]
fn memory_follows_the_memory_limit() {
    assert_eq!(memory(&workers(&[])), "auto");
    assert_eq!(memory(&workers(&[("memory", Amount::Text("4Gi".into()))])), "4Gi");
}

#[test]
fn suffixes_are_five_characters_of_a_label() {
    assert_eq!(suffix(0), "00000");
    assert!(suffix(u64::MAX).chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    assert_ne!(suffix(1), suffix(2));
}

/// The worker's container of a cluster of this group.
fn built(workers: &Value) -> (PodSpec, k8s_openapi::api::core::v1::Container) {
    let workers: WorkersSpec = serde_json::from_value(workers.clone()).unwrap();
    let cluster = DaskCluster::new("a", DaskClusterSpec { image: "i".into(), ..DaskClusterSpec::default() });
    let spec = pod(&cluster, None, ("gpu", &workers), 7).unwrap().spec.unwrap();
    let container = spec.containers.iter().find(|container| container.name == CONTAINER).unwrap().clone();
    (spec, container)
}

#[test]
fn what_the_group_asks_for_is_in_the_pod() {
    let (spec, container) = built(&json!({
        "daskResources": {"GPU": 1, "MEM": 2.5},
        "nanny": false,
        "scratch": {"size": "20Gi"},
        "priorityClassName": "low",
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "topologySpread": [{"topologyKey": "kubernetes.io/hostname"}],
        "args": ["--lifetime", "1h"],
    }));
    let command = container.command.unwrap().join(" ");
    let last = "--resources GPU=1 MEM=2.5 --no-nanny --local-directory /scratch --lifetime 1h";
    assert!(command.ends_with(last), "{command}");
    assert!(command.contains("--name a-gpu-"), "{command}");
    assert!(container.resources.unwrap().limits.unwrap().contains_key("nvidia.com/gpu"));
    assert_eq!(spec.priority_class_name.as_deref(), Some("low"));
    let volume = &spec.volumes.unwrap()[0];
    assert_eq!(volume.empty_dir.as_ref().unwrap().size_limit, Some(Quantity("20Gi".into())));
    let mounts = container.volume_mounts.unwrap();
    assert_eq!((&mounts[0].name, mounts[0].mount_path.as_str()), (&volume.name, SCRATCH_PATH));
    let spread = &spec.topology_spread_constraints.unwrap()[0];
    let counted = spread.label_selector.as_ref().unwrap().match_labels.clone().unwrap();
    assert_eq!(counted.get(labels::WORKER_GROUP).map(String::as_str), Some("gpu"));
    assert_eq!((spread.max_skew, spread.when_unsatisfiable.as_str()), (1, "ScheduleAnyway"));
}

/// The last argument of the step before the end: for how long it may take.
fn limit_of_leaving(workers: &Value) -> Option<String> {
    let step = built(workers).1.lifecycle?.pre_stop?.exec?.command?;
    step.last().cloned()
}

#[test]
fn a_worker_leaves_within_its_grace_period() {
    assert_eq!(limit_of_leaving(&json!({})).as_deref(), Some("25"));
    let longer = json!({"template": {"spec": {"terminationGracePeriodSeconds": 600}}});
    assert_eq!(limit_of_leaving(&longer).as_deref(), Some("595"));
}

#[test]
fn a_step_of_the_users_own_takes_the_place_of_ours() {
    let own = json!({"template": {"spec": {"containers": [
        {"name": "worker", "lifecycle": {"preStop": {"sleep": {"seconds": 3}}}},
    ]}}});
    let step = built(&own).1.lifecycle.unwrap().pre_stop.unwrap();
    assert!(step.exec.is_none() && step.sleep.is_some(), "{step:?}");
}

#[test]
fn how_many_there_are_and_how_they_leave_shapes_no_pod() {
    let spec = DaskClusterSpec::default();
    let hash = |workers: Value| template_hash(&spec, &serde_json::from_value(workers).unwrap(), None);
    let plain = hash(json!({}));
    assert_eq!(hash(json!({"replicas": 5, "drain": "Wait", "drainTimeout": "1m"})), plain);
    assert_eq!(hash(json!({"autoscale": {"maximum": 3}})), plain);
    assert_ne!(hash(json!({"nanny": false})), plain);
}
