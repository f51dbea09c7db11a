//! What a runner is given: what users write reaches it as it is written.

use k8s_openapi::api::core::v1::Container;

use super::*;
use crate::plan::pods::script::{Content, Script};

/// The container and the ConfigMap of the first attempt.
fn launched(
    flow: Flow,
    seen: impl FnOnce(Observed) -> Observed,
) -> (Container, k8s_openapi::api::core::v1::ConfigMap) {
    let plan = plan(&run(Phase::Provisioning), &seen(observed(flow)), now());
    let [Object::ConfigMap(map), Object::Job(job)] = created(&plan)[..] else { panic!("{plan:?}") };
    let containers = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers;
    (containers.iter().find(|container| container.name == "runner").unwrap().clone(), map.clone())
}

fn value(container: &Container, name: &str) -> String {
    let env = container.env.as_ref().unwrap();
    env.iter().find(|variable| variable.name == name).unwrap().value.clone().unwrap()
}

/// What the kubelet makes of a text, where no variable is called so: `$$` is a dollar, `$(NAME)` stays.
/// <https://github.com/kubernetes/kubernetes/blob/master/third_party/forked/golang/expansion/expand.go>
fn expanded(text: &str, known: &str) -> String {
    let (mut read, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once('$') {
        read.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            read.push('$');
            rest = behind;
        } else if let Some((name, behind)) =
            behind.strip_prefix('(').and_then(|inside| inside.split_once(')'))
        {
            read.push_str(if name == known { "EXPANDED" } else { "$()" });
            rest = behind;
        } else {
            read.push('$');
            rest = behind;
        }
    }
    read.push_str(rest);
    read
}

#[rstest]
#[case("a$$b")]
#[case("DO $$ BEGIN SELECT 1; END $$")]
#[case("$(PATH) $$(PATH) $$$(PATH)")]
#[case("5$ and $HOME and ${HOME}")]
#[case("$é$")]
#[case("$")]
fn dollars_reach_the_script_as_they_are_written(#[case] text: &str) {
    let mut flow = flow();
    flow.spec.parameters = Some(json!({"x": text}));
    let (container, _) = launched(flow, |seen| seen);
    let seen: Value =
        serde_json::from_str(&expanded(&value(&container, "DASKFLOW_PARAMETERS"), "PATH")).unwrap();
    assert_eq!(seen, json!({"x": text}));
}

#[test]
fn dollars_in_the_path_are_part_of_it_and_in_arguments_are_kubernetes() {
    let mut flow = flow();
    flow.spec.code = Some(Code { path: Some("/flows/$(PATH)/$$.py".into()), ..Code::default() });
    flow.spec.args = vec!["$(PATH)".into(), "$$(PATH)".into()];
    let (container, _) = launched(flow, |seen| seen);
    let command: Vec<String> = container.command.unwrap().iter().map(|part| expanded(part, "PATH")).collect();
    assert_eq!(command[2], "/flows/$(PATH)/$$.py");
    assert_eq!(container.args.unwrap(), ["$(PATH)", "$$(PATH)"], "as in any pod");
}

#[test]
fn a_runner_is_told_its_grace_and_whether_others_use_the_cluster() {
    let (container, _) = launched(flow(), |seen| seen);
    assert_eq!(value(&container, "DASKFLOW_GRACE_SECONDS"), "30");
    assert_eq!(value(&container, "DASKFLOW_CLUSTER_SHARED"), "true");
    let mut own = flow();
    own.spec.template = Some(json!({"spec": {"terminationGracePeriodSeconds": 120}}));
    own.spec.cluster = ClusterSource {
        template: Some(DaskClusterSpec { image: "flows:1".into(), ..Default::default() }),
        ..ClusterSource::default()
    };
    let (container, _) = launched(own, |seen| seen);
    assert_eq!(value(&container, "DASKFLOW_GRACE_SECONDS"), "120");
    assert_eq!(value(&container, "DASKFLOW_CLUSTER_SHARED"), "false");
    let mut abroad = flow();
    (abroad.spec.image, abroad.spec.cluster.ref_) = (Some("flows:1".into()), None);
    abroad.spec.cluster.address = Some("tcp://dask:8786".into());
    let foreign = ForeignScheduler::Answering { workers: 1, tls: None };
    let (container, _) = launched(abroad, |seen| Observed { foreign, cluster: None, ..seen });
    assert_eq!(value(&container, "DASKFLOW_CLUSTER_SHARED"), "true");
}

#[rstest]
#[case(None, None, None, "python")]
#[case(None, Some("python3"), None, "python3")]
#[case(Some("/opt/venv/bin/python"), Some("python3"), None, "/opt/venv/bin/python")]
#[case(None, Some("python3"), Some("other:1"), "python")]
fn python_is_the_one_of_the_image(
    #[case] of_flow: Option<&str>,
    #[case] of_cluster: Option<&str>,
    #[case] image: Option<&str>,
    #[case] expected: &str,
) {
    let mut flow = flow();
    (flow.spec.python, flow.spec.image) = (of_flow.map(str::to_owned), image.map(str::to_owned));
    let mut cluster = cluster(true);
    cluster.spec.python = of_cluster.map(str::to_owned);
    let (container, _) = launched(flow, |seen| Observed { cluster: Some(Arc::new(cluster)), ..seen });
    assert_eq!(container.command.unwrap()[0], expected);
}

#[test]
fn an_image_without_python_is_told_with_the_cure() {
    let words = r#"exec: "python": executable file not found in $PATH: unknown"#;
    let words = format!("failed to create containerd task: runc create failed: {words}");
    let seen = Observed {
        job: Some(job(Some(("Failed", "BackoffLimitExceeded")))),
        pod: Some(ended(128, &words)),
        ..observed(flow())
    };
    let plan = plan(&run(Phase::Provisioning), &seen, now());
    assert_eq!(phase_and_reason(&plan), (Phase::Failed, "RunnerError".into()));
    assert!(plan.status.message.unwrap().contains("such as python3, into the field python"));
}

#[test]
fn the_files_beside_a_script_are_mounted_beside_it() {
    let mut flow = flow();
    let key = crate::api::common::ConfigMapKey { name: "code".into(), key: "report.py".into() };
    flow.spec.code = Some(Code { config_map: Some(key), ..Code::default() });
    let files =
        [("report.py", Content::Text("import helpers".into())), ("helpers.py", Content::Bytes(vec![0xe9]))];
    let files = files.map(|(name, content)| (name.to_owned(), content)).into();
    let script = ScriptView::Found(Script { file: "report.py".into(), files, left_out: 0 });
    let (container, map) = launched(flow, |seen| Observed { script, ..seen });
    assert_eq!(container.command.unwrap()[2], "/daskflow/code/report.py");
    assert!(map.data.unwrap().contains_key("script-report.py"));
    assert!(map.binary_data.unwrap().contains_key("script-helpers.py"));
}

#[test]
fn parameters_that_no_container_can_be_given_are_refused() {
    let mut flow = flow();
    flow.spec.parameters = Some(json!({"names": "x".repeat(131_072)}));
    let refused = plan(&run(Phase::Provisioning), &observed(flow.clone()), now());
    assert_eq!(phase_and_reason(&refused), (Phase::Failed, "InvalidSpec".into()));
    assert!(refused.status.message.unwrap().starts_with("spec.parameters: the parameters are too long"));
    let room = 131_071 - "DASKFLOW_PARAMETERS=".len() - r#"{"names":""}"#.len();
    flow.spec.parameters = Some(json!({"names": "$".repeat(room)}));
    assert_eq!(
        created(&plan(&run(Phase::Provisioning), &observed(flow), now())).len(),
        2,
        "doubled it is longer"
    );
}

#[test]
fn a_runner_has_what_the_pods_of_its_cluster_have_in_common() {
    let mut flow = flow();
    flow.spec.template = Some(json!({"spec": {"securityContext": {"runAsUser": 7}}}));
    flow.spec.env = vec![crate::plan::pods::container::env("X", "flow")];
    let in_common = |mut seen: Observed| {
        let mut cluster = seen.cluster.as_deref().unwrap().clone();
        cluster.spec.pod_defaults = Some(json!({"spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 12345},
            "containers": [{"name": "*", "env": [{"name": "X", "value": "all"}, {"name": "Y", "value": "all"}]}],
        }}));
        seen.cluster = Some(Arc::new(cluster));
        seen
    };
    let plan = plan(&run(Phase::Provisioning), &in_common(observed(flow)), now());
    let [_, Object::Job(job)] = created(&plan)[..] else { panic!("{plan:?}") };
    let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let context = pod.security_context.as_ref().unwrap();
    assert_eq!((context.run_as_non_root, context.run_as_user), (Some(true), Some(7)));
    assert_eq!(pod.containers.len(), 1);
    assert_eq!((&*value(&pod.containers[0], "X"), &*value(&pod.containers[0], "Y")), ("flow", "all"));
}

#[test]
fn the_entrypoint_of_the_clusters_image_runs_before_the_runner() {
    let of_cluster = |mut seen: Observed| {
        let mut cluster = seen.cluster.as_deref().unwrap().clone();
        cluster.spec.entrypoint = Some(crate::api::common::Entrypoint::Image);
        seen.cluster = Some(Arc::new(cluster));
        seen
    };
    let mut inherits = flow();
    inherits.spec.image = None;
    inherits.spec.args = vec!["--day".into(), "1".into()];
    let (container, _) = launched(inherits.clone(), of_cluster);
    let args = container.args.unwrap();
    assert_eq!((container.command, args[0].as_str()), (None, "python"));
    assert_eq!(args[args.len() - 2..], ["--day", "1"]);
    // Another image has another entrypoint.
    inherits.spec.image = Some("other".into());
    let (container, _) = launched(inherits, of_cluster);
    assert_eq!((container.command.unwrap()[0].as_str(), container.args.unwrap().len()), ("python", 2));
}
