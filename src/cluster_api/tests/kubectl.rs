//! What `kubectl` sees of it. Without one on the path (`tests/cluster.sh build` makes it) the tests leave
//! themselves out.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::cluster_api::{ClusterApi, Listening, jobs};
use crate::manifest::first;

#[path = "../../../tests/api/kubectl.rs"]
mod commands;

/// `kubectl`, and the API that it asks.
struct Kubectl {
    program: PathBuf,
    listening: Listening,
    api: ClusterApi,
}

impl Kubectl {
    /// None where there is no `kubectl`.
    async fn find() -> Option<Self> {
        let paths = std::env::var_os("PATH")?;
        let program =
            std::env::split_paths(&paths).map(|path| path.join("kubectl")).find(|path| path.is_file());
        let Some(program) = program else {
            assert!(std::env::var_os("DASKFLOW_KUBECTL_REQUIRED").is_none(), "there is no kubectl");
            eprintln!("left out: there is no kubectl");
            return None;
        };
        let api = ClusterApi::new(|| Timestamp::from_second(super::START).unwrap(), 1);
        let listening = api.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Some(Self { program, listening, api })
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(&self.program);
        let cache = std::env::temp_dir().join(format!("daskflow-kubectl-{}", std::process::id()));
        command
            .env_clear()
            .env("HOME", &cache)
            .args(["--server", &format!("http://{}", self.listening.address())])
            .args(["--kubeconfig", "/dev/null", "--cache-dir"])
            .arg(cache.join(self.listening.address().port().to_string()))
            .args(arguments.split_whitespace())
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    async fn output(&self, arguments: &str, input: &Value) -> Output {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.to_string().as_bytes()).await.unwrap();
        drop(stdin);
        child.wait_with_output().await.unwrap()
    }

    /// What a command prints; it must succeed.
    async fn run(&self, arguments: &str, input: &Value) -> String {
        let output = self.output(arguments, input).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {arguments}: {out}{err}");
        out.into_owned()
    }

    /// What a command that is refused says.
    async fn fails(&self, arguments: &str, input: &Value) -> String {
        let output = self.output(arguments, input).await;
        assert!(!output.status.success(), "kubectl {arguments} succeeds");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// The commands whose answers the end-to-end tests hold against a real API server.
#[tokio::test]
async fn the_commands_that_are_compared_work() {
    let Some(kubectl) = Kubectl::find().await else { return };
    let kubectl = &kubectl;
    let faults = commands::samples().into_iter().map(|sample| async move {
        let mut faults = Vec::new();
        for command in commands::commands(&sample) {
            let output = kubectl.output(&command.arguments, &command.input).await;
            if output.status.success() != command.succeeds {
                let said = [output.stdout, output.stderr].concat();
                let said = commands::plain(&String::from_utf8_lossy(&said), "default");
                faults.push(format!("kubectl {}: {said}", command.arguments));
            }
        }
        faults
    });
    let faults = futures::future::join_all(faults).await.concat();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// One object of each of our kinds, and a field that may change.
fn ours() -> Vec<(&'static str, Value, &'static str)> {
    let of = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "daskflow.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    vec![
        (
            "daskclusters",
            of("DaskCluster", "dask", json!({"image": "dask:1"})),
            r#"{"spec":{"image":"dask:2"}}"#,
        ),
        (
            "flows",
            of("Flow", "etl", json!({"cluster": {"ref": {"name": "dask"}}})),
            r#"{"spec":{"suspend":true}}"#,
        ),
        ("flowruns", of("FlowRun", "etl-now", json!({"flow": "etl"})), r#"{"spec":{"cancel":true}}"#),
        (
            "flowbackfills",
            of(
                "FlowBackfill",
                "again",
                json!({"flow": "etl", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}),
            ),
            r#"{"spec":{"suspend":true}}"#,
        ),
    ]
}

#[tokio::test]
async fn objects_of_every_kind_of_ours_are_applied_shown_changed_and_deleted() {
    let Some(kubectl) = Kubectl::find().await else { return };
    for (plural, object, patch) in ours() {
        let name = object["metadata"]["name"].as_str().unwrap();
        let said = kubectl.run("apply -f -", &object).await;
        assert!(said.ends_with(&format!("/{name} created\n")), "{said}");
        let said = kubectl.run("apply -f -", &object).await;
        assert!(said.ends_with("unchanged\n"), "{said}");
        let said = kubectl.run(&format!("patch {plural} {name} --type=merge -p {patch}"), &Value::Null).await;
        assert!(said.ends_with("patched\n"), "{said}");
        let table = kubectl.run(&format!("get {plural}"), &Value::Null).await;
        assert!(table.starts_with("NAME ") && table.contains(name) && table.contains("AGE"), "{table}");
        let shown = kubectl.run(&format!("get {plural} {name} -o json"), &Value::Null).await;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["metadata"]["generation"], 2);
        let described = kubectl.run(&format!("describe {plural} {name}"), &Value::Null).await;
        assert!(
            described.contains(&format!("Name:         {name}")) && described.contains("Events:"),
            "{described}"
        );
        let explained = kubectl.run(&format!("explain {plural}.spec"), &Value::Null).await;
        assert!(
            explained.contains("GROUP:      daskflow.dev") && explained.contains("FIELDS:"),
            "{explained}"
        );
        let said = kubectl.run(&format!("delete {plural} {name}"), &Value::Null).await;
        assert!(said.contains("deleted"), "{said}");
        let said = kubectl.fails(&format!("get {plural} {name}"), &Value::Null).await;
        assert_eq!(
            said,
            format!("Error from server (NotFound): {plural}.daskflow.dev \"{name}\" not found\n")
        );
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_the_words_of_kubernetes() {
    let Some(kubectl) = Kubectl::find().await else { return };
    let cluster = |image: &str, extra: &str| {
        json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "metadata": {"name": "dask"},
            "spec": {"image": image, (extra): 1},
        })
    };
    let said = kubectl.fails("create -f -", &cluster("dask:1", "colour")).await;
    assert!(said.contains("strict decoding error: unknown field \"spec.colour\""), "{said}");
    let said = kubectl.run("create --validate=false -f -", &cluster("dask:1", "colour")).await;
    assert!(said.contains("created"), "{said}");
    let said = kubectl.fails("create -f -", &cluster("dask:1", "maxActiveRuns")).await;
    assert!(said.contains("(AlreadyExists)"), "{said}");
    let said = kubectl.fails("apply -f -", &cluster("", "maxActiveRuns")).await;
    assert!(said.contains("The DaskCluster \"dask\" is invalid: spec.image: Invalid value"), "{said}");
    let said = kubectl.fails("get poddisruptionbudgets", &Value::Null).await;
    assert!(said.contains("the server doesn't have a resource type \"poddisruptionbudgets\""), "{said}");
}

#[tokio::test]
async fn clusters_are_scaled_waited_for_and_watched() {
    let Some(kubectl) = Kubectl::find().await else { return };
    let (_, cluster, _) = ours().remove(0);
    kubectl.run("apply --server-side -f -", &cluster).await;
    kubectl.run("scale dkc dask --replicas=3", &Value::Null).await;
    let replicas = "get dkc dask -o jsonpath={.spec.workers.replicas}";
    assert_eq!(kubectl.run(replicas, &Value::Null).await, "3");
    let mut watch = kubectl.command("get dkc -w -o name").spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("daskcluster.daskflow.dev/dask"));
    // A status that answers to an older generation would not count.
    let condition = r#"{"status":{"observedGeneration":2,"conditions":[{"type":"Ready","status":"True","reason":"ClusterReady","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}"#;
    let ready = kubectl.run("wait dkc/dask --for=condition=Ready --timeout=60s", &Value::Null);
    let patch = format!("patch dkc dask --subresource=status --type=merge -p {condition}");
    let (said, _) = futures::join!(ready, kubectl.run(&patch, &Value::Null));
    assert_eq!(said, "daskcluster.daskflow.dev/dask condition met\n");
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("daskcluster.daskflow.dev/dask"));
    watch.kill().await.unwrap();
    let all = kubectl.run("get daskflow", &Value::Null).await;
    assert!(all.contains("dask"), "{all}");
}

#[tokio::test]
async fn kinds_of_dask_kubernetes_are_shown_and_scaled_by_their_short_names() {
    let Some(kubectl) = Kubectl::find().await else { return };
    let said = kubectl.fails("get dsk", &Value::Null).await;
    assert!(said.contains("the server doesn't have a resource type \"dsk\""), "{said}");
    kubectl.api.serve_dask_kubernetes();
    let said = kubectl.run("apply -f -", &super::dask_kubernetes::cluster("simple")).await;
    assert_eq!(said, "daskcluster.kubernetes.dask.org/simple created\n");
    kubectl.run("scale --replicas=3 dsk/simple", &Value::Null).await;
    let table = kubectl.run("get dsk", &Value::Null).await;
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["NAME", "WORKERS", "STATUS", "AGE"]);
    assert_eq!(words[1][..2], ["simple", "3"]);
    let explained = kubectl.run("explain dsk.spec.worker", &Value::Null).await;
    assert!(explained.contains("replicas\t<integer>"), "{explained}");
    for plural in ["daskworkers", "djb", "daskautoscalers"] {
        kubectl.run(&format!("get {plural}"), &Value::Null).await;
    }
}

#[tokio::test]
async fn core_kinds_are_created_merged_and_shown() {
    let Some(kubectl) = Kubectl::find().await else { return };
    // Without a file kubectl sends core kinds as protobuf.
    for command in [
        "configmap words --from-literal=a=b",
        "secret generic keys --from-literal=a=b",
        "namespace team",
        "serviceaccount runner",
        "service clusterip web --tcp=80:8080",
        "job count -n team --image=busybox:1 -- true",
    ] {
        let said = kubectl.run(&format!("create {command}"), &Value::Null).await;
        assert!(said.ends_with("created\n"), "{said}");
    }
    let port = "get service web -o jsonpath={.spec.ports[0].port}:{.spec.ports[0].targetPort}";
    assert_eq!(kubectl.run(port, &Value::Null).await, "80:8080");
    let data = kubectl.run("get secret keys -o jsonpath={.data.a}", &Value::Null).await;
    assert_eq!(data, "Yg==");
    let table = kubectl.run("get secrets,configmaps", &Value::Null).await;
    assert!(
        table.contains("secret/keys") && table.contains("Opaque") && table.contains("configmap/words"),
        "{table}"
    );
    assert!(jobs::step(&kubectl.api).changed > 0);
    let table = kubectl.run("get pods -n team", &Value::Null).await;
    assert!(table.contains("READY") && table.contains("Pending") && table.contains("count-"), "{table}");
    let job = kubectl.run("describe job count -n team", &Value::Null).await;
    assert!(job.contains("Pods Statuses:"), "{job}");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"},
        "spec": {"containers": [{"name": "main", "image": "dask:1"}]},
    });
    kubectl.run("apply -f -", &pod).await;
    let mut other = pod.clone();
    other["spec"]["containers"][0]["image"] = json!("dask:2");
    let said = kubectl.run("apply -f -", &other).await;
    assert_eq!(said, "pod/one configured\n");
    let described = kubectl.run("describe pod one", &Value::Null).await;
    assert!(described.contains("dask:2"), "{described}");
    let explained = kubectl.run("explain pod.spec.containers.image", &Value::Null).await;
    assert!(explained.contains("Container image name"), "{explained}");
    let said = kubectl.fails("logs one", &Value::Null).await;
    assert!(said.contains("pods/log is not part of the API in this process"), "{said}");
    kubectl.run("delete namespace team --wait=false", &Value::Null).await;
    while kubectl.api.collect() + usize::try_from(jobs::step(&kubectl.api).changed).unwrap() > 0 {}
    let said = kubectl.run("get namespaces -o name", &Value::Null).await;
    assert_eq!(said, "namespace/default\n");
}

#[tokio::test]
async fn logs_are_shown_and_followed() {
    let Some(kubectl) = Kubectl::find().await else { return };
    kubectl.run("apply -f -", &serde_json::to_value(super::logs::pod()).unwrap()).await;
    kubectl.api.set_log_source(Arc::new(super::logs::Counting));
    let said = kubectl.run("logs p -c side --tail=2", &Value::Null).await;
    assert_eq!(said, "line 2 of side\nline 3 of side\n");
    let said = kubectl.run("logs p -c main --previous --tail=1", &Value::Null).await;
    assert_eq!(said, "before 3 of main\n");
    let said = kubectl.run("logs p -f --tail=1", &Value::Null).await;
    assert_eq!(said, "line 3 of main\nline 4\nline 5\n");
    let said = kubectl.fails("logs p -c waits", &Value::Null).await;
    assert!(said.contains("is waiting to start: ContainerCreating"), "{said}");
}

/// What `daskflow local SCRIPT.py --print` prints.
#[tokio::test]
async fn the_first_manifest_of_a_script_is_applied() {
    let Some(kubectl) = Kubectl::find().await else { return };
    let text = "import dask\n\n\tprint('é: #', \"$(x)\")\n\n\n";
    let manifest = first::write(&first::Script {
        file: "my_etl.py",
        text,
        beside: &[],
        parameters: json!({"count": 3, "who": "a \"b\"\u{85}"}).as_object().unwrap(),
        arguments: &[],
        workers: 2,
        times: first::Times::Every("1m"),
        installed: None,
    });
    let file = std::env::temp_dir().join(format!("daskflow-first-{}.yaml", std::process::id()));
    std::fs::write(&file, manifest).unwrap();
    for done in ["created", "unchanged"] {
        let said = kubectl.run(&format!("apply -f {}", file.display()), &Value::Null).await;
        assert_eq!(
            said,
            format!("daskcluster.daskflow.dev/my-etl {done}\nflow.daskflow.dev/my-etl {done}\n")
        );
    }
    std::fs::remove_file(&file).unwrap();
    let flow = kubectl.run("get flow my-etl -o json", &Value::Null).await;
    let flow: Value = serde_json::from_str(&flow).unwrap();
    assert_eq!(flow["spec"]["code"], json!({"inline": text}));
    assert_eq!(flow["spec"]["parameters"], json!({"count": 3, "who": "a \"b\"\u{85}"}));
}

#[tokio::test]
async fn its_user_may_do_everything() {
    let Some(kubectl) = Kubectl::find().await else { return };
    assert_eq!(kubectl.run("auth can-i delete flows", &Value::Null).await, "yes\n");
    let rules = kubectl.run("auth can-i --list", &Value::Null).await;
    assert!(rules.contains("*.*"), "{rules}");
}
