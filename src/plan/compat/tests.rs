//! What becomes of single fields, and of objects that belong together.

use serde_json::{Value, json};

use super::*;

/// A cluster of theirs, changed by `change`.
fn cluster(change: impl FnOnce(&mut Value)) -> Value {
    let pod = |role: &str, limits: Value| {
        let args = json!(["dask", role, "--nthreads", "1"]);
        let args = if role == "worker" { args } else { json!(["dask", role]) };
        json!({"containers": [{"name": role, "image": "dask:1", "command": args, "resources": {"limits": limits}}]})
    };
    let limits = json!({"cpu": 1, "memory": "1Gi"});
    let mut object = json!({
        "apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "metadata": {"name": "a"},
        "spec": {
            "worker": {"replicas": 2, "spec": pod("worker", limits.clone())},
            "scheduler": {
                "spec": pod("scheduler", limits),
                "service": {
                    "type": "ClusterIP",
                    "selector": {"dask.org/cluster-name": "a", "dask.org/component": "scheduler"},
                    "ports": [{"name": "tcp-comm", "port": 8786}, {"name": "http-dashboard", "port": 8787}],
                },
            },
        },
    });
    change(&mut object);
    object
}

fn part(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "kubernetes.dask.org/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn group(name: &str) -> Value {
    let spec = cluster(|_| {})["spec"]["worker"].clone();
    part("DaskWorkerGroup", name, &json!({"cluster": "a", "worker": spec}))
}

/// A job with a cluster like this one.
fn job(name: &str, cluster: &Value) -> Value {
    let job = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "job", "image": "job:1", "args": ["x"]}]}});
    part("DaskJob", name, &json!({"job": job, "cluster": {"spec": cluster["spec"]}}))
}

/// The spec of the cluster that is written, and the remarks on all objects.
fn written(objects: &[Value]) -> (Option<Value>, Vec<Remark>) {
    let translated = translate(objects);
    let first = translated.iter().flat_map(|one| &one.written).next();
    let spec = first.map(|written| written.object.to_value().unwrap()["spec"].clone());
    (spec, translated.into_iter().flat_map(|one| one.remarks).collect())
}

/// The fields of remarks, those of refusals with a `!`, without the one on rights.
fn fields(remarks: &[Remark]) -> Vec<String> {
    let sign = |remark: &Remark| if remark.effect == Effect::Refused { "!" } else { "" };
    let others = remarks.iter().filter(|remark| !remark.message.starts_with(rights::FEWER));
    others.map(|remark| format!("{}{}", sign(remark), remark.field)).collect()
}

#[test]
fn a_plain_cluster_is_written_without_a_word() {
    let (spec, remarks) = written(&[cluster(|_| {})]);
    assert_eq!(fields(&remarks), Vec::<String>::new());
    let spec = spec.unwrap();
    assert_eq!((&spec["image"], &spec["workers"]["threads"]), (&json!("dask:1"), &json!(1)));
    assert_eq!(
        (&spec["entrypoint"], &spec["idle"], &spec["podDefaults"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(spec["scheduler"]["template"], Value::Null);
}

/// Changes one field of a cluster of theirs.
fn with(path: &str, value: Value) -> Value {
    cluster(|object| {
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{path}"));
        parent[name] = value;
    })
}

const WORKER: &str = "/spec/worker/spec/containers/0";

#[test]
fn each_field_that_means_something_else_is_remarked_on() {
    let args = format!("{WORKER}/args");
    for (path, value, expected) in [
        ("/spec/idleTimeout", json!(-1), "spec.idleTimeout"),
        ("/spec/autoscale", json!({"x": 1}), "spec.autoscale"),
        ("/spec/worker/spec/nodeSelecter", json!({"x": "y"}), "spec.worker.spec.nodeSelecter"),
        ("/spec/worker/spec/restartPolicy", json!("Never"), "spec.worker.spec.restartPolicy"),
        ("/spec/worker/spec/hostNetwork", json!(true), "spec.worker.spec.hostNetwork"),
        (&args, json!(["--nworkers", "2"]), "!spec.worker.spec.containers[0].args"),
        (&args, json!(["--nprocs=auto"]), "!spec.worker.spec.containers[0].args"),
        (&args, json!(["--protocol", "ucx"]), "!spec.worker.spec.containers[0].args"),
        (&args, json!(["--name", "me"]), "spec.worker.spec.containers[0].args"),
        (&args, json!(["tcp://other:8786"]), "spec.worker.spec.containers[0].args"),
        (&args, json!(["--dashboard-address", ":9000"]), "spec.worker.spec.containers[0].args"),
        (
            "/spec/scheduler/spec/containers/0/args",
            json!(["--port", "9000"]),
            "spec.scheduler.spec.containers[0].args",
        ),
        (
            "/spec/scheduler/spec/containers/0/args",
            json!(["--idle-timeout", "60"]),
            "spec.scheduler.spec.containers[0].args",
        ),
        ("/spec/scheduler/service/clusterIP", json!("None"), "spec.scheduler.service.clusterIP"),
        ("/spec/scheduler/service/type", json!("ExternalName"), "spec.scheduler.service.type"),
        ("/spec/worker/spec/containers/0/image", Value::Null, "!spec.worker.spec.containers[0].image"),
        ("/spec/worker/replicas", json!(1_i64 << 40), "!spec.worker.replicas"),
        ("/spec/worker/spec/containers", json!([]), "!spec.worker.spec.containers"),
        ("/spec/worker/spec/containers", json!("none"), "!spec.worker.spec.containers"),
    ] {
        let (spec, remarks) = written(&[with(path, value.clone())]);
        assert_eq!(fields(&remarks), [expected], "{path}: {value}");
        assert_eq!(spec.is_none(), expected.starts_with('!'), "{path}: {value}");
    }
}

#[test]
fn what_the_operator_sets_is_left_out() {
    let env = json!([{"name": "DASK_SCHEDULER_ADDRESS", "value": "x"}, {"name": "A", "value": "1"}]);
    let (spec, remarks) = written(&[with("/spec/worker/spec/containers/0/env", env)]);
    assert_eq!(fields(&remarks), ["spec.worker.spec.containers[0].env[DASK_SCHEDULER_ADDRESS]"]);
    let template = &spec.unwrap()["workers"]["template"];
    assert_eq!(
        template["spec"]["containers"],
        json!([{"name": "worker", "env": [{"name": "A", "value": "1"}]}])
    );
}

/// The variable of a worker's name is the user's where the worker is given its name otherwise.
#[test]
fn a_name_of_a_worker_is_kept_where_nothing_is_called_by_it() {
    let env = json!([{"name": "DASK_WORKER_NAME", "value": "me"}]);
    let own = |command: Value| {
        cluster(|object| {
            let main = object.pointer_mut(WORKER).unwrap();
            (main["env"], main["command"]) = (env.clone(), command);
        })
    };
    let env_of =
        |spec: Option<Value>| spec.unwrap()["workers"]["template"]["spec"]["containers"][0]["env"].clone();
    let (spec, remarks) = written(&[own(json!(["dask", "worker", "--name", "$(DASK_WORKER_NAME)"]))]);
    assert_eq!(fields(&remarks), ["spec.worker.spec.containers[0].env[DASK_WORKER_NAME]"]);
    assert_eq!(env_of(spec), env);
    let (spec, _) = written(&[own(json!(["sh", "-c", "dask worker --name $(DASK_WORKER_NAME)"]))]);
    assert_eq!(env_of(spec), Value::Null, "two workers would have one name");
}

#[test]
fn a_probe_asks_where_the_pages_are_now() {
    let object = cluster(|object| {
        let main = object.pointer_mut(WORKER).unwrap();
        main["args"] = json!(["--dashboard-address", ":9000"]);
        main["livenessProbe"] = json!({"httpGet": {"path": "/health", "port": 9000}});
        main["ports"] = json!([{"name": "metrics", "containerPort": 9100}, {"name": "http-worker", "containerPort": 9101}]);
    });
    let (spec, remarks) = written(&[object]);
    let main = &spec.unwrap()["workers"]["template"]["spec"]["containers"][0];
    assert_eq!(main["livenessProbe"]["httpGet"]["port"], 8788);
    assert_eq!(main["ports"], json!([{"name": "metrics", "containerPort": 9100}, {"containerPort": 9101}]));
    let expected = ["spec.worker.spec.containers[0].args", "spec.worker.spec.containers[0].ports[1].name"];
    assert_eq!(fields(&remarks), expected);
}

#[test]
fn a_live_clusters_default_group_has_its_size() {
    let mut default = group("a-default");
    default["spec"]["worker"]["replicas"] = json!(7);
    let (spec, remarks) = written(&[default, cluster(|_| {})]);
    let spec = spec.unwrap();
    assert_eq!((&spec["workers"]["replicas"], &spec["workerGroups"]), (&json!(7), &Value::Null));
    assert_eq!(fields(&remarks), ["spec.worker.replicas"]);
}

#[test]
fn names_of_groups_lose_the_name_of_their_cluster_but_stay_apart() {
    let (spec, remarks) = written(&[cluster(|_| {}), group("a-gpu"), group("gpu"), group("other")]);
    let spec = spec.unwrap();
    let names: Vec<&Value> =
        spec["workerGroups"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["a-gpu", "gpu", "other"], "{remarks:?}");
    let (spec, _) = written(&[cluster(|_| {}), group("a-gpu"), group("a-default"), group("a-a-gpu")]);
    let spec = spec.unwrap();
    let names: Vec<&Value> =
        spec["workerGroups"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["gpu", "a-a-gpu"]);
    let (spec, remarks) = written(&[cluster(|_| {}), group("default")]);
    assert_eq!((spec, fields(&remarks)), (None, vec!["!metadata.name".to_owned()]));
}

#[test]
fn parts_need_their_cluster_and_one_autoscaler_is_enough() {
    let autoscaler =
        |name: &str| part("DaskAutoscaler", name, &json!({"cluster": "a", "minimum": 1, "maximum": 4}));
    for object in [group("a-gpu"), autoscaler("s")] {
        let (spec, remarks) = written(&[object]);
        assert_eq!((spec, fields(&remarks)), (None, vec!["!spec.cluster".to_owned()]));
    }
    let (spec, remarks) = written(&[cluster(|_| {}), autoscaler("s"), autoscaler("t")]);
    assert_eq!((spec, fields(&remarks)[0].as_str()), (None, "!spec.cluster"));
    let elsewhere = cluster(|object| object["metadata"]["namespace"] = json!("b"));
    let translated = translate(&[elsewhere, autoscaler("s")]);
    assert_eq!(
        translated.iter().map(|one| one.written.len()).collect::<Vec<_>>(),
        [1, 0],
        "of another namespace"
    );
}

#[test]
fn a_jobs_own_cluster_is_no_cluster_of_a_users() {
    let owner = json!([{"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskJob", "name": "j", "uid": "u"}]);
    let (spec, remarks) = written(&[cluster(|object| object["metadata"]["ownerReferences"] = owner)]);
    assert_eq!((spec, fields(&remarks)), (None, vec!["metadata.ownerReferences".to_owned()]));
}

#[test]
fn a_long_name_of_a_job_is_cut_for_its_flow_alone() {
    let name = "a-job-of-which-the-name-is-longer-than-any-flow";
    let translated = translate(&[job(name, &cluster(|_| {}))]);
    let objects: Vec<Value> =
        translated[0].written.iter().map(|one| one.object.to_value().unwrap()).collect();
    assert_eq!(objects[0]["metadata"]["name"], "a-job-of-which-the-name-is-lo-38d7bbb0");
    assert_eq!(
        (&objects[1]["metadata"]["name"], &objects[1]["spec"]["flow"]),
        (&json!(name), &objects[0]["metadata"]["name"])
    );
    assert_eq!(fields(&translated[0].remarks), ["metadata.name"]);
}

#[test]
fn other_versions_and_kinds_are_refused() {
    let (spec, remarks) = written(&[cluster(|object| object["kind"] = json!("DaskScheduler"))]);
    assert_eq!((spec, fields(&remarks)), (None, vec!["!kind".to_owned()]));
    let (_, remarks) = written(&[cluster(|object| object["apiVersion"] = json!("kubernetes.dask.org/v2"))]);
    assert_eq!(fields(&remarks), ["!apiVersion"]);
}

#[test]
fn what_has_a_field_of_its_own_goes_there() {
    let object = cluster(|object| {
        let pod = object.pointer_mut("/spec/worker/spec").unwrap();
        pod["priorityClassName"] = json!("high");
        pod["serviceAccount"] = json!("tasks");
        pod["imagePullSecrets"] = json!([{"name": "pull"}]);
        let main = object.pointer_mut(WORKER).unwrap();
        main["command"] =
            json!(["/opt/env/bin/dask-worker", "--nthreads", "3", "--lifetime", "1h", "--nanny"]);
        main["imagePullPolicy"] = json!("Always");
    });
    let (spec, remarks) = written(&[object]);
    let spec = spec.unwrap();
    assert_eq!(fields(&remarks), ["spec.worker.spec"], "the Python");
    assert_eq!(spec["python"], "/opt/env/bin/python");
    let workers = &spec["workers"];
    assert_eq!((&workers["priorityClassName"], &workers["nanny"]), (&json!("high"), &json!(true)));
    assert_eq!((&workers["threads"], &workers["args"]), (&json!(3), &json!(["--lifetime", "1h"])));
    let template = json!({"spec": {
        "serviceAccountName": "tasks", "imagePullSecrets": [{"name": "pull"}],
        "containers": [{"name": "worker", "imagePullPolicy": "Always"}],
    }});
    assert_eq!(workers["template"], template, "the scheduler has neither");
    assert_eq!((&spec["imagePullSecrets"], &spec["imagePullPolicy"]), (&Value::Null, &Value::Null));
}

#[test]
fn variables_that_are_made_of_others_stay_behind_them() {
    let env =
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}, {"name": "C", "value": "3"}]);
    let object = cluster(|object| {
        object.pointer_mut(WORKER).unwrap()["env"] = env.clone();
        object.pointer_mut("/spec/scheduler/spec/containers/0").unwrap()["env"] = env;
    });
    let (spec, remarks) = written(&[object]);
    let spec = spec.unwrap();
    assert_eq!(fields(&remarks), Vec::<String>::new());
    assert_eq!(spec["env"], json!([{"name": "A", "value": "1"}, {"name": "C", "value": "3"}]));
    let own = json!([{"name": "B", "value": "$(A)"}]);
    for role in ["scheduler", "workers"] {
        assert_eq!(spec[role]["template"]["spec"]["containers"][0]["env"], own, "{role}");
    }
}

#[test]
fn a_command_of_ones_own_must_name_the_worker() {
    let own = |args: &str| {
        let main = json!({"name": "worker", "image": "dask:1", "command": ["sh", "-c", args]});
        cluster(|object| *object.pointer_mut(WORKER).unwrap() = main)
    };
    let (spec, remarks) = written(&[own("exec dask worker --dashboard-address :8788")]);
    assert_eq!((spec, fields(&remarks)), (None, vec!["!spec.worker.spec.containers[0].command".to_owned()]));
    let named = "exec dask worker --name $(DASK_WORKER_NAME) --dashboard-address :8788";
    let (spec, remarks) = written(&[own(named)]);
    let main = &spec.unwrap()["workers"]["template"]["spec"]["containers"][0];
    assert_eq!(fields(&remarks), Vec::<String>::new());
    // Arguments are given too: where another role needs the image's ENTRYPOINT, others would stand there.
    assert_eq!((&main["command"], &main["args"]), (&json!(["sh"]), &json!(["-c", named])));
}

#[test]
fn the_pod_of_a_job_is_not_given_what_its_cluster_is_given() {
    let env = json!([{"name": "OMP_NUM_THREADS", "value": "1"}]);
    let secrets = json!([{"name": "pull"}]);
    let both = cluster(|object| {
        for role in ["worker", "scheduler"] {
            let pod = object.pointer_mut(&format!("/spec/{role}/spec")).unwrap();
            pod["imagePullSecrets"] = secrets.clone();
            let main = &mut pod["containers"][0];
            (main["env"], main["imagePullPolicy"]) = (env.clone(), json!("Always"));
        }
    });
    let (alone, _) = written(std::slice::from_ref(&both));
    let alone = alone.unwrap();
    assert_eq!((&alone["env"], &alone["imagePullSecrets"]), (&env, &secrets));
    let (flow, remarks) = written(&[job("j", &both)]);
    assert_eq!(fields(&remarks), Vec::<String>::new());
    let template = &flow.unwrap()["cluster"]["template"];
    for field in ["env", "imagePullSecrets", "imagePullPolicy"] {
        assert_eq!(template[field], Value::Null, "{field}");
    }
    for role in ["scheduler", "workers"] {
        let pod = &template[role]["template"]["spec"];
        assert_eq!(pod["imagePullSecrets"], secrets, "{role}");
        let main = &pod["containers"][0];
        assert_eq!((&main["env"], &main["imagePullPolicy"]), (&env, &json!("Always")), "{role}");
    }
}

#[test]
fn one_port_that_is_reached_from_outside_stays_one() {
    let one = |kind: &str| {
        cluster(|object| {
            let service = &mut object["spec"]["scheduler"]["service"];
            service["type"] = json!(kind);
            service["ports"].as_array_mut().unwrap().truncate(1);
        })
    };
    for kind in ["LoadBalancer", "NodePort"] {
        let translated = translate(&[one(kind)]);
        let objects: Vec<Value> =
            translated[0].written.iter().map(|one| one.object.to_value().unwrap()).collect();
        assert_eq!(fields(&translated[0].remarks), ["spec.scheduler.service.ports"]);
        assert_eq!(objects[0]["spec"]["scheduler"]["service"]["type"], "ClusterIP");
        let beside = &objects[1]["spec"];
        assert_eq!((&beside["type"], beside["ports"].as_array().unwrap().len()), (&json!(kind), 1));
        let (flow, remarks) = written(&[job("a", &one(kind))]);
        assert_eq!(fields(&remarks), ["spec.cluster.spec.scheduler.service.ports"]);
        assert_eq!(
            flow.unwrap()["cluster"]["template"]["scheduler"]["service"]["type"],
            "ClusterIP",
            "{kind}"
        );
    }
    let (_, remarks) = written(&[one("ClusterIP")]);
    assert_eq!(fields(&remarks), Vec::<String>::new());
}

/// Sets a field of both pods, or of both containers.
fn in_pods(object: &mut Value, path: &str, value: &Value) {
    for role in ["worker", "scheduler"] {
        let at = format!("/spec/{role}/spec{path}");
        let (parent, name) = at.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[name] = value.clone();
    }
}

#[test]
fn what_pods_had_without_a_word_is_said_once() {
    let said = |object: Value| {
        let (_, remarks) = written(&[object]);
        let of_rights = remarks.into_iter().filter(|remark| remark.message.starts_with(rights::FEWER));
        of_rights.map(|remark| format!("{}: {}", remark.field, remark.message)).collect::<Vec<String>>()
    };
    let all = "no capabilities, allowPrivilegeEscalation: false, the seccomp profile RuntimeDefault, no token of the default \
               service account, no variables for Services (X_SERVICE_HOST)";
    let expected = [format!("spec: {}: {all}. template sets others", rights::FEWER)];
    assert_eq!(said(cluster(|_| {})), expected);
    assert_eq!(said(job("j", &cluster(|_| {}))), expected);
    let context = json!({
        "allowPrivilegeEscalation": true, "capabilities": {"add": ["CHOWN"]}, "seccompProfile": {"type": "Unconfined"},
    });
    let steps = [
        ("/containers/0/securityContext", context, "no capabilities, allow"),
        ("/serviceAccountName", json!("tasks"), "no token"),
        ("/enableServiceLinks", json!(true), "no variables"),
    ];
    let mut object = cluster(|_| {});
    for (path, value, words) in &steps {
        assert!(said(object.clone())[0].contains(words), "{path}");
        in_pods(&mut object, path, value);
        assert!(said(object.clone()).iter().all(|remark| !remark.contains(words)), "{path}");
    }
    assert_eq!(said(object.clone()), Vec::<String>::new());
    assert_eq!(said(job("j", &object)), expected, "of the pod of the job");
    for context in [json!({"privileged": true}), json!({"runAsUser": 1000})] {
        let mut object = cluster(|_| {});
        in_pods(&mut object, "/containers/0/securityContext", &context);
        assert!(!said(object)[0].contains("no capabilities"), "{context}");
    }
}

#[test]
fn what_needs_capabilities_is_said_by_name() {
    let mut object = cluster(|object| {
        let pod = object.pointer_mut("/spec/worker/spec").unwrap();
        pod["volumes"] = json!([{"name": "d", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/h"}}]);
        pod["containers"][0]["env"] = json!([{"name": "EXTRA_APT_PACKAGES", "value": "git"}]);
    });
    let (_, remarks) = written(std::slice::from_ref(&object));
    let expected =
        ["spec.worker.spec.containers[0].env[EXTRA_APT_PACKAGES]", "spec.worker.spec.volumes[h].hostPath"];
    assert_eq!(fields(&remarks), expected);
    in_pods(&mut object, "/containers/0/securityContext", &json!({"capabilities": {"add": ["CHOWN"]}}));
    let (_, remarks) = written(&[object]);
    assert_eq!(fields(&remarks), Vec::<String>::new());
}

#[test]
fn a_printed_object_loses_the_signs_of_its_application() {
    let labels = json!({"app.kubernetes.io/instance": "team", "app.kubernetes.io/name": "a", "x": "y"});
    let annotations = json!({"argocd.argoproj.io/tracking-id": "team:x"});
    let mut object = cluster(|object| {
        object["metadata"]["labels"] = labels.clone();
        object["metadata"]["annotations"] = annotations.clone();
    });
    let metadata =
        |objects: &[Value]| translate(objects)[0].written[0].object.to_value().unwrap()["metadata"].clone();
    let committed = metadata(std::slice::from_ref(&object));
    assert_eq!((&committed["labels"], &committed["annotations"]), (&labels, &annotations));
    assert_eq!(fields(&written(std::slice::from_ref(&object)).1), Vec::<String>::new());
    object["metadata"]["uid"] = json!("u");
    let mut run = job("j", &object);
    run["metadata"] = object["metadata"].clone();
    for printed in [object, run] {
        let found = metadata(std::slice::from_ref(&printed));
        assert_eq!(found["labels"], json!({"app.kubernetes.io/name": "a", "x": "y"}));
        assert_eq!(found["annotations"], Value::Null);
        let expected = [
            "metadata.labels[app.kubernetes.io/instance]",
            "metadata.annotations[argocd.argoproj.io/tracking-id]",
        ];
        assert_eq!(fields(&written(&[printed]).1), expected);
    }
}

/// A job as a cluster prints it.
fn printed(name: &str, status: &str) -> Value {
    let mut printed = job(name, &cluster(|_| {}));
    printed["metadata"]["generateName"] = json!("nightly-");
    printed["status"] = json!({"jobStatus": status});
    printed
}

/// Kind and name of all that is written, of a run with its Flow, and for each object of theirs apart.
fn names(objects: &[Value]) -> Vec<String> {
    let name = |written: &Written| {
        let object = written.object.to_value().unwrap();
        let word = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{} {} {}", word("/kind"), word("/metadata/name"), word("/spec/flow")).trim().to_owned()
    };
    let of_one = |one: Translated| one.written.iter().map(name).collect::<Vec<_>>().join(", ");
    translate(objects).into_iter().map(of_one).collect()
}

#[test]
fn a_job_that_has_ended_is_not_run_again() {
    for (status, has_run) in
        [("Successful", false), ("Failed", false), ("Running", true), ("JobCreated", true)]
    {
        let job = printed("nightly-a", status);
        let translated = translate(std::slice::from_ref(&job));
        assert_eq!(translated[0].written.len(), 1 + usize::from(has_run), "{status}");
        let is_said = fields(&translated[0].remarks) == ["status.jobStatus"];
        assert_eq!(is_said, !has_run, "{status}");
        let comment = translated[0].written.get(1).and_then(|run| run.comment.clone()).unwrap_or_default();
        assert_eq!(comment.contains("is at work"), has_run, "{status}: {comment}");
    }
}

#[test]
fn jobs_of_one_generate_name_share_a_flow_where_they_are_the_same() {
    let jobs =
        [printed("nightly-a", "Failed"), printed("nightly-b", "Running"), printed("nightly-c", "Failed")];
    assert_eq!(names(&jobs), ["Flow nightly", "FlowRun nightly-b nightly", ""]);
    let mut others = jobs.clone();
    others[2]["spec"]["job"]["spec"]["containers"][0]["args"] = json!(["y"]);
    let apart = ["Flow nightly-a", "Flow nightly-b, FlowRun nightly-b nightly-b", "Flow nightly-c"];
    assert_eq!(names(&others), apart);
    let (_, remarks) = written(&others[1..2]);
    assert_eq!(fields(&remarks), Vec::<String>::new(), "alone");
    let (_, remarks) = written(&others);
    assert_eq!(fields(&remarks).iter().filter(|field| *field == "metadata.generateName").count(), 3);
    let mut elsewhere = jobs;
    elsewhere[1]["metadata"]["namespace"] = json!("b");
    assert_eq!(names(&elsewhere), ["Flow nightly", "Flow nightly, FlowRun nightly-b nightly", ""]);
}

#[test]
fn parts_of_the_cluster_of_a_job_are_in_its_flow() {
    let owner =
        |kind: &str| json!([{"apiVersion": "kubernetes.dask.org/v1", "kind": kind, "name": "a", "uid": "u"}]);
    let own = cluster(|object| object["metadata"]["ownerReferences"] = owner("DaskJob"));
    let autoscaler = part("DaskAutoscaler", "s", &json!({"cluster": "a", "minimum": 1, "maximum": 4}));
    let mut default = group("a-default");
    default["metadata"]["ownerReferences"] = owner("DaskCluster");
    default["spec"]["worker"]["replicas"] = json!(7);
    let job = job("a", &cluster(|_| {}));
    let (flow, _) = written(&[job.clone(), own.clone(), default.clone(), group("a-gpu")]);
    let template = &flow.unwrap()["cluster"]["template"];
    assert_eq!(
        (&template["workers"]["replicas"], &template["workerGroups"][0]["name"]),
        (&json!(7), &json!("gpu"))
    );
    for objects in [vec![job.clone(), autoscaler.clone()], vec![job.clone(), autoscaler.clone(), own.clone()]]
    {
        let (flow, remarks) = written(&objects);
        let workers = &flow.unwrap()["cluster"]["template"]["workers"];
        assert_eq!(workers["autoscale"]["maximum"], 4, "{remarks:?}");
    }
    // Without the job nothing is lost in silence.
    let (none, remarks) = written(&[own.clone(), default, group("a-gpu"), autoscaler.clone()]);
    let expected = ["metadata.ownerReferences", "spec.cluster", "!spec.cluster", "!spec.cluster"];
    assert_eq!((none, fields(&remarks)), (None, expected.map(str::to_owned).to_vec()));
    assert!(remarks[2].message.starts_with("the DaskJob a,"), "{remarks:?}");
    // Beside a cluster of a user's they are of that.
    let (flow, _) = written(&[job, cluster(|_| {}), autoscaler]);
    assert_eq!(flow.unwrap()["cluster"]["template"]["workers"]["autoscale"], Value::Null);
}

#[test]
fn addresses_that_move_are_said() {
    let beside = |ports: Value, args: Value| {
        let object = cluster(|object| {
            object["spec"]["scheduler"]["service"]["ports"] = ports;
            object.pointer_mut("/spec/scheduler/spec/containers/0").unwrap()["args"] = args;
        });
        let translated = translate(&[object]).remove(0);
        let of_service = translated.remarks.iter().filter(|remark| remark.field.contains(".service."));
        let said: Vec<String> = of_service.map(|remark| remark.message.clone()).collect();
        let service = translated.written.get(1).map(|one| one.object.to_value().unwrap()["spec"].clone());
        (said.join("\n"), service.unwrap_or_default())
    };
    let ports = json!([{"name": "tcp-comm", "port": 8790}, {"name": "http-dashboard", "port": 80, "targetPort": "http-dashboard"}]);
    let (said, service) = beside(ports, json!(["--port", "8790"]));
    assert!(said.ends_with("a-service:8790 for a-scheduler:8790, a-service:80 for a-scheduler:80"), "{said}");
    assert_eq!(service["ports"][0]["targetPort"], 8786, "where the scheduler listens now");
    let ports = json!([{"name": "tcp-comm", "port": 8786, "nodePort": 30001}, {"name": "http-dashboard", "port": 8787}]);
    let (said, _) = beside(ports, json!([]));
    assert!(said.ends_with("beside the cluster"), "{said}");
    let ports = json!([{"name": "tcp-comm", "port": 8786, "targetPort": 8790}, {"name": "http-dashboard", "port": 8787}]);
    assert_eq!(beside(ports, json!(["--port", "8790"])), (String::new(), Value::Null));
}

#[test]
fn nothing_is_said_twice_of_one_field() {
    let args = json!(["dask", "scheduler", "--protocol", "tls", "--tls-ca-file", "/c"]);
    let (_, remarks) = written(&[with("/spec/scheduler/spec/containers/0/command", args)]);
    assert_eq!(fields(&remarks), ["!spec.scheduler.spec.containers[0].command"]);
    let mut job = job("j", &cluster(|_| {}));
    job["spec"]["cluster"]["metadata"] = json!({"name": "x", "labels": {"a": "b"}});
    let (_, remarks) = written(&[job]);
    assert_eq!(fields(&remarks), ["spec.cluster.metadata"]);
}
