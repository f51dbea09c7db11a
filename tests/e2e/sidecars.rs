//! Containers beside the runner.

use daskflow::api::{Flow, FlowRun, Phase};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::clock::{poll, within};
use crate::support::manifests::{inline, with};
use crate::support::{Load, Namespace, dask_cluster, logs, run_now, test};

const SCRIPT: &str = "import os, sys\nprint('grace', os.environ['DASKFLOW_GRACE_SECONDS'])\nsys.exit(int(os.environ['CODE']))\n";

#[tokio::test]
async fn sidecars_end_with_their_run() {
    test("sidecars_end_with_their_run", Load::Dask, async |namespace| {
        let image = &namespace.settings.dask;
        namespace.ready_cluster(dask_cluster("dask", image, 1)).await;
        let sleeps = json!(["python", "-c", "import time\ntime.sleep(1e6)"]);
        let sidecar = json!({"name": "proxy", "image": image, "command": sleeps});
        let mut native = sidecar.clone();
        native["restartPolicy"] = json!("Always");
        let template = |field: &str, container: &Value| {
            let mut spec = json!({"terminationGracePeriodSeconds": 2});
            spec[field] = json!([container]);
            json!({"spec": spec})
        };
        let cases = [
            ("beside", 0, template("containers", &sidecar), Phase::Succeeded),
            ("failing", 1, template("containers", &sidecar), Phase::Failed),
            ("native", 0, template("initContainers", &native), Phase::Succeeded),
        ];
        let mut runs = Vec::new();
        for (name, code, template, end) in cases {
            let env = json!([{"name": "CODE", "value": code.to_string()}]);
            let more = json!({"template": template, "env": env, "timeout": "10m", "engine": "Dask"});
            namespace.create::<Flow>(with(inline(name, SCRIPT, "dask"), more)).await;
            let run: FlowRun = namespace.create(run_now(name, Value::Null)).await;
            runs.push((name, run.name_any(), end));
        }
        for (name, run, end) in runs {
            let status = namespace.until_phase(&run, end, 90).await.status.unwrap();
            if end == Phase::Failed {
                assert_eq!(status.reason.as_deref(), Some("ScriptError"), "{status:?}");
            }
            until_pod_ended(namespace, &run).await;
            let log = namespace.runner_log(&run).await;
            assert!(log.contains("grace 2"), "the log stays, and the grace is the template's: {log}");
            if name == "native" {
                let job: Job = namespace.get(&format!("{run}-1")).await;
                assert_eq!(job.status.and_then(|status| status.failed), None, "Kubernetes ends those itself");
            }
        }
        timeout_reaches_a_run_at_work(namespace).await;
    })
    .await;
}

async fn timeout_reaches_a_run_at_work(namespace: &Namespace) {
    namespace.create::<Flow>(inline("sleeper", include_str!("flows/sleeping.py"), "dask")).await;
    let run: FlowRun = namespace.create(run_now("sleeper", Value::Null)).await;
    namespace.until_phase(&run.name_any(), Phase::Running, 60).await;
    namespace.change::<Flow>("sleeper", json!({"spec": {"timeout": "1s"}})).await;
    let status = namespace.until_phase(&run.name_any(), Phase::TimedOut, 60).await.status.unwrap();
    assert_eq!(status.reason.as_deref(), Some("TimeoutExceeded"), "{status:?}");
}

/// No container of the run's pod is left, and the pod is.
async fn until_pod_ended(namespace: &Namespace, run: &str) {
    poll(within(60, format!("the pod of {run} has ended")), async || {
        let pods: Vec<Pod> =
            namespace.try_list(&logs::runner_of(run)).await.map_err(|error| error.to_string())?;
        let phases: Vec<_> = pods.iter().filter_map(|pod| pod.status.as_ref()?.phase.clone()).collect();
        match phases.as_slice() {
            [phase] if matches!(phase.as_str(), "Succeeded" | "Failed") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
