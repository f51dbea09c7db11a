//! The program itself, on an API that listens: how it is connected, its exit codes, and kubectl's plugin.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::front::{Front, Ports};
use super::stage::{Stage, furnished, ours, runner};
use crate::program::folder;

/// A script of the page.
const SCRIPT: (&str, &str) = (
    "nightly_report.py",
    "import prefect\n\n\n@prefect.flow\ndef report(days: int = 1):\n    print(f'loading {days} days')\n\n\nreport()\n",
);

/// A stage that listens, and a folder with a kubeconfig and the program under all of its names.
pub struct Listens {
    pub stage: Stage,
    pub folder: PathBuf,
    /// Where the ports of pods are.
    pub ports: Ports,
    _front: Front,
}

impl Listens {
    pub async fn new(test: &str, stage: Stage) -> Self {
        let ports = Ports::default();
        let front = Front::new(stage.cluster.client.clone(), ports.clone()).await;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": format!("http://{}", front.address)}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        });
        let folder = folder(
            test,
            &[("kubeconfig", &config.to_string()), ("bin/.keep", ""), ("broken", "- 1\n"), SCRIPT],
        );
        for name in ["daskflow", "kubectl-daskflow", "kubectl_complete-daskflow"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_daskflow"), folder.join("bin").join(name))
                .unwrap();
        }
        Self { stage, folder, ports, _front: front }
    }

    /// A command line of a shell, in which the program is found and knows the cluster.
    pub fn command(&self, line: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = [self.folder.join("bin")].into_iter().chain(std::env::split_paths(&path));
        let mut command = Command::new("bash");
        command
            .args(["-c", line])
            .current_dir(&self.folder)
            .env("PATH", std::env::join_paths(all).unwrap())
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("HOME", &self.folder)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Its exit code, and what it said on standard output and on standard error.
    pub async fn run(&self, line: &str) -> (i32, String, String) {
        told(&self.command(line).output().await.unwrap())
    }
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_command_line_and_the_connection_say_what_to_do() {
    let here = Listens::new("commands_faults", furnished().await).await;
    for (line, code, said) in [
        ("status nightly-rport", 1, "did you mean nightly-report?"),
        ("status pod/a", 2, "is no kind: write flow, run, cluster or backfill"),
        ("run analytics", 1, "there is a DaskCluster of this name"),
        (
            "run run/nightly-report",
            1,
            "run/nightly-report names a FlowRun, and a Flow is meant here: write flow/",
        ),
        ("run nightly-report -p days", 2, "write a name and a value, such as count=3 or region=north"),
        ("run nightly-report --logical-time yesterday", 2, "write a date"),
        ("logs nightly-report-now-w4c2d", 1, "has no log yet: it is Queued"),
        ("logs nightly-report-20251007t000000 --attempt 1", 1, "is no longer there"),
        ("logs nightly-report-now-8kfpz --previous", 1, "has one attempt only"),
        ("logs nightly-report-20251007t000000 --attempt 0", 2, "0 is not in 1.."),
        ("cancel nightly-report", 1, "name its runs that are to end: `daskflow cancel nightly-report-now-"),
        ("cancel", 2, "RUN"),
        ("suspend nightly-report-20251007t000000", 1, "daskflow retry nightly-report-20251007t000000"),
        ("retry nightly-report-now-8kfpz", 1, "has not ended (Running)"),
        ("scale analytics gpus 2", 1, "did you mean gpu?"),
        ("scale analytics many", 2, "\"many\" is no number of workers"),
        ("scale analytics", 2, "WORKERS"),
        ("backfill nightly-report --from 2025-10-02 --to 2025-10-01", 1, "--to is before --from"),
        (
            "backfill nightly-report --from 2025-10-01T03:00:00Z --to 2025-10-01T04:00:00Z",
            1,
            "would start nothing: no clock",
        ),
        (
            "backfill nightly-report --from 2025-10-01 --to 2025-10-02 --clock hourly",
            1,
            "has no clock called hourly; it has nightly",
        ),
        ("next nightly-rport", 1, "did you mean nightly-report?"),
        ("next analytics", 1, "there is a DaskCluster of this name"),
        ("next cluster/analytics", 1, "names a DaskCluster, and a Flow is meant here"),
        ("next", 2, "--filename <FILE>"),
        ("next nightly-report -f broken", 2, "cannot be used with"),
        ("next -f broken --context here", 2, "cannot be used with"),
        ("next nightly-report --kubeconfig nowhere", 1, "no cluster is known"),
        ("validate analytic", 1, "did you mean analytics?"),
        ("validate", 2, "--filename <FILE>"),
        ("validate analytics -f broken", 2, "cannot be used with"),
        ("validate -f broken -n team", 2, "cannot be used with"),
        ("explain Clustertimeot", 1, "did you mean ClusterTimeout?"),
        ("status --context there", 1, "the kubeconfig has no context there; it has here"),
        ("status --kubeconfig nowhere", 1, "no cluster is known (failed to read kubeconfig"),
        ("status --kubeconfig bin/.keep", 1, "no current context"),
        ("status --kubeconfig broken", 1, "the kubeconfig cannot be used (failed to parse kubeconfig YAML"),
        ("status -n nowhere", 0, "there is nothing of daskflow in the namespace nowhere"),
    ] {
        let (found, out, err) = here.run(&format!("daskflow {line}")).await;
        assert!(found == code && err.contains(said), "{line}: {found}: {out}{err}");
        assert!(code != 1 || err.starts_with("daskflow: ") && err.lines().count() == 1, "{line}: {err}");
    }
}

/// Plays the operator for the next run of the Flow: starts it, lets it write, and ends it so.
pub async fn play(here: &Listens, lines: &[&str], status: Value) -> String {
    let name = begun(here).await;
    let stage = &here.stage;
    stage.put(0, runner(&name, 1, "Running")).await;
    for line in lines {
        stage.logs.write(&format!("{name}-1"), stage.now, line);
    }
    let started =
        json!({"phase": "Running", "reason": "RunnerRunning", "attempt": 1, "startedAt": stage.ago(8)});
    stage.set_run(&name, &started).await;
    stage.logs.opened(&format!("{name}-1"), 1).await;
    let mut ended = started;
    let with = json!({"finishedAt": stage.now});
    for (field, value) in with.as_object().unwrap().iter().chain(status.as_object().unwrap()) {
        ended[field] = value.clone();
    }
    stage.set_run(&name, &ended).await;
    name
}

/// Waits for a run that no operator has looked at.
async fn begun(here: &Listens) -> String {
    loop {
        let all = here.stage.get(super::stage::RUNS).await;
        let is_new = |run: &&Value| run["status"]["observedGeneration"] == -1;
        if let Some(run) = all["items"].as_array().unwrap().iter().find(is_new) {
            return run["metadata"]["name"].as_str().unwrap().to_owned();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_followed_ends_with_its_exit_code() {
    let here = Listens::new("commands_follow", furnished().await).await;
    for (how, status, code, word) in [
        ("--follow", json!({"phase": "Succeeded", "reason": "Succeeded", "exitCode": 0}), 0, "✔"),
        (
            "--follow",
            json!({"phase": "Failed", "reason": "FlowFailed", "exitCode": 3, "message": "no"}),
            3,
            "✖",
        ),
        ("--follow", json!({"phase": "TimedOut", "reason": "TimeoutExceeded", "exitCode": 143}), 124, "⏱"),
        ("--follow", json!({"phase": "Cancelled", "reason": "Cancelled"}), 130, "⊘"),
    ] {
        let line = format!("daskflow run nightly-report {how}");
        let (ran, name) = tokio::join!(here.run(&line), play(&here, &["loading", "done"], status.clone()));
        let (found, out, err) = ran;
        assert_eq!((found, out.as_str()), (code, "loading\ndone\n"), "{err}");
        assert!(err.contains(&format!("run/{name} created\n")) && err.contains(word), "{err}");
        assert!(err.contains(&format!("run/{name} Running, attempt 1 (RunnerRunning)\n")), "{err}");
    }
    // Who waits sees no log; whoever wants the object gets that alone.
    let ended = json!({"phase": "Failed", "reason": "OOMKilled", "exitCode": 137});
    let waits = async {
        let name = begun(&here).await;
        here.stage.set_run(&name, &ended).await;
    };
    let ((code, out, _), ()) = tokio::join!(here.run("daskflow run nightly-report --wait -o json"), waits);
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &object["status"]["reason"]), (137, &json!("OOMKilled")));
    // It has this code also for those who do not read it.
    let waits = async {
        let name = begun(&here).await;
        here.stage.set_run(&name, &ended).await;
    };
    let line = "daskflow run nightly-report --wait -o json | true; exit ${PIPESTATUS[0]}";
    let ((code, _, err), ()) = tokio::join!(here.run(line), waits);
    assert_eq!(code, 137, "{err}");
    // With --follow the log is beside it.
    let status = json!({"phase": "Succeeded", "reason": "Succeeded", "exitCode": 0});
    let line = "daskflow run nightly-report --follow -o json";
    let ((code, out, err), name) = tokio::join!(here.run(line), play(&here, &["loading", "done"], status));
    let object: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &object["metadata"]["name"]), (0, &json!(name)));
    assert!(err.contains("loading\ndone\n"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_a_time_that_is_over_leave_the_run_as_it_is() {
    let here = Listens::new("commands_interrupt", furnished().await).await;
    let mut child: Child = here.command("exec daskflow logs -f nightly-report-now-8kfpz").spawn().unwrap();
    // From the first line on it is known to follow.
    let more = here.stage.logs.more("nightly-report-now-8kfpz-1");
    here.stage.logs.opened("nightly-report-now-8kfpz-1", 1).await;
    let mut out = tokio::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut out, &mut line).await.unwrap();
    assert_eq!(line, "loading 7 days\n");
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().await.unwrap().success());
    let (code, _, err) = told(&child.wait_with_output().await.unwrap());
    assert_eq!(code, 130, "{err}");
    assert!(err.contains("the run goes on: `daskflow cancel nightly-report-now-8kfpz` ends it"), "{err}");
    drop(more);
    let line = "daskflow cancel nightly-report-now-8kfpz --wait --timeout 1";
    let (code, out, err) = here.run(line).await;
    assert_eq!((code, out.as_str()), (124, "run/nightly-report-now-8kfpz is asked to end\n"), "{err}");
    // What it waits for is said as well.
    let (state, hint) = err.split_once('\n').unwrap();
    assert_eq!(state, "run/nightly-report-now-8kfpz Running, attempt 1 (RunnerRunning)");
    assert!(
        hint.starts_with("the time of --timeout is over: the run nightly-report-now-8kfpz was asked"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_printed_in_every_form() {
    let here = Listens::new("commands_forms", furnished().await).await;
    stage_others(&here.stage).await;
    let of = async |line: &str| {
        let (code, out, err) = here.run(line).await;
        assert_eq!(code, 0, "{line}: {err}");
        out
    };
    let names = of("daskflow status -o name").await;
    assert!(names.contains("flow.daskflow.dev/nightly-report\n"), "{names}");
    assert!(names.contains("daskcluster.daskflow.dev/analytics\n") && names.lines().count() == 7, "{names}");
    let list: Value = serde_json::from_str(&of("daskflow status -o json").await).unwrap();
    assert_eq!((list["kind"].as_str(), list["items"].as_array().unwrap().len()), (Some("List"), 7));
    let one: Value = serde_json::from_str(&of("daskflow status analytics -o json").await).unwrap();
    assert_eq!(one["kind"], "DaskCluster");
    let yaml = of("daskflow suspend cluster/analytics -o yaml").await;
    assert!(yaml.contains("\nkind: DaskCluster\n") && yaml.contains("  suspend: true\n"), "{yaml}");
    let chosen = of("daskflow status -l team=data -o name").await;
    assert_eq!(chosen, "flow.daskflow.dev/labelled\n");
    let everywhere = of("daskflow status -A").await;
    assert!(everywhere.starts_with("default:\n"), "{everywhere}");
    // Colours are for terminals.
    assert!(!everywhere.contains('\u{1b}'), "{everywhere}");
    let (code, out, _) = here.run("daskflow status | head -1").await;
    assert_eq!((code, out.lines().count()), (0, 1));
    // A disk that is full, where there is one.
    if std::path::Path::new("/dev/full").exists() {
        for line in ["status", "explain ClusterTimeout", "version --client", "init nightly_report.py"] {
            let (code, _, err) = here.run(&format!("daskflow {line} > /dev/full")).await;
            assert!(code == 1 && err.contains("daskflow: the output cannot be written: "), "{line}: {err}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_a_failure_is_said() {
    let here = Listens::new("commands_partly", furnished().await).await;
    let spec = json!({"cluster": {"ref": {"name": "analytics"}}});
    for (kind, spec) in [("Flow", spec), ("FlowRun", json!({"flow": "nightly-report"}))] {
        for name in ["first", "untouchable"] {
            here.stage.put(0, ours(kind, name, &spec, &json!({}))).await;
        }
    }
    for (command, kind, set) in
        [("suspend", "flow", "suspended"), ("resume", "flow", "resumed"), ("cancel", "run", "asked to end")]
    {
        let line = format!("daskflow {command} {kind}/first {kind}/untouchable");
        let (code, out, err) = here.run(&line).await;
        assert_eq!(code, 1, "{line}: {out}{err}");
        assert!(out.contains(&format!("{kind}/first ")) && out.contains(set), "{line}: {out}");
        assert!(err.contains("it is frozen") && !out.contains("untouchable"), "{line}: {out}{err}");
        let (code, out, _) = here.run(&format!("{line} -o name")).await;
        assert_eq!((code, out.lines().count()), (1, 1), "{line}: {out}");
        assert!(out.ends_with("/first\n"), "{line}: {out}");
    }
}

/// A Flow with a label.
async fn stage_others(stage: &Stage) {
    let mut flow = ours("Flow", "labelled", &json!({"cluster": {"ref": {"name": "analytics"}}}), &json!({}));
    flow["metadata"]["labels"] = json!({"team": "data"});
    stage.put(0, flow).await;
}

/// Whether this program is there; this variable makes its lack a failure.
fn has(program: &str, required: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&paths).any(|path: PathBuf| path.join(program).is_file());
    assert!(is_there || std::env::var_os(required).is_none(), "there is no {program}");
    if !is_there {
        eprintln!("left out: there is no {program}");
    }
    is_there
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_finds_its_plugin_and_completes_it() {
    if !has("kubectl", "DASKFLOW_KUBECTL_REQUIRED") {
        return;
    }
    let here = Listens::new("commands_plugin", furnished().await).await;
    let (code, out, err) = here.run("kubectl daskflow status run/nightly-report-now-8kfpz").await;
    assert!(
        code == 0 && out.starts_with("● run/nightly-report-now-8kfpz   Running, attempt 1, for "),
        "{out}{err}"
    );
    let (code, out, _) = here.run("kubectl daskflow run --help").await;
    assert!(code == 0 && out.contains("Usage: kubectl daskflow run [OPTIONS] <FLOW>"), "{out}");
    let (code, out, _) = here.run("kubectl plugin list").await;
    assert!(code == 0 && out.contains("/kubectl-daskflow"), "{out}");
    let (code, out, err) = here.run("kubectl __complete daskflow sus").await;
    assert!(code == 0 && out.starts_with("suspend\t"), "{out}{err}");
    let (code, out, err) = here.run("kubectl __complete daskflow run night").await;
    assert!(code == 0 && out.starts_with("nightly-report\n"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_take_what_completion_writes() {
    let here = Listens::new("commands_completion", furnished().await).await;
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, err) = here.run(&format!("daskflow completion {shell}")).await;
        assert!(code == 0 && out.contains("backfill") && out.contains("logical-time"), "{shell}: {err}");
    }
    for (words, completed) in [
        ("sta", "status"),
        ("cancel nightly-report-now", "nightly-report-now-8kfpz nightly-report-now-w4c2d"),
        ("status cluster/", "cluster/analytics"),
        ("run nightly-report --logic", "--logical-time"),
    ] {
        let line = format!(
            "source <(daskflow completion bash); COMP_WORDS=(daskflow {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _daskflow_names daskflow \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let (code, out, err) = here.run(&line).await;
        assert_eq!((code, out.trim()), (0, completed), "{words}: {err}");
    }
    for (shell, line) in [
        (
            "zsh",
            "compdef() { }; compadd() { print -- $names }; _arguments() { print of clap }; eval \"$(daskflow completion zsh)\"; \
             words=(daskflow cancel nightly-report-now); CURRENT=3; _daskflow_names; \
             words=(daskflow cancel --wa); _daskflow_names",
        ),
        (
            "fish",
            "daskflow completion fish | source; complete -C 'daskflow cancel nightly-report-now'; complete -C 'daskflow cancel --wa'",
        ),
    ] {
        if !has(shell, "DASKFLOW_SHELLS_REQUIRED") {
            continue;
        }
        let (code, out, err) = here.run(&format!("{shell} -c '{}'", line.replace('\'', r"'\''"))).await;
        let words: Vec<&str> = out.split_whitespace().collect();
        assert!(
            code == 0 && words.starts_with(&["nightly-report-now-8kfpz", "nightly-report-now-w4c2d"]),
            "{shell}: {out}{err}"
        );
        let rest = &words[2..];
        assert!(rest == ["of", "clap"] || rest.first() == Some(&"--wait"), "{shell}: {out}{err}");
    }
    // As bash 3.2 has it, which is that of macOS.
    let old = "OLD=(3 2); enable -n mapfile readarray; complete() { [[ \" $* \" != *\" nosort \"* ]] || echo nosort; }";
    let line = format!(
        "{old}; source <(daskflow completion bash | sed s/BASH_VERSINFO/OLD/g); COMP_WORDS=(daskflow cancel nightly-report-now); \
         COMP_CWORD=2; _daskflow_names daskflow nightly-report-now cancel; echo \"${{COMPREPLY[@]}}\""
    );
    let (code, out, err) = here.run(&line).await;
    assert_eq!((code, out.trim()), (0, "nightly-report-now-8kfpz nightly-report-now-w4c2d"), "{err}");
}
