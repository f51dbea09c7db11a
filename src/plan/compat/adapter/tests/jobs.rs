//! A job of theirs: its pod, its cluster, and its status.

use jiff::Timestamp;

use super::*;
use crate::plan::Next;

fn job(status: &Value) -> DynamicObject {
    let pod = json!({"containers": [{
        "name": "job", "image": "job:1", "args": ["python", "x.py"], "env": [{"name": "A", "value": "1"}],
        "resources": {"limits": {"cpu": 1}},
    }]});
    let spec = json!({
        "job": {"spec": pod, "metadata": {"annotations": {"b": "c"}}},
        "cluster": {"spec": {"idleTimeout": 5, "worker": spec()["worker"], "scheduler": spec()["scheduler"]}},
    });
    theirs(TheirKind::Job, "j", &json!({"spec": spec, "status": status}))
}

fn runner(phase: &str) -> Pod {
    let owners =
        json!([{"uid": "uid-j", "name": "j", "kind": "DaskJob", "apiVersion": "kubernetes.dask.org/v1"}]);
    let metadata = json!({"name": "j-runner", "ownerReferences": owners});
    serde_json::from_value(json!({"metadata": metadata, "status": {"phase": phase}})).unwrap()
}

fn cluster_of_job() -> DynamicObject {
    let owners =
        json!([{"uid": "uid-j", "name": "j", "kind": "DaskJob", "apiVersion": "kubernetes.dask.org/v1"}]);
    theirs(TheirKind::Cluster, "j", &json!({"metadata": {"ownerReferences": owners}, "spec": spec()}))
}

fn look<'a>(object: &'a DynamicObject, cluster: Option<&'a DynamicObject>, pod: Option<&'a Pod>) -> Job<'a> {
    let now = Timestamp::from_second(1_764_500_000).unwrap();
    Job { object, cluster, pod, site: Site::Kubernetes, now, freed: &FREED, is_live: true }
}

#[test]
fn a_new_job_says_its_names_before_it_has_anything() {
    let object = job(&Value::Null);
    let plan = plan_job(&look(&object, None, None));
    assert_eq!(
        titles(&plan),
        [
            r#"set the status of DaskJob.kubernetes.dask.org j: {"clusterName":"j","jobRunnerPodName":"j-runner","jobStatus":"JobCreated"}"#,
            "carry out a step",
            "create DaskCluster.kubernetes.dask.org j",
            r#"set the status of DaskJob.kubernetes.dask.org j: {"jobStatus":"ClusterCreated"}"#,
        ]
    );
    let Write::Create(_, cluster) = &plan.writes[2] else { panic!("{:?}", plan.writes) };
    assert_eq!(cluster["spec"]["idleTimeout"], Value::Null, "of a job theirs has never taken it");
    let Write::Step(step) = &plan.writes[1] else { panic!("{:?}", plan.writes) };
    let Step::Create(pod) = step.as_ref() else { panic!("{step:?}") };
    let Object::Pod(pod) = pod.as_ref() else { panic!("{pod:?}") };
    let pod = serde_json::to_value(pod).unwrap();
    assert_eq!(pod["metadata"]["name"], "j-runner");
    assert_eq!(pod["metadata"]["annotations"], json!({"b": "c"}));
    assert_eq!(pod["metadata"]["labels"]["dask.org/component"], "job-runner");
    assert_eq!(pod["spec"]["restartPolicy"], "OnFailure");
    let env = json!([
        {"name": "A", "value": "1"},
        {"name": "DASK_SCHEDULER_ADDRESS", "value": "tcp://j-scheduler.team.svc:8786"},
    ]);
    assert_eq!(pod["spec"]["containers"][0]["env"], env);
}

const ENDED: &str = r#"{"clusterName":"j","endTime":"2025-11-30T10:53:20Z","jobRunnerPodName":"j-runner","jobStatus":"S","startTime":"2025-11-30T10:53:20Z"}"#;

#[rstest]
#[case::it_starts(
    "ClusterCreated",
    "Running",
    r#"{"jobStatus":"Running","startTime":"2025-11-30T10:53:20Z"}"#,
    false
)]
#[case::it_waits("ClusterCreated", "Pending", "", false)]
#[case::it_ends_well("ClusterCreated", "Succeeded", "Successful", true)]
#[case::it_fails("ClusterCreated", "Failed", "Failed", true)]
fn the_status_is_that_of_the_pod(
    #[case] status: &str,
    #[case] phase: &str,
    #[case] written: &str,
    #[case] ends: bool,
) {
    let (object, cluster, pod) = (job(&json!({"jobStatus": status})), cluster_of_job(), runner(phase));
    let plan = plan_job(&look(&object, Some(&cluster), Some(&pod)));
    let written = if ends { ENDED.replace(r#""S""#, &format!("{written:?}")) } else { written.to_owned() };
    let mut expected = vec![format!("set the status of DaskJob.kubernetes.dask.org j: {written}")];
    if written.is_empty() {
        expected.clear();
    }
    if ends {
        // Behind the status: a cluster that has ended is not all that is left.
        expected.push("delete DaskCluster.kubernetes.dask.org j".to_owned());
    }
    assert_eq!(titles(&plan), expected);
}

#[test]
fn a_pod_that_was_deleted_while_it_ran_is_a_failure_after_a_look() {
    let started = json!({"jobStatus": "Running", "startTime": "2025-11-30T10:00:00Z"});
    let (object, cluster) = (job(&started), cluster_of_job());
    let observed = look(&object, Some(&cluster), None);
    assert!(plan_job(&Job { is_live: false, ..look(&object, Some(&cluster), None) }).wants_look);
    let plan = plan_job(&observed);
    assert_eq!((plan.wants_look, plan.notes[0].reason), (false, Reason::JobDeleted));
    assert_eq!(
        titles(&plan),
        [
            r#"set the status of DaskJob.kubernetes.dask.org j: {"endTime":"2025-11-30T10:53:20Z","jobStatus":"Failed"}"#,
            "delete DaskCluster.kubernetes.dask.org j",
        ]
    );
}

#[test]
fn a_pod_that_their_operator_has_made_is_looked_at_again() {
    let (object, cluster) = (job(&json!({"jobStatus": "Running"})), cluster_of_job());
    let mut pod = runner("Running");
    let plan = plan_job(&look(&object, Some(&cluster), Some(&pod)));
    assert!(matches!(plan.next, Next::After(_)), "no watch tells of it: {plan:?}");
    pod.labels_mut().insert(labels::APP_MANAGED_BY.to_owned(), labels::APP.to_owned());
    let plan = plan_job(&look(&object, Some(&cluster), Some(&pod)));
    assert_eq!(plan.next, Next::Change);
}

#[test]
fn a_job_whose_name_no_cluster_can_have_fails_at_once() {
    let mut object = job(&json!({}));
    object.metadata.name = Some("j.v2".to_owned());
    let plan = plan_job(&look(&object, None, None));
    assert_eq!(plan.notes[0].reason, Reason::InvalidSpec);
    let said = &plan.notes[0].message;
    assert!(said.starts_with("metadata.name: the name of a DaskJob has at most 53 lower-case"), "{said}");
    assert_eq!(titles(&plan).len(), 1, "{plan:?}");
    assert!(titles(&plan)[0].ends_with(r#""jobStatus":"Failed"}"#), "{plan:?}");
}

#[test]
fn a_job_that_has_ended_keeps_no_cluster_and_starts_no_second_pod() {
    let (object, cluster) = (job(&json!({"jobStatus": "Successful"})), cluster_of_job());
    let plan = plan_job(&look(&object, Some(&cluster), None));
    assert_eq!(titles(&plan), ["delete DaskCluster.kubernetes.dask.org j"]);
    let plan = plan_job(&look(&object, None, None));
    assert_eq!(titles(&plan), Vec::<String>::new());
    // One that the cache has lost sight of may have run already.
    let object = job(&json!({"jobStatus": "ClusterCreated"}));
    assert!(plan_job(&Job { is_live: false, ..look(&object, Some(&cluster), None) }).wants_look);
}

/// What the API server has said.
fn refusal(reason: Reason, (code, times): (u16, u32)) -> Failed {
    let failure = Failure { reason, message: "no".to_owned(), lasting: true, spares_what_serves: false };
    Failed { failure, code: Some(code), times }
}

#[rstest]
#[case::refused(Reason::Rejected, (422, 1), None, true)]
#[case::it_may_come(Reason::Rejected, (403, 1), None, false)]
#[case::it_has_not_come(Reason::Rejected, (403, 6), None, true)]
#[case::our_rights(Reason::Forbidden, (403, 9), None, false)]
#[case::the_cluster_was_refused(Reason::Rejected, (422, 1), Some("Pending"), false)]
fn a_job_whose_pod_is_refused_has_failed(
    #[case] reason: Reason,
    #[case] answer: (u16, u32),
    #[case] pod: Option<&str>,
    #[case] fails: bool,
) {
    let (object, pod) = (job(&json!({"jobStatus": "JobCreated"})), pod.map(runner));
    let cluster = cluster_of_job();
    let plan = failing_job(&look(&object, Some(&cluster), pod.as_ref()), &refusal(reason, answer));
    assert_eq!(plan.notes, [crate::plan::Note::warning(reason, "no")]);
    let titles = titles(&plan);
    assert_eq!(titles.len(), if fails { 2 } else { 0 }, "{titles:?}");
    if fails {
        assert!(titles[0].contains(r#""jobStatus":"Failed""#), "{titles:?}");
        assert_eq!(titles[1], "delete DaskCluster.kubernetes.dask.org j");
    }
    let ended = job(&json!({"jobStatus": "Successful"}));
    let plan = failing_job(&look(&ended, None, None), &refusal(reason, answer));
    assert_eq!(plan.writes, Vec::new(), "that is final");
}

#[test]
fn a_job_that_has_no_pod_in_it_makes_no_cluster() {
    let mut object = job(&json!({"jobStatus": "JobCreated"}));
    object.data["spec"]["job"]["spec"] = json!({"containers": "none"});
    let plan = plan_job(&look(&object, None, None));
    assert_eq!(plan.notes[0].reason, Reason::InvalidSpec);
    assert!(plan.notes[0].message.starts_with("spec.job.spec.containers: "), "{:?}", plan.notes);
    let titles = titles(&plan);
    assert!(titles.len() == 1 && titles[0].contains(r#""jobStatus":"Failed""#), "{titles:?}");
}

#[test]
fn the_pod_of_an_earlier_job_of_the_name_is_waited_for() {
    let (object, mut pod) = (job(&json!({"jobStatus": "JobCreated"})), runner("Running"));
    pod.metadata.owner_references.as_mut().unwrap()[0].uid = "before".to_owned();
    let plan = plan_job(&look(&object, None, Some(&pod)));
    assert_eq!((titles(&plan), plan.notes), (Vec::new(), Vec::new()));
    pod.metadata.owner_references = None;
    let plan = plan_job(&look(&object, None, Some(&pod)));
    assert_eq!((titles(&plan), plan.notes[0].reason), (Vec::new(), Reason::NameTaken));
}
