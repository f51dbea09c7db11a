//! The Helm chart on a real cluster with a real Helm: every value served; and a release from its first day to
//! its last, while a Dask cluster and a run work on.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use daskflow::api::{self, DaskCluster, Flow, Phase, labels};
use futures::FutureExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace as CoreNamespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::figures::figure_seconds;
use crate::support::logs::runner_of;
use crate::support::operator::{self, Operator};
use crate::support::programs::{self, run, try_run};
use crate::support::{Load, Namespace, flow, poll, test, within};
use crate::ticks;

/// The chart, from the project's folder.
const CHART: &str = "charts/daskflow";
/// The chart of an earlier commit; `tests/e2e/charts/README.md` says how it was packed.
const EARLIER: &str = "tests/e2e/charts/daskflow-0.1.0-f554930.tgz";
/// As `manifests/install.yaml` calls it, so that the labels of the CRDs, which the two share, are the same.
const RELEASE: &str = "daskflow";
/// What the release's objects are called, unlike those of `manifests/install.yaml`.
const FULLNAME: &str = "released";
/// The version under which this tree's chart is packed: another than that of the earlier one.
const NEXT_VERSION: &str = "0.2.0";
/// The longest that all steps take; the operator under test is brought back after it.
const LIMIT: Duration = Duration::from_secs(10 * 60);
/// Each wait of Helm's.
const PATIENCE: &str = "--timeout=120s";
/// The run that lives through all of it, until the test tells it to end.
const LONG: &str = "import os, time\nwhile not os.path.exists('/tmp/end'): time.sleep(0.2)";

#[tokio::test]
async fn chart_with_every_value_is_served() {
    test("chart_with_every_value_is_served", Load::Objects, async |namespace| {
        if !programs::are_here("chart_with_every_value_is_served").await {
            return;
        }
        // Pods that are not "restricted" are refused, and what would make such pods is warned of.
        let enforce = json!({"metadata": {"labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/warn": "restricted",
        }}});
        let namespaces: Api<CoreNamespace> = Api::all(namespace.client.clone());
        namespaces.patch(&namespace.name, &PatchParams::default(), &Patch::Merge(enforce)).await.unwrap();
        let full = format!("--values={CHART}/ci/full-values.yaml");
        let dashboard = format!("--set=dashboard.namespace={}", namespace.name);
        for values in [vec![], vec![full.as_str(), &dashboard, "--set=crds.enabled=true"]] {
            let template = ["template", "every-value", CHART, "--namespace", &namespace.name];
            let yaml = run("helm", &[&template[..], &values].concat(), "").await;
            // The kinds of the Prometheus operator are not on this cluster.
            let documents = serde_yaml::Deserializer::from_str(&yaml);
            let objects = documents.map(|document| Value::deserialize(document).unwrap());
            let ours = |object: &Value| !object.is_null() && object["apiVersion"] != "monitoring.coreos.com/v1";
            let list = json!({"apiVersion": "v1", "kind": "List", "items": objects.filter(ours).collect::<Vec<_>>()});
            let apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"];
            let more = ["--warnings-as-errors", "--field-manager=e2e", "--filename=-"];
            let applied = run("kubectl", &[&apply[..], &more].concat(), &list.to_string()).await;
            assert!(applied.contains("deployment.apps/"), "{applied}");
        }
    })
    .await;
}

/// It takes a minute and a half.
#[tokio::test]
async fn helm_install_upgrade_rollback_uninstall() {
    test("helm_install_upgrade_rollback_uninstall", Load::Disruptive, async |namespace| {
        if !programs::are_here("helm_install_upgrade_rollback_uninstall").await {
            return;
        }
        let release = Release { namespace, place: format!("{}-release", namespace.name) };
        Operator::under_test(&namespace.client).stop().await;
        let outcome = AssertUnwindSafe(timeout(LIMIT, release.live())).catch_unwind().await;
        if !matches!(outcome, Ok(Ok(_))) {
            release.print().await;
        }
        release.clear_away().await;
        let witness = match outcome {
            Ok(Ok(witness)) => witness,
            Ok(Err(_)) => panic!("the steps did not end within {LIMIT:?}"),
            Err(cause) => resume_unwind(cause),
        };
        // The operator under test is back, and takes over what the release left.
        ticks::next_run(namespace, 60).await;
        witness.is_untouched().await;
        witness.let_run_end().await;
        let end = ticks::next_run(namespace, 30).await;
        ticks::assert_each_once(namespace, end).await;
    })
    .await;
}

/// The chart of the earlier commit, with the kinds of this one: the operator is today's, and does not work
/// with fewer fields.
async fn earlier_chart() -> String {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/earlier");
    std::fs::create_dir_all(folder).unwrap();
    run("tar", &["--extract", "--file", EARLIER, "--directory", folder], "").await;
    for crd in api::crds() {
        let file = format!("templates/crds/{}.yaml", crd.spec.names.plural);
        let (earlier, today) = (format!("{folder}/daskflow/{file}"), format!("{CHART}/{file}"));
        let parts = |file: &str| {
            let text = std::fs::read_to_string(file).unwrap();
            let (head, spec) = text.split_once("\nspec:\n").unwrap();
            (head.to_owned(), spec.to_owned())
        };
        let ((head, _), (_, spec)) = (parts(&earlier), parts(&today));
        let spec = spec.strip_suffix("{{- end }}\n").unwrap();
        std::fs::write(&earlier, format!("{head}\nspec:\n{spec}")).unwrap();
    }
    format!("{folder}/daskflow")
}

/// A release of the chart in a namespace of its own.
struct Release<'a> {
    namespace: &'a Namespace,
    place: String,
}

impl<'a> Release<'a> {
    /// Installs, upgrades, tries, rolls back and uninstalls.
    async fn live(&self) -> Witness<'a> {
        let begin = tokio::time::Instant::now();
        let restricted = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": self.place, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        });
        run("kubectl", &["create", "--filename=-"], &restricted.to_string()).await;
        // The CRDs are there, and kubectl wrote them.
        let adopt = ["--take-ownership", "--force-conflicts", "--wait", PATIENCE];
        // The operator is today's, and the earlier chart gives it no right to a Lease.
        let alone = json!({"extraEnv": [{"name": "DASKFLOW_LEADER_ELECTION", "value": "false"}]});
        let earlier = earlier_chart().await;
        self.helm("install", &[&[earlier.as_str()], &adopt[..]].concat(), &self.values(&alone)).await;
        ticks::start(self.namespace).await;
        let witness = Witness::start(self.namespace).await;
        ticks::next_run(self.namespace, 60).await;

        self.upgrade().await;
        self.goes_on(&witness).await;
        let said = self.helm("test", &["--logs", PATIENCE], &Value::Null).await;
        assert!(said.contains("ready: the operator at"), "{said}");

        self.helm("rollback", &["1", "--wait", PATIENCE], &Value::Null).await;
        assert_eq!(self.deployment().await["spec"]["replicas"], 1, "as it was before");
        assert_eq!(self.chart_of_crds().await, None, "the CRDs are those of the earlier chart");
        self.goes_on(&witness).await;

        self.helm("uninstall", &["--wait", PATIENCE], &Value::Null).await;
        self.nothing_is_left().await;
        self.namespace.get::<DaskCluster>("dask").await;
        self.namespace.get::<Flow>(ticks::FLOW).await;
        witness.is_untouched().await;
        figure_seconds("helm_release_from_install_to_uninstall", begin.elapsed().as_secs_f64());
        witness
    }

    /// To this tree's chart, under another version and with other values.
    async fn upgrade(&self) {
        let folder = env!("CARGO_TARGET_TMPDIR");
        run("helm", &["package", CHART, "--version", NEXT_VERSION, "--destination", folder], "").await;
        let package = format!("{folder}/daskflow-{NEXT_VERSION}.tgz");
        let values = self.values(&json!({
            "replicas": 2,
            "logFormat": "json",
            "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}},
            "podLabels": {"example.com/values": "other"},
            "commonLabels": {"example.com/team": "data"},
            "podDisruptionBudget": {"enabled": true},
            "networkPolicy": {"enabled": true},
            "dashboard": {"enabled": true},
        }));
        self.helm("upgrade", &[&package, "--reset-values", "--wait", PATIENCE], &values).await;
        let deployment = self.deployment().await;
        assert_eq!(deployment["status"]["readyReplicas"], 2, "{deployment}");
        assert_eq!(deployment["spec"]["template"]["metadata"]["labels"]["example.com/values"], "other");
        let upgraded = Some(format!("daskflow-{NEXT_VERSION}"));
        assert_eq!(self.chart_of_crds().await, upgraded, "an upgrade upgrades the CRDs");
        // Not "deployment/…": a pod from before may not have ended yet.
        let log = self.kubectl(&["logs", "--selector", "example.com/values=other", "--tail=-1"]).await;
        assert!(
            !log.is_empty() && log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
            "logFormat: json: {log}"
        );
    }

    /// The operator of the release is at work, and what runs has not noticed.
    async fn goes_on(&self, witness: &Witness<'_>) {
        ticks::next_run(self.namespace, 60).await;
        witness.is_untouched().await;
    }

    /// The values that this test needs, and these.
    fn values(&self, more: &Value) -> Value {
        let (repository, tag) = self.namespace.settings.operator.rsplit_once(':').unwrap();
        let mut values =
            json!({"fullnameOverride": FULLNAME, "image": {"repository": repository, "tag": tag}});
        values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        values
    }

    async fn helm(&self, command: &str, arguments: &[&str], values: &Value) -> String {
        let mut all = [&[command, RELEASE][..], arguments, &["--namespace", &self.place]].concat();
        if !values.is_null() {
            all.extend(["--values", "-"]);
        }
        run("helm", &all, &values.to_string()).await
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        run("kubectl", &[&["--namespace", &self.place], arguments].concat(), "").await
    }

    async fn deployment(&self) -> Value {
        let api: Api<Deployment> = Api::namespaced(self.namespace.client.clone(), &self.place);
        serde_json::to_value(api.get(FULLNAME).await.unwrap()).unwrap()
    }

    /// The chart that all CRDs say they come from.
    async fn chart_of_crds(&self) -> Option<String> {
        let api: Api<CustomResourceDefinition> = Api::all(self.namespace.client.clone());
        let mut found = Vec::new();
        for crd in api::crds() {
            found.push(api.get(&crd.name_any()).await.unwrap().labels().get("helm.sh/chart").cloned());
        }
        found.dedup();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// Of the release no object is left but the CRDs. Helm does not wait for pods, which take their time to
    /// stop.
    async fn nothing_is_left(&self) {
        let kinds = "deployments,replicasets,pods,services,serviceaccounts,configmaps,secrets,roles,rolebindings,\
                     poddisruptionbudgets,networkpolicies,clusterroles,clusterrolebindings,flowschemas";
        for label in [format!("app.kubernetes.io/instance={RELEASE}"), "owner=helm".to_owned()] {
            poll(within(40, format!("nothing with {label} is left")), async || {
                let left = self.kubectl(&["get", kinds, "--output=name", "--selector", &label]).await;
                // Those of manifests/install.yaml that no namespace has carry the same label.
                let other = format!("/{}", operator::DEPLOYMENT);
                let left: Vec<&str> = left.lines().filter(|line| !line.contains(&other)).collect();
                if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
            })
            .await;
        }
        assert_eq!(self.chart_of_crds().await, None, "the CRDs are kept");
    }

    /// What is known of the release when the test fails.
    async fn print(&self) {
        for what in [
            &["get", "all", "--output=wide"][..],
            &["get", "events"],
            &["logs", "--selector=app.kubernetes.io/component=operator", "--tail=60", "--prefix"],
        ] {
            let all = [&["--namespace", &self.place], what].concat();
            eprintln!("--- {}", try_run("kubectl", &all, "").await.unwrap_or_else(|failure| failure));
        }
    }

    /// Whatever became of the release, it goes, the CRDs lose its marks, and the operator under test comes
    /// back.
    async fn clear_away(&self) {
        let gone =
            ["uninstall", RELEASE, "--namespace", &self.place, "--ignore-not-found", "--wait", PATIENCE];
        let uninstalled = try_run("helm", &gone, "").await;
        let delete = ["delete", "namespace", &self.place, "--ignore-not-found", "--wait=false"];
        let deleted = try_run("kubectl", &delete, "").await;
        let crds: Vec<String> = api::crds().iter().map(ResourceExt::name_any).collect();
        let crds: Vec<&str> = crds.iter().map(String::as_str).collect();
        let annotations =
            ["meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-", "helm.sh/resource-policy-"];
        run("kubectl", &[&["annotate", "crd"], &crds[..], &annotations].concat(), "").await;
        let marks = ["helm.sh/chart-", "app.kubernetes.io/managed-by-", "example.com/team-"];
        run("kubectl", &[&["label", "crd"], &crds[..], &marks].concat(), "").await;
        // As the cluster was set up.
        let apply = ["apply", "--server-side", "--force-conflicts", "-k", ".build/e2e"];
        run("kubectl", &apply, "").await;
        Operator::under_test(&self.namespace.client).ready_pod().await;
        uninstalled.unwrap();
        deleted.unwrap();
    }
}

/// What must not notice: the pods of a Dask cluster, and a run that works until it is told to end.
struct Witness<'a> {
    namespace: &'a Namespace,
    run: String,
    pods: BTreeMap<String, String>,
}

impl<'a> Witness<'a> {
    /// On the cluster of the flow that ticks.
    async fn start(namespace: &'a Namespace) -> Self {
        let spec = json!({"command": ["python", "-c", LONG], "cluster": {"ref": {"name": "dask"}}});
        namespace.observed_flow(flow("long", spec)).await;
        let run = namespace.start_run("long").await;
        namespace.until_phase(&run, Phase::Running, 90).await;
        let mut witness = Self { namespace, run, pods: BTreeMap::new() };
        witness.pods = witness.see().await;
        assert_eq!(witness.pods.len(), 3, "a scheduler, a worker and a runner: {:?}", witness.pods);
        witness
    }

    /// The names of the pods, by uid.
    async fn see(&self) -> BTreeMap<String, String> {
        let of_cluster = format!(
            "{}=dask,{} in ({}, {})",
            labels::CLUSTER_NAME,
            labels::COMPONENT,
            labels::SCHEDULER,
            labels::WORKER
        );
        let mut pods: Vec<Pod> = self.namespace.list(&of_cluster).await;
        pods.extend(self.namespace.list::<Pod>(&runner_of(&self.run)).await);
        for pod in &pods {
            let status = pod.status.clone().unwrap_or_default();
            let restarts: i32 = status.container_statuses.iter().flatten().map(|one| one.restart_count).sum();
            assert_eq!((status.phase.as_deref(), restarts), (Some("Running"), 0), "{}", pod.name_any());
            assert!(pod.metadata.deletion_timestamp.is_none(), "{} is being deleted", pod.name_any());
        }
        pods.iter().map(|pod| (pod.uid().unwrap(), pod.name_any())).collect()
    }

    /// The same pods, none of them restarted.
    async fn is_untouched(&self) {
        assert_eq!(self.see().await, self.pods);
    }

    /// Tells the run to end, and it ends well.
    async fn let_run_end(&self) {
        let runner = self.namespace.list::<Pod>(&runner_of(&self.run)).await.remove(0).name_any();
        run(
            "kubectl",
            &["--namespace", &self.namespace.name, "exec", &runner, "--", "touch", "/tmp/end"],
            "",
        )
        .await;
        self.namespace.until_phase(&self.run, Phase::Succeeded, 60).await;
    }
}
