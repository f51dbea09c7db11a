//! What `daskflow migrate` makes of a manifest of dask-kubernetes runs, and its options reach Dask.

use std::path::Path;

use super::{Local, PATIENCE, program, python_with};

/// A job as people write it: a command, and workers by options.
const JOB: &str = r#"
apiVersion: kubernetes.dask.org/v1
kind: DaskJob
metadata: {name: sums}
spec:
  job:
    spec:
      restartPolicy: Never
      containers:
        - name: job
          image: flows:1
          env: [{name: EXPECTED, value: "5050"}]
          command:
            - python
            - -c
            - |
              import os
              from distributed import Client
              client = Client()
              client.wait_for_workers(2)
              workers = client.scheduler_info()["workers"].values()
              assert {worker["nthreads"] for worker in workers} == {3}, workers
              assert {worker["memory_limit"] for worker in workers} == {2 * 10**9}, workers
              total = client.submit(sum, range(1, 101), resources={"HERE": 1}).result(timeout=60)
              assert str(total) == os.environ["EXPECTED"], total
              assert set(client.run(lambda: os.environ["COLOUR"]).values()) == {"blue"}
  cluster:
    spec:
      worker:
        replicas: 2
        spec:
          containers:
            - name: worker
              image: flows:1
              args: [dask, worker, --name, $(DASK_WORKER_NAME), --dashboard-address, ":8788", --nthreads, "3", --memory-limit, 2GB, --resources, HERE=1]
              env: [{name: COLOUR, value: blue}]
              ports: [{name: http-dashboard, containerPort: 8788}]
      scheduler:
        spec:
          containers:
            - name: scheduler
              image: flows:1
              args: [dask, scheduler, --host, 0.0.0.0]
              ports: [{name: tcp-comm, containerPort: 8786}, {name: http-dashboard, containerPort: 8787}]
              readinessProbe: {httpGet: {port: http-dashboard, path: /health}}
              livenessProbe: {httpGet: {port: http-dashboard, path: /health}, initialDelaySeconds: 15}
        service:
          selector: {dask.org/cluster-name: sums, dask.org/component: scheduler}
          ports: [{name: tcp-comm, port: 8786}, {name: http-dashboard, port: 8787}]
"#;

#[test]
fn a_job_of_dask_kubernetes_runs_as_a_flow() {
    let Some(python) = python_with("2026.8.0") else { return };
    let migrated = program::daskflow(Path::new("/"), &["migrate", "-f", "-"], JOB);
    assert_eq!(migrated.code, 0, "{}", migrated.err);
    let mut local = Local::start("local_migrated", &python, &migrated.out, &["--until-idle"]);
    assert_eq!(local.code(PATIENCE), Some(0), "{}", local.text());
    assert!(local.text().contains("run sums: Succeeded"), "{}", local.text());
}
