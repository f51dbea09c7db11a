use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn theirs(kind: &str, name: &str) -> DynamicObject {
    object(json!({
        "apiVersion": "kubernetes.dask.org/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "team", "uid": format!("uid-{name}")},
    }))
}

fn ours(owner: &str) -> DaskCluster {
    object(json!({
        "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "spec": {"image": "dask:1"},
        "metadata": {"name": "a", "namespace": "team", "uid": "uid-ours", "ownerReferences": [
            {"apiVersion": "kubernetes.dask.org/v1", "kind": "DaskCluster", "name": "a", "uid": owner},
        ]},
        "status": {"schedulerReadySince": "2026-01-01T00:00:00Z"},
    }))
}

/// A pod of our cluster, as the API server has it.
fn pod(name: &str, labels: &Value) -> Arc<Pod> {
    let mut all = json!({
        "app.kubernetes.io/managed-by": "daskflow", "dask.org/cluster-name": "a", "team": "b",
        "daskflow.dev/template-hash": "0",
    });
    all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
    Arc::new(object(json!({
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("uid-{name}"), "labels": all,
            "annotations": {"of": "me", "daskflow.dev/draining-since": "2026-01-01T00:00:00Z"},
            "ownerReferences": [
                {"apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "name": "a", "uid": "uid-ours"},
            ],
        },
        "spec": {
            "restartPolicy": "OnFailure", "nodeName": "n", "activeDeadlineSeconds": 5,
            "containers": [{"name": "worker", "image": "dask:1", "resources": {"limits": {"cpu": "500m"}}}],
            "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
        },
        "status": {"phase": "Running"},
    })))
}

fn scheduler() -> Arc<Pod> {
    pod("a-scheduler", &json!({"dask.org/component": "scheduler"}))
}

fn worker(name: &str, group: &str) -> Arc<Pod> {
    let labels = json!({
        "dask.org/component": "worker", "dask.org/workergroup-name": group, "daskflow.dev/worker-name": name,
    });
    pod(name, &labels)
}

/// What there is: a cluster with its group, and these.
struct There {
    cluster: DynamicObject,
    groups: Vec<Arc<DynamicObject>>,
    ours: DaskCluster,
    pods: Vec<Arc<Pod>>,
    deployments: Vec<Arc<Deployment>>,
}

impl There {
    fn with(pods: Vec<Arc<Pod>>) -> Self {
        let (cluster, groups) =
            (theirs("DaskCluster", "a"), vec![Arc::new(theirs("DaskWorkerGroup", "a-default"))]);
        Self { cluster, groups, ours: ours("uid-a"), pods, deployments: Vec::new() }
    }

    fn plan(&self) -> Vec<Show> {
        plan(&Shown {
            object: &self.cluster,
            groups: &self.groups,
            ours: Some(&self.ours),
            pods: &self.pods,
            deployments: &self.deployments,
        })
    }

    fn titles(&self) -> Vec<String> {
        self.plan().iter().map(Show::title).collect()
    }

    /// Carries a plan out, as an API server does.
    fn settle(&mut self) {
        for show in self.plan() {
            match show {
                Show::Make(made) => {
                    let mut made = *made;
                    made.metadata.uid = Some(format!("uid-of-{}", made.name_any()));
                    made.metadata.generation = Some(1);
                    self.deployments.push(Arc::new(made));
                }
                Show::Remove { name, .. } => self.deployments.retain(|one| one.name_any() != name),
            }
        }
    }

    /// Makes the Deployment of this name another one.
    fn change(&mut self, name: &str, change: impl FnOnce(&mut Deployment)) {
        let at = self.deployments.iter().position(|one| one.name_any() == name).unwrap();
        change(Arc::make_mut(&mut self.deployments[at]));
    }
}

const WORKER: &str = "a-default-worker-x1";

fn both() -> There {
    There::with(vec![scheduler(), worker(WORKER, "a-default")])
}

#[test]
fn pods_are_shown_once_their_scheduler_serves_and_stay_so() {
    let mut there = both();
    let served = there.ours.status.take();
    assert_eq!(there.titles(), Vec::<String>::new());
    let mut ended = Pod::clone(&there.pods[0]);
    ended.status = object(json!({"phase": "Running", "containerStatuses": [
        {"name": "scheduler", "image": "a", "imageID": "", "ready": false, "restartCount": 1},
    ]}));
    let before = std::mem::replace(&mut there.pods[0], Arc::new(ended));
    assert_eq!(there.titles(), ["create Deployment a-scheduler"]);
    there.pods[0] = before;
    there.ours.status = served;
    there.settle();
    assert_eq!(there.deployments.len(), 2);
    there.ours.status = None;
    assert_eq!(there.titles(), Vec::<String>::new());
}

#[test]
fn each_pod_has_a_deployment_that_makes_none_and_selects_it_alone() {
    let mut there = both();
    assert_eq!(
        there.titles(),
        [format!("create Deployment {WORKER}"), "create Deployment a-scheduler".into()]
    );
    there.settle();
    let [of_worker, of_scheduler] = [0, 1].map(|at| serde_json::to_value(&*there.deployments[at]).unwrap());
    for (deployment, owner) in [(&of_worker, "uid-a-default"), (&of_scheduler, "uid-a")] {
        let spec = &deployment["spec"];
        assert_eq!((&spec["replicas"], &spec["paused"]), (&json!(0), &json!(true)));
        let owners = deployment["metadata"]["ownerReferences"].as_array().unwrap();
        assert_eq!(
            (owners.len(), &owners[0]["uid"], &owners[0]["controller"]),
            (1, &json!(owner), &json!(true))
        );
        assert_eq!(deployment["metadata"]["labels"]["team"], "b");
        assert_eq!(spec["template"]["metadata"]["annotations"], json!({"of": "me"}));
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"], "dask:1");
        // What the API server takes in no template of a Deployment.
        let refused = [&pod["restartPolicy"], &pod["activeDeadlineSeconds"], &pod["ephemeralContainers"]];
        assert_eq!(refused, [&json!("Always"), &Value::Null, &Value::Null]);
        assert_eq!(pod["nodeName"], Value::Null);
    }
    let others = [scheduler(), worker(WORKER, "a-default"), worker("a-default-worker-x2", "a-default")];
    for deployment in [&of_worker, &of_scheduler] {
        let selector = deployment["spec"]["selector"]["matchLabels"].as_object().unwrap();
        let is_selected = |pod: &&Arc<Pod>| {
            selector.iter().all(|(key, value)| pod.labels().get(key).map(String::as_str) == value.as_str())
        };
        let selected: Vec<String> = others.iter().filter(is_selected).map(|pod| pod.name_any()).collect();
        assert_eq!(selected, [deployment["metadata"]["name"].as_str().unwrap()]);
        let template = deployment["spec"]["template"]["metadata"]["labels"].as_object().unwrap();
        assert!(selector.iter().all(|(key, value)| template.get(key) == Some(value)));
    }
    assert_eq!(there.titles(), [""; 0], "nothing is written again");
}

#[test]
fn what_does_not_matter_of_a_pod_writes_nothing() {
    let mut there = both();
    there.settle();
    for pod in &mut there.pods {
        let pod = Arc::make_mut(pod);
        pod.annotations_mut().insert("daskflow.dev/closed-since".to_owned(), "now".to_owned());
        pod.status = Some(object(json!({"phase": "Running", "podIP": "10.0.0.1"})));
    }
    assert_eq!(there.titles(), [""; 0]);
}

#[test]
fn a_pod_that_waits_is_not_shown_yet_and_one_that_has_ended_still_is() {
    let mut there = both();
    for status in [Value::Null, json!({}), json!({"phase": "Pending"})] {
        Arc::make_mut(&mut there.pods[1]).status = object(status);
        assert_eq!(there.titles(), ["create Deployment a-scheduler"]);
    }
    Arc::make_mut(&mut there.pods[1]).status = object(json!({"phase": "Failed"}));
    assert_eq!(there.plan().len(), 2);
}

#[test]
fn a_deployment_ends_with_its_pod_and_is_another_one_for_the_next_of_its_name() {
    let mut there = both();
    there.settle();
    Arc::make_mut(&mut there.pods[1]).metadata.deletion_timestamp =
        Some(object(json!("2026-01-01T00:00:00Z")));
    assert_eq!(there.titles(), [format!("delete Deployment {WORKER}")]);
    there.pods.pop();
    there.settle();
    Arc::make_mut(&mut there.pods[0]).metadata.uid = Some("another".to_owned());
    assert_eq!(there.titles(), ["delete Deployment a-scheduler"]);
    there.settle();
    assert_eq!(there.titles(), ["create Deployment a-scheduler"]);
}

#[rstest]
#[case::scaled(json!({"spec": {"replicas": 1}}))]
#[case::resumed(json!({"spec": {"paused": false}}))]
#[case::restarted(json!({"spec": {"template": {"metadata": {"annotations": {"of": "you"}}}}}))]
fn one_that_was_changed_is_made_anew(#[case] edit: Value) {
    let mut there = both();
    there.settle();
    there.change(WORKER, |deployment| {
        let mut all = serde_json::to_value(&*deployment).unwrap();
        merge(&mut all, &edit);
        *deployment = object(all);
        deployment.metadata.generation = Some(2);
    });
    let uid = Some(format!("uid-of-{WORKER}"));
    assert_eq!(there.plan(), [Show::Remove { name: WORKER.to_owned(), uid }]);
    there.settle();
    there.settle();
    assert_eq!(there.titles(), [""; 0]);
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter()
                .for_each(|(name, value)| merge(into.entry(name.clone()).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}

/// Neither a plugin that changes what is created, nor a tool that annotates what is there, is fought.
#[test]
fn what_others_make_of_it_without_touching_what_it_says_stays() {
    let mut there = both();
    there.settle();
    there.change(WORKER, |deployment| deployment.spec.as_mut().unwrap().revision_history_limit = Some(3));
    there.change("a-scheduler", |deployment| {
        deployment.annotations_mut().insert("tool.example/seen".to_owned(), "1".to_owned());
        deployment.spec.as_mut().unwrap().progress_deadline_seconds = Some(600);
        deployment.metadata.generation = Some(9);
    });
    assert_eq!(there.titles(), [""; 0]);
}

#[test]
fn one_that_is_not_found_by_its_labels_any_more_is_made_anew() {
    let mut there = both();
    there.settle();
    there.change(WORKER, |deployment| drop(deployment.labels_mut().remove("dask.org/workergroup-name")));
    assert_eq!(there.titles(), [format!("delete Deployment {WORKER}")]);
}

#[test]
fn pods_of_others_are_not_shown() {
    let mut there = both();
    there.ours = ours("of another");
    assert_eq!(there.titles(), [""; 0], "our cluster of the name is a user's own");
    there.ours = ours("uid-a");
    there.ours.metadata.uid = Some("the next".to_owned());
    assert_eq!(there.titles(), [""; 0], "the pods are of one before");
    let there = There::with(vec![pod("a-runner", &json!({"dask.org/component": "job-runner"}))]);
    assert_eq!(there.titles(), [""; 0]);
    let there = There::with(vec![worker("other-worker-x1", "other")]);
    assert_eq!(there.titles(), [""; 0], "its group is not there");
    let unnamed = json!({"dask.org/component": "worker", "dask.org/workergroup-name": "a-default"});
    assert_eq!(There::with(vec![pod(WORKER, &unnamed)]).titles(), [""; 0], "nothing selects it alone");
}

#[test]
fn what_is_being_deleted_shows_nothing_more_and_takes_all_along() {
    let at = Some(object(json!("2026-01-01T00:00:00Z")));
    let mut there = both();
    there.settle();
    there.cluster.metadata.deletion_timestamp.clone_from(&at);
    (there.pods, there.groups) = (Vec::new(), Vec::new());
    assert_eq!(there.titles(), [""; 0]);
    let mut there = both();
    Arc::make_mut(&mut there.groups[0]).metadata.deletion_timestamp = at;
    assert_eq!(there.titles(), ["create Deployment a-scheduler"]);
}

#[test]
fn a_namesake_of_somebody_else_is_left_alone() {
    let mut there = both();
    there.settle();
    let wanted = (*there.deployments[0]).clone();
    assert_eq!(judge(&wanted, &wanted), Namesake::Same);
    // It is not watched without this label.
    let mut unseen = wanted.clone();
    unseen.labels_mut().remove("app.kubernetes.io/managed-by");
    assert_eq!(judge(&wanted, &unseen), Namesake::Wrong);
    for foreign in [
        Deployment {
            metadata: ObjectMeta { owner_references: None, ..wanted.metadata.clone() },
            ..wanted.clone()
        },
        Deployment {
            metadata: ObjectMeta { annotations: None, ..wanted.metadata.clone() },
            ..wanted.clone()
        },
    ] {
        assert_eq!(judge(&wanted, &foreign), Namesake::Foreign);
        there.pods.clear();
        there.deployments = vec![Arc::new(foreign)];
        assert_eq!(there.titles(), [""; 0]);
    }
}
