//! `--state`: what stays after the end of daskflow, and what goes on with it.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use daskflow::api::{FlowRun, Phase};
use daskflow::cluster_api::{ClusterApi, Disk};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::{Local, PATIENCE, manifest, program, python_with, until};

/// Writes down which run it is of. The third waits, until it is told not to.
const SCRIPT: &str = "\
import os, time
folder = os.environ['TMPDIR']
with open(folder + '/ran', 'a') as ran:
    print(os.environ['DASKFLOW_RUN'], file=ran)
print('this is the log of', os.environ['DASKFLOW_RUN'])
while len(open(folder + '/ran').readlines()) == 3 and not os.path.exists(folder + '/go'):
    time.sleep(0.1)
";

const MAP: &str = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-a-file}\ndata: {key: value}\n";

fn start(test: &str, folder: &Path, python: &Path) -> Local {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daskflow"));
    command.args(["local", "-f", "flow.yaml", "--state", "kept", "--python"]).arg(python);
    Local::spawn(test, folder, command)
}

/// The scripts that were started, by their runs.
fn ran(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("tmp/ran")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The runs that are kept, and the names of the ConfigMaps.
async fn kept(folder: &Path) -> (Vec<FlowRun>, Vec<String>) {
    let disk = Disk::open(&folder.join("kept/objects.redb")).unwrap();
    let api = ClusterApi::kept(|| jiff::Timestamp::UNIX_EPOCH, 1, disk).unwrap();
    let runs: Api<FlowRun> = Api::default_namespaced(api.client());
    let maps: Api<ConfigMap> = Api::default_namespaced(api.client());
    let maps = maps.list(&ListParams::default()).await.unwrap();
    let names = maps.items.iter().map(ConfigMap::name_any).collect();
    (runs.list(&ListParams::default()).await.unwrap().items, names)
}

fn phase(runs: &[FlowRun], name: &str) -> (Phase, String) {
    let run = runs.iter().find(|run| run.name_any() == name).unwrap_or_else(|| panic!("{name} is not kept"));
    let status = run.status.clone().unwrap();
    (status.phase, status.reason.unwrap_or_default())
}

#[tokio::test]
async fn what_a_killed_daskflow_kept_goes_on_and_nothing_is_doubled() {
    let Some(python) = python_with("2026.8.0") else { return };
    let clocks = "  schedule: {clocks: [{name: often, interval: 3s}]}\n  concurrency: Forbid\n  history: {succeeded: 100, failed: 100}\n";
    let flow = manifest(SCRIPT, clocks).replace("replicas: 2", "replicas: 1");
    let text = format!("{flow}{MAP}");
    let folder = program::folder("local_state", &[("flow.yaml", &text), ("tmp/.keep", "")]);
    let mut first = start("local_state", &folder, &python);
    first.says("Succeeded after", 2);
    let three = || (ran(&folder).len() == 3).then_some(());
    until(PATIENCE, three).unwrap_or_else(|| panic!("no third run:\n{}", first.text()));
    let second = program::daskflow(
        &folder,
        &["local", "-f", "flow.yaml", "--state", "kept", "--python", &python.display().to_string()],
        "",
    );
    assert_eq!(second.code, 1, "{second:?}");
    let owner = format!("another daskflow, process {}, works in", first.child.id());
    assert!(second.err.contains(&owner), "{second:?}");
    first.signal("KILL");
    first.code(Duration::from_secs(5));
    std::fs::write(folder.join("tmp/go"), "").unwrap();
    std::fs::write(folder.join("flow.yaml"), &flow).unwrap();

    let mut again = start("local_state", &folder, &python);
    again.says("ended with the daskflow before", 1);
    again.says("that the files have no more, and that are deleted: 1", 1);
    again.says("Failed after", 1);
    let two = || (ran(&folder).len() >= 5).then_some(());
    until(PATIENCE, two).unwrap_or_else(|| panic!("no further runs:\n{}", again.text()));
    again.signal("INT");
    assert_eq!(again.code(Duration::from_secs(30)), Some(0), "{}", again.text());
    again.leaves_nothing(Duration::from_secs(20));

    let (runs, maps) = kept(&folder).await;
    let started = ran(&folder);
    let different: BTreeSet<&String> = started.iter().collect();
    assert_eq!(different.len(), started.len(), "a script ran twice: {started:?}");
    let ticks: Vec<_> = runs.iter().filter_map(|run| run.spec.scheduled_time.clone()).collect();
    let count = ticks.iter().map(|tick| format!("{tick:?}")).collect::<BTreeSet<_>>().len();
    assert_eq!(count, runs.len(), "a tick has two runs: {ticks:?}");
    for name in &started[..2] {
        assert_eq!(phase(&runs, name), (Phase::Succeeded, "Succeeded".to_owned()), "{name}");
    }
    let lost = phase(&runs, &started[2]);
    assert_eq!(lost, (Phase::Failed, "NodeLost".to_owned()), "{}", again.text());
    assert!(!maps.contains(&"of-a-file".to_owned()), "{maps:?}");
    for name in [&started[0], started.last().unwrap()] {
        let logs = std::fs::read_dir(folder.join("kept/logs/default")).unwrap().flatten();
        let log =
            logs.map(|entry| entry.path()).find(|path| path.display().to_string().contains(name.as_str()));
        let text = std::fs::read_to_string(log.unwrap()).unwrap();
        assert!(text.contains(&format!("this is the log of {name}")), "{text}");
    }
    let mode = |path: &str| std::fs::metadata(folder.join(path)).unwrap().permissions();
    assert_eq!(mode("kept").mode() & 0o777, Permissions::from_mode(0o700).mode());
    assert_eq!(mode("kept/objects.redb").mode() & 0o777, 0o600);
}

/// A run that Ctrl-C interrupts was evicted, which the next start knows, with what it had written.
#[tokio::test]
async fn a_run_that_ctrl_c_interrupts_is_evicted_and_its_log_stays() {
    let Some(python) = python_with("2026.8.0") else { return };
    let script =
        "import os, time\nprint('the log of', os.environ['DASKFLOW_RUN'], flush=True)\ntime.sleep(600)\n";
    let run =
        "---\napiVersion: daskflow.dev/v1alpha1\nkind: FlowRun\nmetadata: {name: once}\nspec: {flow: etl}\n";
    let text = format!("{}{run}", manifest(script, "").replace("replicas: 2", "replicas: 1"));
    let folder = program::folder("local_evicted", &[("flow.yaml", &text), ("tmp/.keep", "")]);
    let mut first = start("local_evicted", &folder, &python);
    first.says("run once: Running, attempt 1", 1);
    let logs = || {
        let kubeconfig = folder.join("kept/kubeconfig").display().to_string();
        program::daskflow(&folder, &["logs", "once", "--kubeconfig", &kubeconfig], "")
    };
    let said = || logs().out.contains("the log of once").then_some(());
    until(PATIENCE, said).unwrap_or_else(|| panic!("no log: {:?}\n{}", logs(), first.text()));
    // Commands find it where it was started, though its folder is somewhere else.
    let mut command = Command::new(env!("CARGO_BIN_EXE_daskflow"));
    command.args(["logs", "once", "--local"]).current_dir(&folder).env("TMPDIR", folder.join("tmp"));
    let found = command.output().unwrap();
    assert!(String::from_utf8_lossy(&found.stdout).contains("the log of once"), "{found:?}");
    first.signal("INT");
    assert_eq!(first.code(Duration::from_secs(30)), Some(0), "{}", first.text());

    let mut again = start("local_evicted", &folder, &python);
    again.says("Evicted", 1);
    let log = logs();
    assert!(log.out.contains("the log of once"), "{log:?}");
    again.signal("INT");
    assert_eq!(again.code(Duration::from_secs(30)), Some(0), "{}", again.text());
    // What had ended is no news.
    let mut third = start("local_evicted", &folder, &python);
    third.says("cluster small: ready", 1);
    assert!(!third.text().contains("Evicted"), "{}", third.text());
    third.signal("INT");
    assert_eq!(third.code(Duration::from_secs(30)), Some(0), "{}", third.text());
    let (runs, _) = kept(&folder).await;
    assert_eq!(phase(&runs, "once"), (Phase::Failed, "Evicted".to_owned()), "{}", third.text());
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_its_cure() {
    let Some(python) = python_with("2026.8.0") else { return };
    let text = manifest("print(1)", "");
    let files = [("flow.yaml", text.as_str()), ("file", ""), ("old/objects.redb", "other")];
    let folder = program::folder("local_folders", &files);
    let local = |place: &str, further: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_daskflow"));
        command.args(["local", "-f", "flow.yaml", "--python"]).arg(&python).args(further);
        let ended = command.env("TMPDIR", place).current_dir(&folder).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    for (place, further, wanted) in [
        ("/nowhere", &[][..], "cannot be made: name a folder that is there and has room with TMPDIR"),
        ("file", &[][..], "a file is in its place: name a folder with TMPDIR"),
        ("/tmp", &["--state", "file"][..], "a file is in its place: name a folder with --state"),
        (
            "/tmp",
            &["--state", "."][..],
            "has files that daskflow has not written: name a new or an empty folder",
        ),
        ("/tmp", &["--state", "/proc/kept"][..], "cannot be made: name a folder"),
        (
            "/tmp",
            &["--state", "old"][..],
            "objects.redb cannot be used: another program wrote it: name another folder with --state: ",
        ),
    ] {
        let (code, said) = local(place, further);
        assert!(code == Some(1) && said.contains(wanted), "{place} {further:?}: {code:?}: {said}");
    }
    let (code, said) = local("/tmp", &["--state", "kept", "--once"]);
    assert!(code == Some(2) && said.contains("--once"), "{said}");
}
