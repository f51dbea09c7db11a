//! Files that are saved while `daskflow local` runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Local, PATIENCE, python_with, until};

/// A cluster, and a Flow of a script that a kustomization makes a ConfigMap of.
const FILES: &str = "\
apiVersion: daskflow.dev/v1alpha1
kind: DaskCluster
metadata: {name: small}
spec: {image: flows:1, workers: {replicas: 1, threads: 1}}
---
apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {name: etl}
spec:
  cluster: {ref: {name: small}}
  engine: Dask
  code: {configMap: {name: code, key: etl.py}}
";

/// What makes it run.
const OFTEN: &str = "  schedule: {clocks: [{name: often, interval: 2s}]}\n  concurrency: Forbid\n";

const KUSTOMIZATION: &str = "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
configMapGenerator: [{name: code, files: [etl.py]}]
";

/// A script that leaves a file.
fn script(file: &str) -> String {
    format!("from distributed import Client\nClient().submit(print).result()\nopen('{file}', 'w').close()\n")
}

/// Saves as editors do that write another file first.
fn save(folder: &Path, file: &str, text: &str) {
    let other = folder.join("written");
    fs::write(&other, text).unwrap();
    fs::rename(other, folder.join(file)).unwrap();
}

#[test]
fn what_is_saved_takes_effect_and_what_is_broken_does_not() {
    let Some(python) = python_with("2026.8.0") else { return };
    let files =
        [("flow.yaml", FILES), ("code/kustomization.yaml", KUSTOMIZATION), ("code/etl.py", &script("first"))];
    let mut local = Local::start_with("local_saved", &python, &files, &["-f", "code"]);
    let folder = local.folder.clone();
    let leaves = |local: &Local, file: &str| {
        let path = folder.join(file);
        until(PATIENCE, || path.exists().then_some(()))
            .unwrap_or_else(|| panic!("no run left {file}:\n{}", local.text()));
    };
    local.says("cluster small: ready", 1);
    // A schedule.
    save(&folder, "flow.yaml", &format!("{FILES}{OFTEN}"));
    local.says("flow.yaml: Flow etl is changed", 1);
    leaves(&local, "first");
    // Another script.
    save(&folder, "code/etl.py", &script("second"));
    local.says("code/kustomization.yaml: ConfigMap code is changed", 1);
    leaves(&local, "second");
    // What makes no sense is said with its place, and changes nothing: the Flow runs on.
    save(&folder, "flow.yaml", &format!("{FILES}{OFTEN}  timeot: 3m\n"));
    local.says("not applied: flow.yaml:15: ", 1);
    fs::remove_file(folder.join("second")).unwrap();
    leaves(&local, "second");
    // Mended, with one cluster more; then without it.
    let other = "---\napiVersion: daskflow.dev/v1alpha1\nkind: DaskCluster\nmetadata: {name: other}\nspec: {image: flows:1, workers: {replicas: 0}}\n";
    save(&folder, "flow.yaml", &format!("{FILES}{OFTEN}{other}"));
    local.says("flow.yaml: DaskCluster other is created", 1);
    save(&folder, "flow.yaml", &format!("{FILES}{OFTEN}"));
    local.says("flow.yaml: DaskCluster other is deleted", 1);
    assert!(!local.text().contains("DaskCluster small is"), "{}", local.text());
    local.signal("INT");
    assert_eq!(local.code(Duration::from_secs(15)), Some(0), "{}", local.text());
    local.leaves_nothing(Duration::from_secs(1));
}
