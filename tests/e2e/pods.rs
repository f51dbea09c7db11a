//! What people write into pods, and what others put there: sidecars, Pod Security, limits of a `LimitRange`.

use daskflow::api::{ConditionType, DaskCluster, Flow, Phase, Reason};
use k8s_openapi::api::core::v1::{LimitRange, Namespace as KubernetesNamespace, Pod, Secret};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::certificates::Authority;
use crate::support::logs::workers_of;
use crate::support::manifests::{inline, secret, with};
use crate::support::workers::{condition, uids};
use crate::support::{Load, Namespace, poll, small_cluster, test, within};

/// Two workers, of which one closes itself as it does when its scheduler goes or its `--lifetime` is over.
/// The scheduler is asked itself: of `Client.retire_workers` a script on a shared cluster is relieved.
const CLOSE_ONE: &str = "from distributed import Client\n\
    client = Client()\n\
    client.wait_for_workers(2)\n\
    first = sorted(client.scheduler_info()['workers'])[0]\n\
    client.sync(client.scheduler.retire_workers, workers=[first], close_workers=True, remove=True)\n\
    print('closed')\n";
/// What the workers were started with.
const LIMITS: &str = "from distributed import Client\n\
    client = Client()\n\
    client.wait_for_workers(1)\n\
    for worker in client.scheduler_info()['workers'].values():\n    \
    print('limits', worker['nthreads'], worker['memory_limit'])\n";

#[tokio::test]
async fn worker_with_a_sidecar_is_replaced() {
    test("worker_with_a_sidecar_is_replaced", Load::Dask, async |namespace| {
        let image = &namespace.settings.dask;
        let sleeps = json!(["python", "-c", "import time\ntime.sleep(1e6)"]);
        let mut cluster = small_cluster("dask", image, 2);
        cluster["spec"]["workers"]["template"] = json!({"spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "log", "image": image, "command": sleeps}],
        }});
        namespace.ready_cluster(cluster).await;
        let before = uids(&namespace.until_workers("dask", 2).await);
        namespace.create::<Flow>(inline("closing", CLOSE_ONE, "dask")).await;
        let run = namespace.start_run("closing").await;
        namespace.until_phase(&run, Phase::Succeeded, 90).await;
        // The pod of the closed one has a container that runs for ever.
        poll(within(90, "another worker has come".to_owned()), async || {
            let pods: Vec<Pod> =
                namespace.try_list(&workers_of("dask")).await.map_err(|error| error.to_string())?;
            let new = uids(&pods).difference(&before).count();
            if new == 1 { Ok(()) } else { Err(format!("{new} new pods of {}", pods.len())) }
        })
        .await;
        namespace.until_ready("dask", 2).await;
    })
    .await;
}

#[tokio::test]
async fn restricted_namespace_runs() {
    test("restricted_namespace_runs", Load::Dask, async |namespace| {
        let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        let namespaces: Api<KubernetesNamespace> = Api::all(namespace.client.clone());
        namespaces.patch(&namespace.name, &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();

        let cluster = small_cluster("dask", &namespace.settings.dask, 1);
        namespace.create::<DaskCluster>(cluster).await;
        namespace.until_cluster_says("dask", Reason::Rejected, &["runAsNonRoot"]).await;
        // One entry is for the scheduler, the workers and the runners.
        let defaults = json!({"spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 12345},
            "containers": [{"name": "*", "env": [{"name": "HOME", "value": "/tmp"}]}],
        }});
        namespace.change::<DaskCluster>("dask", json!({"spec": {"podDefaults": defaults}})).await;
        namespace.until_ready("dask", 1).await;
        let script = "import os\nfrom distributed import Client\n\
            print('users', os.getuid(), Client().submit(os.getuid).result())\n";
        namespace.create::<Flow>(inline("users", script, "dask")).await;
        let run = namespace.start_run("users").await;
        namespace.until_phase(&run, Phase::Succeeded, 90).await;
        let log = namespace.runner_log(&run).await;
        assert!(log.contains("users 12345 12345"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn intermediate_authority_is_told_before_it_rolls() {
    test("intermediate_authority_is_told_before_it_rolls", Load::Dask, async |namespace| {
        let root = Authority::new("root");
        let first = root.issue(&["dask"]);
        let files = [
            ("ca.crt", root.pem.as_str()),
            ("tls.crt", first.certificate.as_str()),
            ("tls.key", first.key.as_str()),
        ];
        namespace.create::<Secret>(secret("pair", &files)).await;
        let tls = json!({"tls": {"issuer": "Secret", "secretName": "pair"}, "rollout": "Immediate"});
        namespace.ready_cluster(with(small_cluster("dask", &namespace.settings.dask, 1), tls)).await;
        let before = uids(&namespace.list::<Pod>("").await);

        let between = root.authority("between");
        let second = between.issue(&["dask"]);
        let files = json!({"ca.crt": between.pem, "tls.crt": second.certificate, "tls.key": second.key});
        namespace.change::<Secret>("pair", json!({"stringData": files})).await;
        let words = ["ca.crt", "add the root certificate"];
        let status = namespace.until_cluster_says("dask", Reason::CertificateUntrusted, &words).await;
        assert_eq!(condition(&status, ConditionType::Ready).status, "True", "{status:?}");
        assert_eq!(uids(&namespace.list::<Pod>("").await), before, "nothing was replaced");

        let both = format!("{}{}", between.pem, root.pem);
        namespace.change::<Secret>("pair", json!({"stringData": {"ca.crt": both}})).await;
        poll(within(180, "all pods are new".to_owned()), async || {
            let now = uids(&namespace.try_list::<Pod>("").await.map_err(|error| error.to_string())?);
            let old = now.intersection(&before).count();
            if old == 0 && now.len() == before.len() {
                Ok(())
            } else {
                Err(format!("{old} old pods of {}", now.len()))
            }
        })
        .await;
        let wait = within(60, "the cluster says that it has the new certificate".to_owned());
        namespace
            .until("dask", wait, |cluster: &DaskCluster| {
                let status = cluster.status.as_ref().unwrap();
                [ConditionType::CertificatesReady, ConditionType::Ready]
                    .iter()
                    .all(|kind| condition(status, *kind).status == "True")
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn limits_of_a_limit_range_reach_dask() {
    test("limits_of_a_limit_range_reach_dask", Load::Dask, async |namespace| {
        let limits = json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"},
            "spec": {"limits": [{
                "type": "Container",
                "default": {"cpu": "1500m", "memory": "512Mi"},
                "defaultRequest": {"cpu": "50m", "memory": "64Mi"},
            }]},
        });
        namespace.create::<LimitRange>(limits).await;
        let mut cluster = small_cluster("dask", &namespace.settings.dask, 1);
        let workers = cluster["spec"]["workers"].as_object_mut().unwrap();
        workers.retain(|field, _| field != "threads" && field != "memory");
        namespace.ready_cluster(cluster).await;
        assert_limits(namespace, "limited", 2, 512 << 20).await;

        // Those of a template count as those of the fields do.
        let limits = json!({"limits": {"cpu": "1", "memory": "300Mi"}});
        let template = json!({"spec": {"containers": [{"name": "worker", "resources": limits}]}});
        namespace.change::<DaskCluster>("dask", json!({"spec": {"workers": {"template": template}}})).await;
        let of_template = |pod: &Pod| {
            let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            containers.any(|container| {
                let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
                limits.and_then(|limits| limits.get("memory")).is_some_and(|memory| memory.0 == "300Mi")
            })
        };
        poll(within(120, "the worker is replaced".to_owned()), async || {
            let pods = namespace.workers("dask").await?;
            let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
            if pods.len() == 1 && pods.iter().all(of_template) { Ok(()) } else { Err(format!("{names:?}")) }
        })
        .await;
        namespace.until_ready("dask", 1).await;
        assert_limits(namespace, "smaller", 1, 300 << 20).await;
    })
    .await;
}

/// The only worker was started with these limits.
async fn assert_limits(namespace: &Namespace, flow: &str, threads: u32, bytes: u64) {
    namespace.create::<Flow>(inline(flow, LIMITS, "dask")).await;
    let run = namespace.start_run(flow).await;
    namespace.until_phase(&run, Phase::Succeeded, 90).await;
    let log = namespace.runner_log(&run).await;
    assert!(log.contains(&format!("limits {threads} {bytes}")), "{log}");
}
