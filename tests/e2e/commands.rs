//! The commands for people on a real API server, with real pods: what `tests/client` shows on the API in this
//! process, and what only a cluster can show: logs, workers, rights, and kubectl's way to a plugin.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use daskflow::api::{DaskCluster, FlowRun, Phase};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::figures::say;
use crate::support::manifests::{inline, with};
use crate::support::{Load, Namespace, small_cluster, test};

/// How long one command may take.
const COMMAND_MAX: Duration = Duration::from_secs(240);

/// A plain Dask script that does what its parameter says.
const SCRIPT: &str = r#"
import json, os, time
from distributed import Client

days = json.loads(os.environ["DASKFLOW_PARAMETERS"])["days"]
client = Client()
print("sum", sum(client.gather(client.map(lambda day: day * 10, range(days + 1)))), flush=True)
if days == 13:
    raise ValueError("no such day")
time.sleep(3600 if days == 99 else 0)
"#;

/// Starts `daskflow $1 …`, asks what it forwards with a line of Python, again after the scheduler was
/// replaced where $2 says how, and ends it.
const FORWARDED: &str = r#"
set -u
said=$(mktemp)
daskflow $1 small --port 0 $3 -n $NS >"$said" &
forward=$!
trap 'kill $forward; rm -f "$said"' EXIT
for _ in $(seq 300); do grep -q 127.0.0.1 "$said" && break; sleep 0.1; done
cat "$said"
address=$(grep -o '127.0.0.1:[0-9]*' "$said")
ask() {
    for _ in $(seq 120); do
        timeout 20 python3 -c "$4" "$address" && return
        sleep 0.5
    done
    return 1
}
ask "$@" || exit 3
[ -z "$2" ] || { eval "$2" && ask "$@"; } || exit 4
trap 'rm -f "$said"' EXIT
kill -TERM $forward
wait $forward
"#;
/// The dashboard's own page of health.
const HEALTH: &str = r#"
import sys, urllib.request
answer = urllib.request.urlopen(f"http://{sys.argv[1]}/health", timeout=10)
print("health", answer.status, answer.read().decode())
"#;
/// A scheduler speaks first: the number of frames of its greeting, as 8 bytes.
const GREETING: &str = r#"
import socket, struct, sys
host, port = sys.argv[1].split(":")
with socket.create_connection((host, int(port)), timeout=10) as connection:
    print("frames", *struct.unpack("<Q", connection.recv(8, socket.MSG_WAITALL)))
"#;

/// What a command came to.
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// A folder with the program under its names.
fn programs(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["daskflow", "kubectl-daskflow", "kubectl_complete-daskflow"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_daskflow"), folder.join(name)).unwrap();
    }
    folder
}

/// Runs a command of a shell, which finds the program in this folder.
async fn shell(folder: &Path, line: &str) -> Said {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = [folder.to_owned()].into_iter().chain(std::env::split_paths(&path));
    let mut command = Command::new("bash");
    command
        .args(["-c", line])
        .env("PATH", std::env::join_paths(all).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = timeout(COMMAND_MAX, command.output()).await.expect("the command ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (code, out, err) = (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr));
    say(&format!("$ {line}\n{out}{err}exit code {code}"));
    Said { code, out, err }
}

/// The program in a namespace.
struct Program<'a> {
    namespace: &'a Namespace,
    folder: PathBuf,
}

impl Program<'_> {
    /// Runs a command; it must end with this code.
    async fn run(&self, arguments: &str, code: i32) -> Said {
        let said = shell(&self.folder, &format!("daskflow {arguments} -n {}", self.namespace.name)).await;
        assert_eq!(said.code, code, "{arguments}: {}{}", said.out, said.err);
        said
    }

    /// What a line of Python says to a port that `dashboard` or `connect` forwards, also after `replace`.
    async fn forwarded(&self, command: &str, replace: &str, option: &str, python: &str) -> Said {
        let quoted = |text: &str| format!("'{text}'");
        let words: Vec<String> = [command, replace, option, python].into_iter().map(quoted).collect();
        let line = format!("NS={}; set -- {}\n{FORWARDED}", self.namespace.name, words.join(" "));
        let said = shell(&self.folder, &line).await;
        assert_eq!(said.code, 0, "{command}: {}{}", said.out, said.err);
        said
    }
}

/// The name of the run that a command says it has created.
fn created(said: &Said) -> String {
    let text = format!("{}{}", said.out, said.err);
    let name = text.lines().find_map(|line| line.strip_prefix("run/")?.strip_suffix(" created"));
    name.unwrap_or_else(|| panic!("no run is created: {text}")).to_owned()
}

#[tokio::test]
async fn commands_work_on_a_cluster() {
    test("commands_work_on_a_cluster", Load::Dask, async |namespace| {
        let program = Program { namespace, folder: programs("e2e_commands") };
        let _: DaskCluster = namespace.create(small_cluster("small", &namespace.settings.dask, 1)).await;
        let clocks = json!({"clocks": [{"name": "yearly", "cron": "0 0 1 1 *"}]});
        let flow = with(
            inline("etl", SCRIPT, "small"),
            json!({"parameters": {"days": 1}, "schedule": clocks, "engine": "Dask"}),
        );
        namespace.create::<daskflow::api::Flow>(flow).await;
        runs(&program).await;
        changes(&program).await;
        looks(&program).await;
    })
    .await;
}

/// Runs, their logs and their ends.
async fn runs(program: &Program<'_>) {
    let followed = program.run("run etl -p days=3 --follow", 0).await;
    assert!(followed.out.contains("sum 60"), "{}", followed.out);
    let name = created(&followed);
    assert!(followed.err.contains(&format!("✔ run/{name}   Succeeded")), "{}", followed.err);
    let log = program.run(&format!("logs {name}"), 0).await;
    assert!(log.out.contains("sum 60"), "{}", log.out);
    let merged = program.run("logs etl --workers", 0).await;
    // Each line has the name of its pod, which Jobs make of their own and a random end.
    let of_runner = |line: &str| line.starts_with(&format!("{name}-1-")) && line.ends_with(": sum 60");
    assert!(merged.out.lines().any(of_runner), "{}", merged.out);
    let failed = program.run("run etl -p days=13 --wait", 1).await;
    assert!(failed.err.contains("ScriptError"), "{}", failed.err);
    let again = program.run(&format!("retry {} -p days=2 --follow", created(&failed)), 0).await;
    assert!(again.out.contains("sum 30"), "{}", again.out);
    let blocker = created(&program.run("run etl -p days=99", 0).await);
    program.namespace.until_phase(&blocker, Phase::Running, 120).await;
    // Another one waits for it, and says so with what to do.
    let waiting = created(&program.run("run etl", 0).await);
    program.namespace.until_phase(&waiting, Phase::Queued, 60).await;
    let tree = program.run("status flow/etl", 0).await;
    assert!(tree.out.contains(&format!("● run/{blocker}   Running")), "{}", tree.out);
    program.run(&format!("cancel {waiting} {blocker} --wait"), 0).await;
    let ended: FlowRun = program.namespace.api().get(&blocker).await.unwrap();
    assert_eq!(ended.status.unwrap().phase, Phase::Cancelled, "{}", ended.metadata.name.unwrap_or_default());
}

/// A cluster that is scaled, suspended and resumed.
async fn changes(program: &Program<'_>) {
    program.run("scale small 2 --wait", 0).await;
    assert_eq!(program.namespace.workers("small").await.unwrap().len(), 2);
    program.run("scale small 1 --wait", 0).await;
    program.run("suspend cluster/small --wait", 0).await;
    assert_eq!(program.namespace.workers("small").await.unwrap().len(), 0);
    program.run("resume cluster/small --wait", 0).await;
    program.run("suspend flow/etl --wait", 0).await;
    program.run("resume flow/etl --wait", 0).await;
    let dry = program.run("backfill etl --from 2020-01-01 --to 2022-01-01 --dry-run", 0).await;
    assert!(dry.out.contains("3 ticks") && dry.out.contains("nothing was created"), "{}", dry.out);
}

/// What is shown, and to whom it is not.
async fn looks(program: &Program<'_>) {
    let all = program.run("status -o json", 0).await;
    let list: Value = serde_json::from_str(&all.out).unwrap();
    assert!(list["items"].as_array().unwrap().len() > 3, "{list}");
    let cluster = program.run("status cluster/small", 0).await;
    assert!(
        cluster.out.contains("pod/small-scheduler") && cluster.out.contains("dashboard http"),
        "{}",
        cluster.out
    );
    let health = program.forwarded("dashboard", "", "--no-open", HEALTH).await;
    assert!(health.out.contains("health 200 ok"), "{}{}", health.out, health.err);
    let replace =
        "kubectl delete pod -n $NS --wait -l dask.org/cluster-name=small,dask.org/component=scheduler";
    let greeted = program.forwarded("connect", replace, "", GREETING).await;
    assert!(greeted.out.contains("Client(\"tcp://127.0.0.1:"), "{}{}", greeted.out, greeted.err);
    assert_eq!(greeted.out.matches("frames ").count(), 2, "{}{}", greeted.out, greeted.err);
    program.run("check", 0).await;
    program.run("version", 0).await;
    for (arguments, action) in [("status", "list flows"), ("run etl", "get flows")] {
        let refused = program.run(&format!("{arguments} --as jane"), 1).await;
        assert!(refused.err.contains(&format!("you may not {action}")), "{}", refused.err);
        assert!(refused.err.contains("daskflow-view"), "{}", refused.err);
    }
    let lacking = program.run("check --as jane", 1).await;
    assert!(lacking.out.contains("you may not list flows"), "{}", lacking.out);
    let unknown = program.run("status flow/elt", 1).await;
    assert!(unknown.err.contains("did you mean etl?"), "{}", unknown.err);
}

#[tokio::test]
async fn plugin_is_found_by_kubectl() {
    test("plugin_is_found_by_kubectl", Load::Objects, async |namespace| {
        let folder = programs("e2e_plugin");
        let said = shell(&folder, &format!("kubectl daskflow status -n {}", namespace.name)).await;
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(
            said.err.contains("there is nothing of daskflow in the namespace"),
            "{}{}",
            said.out,
            said.err
        );
        let listed = shell(&folder, "kubectl plugin list").await;
        assert!(listed.out.contains("kubectl-daskflow"), "{}{}", listed.out, listed.err);
        let completed = shell(&folder, "kubectl __complete daskflow sta").await;
        assert!(completed.out.starts_with("status\t"), "{}{}", completed.out, completed.err);
    })
    .await;
}
