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
    let threads =
        |workers: &WorkersSpec| Limits::of(&DaskClusterSpec::default(), workers).threads.unwrap_or(1);
    assert_eq!(threads(&workers(&[])), 1);
    assert_eq!(threads(&workers(&[("cpu", Amount::Number(3))])), 3);
    assert_eq!(threads(&workers(&[("cpu", Amount::Text("1500m".into()))])), 2);
    assert_eq!(threads(&workers(&[("cpu", Amount::Text("0.5".into()))])), 1);
    assert_eq!(threads(&WorkersSpec { threads: Some(4), ..WorkersSpec::default() }), 4);
}

#[test]
fn memory_follows_the_memory_limit() {
    let memory = |workers: &WorkersSpec| Limits::of(&DaskClusterSpec::default(), workers).memory;
    assert_eq!(memory(&workers(&[])), None);
    assert_eq!(memory(&workers(&[("memory", Amount::Text("4Gi".into()))])).as_deref(), Some("4Gi"));
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
    let spec = pod(&cluster, Site::Kubernetes, None, ("gpu", &workers), 7).unwrap().spec.unwrap();
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
    assert_eq!((&mounts[0].name, mounts[0].mount_path.as_str()), (&volume.name, "/scratch"));
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

/// The words that the worker of this cluster runs.
fn words(spec: &Value, workers: &Value) -> Vec<String> {
    let mut spec = spec.clone();
    spec["image"] = json!("i");
    let cluster = DaskCluster::new("a", serde_json::from_value(spec).unwrap());
    let workers: WorkersSpec = serde_json::from_value(workers.clone()).unwrap();
    let pod = pod(&cluster, Site::Kubernetes, None, ("gpu", &workers), 7).unwrap().spec.unwrap();
    let container = pod.containers.into_iter().find(|container| container.name == CONTAINER).unwrap();
    container.command.into_iter().chain(container.args).flatten().collect()
}

fn option(words: &[String], name: &str) -> String {
    words.iter().skip_while(|word| *word != name).nth(1).unwrap().clone()
}

#[test]
fn limits_of_templates_count_as_those_of_the_fields() {
    let limits = |name: &str| {
        json!({"spec": {"containers": [{
            "name": name, "resources": {"limits": {"cpu": "4", "memory": "8Gi"}},
        }]}})
    };
    let cases = [
        (json!({}), json!({"template": limits("worker")}), ("4", "8Gi")),
        (json!({"podDefaults": limits("*")}), json!({}), ("4", "8Gi")),
        (json!({"podDefaults": limits("*")}), json!({"resources": {"limits": {"cpu": 2}}}), ("2", "8Gi")),
        (json!({}), json!({"template": limits("worker"), "threads": 3, "memory": "1GB"}), ("3", "1GB")),
    ];
    for (spec, workers, expected) in cases {
        let words = words(&spec, &workers);
        assert_eq!(
            (&*option(&words, "--nthreads"), &*option(&words, "--memory-limit")),
            expected,
            "{spec} {workers}"
        );
        assert_eq!(words[1..3], ["-m".to_owned(), "distributed.cli.dask_worker".to_owned()]);
    }
}

#[test]
fn limits_that_the_spec_does_not_have_are_read_in_the_container() {
    let words = words(&json!({}), &json!({"memory": "1GB"}));
    assert_eq!((words[1].as_str(), words[2].as_str()), ("-c", LIMITS));
    assert_eq!((&*option(&words, "--nthreads"), &*option(&words, "--memory-limit")), (THREADS, "1GB"));
    for word in [THREADS, MEMORY] {
        assert!(LIMITS.contains(&format!("\"{word}\"")), "{word}");
    }
}

#[test]
fn a_worker_finds_its_name_and_its_scheduler_in_its_environment() {
    let (_, container) = built(&json!({}));
    let env = container.env.unwrap();
    let names: Vec<&str> = env.iter().map(|variable| variable.name.as_str()).collect();
    assert_eq!(names, [SCHEDULER_ADDRESS, WORKER_NAME]);
    assert!(container.command.unwrap().contains(env[1].value.as_ref().unwrap()));
    assert_eq!(env[0].value.as_deref(), Some("tcp://a-scheduler..svc:8786"));
}

#[test]
fn a_command_of_the_workers_own_has_to_name_it() {
    let with = |command: Value, env: Value| {
        let workers: WorkersSpec = serde_json::from_value(json!({"template": {"spec": {"containers": [
            {"name": "worker", "command": command, "env": env},
        ]}}}))
        .unwrap();
        let cluster =
            DaskCluster::new("a", DaskClusterSpec { image: "i".into(), ..DaskClusterSpec::default() });
        pod(&cluster, Site::Kubernetes, None, (DEFAULT_GROUP, &workers), 7).map(drop)
    };
    let fault = with(json!(["dask", "cuda", "worker", "tcp://a-scheduler:8786"]), json!([])).unwrap_err();
    assert_eq!(fault.field, "spec.workers.template");
    assert!(fault.message.contains("--name $(DASK_WORKER_NAME)"), "{}", fault.message);
    let cuda =
        json!(["dask", "cuda", "worker", "$(DASK_SCHEDULER_ADDRESS)", "--name", "$(DASK_WORKER_NAME)"]);
    assert_eq!(with(cuda, json!([])), Ok(()));
    assert_eq!(with(json!(["sh", "-c", "exec dask worker --name $DASK_WORKER_NAME"]), json!([])), Ok(()));
    let by_field = json!([{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    assert_eq!(with(json!(["dask", "worker", "--name", "$(POD_NAME)"]), by_field), Ok(()));
}

#[test]
fn with_the_entrypoint_of_the_image_all_words_are_its_arguments() {
    let cluster: DaskClusterSpec =
        serde_json::from_value(json!({"image": "i", "entrypoint": "Image"})).unwrap();
    let cluster = DaskCluster::new("a", cluster);
    let pod = pod(&cluster, Site::Kubernetes, None, (DEFAULT_GROUP, &cluster.spec.workers), 7)
        .unwrap()
        .spec
        .unwrap();
    let main = &pod.containers[0];
    assert_eq!(main.command, None);
    assert_eq!(main.args.as_ref().unwrap()[0], "python");
    let scheduler = super::super::scheduler::pod(&cluster, Site::Kubernetes, None).unwrap().spec.unwrap();
    let main = &scheduler.containers[0];
    assert_eq!(
        (main.command.as_ref(), main.args.as_ref().unwrap()[2].as_str()),
        (None, "distributed.cli.dask_scheduler")
    );
    assert_eq!(main.liveness_probe, None, "without the entrypoint Python may not be found");
}

/// One entry lets all pods of a cluster run in a namespace under Pod Security `restricted`.
#[test]
fn defaults_are_for_all_pods_and_what_is_written_elsewhere_goes_before() {
    let cluster: DaskClusterSpec = serde_json::from_value(json!({
        "image": "i",
        "env": [{"name": "X", "value": "spec"}],
        "podDefaults": {
            "metadata": {"labels": {"team": "a", labels::COMPONENT: "none"}},
            "spec": {
                "securityContext": {"runAsNonRoot": true, "runAsUser": 12345},
                "serviceAccountName": "tasks",
                "priorityClassName": "low",
                "restartPolicy": "Never",
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
                "containers": [{
                    "name": "*",
                    "env": [{"name": "X", "value": "defaults"}, {"name": "Y", "value": "defaults"}],
                    "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m"}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }],
            },
        },
        "workers": {
            "priorityClassName": "high",
            "resources": {"limits": {"memory": "2Gi"}},
            "template": {"spec": {"securityContext": {"runAsUser": 1}}},
        },
    }))
    .unwrap();
    let cluster = DaskCluster::new("a", cluster);
    let worker = pod(&cluster, Site::Kubernetes, None, (DEFAULT_GROUP, &cluster.spec.workers), 7).unwrap();
    let scheduler = super::super::scheduler::pod(&cluster, Site::Kubernetes, None).unwrap();
    let value = |pod: &Pod, name: &str| {
        let env = pod.spec.as_ref().unwrap().containers[0].env.clone().unwrap();
        env.into_iter().find(|variable| variable.name == name).unwrap().value.unwrap()
    };
    for pod in [&worker, &scheduler] {
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.containers.len(), 1, "no container is called *");
        assert_eq!(pod.labels()["team"], "a");
        assert_ne!(pod.labels()[labels::COMPONENT], "none");
        assert_eq!(spec.security_context.as_ref().unwrap().run_as_non_root, Some(true));
        assert_eq!(
            (spec.service_account_name.as_deref(), spec.automount_service_account_token),
            (Some("tasks"), None)
        );
        assert_eq!(spec.containers[0].volume_mounts.as_ref().unwrap()[0].mount_path, "/data");
        assert_eq!((&*value(pod, "X"), &*value(pod, "Y")), ("spec", "defaults"));
        let requests = spec.containers[0].resources.as_ref().unwrap().requests.as_ref().unwrap();
        assert_eq!(requests["cpu"].0, "100m");
    }
    let user = |pod: &Pod| pod.spec.as_ref().unwrap().security_context.as_ref().unwrap().run_as_user;
    assert_eq!((user(&worker), user(&scheduler)), (Some(1), Some(12345)));
    let spec = worker.spec.unwrap();
    assert_eq!(
        (spec.restart_policy.as_deref(), spec.priority_class_name.as_deref()),
        (Some("OnFailure"), Some("high"))
    );
    assert_eq!(spec.containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap()["memory"].0, "2Gi");
}

/// With another hash all clusters would be replaced when the operator is upgraded.
#[test]
fn the_hashes_of_clusters_that_exist_stay_as_they_are() {
    let plain = json!({"image": "flows:1"});
    let rich = json!({
        "image": "flows:1",
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "pull"}],
        "env": [{"name": "A", "value": "b"}],
        "scheduler": {
            "resources": {"limits": {"cpu": 1, "memory": "2Gi"}},
            "args": ["--no-show"],
            "template": {"spec": {"nodeSelector": {"disk": "ssd"}}},
        },
        "workers": {
            "replicas": 3,
            "threads": 2,
            "memory": "4Gi",
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "4Gi"}},
            "daskResources": {"GPU": 1},
            "nanny": false,
            "scratch": {"size": "1Gi", "medium": "Memory"},
            "topologySpread": [{"topologyKey": "kubernetes.io/hostname"}],
            "priorityClassName": "low",
            "drain": "Wait",
            "args": ["--lifetime", "1h"],
            "template": {"spec": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}},
        },
    });
    let certificate = Certificate {
        secret: "a-tls-01234567".into(),
        trust: "01234567".into(),
        begins: jiff::Timestamp::MIN,
        ends: jiff::Timestamp::MAX,
    };
    let hashes = [(&plain, None), (&plain, Some(&certificate)), (&rich, None), (&rich, Some(&certificate))]
        .map(|(spec, certificate)| {
            let spec: DaskClusterSpec = serde_json::from_value(spec.clone()).unwrap();
            (
                super::super::scheduler::template_hash(&spec, certificate),
                template_hash(&spec, &spec.workers, certificate),
            )
        });
    let hashes: Vec<String> =
        hashes.into_iter().map(|(scheduler, worker)| format!("{scheduler} {worker}")).collect();
    assert_eq!(hashes, ["2b6ef716 82c8dfc8", "d051087d 411aef24", "f5756590 94b84db3", "5a185a00 9c6dfcf2"]);
}

#[test]
fn a_further_field_is_in_the_hash_where_it_is_written() {
    let hash = |spec: Value| {
        let spec: DaskClusterSpec = serde_json::from_value(spec).unwrap();
        (template_hash(&spec, &spec.workers, None), super::super::scheduler::template_hash(&spec, None))
    };
    let plain = hash(json!({"image": "i"}));
    for further in [json!({"python": "python3"}), json!({"entrypoint": "Image"}), json!({"podDefaults": {}})]
    {
        let mut spec = further.clone();
        spec["image"] = json!("i");
        let (worker, scheduler) = hash(spec);
        assert!(worker != plain.0 && scheduler != plain.1, "{further}");
    }
}
