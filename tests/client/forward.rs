//! `daskflow dashboard` and `daskflow connect`: ports of schedulers on this machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use daskflow::client::forward::{News, Port, Scheduler};
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::program::Listens;
use super::stage::{Stage, condition, furnished, ours, pod};

const COMM: u16 = 8786;
const DASHBOARD: u16 = 8787;

/// A pod with the scheduler of `analytics`, made some seconds ago, which answers each connection to these
/// ports with its name.
pub async fn scheduler(here: &Listens, name: &str, seconds: i64) {
    let labels = json!({"dask.org/cluster-name": "analytics", "dask.org/component": "scheduler"});
    here.stage.put(seconds, pod(name, "scheduler", &labels, "Running")).await;
    here.stage.logs.write(name, here.stage.ago(seconds), "Scheduler at tcp://0.0.0.0:8786");
    for port in [COMM, DASHBOARD] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        here.ports.put(name, port, listener.local_addr().unwrap());
        let name = name.to_owned();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 4];
                if stream.read_exact(&mut asked).await.is_ok() {
                    let answer = format!("{} from {name} at {port}", String::from_utf8_lossy(&asked));
                    // Whoever has seen enough may be away.
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
    }
}

/// What is answered there.
pub async fn ask(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

struct Forwarding {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
}

impl Forwarding {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, out }
    }

    /// The next line that has this in it.
    async fn line(&mut self, word: &str) -> String {
        loop {
            let line = self.out.next_line().await.unwrap();
            let Some(line) = line else { panic!("no line with {word}") };
            if line.contains(word) {
                return line;
            }
        }
    }

    /// Ends it with Ctrl-C: its exit code, and what it said on standard error.
    async fn end(self) -> (i32, String) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", "INT", &id]).status().await.unwrap().success());
        let output = self.child.wait_with_output().await.unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
    }
}

/// Host and port of an address in a line.
fn host(line: &str) -> &str {
    let rest = line.split_once("://").unwrap().1;
    rest.split(['/', '"']).next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_follows_a_scheduler_that_is_replaced() {
    let here = Listens::new("forward_dashboard", furnished().await).await;
    scheduler(&here, "analytics-scheduler-a", 0).await;
    let script = "#!/bin/sh\necho \"$1\" > opened.new\nmv opened.new opened\n";
    std::fs::write(here.folder.join("bin/opener"), script).unwrap();
    std::fs::set_permissions(here.folder.join("bin/opener"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = here.command("exec daskflow dashboard run/nightly-report-now-8kfpz --port 0");
    command.env("BROWSER", "opener");
    let mut forwarding = Forwarding::start(command);
    let line = forwarding.line("Dashboard: ").await;
    assert!(line.starts_with("Dashboard: http://127.0.0.1:") && line.ends_with("/status"), "{line}");
    let address = host(&line).to_owned();
    assert_eq!(ask(&address).await, "ping from analytics-scheduler-a at 8787");
    let both = tokio::join!(ask(&address), ask(&address));
    assert_eq!(both.0, both.1);
    let opened = here.folder.join("opened");
    while !opened.is_file() {
        tokio::task::yield_now().await;
    }
    assert_eq!(std::fs::read_to_string(opened).unwrap().trim(), line.trim_start_matches("Dashboard: "));
    let pods: kube::Api<Pod> = here.stage.cluster.api();
    pods.delete("analytics-scheduler-a", &DeleteParams::default()).await.unwrap();
    // A connection that comes in between waits for the next one.
    let (answer, ()) = tokio::join!(ask(&address), scheduler(&here, "analytics-scheduler-b", 0));
    assert_eq!(answer, "ping from analytics-scheduler-b at 8787");
    let (code, err) = forwarding.end().await;
    assert_eq!(code, 0, "{err}");
    assert!(err.starts_with("Ctrl-C ends it\n"), "{err}");
    assert!(err.ends_with("connected to the pod analytics-scheduler-b\n"), "{err}");
    assert!(TcpStream::connect(&address).await.is_err(), "it is still listened on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_deleted_ends_it() {
    let here = Listens::new("forward_deleted", furnished().await).await;
    scheduler(&here, "analytics-scheduler-a", 0).await;
    let command = here.command("exec daskflow dashboard analytics --no-open --port 0");
    let mut forwarding = Forwarding::start(command);
    forwarding.line("Dashboard: ").await;
    let clusters: kube::Api<daskflow::api::DaskCluster> = here.stage.cluster.api();
    clusters.delete("analytics", &DeleteParams::default()).await.unwrap();
    let output = forwarding.child.wait_with_output().await.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("the DaskCluster analytics was deleted meanwhile"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_connects_by_the_lines_that_are_printed() {
    let here = Listens::new("forward_connect", furnished().await).await;
    scheduler(&here, "analytics-scheduler-a", 0).await;
    let mut forwarding = Forwarding::start(here.command("exec daskflow connect analytics --port 0"));
    assert_eq!(forwarding.line("import").await, "from distributed import Client");
    let line = forwarding.line("Client(").await;
    assert!(line.starts_with("client = Client(\"tcp://127.0.0.1:") && line.ends_with("\")"), "{line}");
    assert_eq!(ask(host(&line)).await, "ping from analytics-scheduler-a at 8786");
    assert_eq!(forwarding.end().await.0, 0);
}

/// With a certificate in a Secret.
async fn with_tls(stage: &Stage) {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = json!({"tls.crt": bytes("the certificate"), "tls.key": bytes("the key")});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "analytics-tls-1"}, "data": data,
    });
    stage.put(0, secret).await;
    let path = "/apis/daskflow.dev/v1alpha1/namespaces/default/daskclusters/analytics";
    let tls = json!({
        "tls": {"secretName": "analytics-tls-1"},
        "schedulerAddress": "tls://analytics-scheduler.default.svc:8786",
    });
    stage.set_status(path, &tls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_its_certificate_in_files_of_its_own() {
    let here = Listens::new("forward_tls", furnished().await).await;
    scheduler(&here, "analytics-scheduler-a", 0).await;
    with_tls(&here.stage).await;
    let mut command = here.command("exec daskflow connect analytics --port 0");
    std::fs::create_dir(here.folder.join("temporary")).unwrap();
    command.env("TMPDIR", here.folder.join("temporary"));
    let mut forwarding = Forwarding::start(command);
    let key = forwarding.line("tls_client_key=").await;
    let line = forwarding.line("client = ").await;
    assert!(line.contains("tls://127.0.0.1:") && line.ends_with("\", security=security)"), "{line}");
    let key = Path::new(key.split('"').nth(1).unwrap()).to_owned();
    let folder = key.parent().unwrap().to_owned();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&key)), (0o700, 0o600));
    assert!(folder.starts_with(here.folder.join("temporary")), "{folder:?}");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    // A certificate alone is its own authority.
    assert_eq!((read("ca.crt"), read("tls.key")), ("the certificate".into(), "the key".into()));
    assert_eq!(forwarding.end().await.0, 0);
    assert!(!folder.exists(), "the key is left");
    // A folder that is named stays, and is used again.
    for _ in 0..2 {
        let mut forwarding =
            Forwarding::start(here.command("exec daskflow connect analytics --port 0 --dir keys"));
        forwarding.line("client = ").await;
        assert_eq!(forwarding.end().await.0, 0);
        let keys = here.folder.join("keys");
        assert_eq!((mode(&keys), std::fs::read_dir(&keys).unwrap().count()), (0o700, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_never_left_behind() {
    let stage = furnished().await.answers("/secrets/analytics-tls-1", None);
    let here = Listens::new("forward_key", stage).await;
    scheduler(&here, "analytics-scheduler-a", 0).await;
    with_tls(&here.stage).await;
    let temporary = here.folder.join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = here.command("exec daskflow connect analytics --port 0");
    command.env("TMPDIR", &temporary);
    let forwarding = Forwarding::start(command);
    // Ctrl-C is heard while the Secret is waited for.
    here.stage.asked.notified().await;
    let (code, err) = timeout(Duration::from_secs(60), forwarding.end()).await.expect("it goes on");
    assert_eq!(code, 0, "{err}");
    // Where the command ends at once, the folder has to be named.
    let path = "/apis/daskflow.dev/v1alpha1/namespaces/default/daskclusters/analytics";
    here.stage.set_status(path, &json!({"schedulerAddress": "tls://127.0.0.1:2"})).await;
    let (code, _, err) = here.run("TMPDIR=temporary daskflow connect analytics").await;
    assert!(code == 1 && err.contains("the cluster analytics has TLS") && err.contains("--dir"), "{err}");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_an_answer_ends() {
    let stage = furnished().await.answers("/pods", None);
    let scheduler = Scheduler::find(&stage.cluster, &"analytics".parse().unwrap()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut heard) = futures::channel::mpsc::unbounded();
    let connection = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let count = stream.read(&mut [0; 4]).await.unwrap();
        (count, heard.next().await.unwrap())
    };
    let (count, news) = tokio::select! {
        error = scheduler.forward(Port::Comm, listener, |one| sender.unbounded_send(one).unwrap()) => panic!("{error}"),
        ended = timeout(Duration::from_secs(300), connection) => ended.expect("it goes on"),
    };
    assert!(
        count == 0 && matches!(&news, News::Fails(why) if why.contains("no answer for 30 s")),
        "{news:?}"
    );
}

/// Runs with clusters of a Dask Gateway: one that runs, one that is to come, and one that has ended.
async fn behind_gateways(here: &Listens) {
    let access = json!({"address": "https://hub/gw", "auth": {"type": "JupyterHub", "secretName": "login"}});
    let coming = json!({"access": access, "attempt": 1, "askedAt": here.stage.ago(60)});
    let mut runs = coming.clone();
    for (name, value) in [("cluster", "c1"), ("secretName", "s"), ("dashboard", "/clusters/c1/status")] {
        runs[name] = json!(value);
    }
    for (name, phase, gateway) in
        [("hub", "Running", runs), ("coming", "Provisioning", coming), ("past", "Succeeded", Value::Null)]
    {
        let status = json!({"phase": phase, "attempt": 1, "cluster": "https://hub/gw", "gateway": gateway});
        here.stage.put(0, ours("FlowRun", name, &json!({"flow": "x"}), &status)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_port_gets_none_and_what_has_no_scheduler_says_why() {
    let here = Listens::new("forward_faults", furnished().await).await;
    let cluster = |name: &str, status: &Value| ours("DaskCluster", name, &json!({"image": "dask:1"}), status);
    let local =
        json!({"dashboardAddress": "http://127.0.0.1:1/status", "schedulerAddress": "tcp://127.0.0.1:2"});
    here.stage.put(0, cluster("here", &local)).await;
    let asleep = json!([condition("Ready", "False", "Suspended", "spec.suspend is true")]);
    here.stage.put(0, cluster("asleep", &json!({"conditions": asleep}))).await;
    let address = json!({"phase": "Running", "attempt": 1, "cluster": "tcp://10.0.0.1:8786"});
    here.stage.put(0, ours("FlowRun", "elsewhere", &json!({"flow": "x"}), &address)).await;
    behind_gateways(&here).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    for (line, code, said) in [
        ("dashboard here --no-open", 0, "Dashboard: http://127.0.0.1:1/status\n"),
        ("dashboard here", 0, "no browser was opened (BROWSER may name one)"),
        ("connect here", 0, "from distributed import Client\nclient = Client(\"tcp://127.0.0.1:2\")\n"),
        (
            "dashboard asleep",
            1,
            "the scheduler of the cluster asleep does not run now (Suspended: spec.suspend",
        ),
        ("connect asleep", 1, "Set it to false."),
        (
            "dashboard analytics",
            1,
            "the scheduler of the cluster analytics does not run now: `daskflow status",
        ),
        ("dashboard analytcs", 1, "did you mean analytics?"),
        ("dashboard nightly-report", 1, "there is a Flow of this name"),
        ("dashboard nightly-report-now-w4c2d", 1, "has no cluster yet: it is Queued"),
        ("dashboard hub --no-open", 0, "Dashboard: https://hub/gw/clusters/c1/status\n"),
        ("dashboard hub --port 1 --no-open", 0, "--port is not used: the dashboard is behind a Dask Gateway"),
        ("dashboard run/hub", 0, "where a login is asked for, it is yours at the JupyterHub"),
        (
            "dashboard coming",
            1,
            "the cluster of the run coming at the Dask Gateway https://hub/gw does not run yet",
        ),
        ("dashboard past", 1, "has no cluster of the Dask Gateway at https://hub/gw now: it is Succeeded"),
        ("connect hub", 1, "Gateway(\"https://hub/gw\").connect(\"c1\")"),
        ("connect elsewhere", 1, "has the scheduler at tcp://10.0.0.1:8786, which is no DaskCluster"),
        ("dashboard analytics --port many", 2, "invalid value 'many'"),
    ] {
        let (found, out, err) = here.run(&format!("BROWSER=false daskflow {line}")).await;
        assert!(found == code && format!("{out}{err}").contains(said), "{line}: {found}: {out}{err}");
    }
    scheduler(&here, "analytics-scheduler-a", 0).await;
    let (code, _, err) = here.run(&format!("daskflow connect analytics --port {port}")).await;
    assert!(code == 1 && err.contains("name another one with --port, or 0 for any"), "{err}");
    drop(taken);
}
