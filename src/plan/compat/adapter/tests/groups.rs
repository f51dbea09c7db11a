//! Further groups of a cluster of theirs: under which name, and what of one that cannot be had.

use super::parts::{further, warned_of};
use super::*;
use crate::plan::pods::worker;

/// What no worker can be: two in a pod.
fn two_workers() -> Value {
    json!({"spec": {"worker": {"spec": {"containers": [
        {"name": "worker", "image": "dask:1", "args": ["dask-worker", "--nworkers", "2"]},
    ]}}}})
}

/// The names of ours for further groups, with the names of theirs that their pods have.
fn groups_of(ours: &DaskCluster) -> Vec<(String, String)> {
    let group = |group: &crate::api::worker_group::WorkerGroup| {
        let pod = worker::pod(ours, Site::Kubernetes, None, (&group.name, &group.workers), 7).unwrap();
        assert_eq!(worker::group_of_pod(&pod), group.name);
        (group.name.clone(), pod.labels()["dask.org/workergroup-name"].clone())
    };
    ours.spec.worker_groups.iter().map(group).collect()
}

#[test]
fn a_group_that_cannot_be_had_stops_nothing_else_and_says_so() {
    let object = cluster(&json!({}));
    let groups = [
        default_group(&json!({})),
        further("a-bad", &two_workers()),
        further("a-good", &json!({})),
        further("a-many", &json!({"spec": {"worker": {"replicas": 20_000}}})),
        // No group at all.
        further("a-odd", &json!({"spec": {"worker": "none"}})),
    ];
    let observed = seen(&object, &groups);
    assert_eq!(groups_of(&made(&observed)), [("good".to_owned(), "a-good".to_owned())]);
    let plan = plan_cluster(&observed);
    assert_eq!(titles(&plan)[0], CREATED);
    for (name, field) in
        [("a-bad", "spec.worker.spec."), ("a-many", "spec.worker.replicas"), ("a-odd", "spec")]
    {
        let said = warned_of(&plan, name);
        assert!(said.len() == 1 && said[0].message.starts_with(field), "{name}: {said:?}");
        assert_eq!(said[0].reason, Reason::InvalidSpec);
    }
    assert!(warned_of(&plan, "a-good").is_empty());
    assert!(!plan.notes.iter().any(|note| note.warning), "{:?}", plan.notes);
    let (about, _) = &plan.beside[0];
    let kind = ("DaskWorkerGroup", "kubernetes.dask.org/v1", "uid-a-bad");
    let found = (about.kind.as_deref(), about.api_version.as_deref(), about.uid.as_deref());
    assert_eq!(found, (Some(kind.0), Some(kind.1), Some(kind.2)));
}

#[test]
fn a_group_that_was_served_and_cannot_be_had_any_more_goes_on_as_it_was() {
    let object = cluster(&json!({"status": {"phase": "Pending"}}));
    let good = [default_group(&json!({})), further("a-more", &json!({})), further("a-z", &json!({}))];
    let ours = made(&seen(&object, &good));
    let groups = [good[0].clone(), further("a-more", &two_workers()), good[2].clone()];
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..seen(&object, &groups) });
    assert!(!plan.writes.iter().any(|write| matches!(write, Write::Replace(_))), "{:?}", titles(&plan));
    assert_eq!(warned_of(&plan, "a-more").len(), 1);
    // The others follow what is edited, and it keeps its image.
    let mut edited = object.clone();
    for role in ["worker", "scheduler"] {
        edited.data["spec"][role]["spec"]["containers"][0]["image"] = json!("dask:2");
    }
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..seen(&edited, &groups) });
    let replaced = plan.writes.iter().find_map(|write| match write {
        Write::Replace(ours) => Some(ours.clone()),
        _ => None,
    });
    let replaced = replaced.unwrap();
    assert_eq!(replaced.spec.image, "dask:2");
    let more = &replaced.spec.worker_groups[0];
    let pod = worker::pod(&replaced, Site::Kubernetes, None, (&more.name, &more.workers), 7).unwrap();
    assert_eq!(pod.spec.unwrap().containers[0].image.as_deref(), Some("dask:1"));
}

#[test]
fn a_group_that_the_api_server_refuses_is_left_out_until_it_is_edited() {
    let object = cluster(&json!({}));
    let groups = [default_group(&json!({})), further("a-bad", &json!({})), further("a-good", &json!({}))];
    let observed = seen(&object, &groups);
    let ours = made(&observed);
    let said = |field: &str| vec![(field.to_owned(), "too many".to_owned())];
    assert!(refused_groups(&ours, &groups, &said("spec.workers.args")).is_empty());
    assert!(refused_groups(&ours, &groups, &said("spec.workerGroups[7].args")).is_empty());
    let refused = refused_groups(&ours, &groups, &said("spec.workerGroups[0].args"));
    let observed = Cluster { refused: &refused, ..observed };
    assert_eq!(groups_of(&made(&observed)), [("good".to_owned(), "a-good".to_owned())]);
    let plan = plan_cluster(&observed);
    let note = warned_of(&plan, "a-bad")[0];
    assert_eq!(note.reason, Reason::Rejected);
    assert!(
        note.message.starts_with("spec.workerGroups[0].args of daskflow's DaskCluster: too many"),
        "{note:?}"
    );
    // One that is served already stays as it is.
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..observed });
    assert!(!plan.writes.iter().any(|write| matches!(write, Write::Replace(_))), "{:?}", titles(&plan));
    let edited = [
        groups[0].clone(),
        further("a-bad", &json!({"spec": {"worker": {"replicas": 3}}})),
        groups[2].clone(),
    ];
    let ours = made(&Cluster { refused: &refused, ..seen(&object, &edited) });
    assert_eq!(groups_of(&ours).len(), 2);
}

/// A further group that was made in this year.
fn of_year(name: &str, year: i32) -> Arc<DynamicObject> {
    further(name, &json!({"metadata": {"creationTimestamp": format!("{year}-01-01T00:00:00Z")}}))
}

#[test]
fn groups_that_are_too_many_are_left_out_and_stop_nothing_else() {
    let object = cluster(&json!({}));
    // The oldest is the last by its name. One that cannot be had takes the place of none.
    let mut groups: Vec<_> =
        (0..18).map(|number| of_year(&format!("a-g{number:02}"), 2026 - number)).collect();
    groups.extend([default_group(&json!({})), further("a-bad", &two_workers())]);
    let observed = seen(&object, &groups);
    let ours = made(&observed);
    let served: Vec<String> = groups_of(&ours).into_iter().map(|(_, theirs)| theirs).collect();
    let expected: Vec<String> = (2..18).map(|number| format!("a-g{number:02}")).collect();
    assert_eq!(served, expected, "the older ones, in the order of theirs");
    let plan = plan_cluster(&observed);
    for name in ["a-g00", "a-g01"] {
        let said = warned_of(&plan, name);
        assert!(
            said.len() == 1 && said[0].message.contains("at most 16 groups beside a-default"),
            "{said:?}"
        );
        let about: Vec<_> = plan.beside.iter().filter(|(of, _)| of.name.as_deref() == Some(name)).collect();
        assert_eq!(about.len(), 1, "nothing is said of how it would be: {about:?}");
    }
    assert!(warned_of(&plan, "a-g02").is_empty());
    // The cluster is scaled, and keeps the groups that it has.
    let scaled = default_group(&json!({"spec": {"worker": {"replicas": 5}}}));
    groups[18] = scaled;
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..seen(&object, &groups) });
    let replaced = plan.writes.iter().find_map(Write::ours).unwrap();
    assert_eq!(replaced.spec.workers.replicas, Some(5));
    assert_eq!(replaced.spec.worker_groups, ours.spec.worker_groups);
}

#[test]
fn a_group_that_is_served_loses_its_place_to_none_and_the_next_one_has_it_after() {
    let object = cluster(&json!({"status": {"phase": "Pending"}}));
    let mut groups: Vec<_> =
        (0..16).map(|number| of_year(&format!("a-g{number:02}"), 2010 + number)).collect();
    groups.push(default_group(&json!({})));
    let ours = made(&seen(&object, &groups));
    groups.push(of_year("a-old", 2001));
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..seen(&object, &groups) });
    assert!(!plan.writes.iter().any(|write| write.ours().is_some()), "{:?}", titles(&plan));
    assert_eq!(warned_of(&plan, "a-old").len(), 1);
    groups.remove(3);
    let plan = plan_cluster(&Cluster { ours: Some(&ours), ..seen(&object, &groups) });
    let served = groups_of(plan.writes.iter().find_map(Write::ours).unwrap());
    assert!(served.len() == 16 && served[15].1 == "a-old", "{served:?}");
    assert!(warned_of(&plan, "a-old").is_empty());
}

#[rstest]
#[case::of_the_cluster("a-gpu", "gpu")]
#[case::of_no_cluster("gpu", "gpu-e3c5ba51dba8")]
#[case::with_a_dot("a-b.c", "b-c-")]
#[case::long("a-0123456789012345678901234567890", "01234567890123456-")]
#[case::default("default", "default-")]
#[case::as_one_with_a_hash("a-gpu-e3c5ba51dba8", "gpu-e3c5ba51dba8-")]
fn every_name_of_a_group_is_served(#[case] name: &str, #[case] begins: &str) {
    let object = cluster(&json!({}));
    let groups = [default_group(&json!({})), further(name, &json!({}))];
    let groups = groups_of(&made(&seen(&object, &groups)));
    let [(ours, theirs)] = groups.as_slice() else { panic!("{groups:?}") };
    assert!(ours.starts_with(begins) && ours.len() <= 30 && !ours.contains('.'), "{ours}");
    assert_eq!(theirs, name);
}

#[test]
fn a_name_that_is_too_long_for_a_label_is_said() {
    let (object, name) = (cluster(&json!({})), "g".repeat(64));
    let groups = [default_group(&json!({})), further(&name, &json!({}))];
    let observed = seen(&object, &groups);
    let named = groups_of(&made(&observed));
    assert_eq!(named[0].0, named[0].1);
    let plan = plan_cluster(&observed);
    let (about, note) = &plan.beside[0];
    assert_eq!((about.name.as_ref(), note.reason), (Some(&name), Reason::Adapted));
    assert!(note.message.contains("metadata.name: a label has at most 63"), "{note:?}");
    assert!(note.message.contains("no Deployment shows them"), "{note:?}");
}

#[rstest]
#[case::that_a_label_can_have(63, 1)]
#[case::that_none_can_have(64, 0)]
fn workers_are_shown_of_a_group_of_a_name(#[case] length: usize, #[case] expected: usize) {
    let (object, name) = (cluster(&json!({})), "g".repeat(length));
    let groups = [default_group(&json!({})), further(&name, &json!({}))];
    let mut ours = made(&seen(&object, &groups));
    ours.status = serde_json::from_value(json!({"schedulerReadySince": "2026-01-01T00:00:00Z"})).unwrap();
    let group = &ours.spec.worker_groups[0];
    let mut pod = worker::pod(&ours, Site::Kubernetes, None, (&group.name, &group.workers), 7).unwrap();
    pod.status = serde_json::from_value(json!({"phase": "Running"})).unwrap();
    let (pods, deployments) = ([Arc::new(pod)], []);
    let observed =
        Shown { object: &object, groups: &groups, ours: Some(&ours), pods: &pods, deployments: &deployments };
    assert_eq!(plan_shown(&observed).len(), expected);
}

#[test]
fn a_group_that_comes_takes_no_name_of_another() {
    let object = cluster(&json!({}));
    let first = [default_group(&json!({})), further("a-gpu", &json!({}))];
    let one = groups_of(&made(&seen(&object, &first)));
    // Its name sorts before, between and behind the others; one of them cannot be had.
    let all = [
        further("a-bad", &two_workers()),
        first[0].clone(),
        first[1].clone(),
        further("gpu", &json!({})),
        further("a-a-gpu", &json!({})),
    ];
    let two = groups_of(&made(&seen(&object, &all)));
    assert!(two.contains(&one[0]), "{two:?}");
    let mut names: Vec<&String> = two.iter().map(|(ours, _)| ours).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3, "{two:?}");
    assert_eq!(
        two.iter().map(|(_, theirs)| theirs.as_str()).collect::<Vec<_>>(),
        ["a-gpu", "gpu", "a-a-gpu"],
        "each has the name of its own"
    );
}

#[test]
fn a_group_that_starts_otherwise_changes_no_pod_of_the_others() {
    let start = |command: Value, args: Value| {
        json!({"worker": {"spec": {"containers": [
            {"name": "worker", "image": "dask:1", "command": command, "args": args},
        ]}}})
    };
    let mut spec = start(json!(["dask", "worker"]), json!(["--nthreads", "1"]));
    merge(
        &mut spec,
        &json!({"scheduler": {"spec": {"containers": [
            {"name": "scheduler", "image": "dask:1", "command": ["dask", "scheduler"]},
        ]}}}),
    );
    let object = cluster(&json!({"spec": spec}));
    let alone = made(&seen(&object, &[]));
    assert_eq!((alone.spec.entrypoint, &alone.spec.python), (None, &None));
    for (command, args, expected) in [
        // By the ENTRYPOINT of its image.
        (
            json!(null),
            json!(["dask-worker", "--nthreads", "3"]),
            ["dask-worker", "--nthreads", "3"].as_slice(),
        ),
        // With another Python.
        (json!(["/opt/env/bin/dask", "worker"]), json!([]), &["/opt/env/bin/dask", "worker"]),
    ] {
        let mut rest = json!({"spec": start(command.clone(), args)});
        if command.is_null() {
            rest["spec"]["worker"]["spec"]["containers"][0].as_object_mut().unwrap().remove("command");
        }
        let groups = [further("a-other", &rest)];
        let ours = made(&seen(&object, &groups));
        let others = crate::api::DaskClusterSpec { worker_groups: Vec::new(), ..ours.spec.clone() };
        assert_eq!(others, alone.spec);
        let group = &ours.spec.worker_groups[0];
        let pod = worker::pod(&ours, Site::Kubernetes, None, (&group.name, &group.workers), 7).unwrap();
        let main = pod.spec.unwrap().containers.remove(0);
        let words: Vec<String> = main.command.iter().chain(&main.args).flatten().cloned().collect();
        assert_eq!(main.command.is_none(), command.is_null(), "{words:?}");
        let lacked = ["--name", "$(DASK_WORKER_NAME)", "--dashboard-address", ":8788"];
        assert_eq!(words, [expected, &lacked].concat());
    }
    // Two in a pod are refused as ever.
    let mut rest = json!({"spec": start(json!(["/opt/env/bin/dask-worker"]), json!(["--nworkers", "2"]))});
    rest["spec"]["cluster"] = json!("a");
    let groups = [further("a-other", &rest)];
    assert_eq!(made(&seen(&object, &groups)).spec, alone.spec);
}

#[test]
fn a_hand_made_group_goes_with_the_cluster() {
    let object = cluster(&json!({}));
    let more =
        theirs(TheirKind::Group, "a-more", &json!({"spec": {"cluster": "a", "worker": spec()["worker"]}}));
    let groups = [default_group(&json!({})), Arc::new(more)];
    let observed = seen(&object, &groups);
    let patch = patch_of(&plan_cluster(&observed), "a-more").unwrap();
    assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "uid-a");
    assert_eq!(
        patch["metadata"]["labels"],
        Value::Null,
        "their clients count the groups that have the label"
    );
    let groups: Vec<String> =
        made(&observed).spec.worker_groups.into_iter().map(|group| group.name).collect();
    assert_eq!(groups, ["more"]);
}

#[test]
fn workers_are_called_and_labelled_after_the_groups_of_theirs() {
    let object = cluster(&json!({}));
    let more =
        theirs(TheirKind::Group, "a-more", &json!({"spec": {"cluster": "a", "worker": spec()["worker"]}}));
    let ours = made(&seen(&object, &[Arc::new(more)]));
    let groups = [("default", &ours.spec.workers), ("more", &ours.spec.worker_groups[0].workers)];
    for (name, workers) in groups {
        let pod = worker::pod(&ours, Site::Kubernetes, None, (name, workers), 7).unwrap();
        let prefix = format!("a-{name}-worker-");
        assert!(pod.metadata.name.as_ref().unwrap().starts_with(&prefix), "{:?}", pod.metadata.name);
        assert_eq!(pod.labels()["dask.org/workergroup-name"], format!("a-{name}"));
        assert_eq!(worker::group_of_pod(&pod), name);
    }
    // Of a cluster of a user's own, a template does not say which group a pod is of.
    let own = DaskCluster {
        metadata: kube::core::ObjectMeta { owner_references: None, ..ours.metadata.clone() },
        ..ours.clone()
    };
    let pod = worker::pod(&own, Site::Kubernetes, None, ("default", &own.spec.workers), 7).unwrap();
    assert_eq!(pod.labels()["dask.org/workergroup-name"], "default");
}

#[test]
fn a_further_group_changes_no_pod_of_the_others() {
    let env = json!([{"name": "A", "value": "1"}]);
    let mut object = json!({"spec": spec()});
    for role in ["worker", "scheduler"] {
        let pod = &mut object["spec"][role]["spec"];
        pod["containers"][0]["env"] = env.clone();
        pod["imagePullSecrets"] = json!([{"name": "registry"}]);
    }
    let group = json!({"spec": {"worker": object["spec"]["worker"]}});
    let object = theirs(TheirKind::Cluster, "a", &object);
    let further = json!({"spec": {"cluster": "a", "worker": spec()["worker"]}});
    let groups = [default_group(&group), Arc::new(theirs(TheirKind::Group, "a-gpu", &further))];
    let (one, two) = (made(&seen(&object, &groups[..1])), made(&seen(&object, &groups)));
    assert_eq!(two.spec.worker_groups.len(), 1);
    assert_eq!(crate::api::DaskClusterSpec { worker_groups: Vec::new(), ..two.spec }, one.spec);
}
