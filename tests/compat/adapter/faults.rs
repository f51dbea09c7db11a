//! What cannot be had, or is taken away again: it costs nothing else.

use super::*;

/// What no worker can be: two in a pod.
fn two_workers(name: &str) -> Value {
    let mut worker = cluster(name)["worker"].clone();
    worker["spec"]["containers"][0]["args"] = json!(["dask-worker", "--nworkers", "2"]);
    worker
}

#[tokio::test]
async fn a_group_that_cannot_be_had_stops_nothing_of_its_cluster() {
    let stage = Stage::begin().await;
    stage.create(TheirKind::Cluster, "d", &cluster("d")).await;
    stage.create(TheirKind::Group, "d-bad", &json!({"cluster": "d", "worker": two_workers("d")})).await;
    let said = stage.event("d-bad", "InvalidSpec").await;
    assert!(said.starts_with("spec.worker.spec.containers[0].args: "), "{said}");
    // Names that ours could not have.
    let long = "d.a-group-whose-name-is-longer-than-thirty-characters";
    stage.create(TheirKind::Group, long, &json!({"cluster": "d", "worker": cluster("d")["worker"]})).await;
    let is_served = |ours: &Value| {
        let groups = ours["spec"]["workerGroups"].as_array().map_or(&[][..], Vec::as_slice);
        let label = "/template/metadata/labels/dask.org~1workergroup-name";
        groups.len() == 1 && groups[0].pointer(label) == Some(&json!(long))
    };
    stage.ours_is("d", is_served).await;
    stage.patch(TheirKind::Cluster, "d", &json!({"spec": {"worker": {"replicas": 4}}})).await;
    stage.ours_is("d", |ours| ours["spec"]["workers"]["replicas"] == 4 && is_served(ours)).await;
    // Corrected, it is served.
    let good = json!({"spec": {"worker": cluster("d")["worker"]}});
    stage.patch(TheirKind::Group, "d-bad", &good).await;
    let has_both = |ours: &Value| ours["spec"]["workerGroups"].as_array().is_some_and(|all| all.len() == 2);
    stage.ours_is("d", has_both).await;
}

#[tokio::test]
async fn a_group_that_the_api_server_refuses_of_ours_is_left_out() {
    let stage = Stage::begin().await;
    stage.create(TheirKind::Cluster, "h", &cluster("h")).await;
    // More arguments than a group may have.
    let mut worker = cluster("h")["worker"].clone();
    let args = worker["spec"]["containers"][0]["args"].as_array_mut().unwrap();
    args.extend((0..65).map(|number| json!(format!("--preload=x{number}"))));
    stage.create(TheirKind::Group, "h-bad", &json!({"cluster": "h", "worker": worker})).await;
    let said = stage.event("h-bad", "Rejected").await;
    assert!(said.starts_with("spec.workerGroups[0].args of daskflow's DaskCluster: "), "{said}");
    stage.patch(TheirKind::Cluster, "h", &json!({"spec": {"worker": {"replicas": 4}}})).await;
    stage.ours_is("h", |ours| ours["spec"]["workers"]["replicas"] == 4).await;
    let good = json!({"spec": {"worker": cluster("h")["worker"]}});
    stage.patch(TheirKind::Group, "h-bad", &good).await;
    stage.ours_is("h", |ours| ours["spec"]["workerGroups"][0]["name"] == "bad").await;
}

#[tokio::test]
async fn of_more_groups_than_ours_may_have_the_last_one_waits_for_room() {
    let stage = Stage::begin().await;
    stage.create(TheirKind::Cluster, "n", &cluster("n")).await;
    let group = json!({"cluster": "n", "worker": cluster("n")["worker"]});
    for number in 0..17 {
        stage.create(TheirKind::Group, &format!("n-g{number:02}"), &group).await;
    }
    let said = stage.event("n-g16", "InvalidSpec").await;
    assert!(said.starts_with("spec.cluster: a cluster has at most 16 groups beside n-default"), "{said}");
    stage.patch(TheirKind::Cluster, "n", &json!({"spec": {"worker": {"replicas": 4}}})).await;
    let names = |ours: &Value| -> Vec<String> {
        let groups = ours["spec"]["workerGroups"].as_array().into_iter().flatten();
        groups.map(|group| group["name"].as_str().unwrap().to_owned()).collect()
    };
    let first: Vec<String> = (0..16).map(|number| format!("g{number:02}")).collect();
    let is_scaled = |ours: &Value| ours["spec"]["workers"]["replicas"] == 4;
    stage.ours_is("n", |ours| is_scaled(ours) && names(ours) == first).await;
    stage.delete(TheirKind::Group, "n-g03").await;
    stage.ours_is("n", |ours| names(ours).contains(&"g16".to_owned())).await;
}

#[tokio::test]
async fn a_service_beside_goes_when_it_is_not_asked_for_any_more() {
    let stage = Stage::begin().await;
    let mut spec = cluster("e");
    spec["scheduler"]["service"]["type"] = json!("NodePort");
    spec["scheduler"]["service"]["ports"] = json!([{"name": "tcp-comm", "port": 8786, "nodePort": 30007}]);
    stage.create(TheirKind::Cluster, "e", &spec).await;
    let services: Api<Service> = Api::default_namespaced(stage.client.clone());
    let read = || there(&services, "e-service");
    until("the Service beside", read, Value::is_object).await;
    let service = cluster("e")["scheduler"]["service"].clone();
    stage.patch(TheirKind::Cluster, "e", &json!({"spec": {"scheduler": {"service": service}}})).await;
    until("no Service beside", read, Value::is_null).await;
    stage.theirs_is(TheirKind::Cluster, "e", |object| object["status"]["phase"] == "Running").await;
}

#[tokio::test]
async fn labels_of_a_cluster_are_for_pods_that_come() {
    let stage = Stage::begin().await;
    stage.create(TheirKind::Cluster, "f", &cluster("f")).await;
    let scheduler = stage.pod_is("f-scheduler", Value::is_object).await;
    let ours: Api<DaskCluster> = Api::default_namespaced(stage.client.clone());
    let was = ours.get("f").await.unwrap();
    stage.patch(TheirKind::Cluster, "f", &json!({"metadata": {"labels": {"cost": "7"}}})).await;
    stage.ours_is("f", |ours| ours["metadata"]["labels"]["cost"] == "7").await;
    let is = ours.get("f").await.unwrap();
    assert_eq!((&is.spec, is.metadata.generation), (&was.spec, was.metadata.generation));
    // The next one has it.
    let pods: Api<Pod> = Api::default_namespaced(stage.client.clone());
    pods.delete("f-scheduler", &DeleteParams::default()).await.unwrap();
    let uid = &scheduler["metadata"]["uid"];
    let next = stage.pod_is("f-scheduler", |pod| pod.is_object() && pod["metadata"]["uid"] != *uid).await;
    assert_eq!(next["metadata"]["labels"]["cost"], "7");
}

#[tokio::test]
async fn a_job_whose_pod_is_refused_has_failed_and_has_no_cluster() {
    let stage = Stage::begin().await;
    let of_cluster = cluster("l");
    let spec = json!({
        "job": {"spec": {"containers": [{"name": "job", "args": ["x"]}]}},
        "cluster": {"spec": {"worker": of_cluster["worker"], "scheduler": of_cluster["scheduler"]}},
    });
    stage.create(TheirKind::Job, "l", &spec).await;
    stage.theirs_is(TheirKind::Job, "l", |job| job["status"]["jobStatus"] == "Failed").await;
    let said = stage.event("l", "Rejected").await;
    assert!(said.contains("spec.containers[0].image"), "{said}");
    assert!(there(&stage.theirs(TheirKind::Cluster), "l").await.is_null());
}

#[tokio::test]
async fn a_finalizer_of_another_operator_is_taken_away_once_and_holds_up_no_end() {
    let stage = Stage::begin().await;
    stage.create(TheirKind::Cluster, "m", &cluster("m")).await;
    let autoscaler = json!({"cluster": "m", "minimum": 1, "maximum": 4});
    stage.create(TheirKind::Autoscaler, "scale", &autoscaler).await;
    let put = json!({"metadata": {"finalizers": ["kopf.zalando.org/KopfFinalizerMarker"]}});
    let is_there = |object: &Value| object["metadata"]["finalizers"].is_array();
    for _ in 0..2 {
        stage
            .theirs_is(TheirKind::Autoscaler, "scale", |object| object.is_object() && !is_there(object))
            .await;
        stage.patch(TheirKind::Autoscaler, "scale", &put).await;
    }
    let said = stage.event("scale", "ServedTwice").await;
    assert!(said.contains("another operator serves this object"), "{said}");
    stage.theirs_is(TheirKind::Autoscaler, "scale", is_there).await;
    stage.delete(TheirKind::Autoscaler, "scale").await;
    stage.theirs_is(TheirKind::Autoscaler, "scale", Value::is_null).await;
    stage.theirs_is(TheirKind::Cluster, "m", |object| object["status"]["phase"] == "Running").await;
}
