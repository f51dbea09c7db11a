use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};

use super::*;
use crate::cluster_api::tests::{api, object, pods, refusal};

async fn create(api: &ClusterApi, spec: Value) -> Api<Job> {
    let mut job = json!({"metadata": {"name": "j"}, "spec": {"template": {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]},
    }}});
    for (name, value) in spec.as_object().unwrap() {
        job["spec"][name] = value.clone();
    }
    let jobs: Api<Job> = Api::namespaced(api.client(), "default");
    jobs.create(&PostParams::default(), &object(job)).await.unwrap();
    jobs
}

/// Passes until nothing changes any more.
fn settle(api: &ClusterApi) -> Step {
    for _ in 0..20 {
        let collected = api.collect();
        let done = step(api);
        if done.changed == 0 && collected == 0 {
            return done;
        }
    }
    panic!("the Jobs never come to rest");
}

async fn end(api: &ClusterApi, phase: &str) {
    for pod in all(api).await {
        let is_over =
            matches!(pod.status.and_then(|status| status.phase).as_deref(), Some("Succeeded" | "Failed"));
        if !is_over {
            let patch = Patch::Merge(json!({"status": {"phase": phase}}));
            pods(api)
                .patch_status(&pod.metadata.name.unwrap(), &PatchParams::default(), &patch)
                .await
                .unwrap();
        }
    }
}

async fn all(api: &ClusterApi) -> Vec<Pod> {
    pods(api).list(&ListParams::default()).await.unwrap().items
}

fn conditions(status: &JobStatus) -> Vec<String> {
    let all = status.conditions.clone().unwrap_or_default();
    all.iter().map(|one| format!("{} {} {}", one.type_, one.status, one.reason.clone().unwrap())).collect()
}

async fn status(jobs: &Api<Job>) -> JobStatus {
    jobs.get("j").await.unwrap().status.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_job_makes_a_pod_and_completes_with_it() {
    let api = api();
    let jobs = create(&api, json!({})).await;
    settle(&api);
    let pod = all(&api).await.remove(0);
    assert!(pod.name_any().starts_with("j-"));
    assert_eq!(pod.labels()["job-name"], "j");
    assert_eq!(
        (pod.owner_references()[0].kind.as_str(), pod.owner_references()[0].controller),
        ("Job", Some(true))
    );
    assert_eq!(status(&jobs).await.active, Some(1));
    end(&api, "Succeeded").await;
    settle(&api);
    let over = status(&jobs).await;
    assert_eq!((over.succeeded, over.active), (Some(1), None));
    assert!(over.completion_time.is_some());
    assert_eq!(
        conditions(&over),
        ["SuccessCriteriaMet True CompletionsReached", "Complete True CompletionsReached"]
    );
    assert!(all(&api).await[0].finalizers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_tries_again_as_often_as_it_may() {
    let api = api();
    let jobs = create(&api, json!({"backoffLimit": 1})).await;
    settle(&api);
    end(&api, "Failed").await;
    settle(&api);
    assert_eq!((all(&api).await.len(), status(&jobs).await.failed), (2, Some(1)));
    end(&api, "Failed").await;
    settle(&api);
    let over = status(&jobs).await;
    assert_eq!((all(&api).await.len(), over.failed), (2, Some(2)));
    assert_eq!(
        conditions(&over),
        ["FailureTarget True BackoffLimitExceeded", "Failed True BackoffLimitExceeded"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_counts_once() {
    let api = api();
    let jobs = create(&api, json!({"backoffLimit": 0, "podReplacementPolicy": "Failed"})).await;
    settle(&api);
    let name = all(&api).await[0].name_any();
    pods(&api).delete(&name, &DeleteParams::default()).await.unwrap();
    assert_eq!(all(&api).await.len(), 1, "it is not counted yet");
    settle(&api);
    assert_eq!((all(&api).await.len(), status(&jobs).await.failed), (0, Some(1)));
    assert!(conditions(&status(&jobs).await)[1].starts_with("Failed True"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_leaves_is_replaced_when_it_has_ended() {
    let api = api();
    let jobs = create(&api, json!({"backoffLimit": 3, "podReplacementPolicy": "Failed"})).await;
    settle(&api);
    let name = all(&api).await[0].name_any();
    // A kubelet takes it.
    let patch = Patch::Merge(json!({"spec": {"nodeName": "here"}, "status": {"phase": "Running"}}));
    pods(&api).patch(&name, &PatchParams::default(), &patch).await.unwrap();
    pods(&api).patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
    pods(&api).delete(&name, &DeleteParams::default()).await.unwrap();
    settle(&api);
    assert_eq!((all(&api).await.len(), status(&jobs).await.terminating), (1, Some(1)));
    end(&api, "Failed").await;
    settle(&api);
    assert_eq!(status(&jobs).await.failed, Some(1));
    assert_eq!(all(&api).await.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_takes_too_long_fails() {
    let api = api();
    let jobs = create(&api, json!({"activeDeadlineSeconds": 60})).await;
    let done = settle(&api);
    assert_eq!(done.next.unwrap().as_second(), crate::cluster_api::tests::START + 60);
    let looking = tokio::spawn({
        let api = api.clone();
        async move { always(&api).await }
    });
    tokio::time::sleep(Duration::from_secs(61)).await;
    looking.abort();
    settle(&api);
    assert_eq!(
        conditions(&status(&jobs).await),
        ["FailureTarget True DeadlineExceeded", "Failed True DeadlineExceeded"]
    );
    assert!(all(&api).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pass_makes_a_limited_number_of_pods() {
    let api = api();
    let jobs = create(&api, json!({"parallelism": 501, "completions": 501})).await;
    step(&api);
    assert_eq!((all(&api).await.len(), status(&jobs).await.active), (500, Some(500)));
    step(&api);
    assert_eq!((all(&api).await.len(), status(&jobs).await.active), (501, Some(501)));
}

#[tokio::test(start_paused = true)]
async fn a_job_says_how_many_pods_must_succeed() {
    let api = api();
    let jobs = create(&api, json!({})).await;
    let spec = jobs.get("j").await.unwrap().spec.unwrap();
    assert_eq!((spec.parallelism, spec.completions), (Some(1), Some(1)));
    let mut queue = jobs.get("j").await.unwrap();
    queue.metadata = object(json!({"name": "queue"}));
    let spec = queue.spec.as_mut().unwrap();
    (spec.completions, spec.selector) = (None, None);
    let (code, _, message) = refusal(jobs.create(&PostParams::default(), &queue).await);
    assert_eq!(code, 422);
    assert!(message.contains("spec.completions: Required value"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_job_has_no_pods() {
    let api = api();
    let jobs = create(&api, json!({"suspend": true})).await;
    settle(&api);
    assert!(all(&api).await.is_empty());
    assert_eq!(conditions(&status(&jobs).await), ["Suspended True JobSuspended"]);
    let patch = Patch::Merge(json!({"spec": {"suspend": false}}));
    jobs.patch("j", &PatchParams::default(), &patch).await.unwrap();
    settle(&api);
    assert_eq!(all(&api).await.len(), 1);
    assert_eq!(conditions(&status(&jobs).await), ["Suspended False JobResumed"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_deleted_takes_its_pods_along() {
    let api = api();
    let jobs = create(&api, json!({})).await;
    settle(&api);
    jobs.delete("j", &DeleteParams::background()).await.unwrap();
    settle(&api);
    assert!(all(&api).await.is_empty());
    assert_eq!(refusal(jobs.get("j").await).0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_over_goes_when_its_time_has_come() {
    let api = api();
    let jobs = create(&api, json!({"ttlSecondsAfterFinished": 10})).await;
    settle(&api);
    end(&api, "Succeeded").await;
    assert!(settle(&api).next.is_some());
    tokio::time::sleep(Duration::from_secs(11)).await;
    settle(&api);
    assert_eq!(refusal(jobs.get("j").await).0, 404);
    assert!(all(&api).await.is_empty());
}
