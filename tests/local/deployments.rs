//! What `kubectl` sees of the pods of a cluster of dask-kubernetes by their Deployments, with real Dask.

use super::kubectl::{Kubectl, program};
use super::{Local, PATIENCE, python_with, until};

const CLUSTER: &str = "\
apiVersion: kubernetes.dask.org/v1
kind: DaskCluster
metadata: {name: seen}
spec:
  worker:
    replicas: 1
    spec: {containers: [{name: worker, image: any:1, args: [dask, worker, --name, $(DASK_WORKER_NAME)]}]}
  scheduler:
    spec: {containers: [{name: scheduler, image: any:1, args: [dask, scheduler]}]}
    service:
      selector: {dask.org/cluster-name: seen, dask.org/component: scheduler}
      ports: [{name: tcp-comm, port: 8786}, {name: http-dashboard, port: 8787}]
";

const SCHEDULER: &str = "deployment/seen-scheduler";
const UID: &str = "-o jsonpath={.metadata.uid}/{.spec.replicas}";

/// Waits until the workers have so many Deployments; their names.
fn workers(kubectl: &Kubectl, count: usize) -> Vec<String> {
    let look = || {
        let names = kubectl.run("get deployments -l dask.org/component=worker -o name");
        let names: Vec<String> = names.lines().map(str::to_owned).collect();
        (names.len() == count).then_some(names)
    };
    until(PATIENCE, look).unwrap_or_else(|| panic!("{}", kubectl.run("get deployments,pods -o wide")))
}

#[test]
fn pods_of_dask_kubernetes_are_reached_by_their_deployments() {
    let Some(python) = python_with("2026.8.0") else { return };
    let Some(program) = program() else { return };
    let folder = crate::program::folder("local_deployments", &[("cluster.yaml", CLUSTER)]);
    let arguments = ["--dask-kubernetes", "--kubeconfig", "kubeconfig", "--plain"];
    let mut local = Local::start_in(&folder, "local_deployments", &python, &arguments);
    let kubectl = Kubectl::new(program, &mut local);
    kubectl.run("apply -f cluster.yaml");
    let name = workers(&kubectl, 1).remove(0).replace("deployment.apps/", "");
    assert_eq!(kubectl.run(&format!("get pod {name} -o name")), format!("pod/{name}\n"));
    let variable = "{.spec.template.spec.containers[0].env[?(@.name==\"DASK_WORKER_NAME\")].value}";
    assert_eq!(kubectl.run(&format!("get deployment {name} -o jsonpath={variable}")), name);
    // Its process runs before it says anything.
    let says = || kubectl.run(&format!("logs {SCHEDULER}")).contains("Scheduler at").then_some(());
    until(PATIENCE, says).unwrap_or_else(|| panic!("{}", kubectl.run("get pods -o wide")));
    let shown = kubectl.run("get deployments");
    assert!(shown.lines().filter(|line| line.contains(" 0/0 ")).count() == 2, "{shown}");
    // What was deleted, and what was changed, comes back.
    for change in [
        format!("delete {SCHEDULER}"),
        format!("patch {SCHEDULER} --type=merge -p {{\"spec\":{{\"replicas\":3}}}}"),
    ] {
        let before = kubectl.run(&format!("get {SCHEDULER} {UID}"));
        kubectl.run(&change);
        let is_new = || {
            let now = kubectl.run(&format!("get {SCHEDULER} --ignore-not-found {UID}"));
            (now.ends_with("/0") && now != before).then_some(())
        };
        until(PATIENCE, is_new).unwrap_or_else(|| panic!("{change}: {before}"));
    }
    let said = kubectl.fails(&format!("patch {SCHEDULER} --type=merge -p {{\"spec\":{{\"paused\":false}}}}"));
    assert!(said.contains("makes no pods of a Deployment"), "{said}");
    assert_eq!(
        workers(&kubectl, 1),
        [format!("deployment.apps/{name}")],
        "that of the worker was left alone"
    );
    kubectl.run("scale daskworkergroups.kubernetes.dask.org/seen-default --replicas=0");
    workers(&kubectl, 0);
    kubectl.run("delete daskclusters.kubernetes.dask.org/seen");
    until(PATIENCE, || kubectl.run("get deployments -o name").is_empty().then_some(())).unwrap();
    local.signal("INT");
    assert_eq!(local.code(PATIENCE), Some(0), "{}", local.text());
}
