//! A laptop says of runs what a Kubernetes says of them: the other half is the end-to-end test
//! `laptop_and_cluster_agree`.

use daskflow::api::FlowRun;
use daskflow::cluster_api::{ClusterApi, Disk};
use kube::Api;
use kube::api::ListParams;

use super::{Local, PATIENCE, python_with, until};
use crate::agreement::{BEGUN, CANCELLED, FLOWS, assert_agreed, flows_cancelled};

#[tokio::test]
async fn runs_say_what_they_say_in_kubernetes() {
    let Some(python) = python_with("2026.8.0") else { return };
    let mut local = Local::start("local_agreement", &python, FLOWS, &["--state", "kept", "--until-idle"]);
    local.says(&format!("run {CANCELLED}: Running"), 1);
    let logs = local.folder.join("kept/logs/default");
    let has_begun = || {
        let mut logs = std::fs::read_dir(&logs).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_its = |path: &std::path::Path| path.display().to_string().contains("/cancelled-1");
        let log = logs.find(|path| is_its(path))?;
        std::fs::read_to_string(log).ok()?.contains(BEGUN).then_some(())
    };
    until(PATIENCE, has_begun).unwrap_or_else(|| panic!("the script has not begun:\n{}", local.text()));
    std::fs::write(local.folder.join("flow.yaml"), flows_cancelled()).unwrap();
    // All but two of the runs fail: what the first of them says is the end.
    assert_ne!(local.code(PATIENCE), Some(0), "{}", local.text());
    let disk = Disk::open(&local.folder.join("kept/objects.redb")).unwrap();
    let api = ClusterApi::kept(|| jiff::Timestamp::UNIX_EPOCH, 1, disk).unwrap();
    let runs: Api<FlowRun> = Api::default_namespaced(api.client());
    assert_agreed(&runs.list(&ListParams::default()).await.unwrap().items);
}
