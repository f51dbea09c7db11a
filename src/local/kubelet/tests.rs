//! Pods of shells, on the API in this process.

mod probes;

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Event, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::api::DaskCluster;
use crate::cluster_api::ClusterApi;
use crate::local::folder::Folder;
use crate::local::news::News;
use crate::local::python::Python;

const LIMIT: Duration = Duration::from_secs(60);

/// A kubelet that serves an API.
struct World {
    client: Client,
    kubelet: Arc<Kubelet>,
    place: PathBuf,
    serving: AbortOnDropHandle<()>,
}

impl World {
    fn new(test: &str) -> Self {
        Self::with(test, |place| Folder::new(place, 0, Clock::of_machine().now().into()).unwrap())
    }

    fn with(test: &str, folder: impl FnOnce(&Path) -> Folder) -> Self {
        let clock = Clock::of_machine();
        let place = std::env::temp_dir().join(format!("daskflow-{test}-{}", std::process::id()));
        volumes::make_folder(&place).unwrap();
        let folder = folder(&place);
        let python = Python { path: "/bin/sh".into(), version: String::new(), distributed: String::new() };
        let maps = vec![("/flows".to_owned(), place.clone())];
        let news = News::new(clock.clone());
        let env = vec![("OF_ALL".to_owned(), "machine".to_owned()), ("OWN".to_owned(), "machine".to_owned())];
        let machine = Arc::new(Machine { python, folder, maps, env, shows_runs: false, news });
        let shown = clock.clone();
        let client = ClusterApi::new(move || shown.now(), 1).client();
        let kubelet = Arc::new(Kubelet::new(client.clone(), clock, machine));
        let served = kubelet.clone();
        let serving = AbortOnDropHandle::new(tokio::spawn(async move { served.serve().await }));
        Self { client, kubelet, place, serving }
    }

    fn pods(&self) -> Api<Pod> {
        Api::default_namespaced(self.client.clone())
    }

    /// Creates a pod of one shell with this script, and further fields of its container.
    async fn create(&self, name: &str, script: &str, policy: &str, further: Value) -> Pod {
        let mut container = further;
        container["name"] = json!("main");
        container["image"] = json!("sh");
        container["command"] = json!(["python", "-c", script]);
        let pod = json!({
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": policy, "terminationGracePeriodSeconds": 20, "containers": [container],
                "volumes": [{"name": "door", "secret": {"secretName": "door", "optional": true}}],
            },
        });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap()
    }

    /// Waits until a pod is so.
    async fn until(&self, name: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
        let condition = |pod: Option<&Pod>| pod.is_some_and(&holds);
        let found = timeout(LIMIT, await_condition(self.pods(), name, condition)).await;
        found.unwrap_or_else(|_| panic!("{name} is not so")).unwrap().unwrap()
    }

    /// How the container of a pod ended.
    async fn end(&self, name: &str) -> (i32, String) {
        let pod = self.until(name, |pod| state::terminated(pod, "main").is_some()).await;
        let end = state::terminated(&pod, "main").unwrap().clone();
        (end.exit_code, end.message.unwrap_or_default())
    }

    async fn is_deleted(&self, pod: &Pod) {
        let condition = conditions::is_deleted(pod.metadata.uid.as_deref().unwrap());
        timeout(LIMIT, await_condition(self.pods(), &pod.name_any(), condition)).await.unwrap().unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

#[tokio::test]
async fn a_pod_ends_with_its_code_and_its_message() {
    let world = World::new("ends");
    let message = r#"printf done > "$DASKFLOW_TERMINATION_LOG"; exit 3"#;
    world.create("message", message, "Never", json!({})).await;
    assert_eq!(world.end("message").await, (3, "done".to_owned()));
    let fallback = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
    world.create("words", "echo last words; exit 1", "Never", fallback).await;
    assert_eq!(world.end("words").await, (1, "last words\n".to_owned()));
    world.create("killed", "kill -s KILL $$$$", "Never", json!({})).await;
    assert_eq!(world.end("killed").await.0, 137);
    let pod = world.until("killed", |pod| phase(pod) == "Failed").await;
    assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some(status::NODE));
}

#[tokio::test]
async fn a_pod_waits_for_what_it_needs_and_then_has_it() {
    let world = World::new("needs");
    let container = json!({
        "env": [
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "door", "key": "key"}}},
            {"name": "PLACE", "value": "/flows/$(KEY)"},
            {"name": "OWN", "value": "pod"},
        ],
        "volumeMounts": [{"name": "door", "mountPath": "/etc/door"}],
        "workingDir": "/flows", "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let script =
        "cat /etc/door/key; printf ' %s %s %s %s' \"$PLACE\" \"$(pwd)\" \"$OF_ALL\" \"$OWN\"; exit 1";
    world.create("needs", script, "Never", container).await;
    let waiting = |pod: &Pod| {
        let state = state::container(pod, "main")?.state.as_ref()?.waiting.as_ref()?;
        state.message.clone()
    };
    let pod = world.until("needs", |pod| waiting(pod).is_some()).await;
    assert!(waiting(&pod).unwrap().contains("the Secret door is not there"), "{pod:?}");
    let secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": "door"}, "stringData": {"key": "open"}})).unwrap();
    let secrets: Api<Secret> = Api::default_namespaced(world.client.clone());
    secrets.create(&PostParams::default(), &secret).await.unwrap();
    let folder = world.place.display().to_string();
    assert_eq!(world.end("needs").await, (1, format!("open {folder}/open {folder} machine pod")));
}

#[tokio::test]
async fn a_container_is_started_again_as_its_policy_says() {
    let world = World::new("again");
    let script = r#"if [ -e "$MARK" ]; then sleep 600; else : > "$MARK"; exit 2; fi"#;
    let mark = json!({"env": [{"name": "MARK", "value": "/flows/mark"}]});
    world.create("again", script, "OnFailure", mark).await;
    let restarts = |pod: &Pod| state::container(pod, "main").map(|container| container.restart_count);
    let pod = world.until("again", |pod| restarts(pod) == Some(1) && state::runs(pod, "main")).await;
    assert_eq!(state::last_end(&pod, "main").unwrap().exit_code, 2);
    world.create("done", "exit 0", "OnFailure", json!({})).await;
    world.until("done", |pod| phase(pod) == "Succeeded").await;
    world.kubelet.end().await;
}

#[tokio::test]
async fn a_deleted_pod_ends_with_all_that_it_started() {
    let world = World::new("deleted");
    let script = "trap 'echo end > /flows/ended; exit 0' TERM; sleep 600 & echo $! > /flows/child; wait";
    let step =
        json!({"lifecycle": {"preStop": {"exec": {"command": ["python", "-c", "echo step > /flows/step"]}}}});
    let pod = world.create("deleted", script, "Never", step).await;
    let child = world.place.join("child");
    world.until("deleted", |pod| state::runs(pod, "main")).await;
    let child = timeout(LIMIT, read(&child)).await.unwrap();
    world.pods().delete("deleted", &DeleteParams::default()).await.unwrap();
    world.is_deleted(&pod).await;
    for (file, word) in [("step", "step"), ("ended", "end")] {
        assert_eq!(read(&world.place.join(file)).await, word);
    }
    let alive =
        tokio::process::Command::new("sh").args(["-c", &format!("kill -0 {child} 2>/dev/null")]).status();
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(!alive.await.unwrap().success() || stat.contains(") Z"), "{child} lives: {stat}");
}

/// Where objects are kept, the next daskflow has to know what became of them.
#[tokio::test]
async fn pods_that_daskflow_ends_have_failed_where_they_are_kept() {
    let world = World::with("kept", |place| Folder::kept(&place.join("kept")).unwrap());
    world.create("runs", "trap 'exit 0' TERM; sleep 600 & wait", "Never", json!({})).await;
    let secret = json!({"env": [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "key"}}},
    ]});
    world.create("waits", "exit 0", "Never", secret).await;
    let worker = json!({
        "metadata": {"name": "worker", "labels": {"dask.org/component": "worker"}},
        "spec": {"containers": [{"name": "worker", "image": "sh", "command": ["python", "-c", "sleep 600"]}]},
    });
    let worker: Pod = serde_json::from_value(worker).unwrap();
    let worker = world.pods().create(&PostParams::default(), &worker).await.unwrap();
    world.until("runs", |pod| state::runs(pod, "main")).await;
    world.until("worker", |pod| state::runs(pod, "worker")).await;
    world.until("waits", |pod| state::container(pod, "main").is_some()).await;
    world.kubelet.end().await;
    for name in ["runs", "waits"] {
        let pod = world.pods().get(name).await.unwrap();
        let target = state::disruption_target(&pod).and_then(|target| target.reason.as_deref());
        assert_eq!((phase(&pod), target), ("Failed", Some("TerminationByKubelet")), "{name}");
        assert!(pod.metadata.deletion_timestamp.is_none(), "{name}");
    }
    world.is_deleted(&worker).await;
    assert_eq!(give_up(&world.client, Clock::of_machine().now()).await.unwrap(), 0);
}

/// As after a restart with `--state`: nobody looks after the pods that an earlier daskflow had taken.
#[tokio::test]
async fn pods_of_an_earlier_daskflow_are_lost_but_for_those_that_had_ended_or_not_begun() {
    let client = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1).client();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    for (name, node, phase) in [
        ("new", None, None),
        ("worker", None, None),
        ("taken", Some(status::NODE), None),
        ("running", Some(status::NODE), Some("Running")),
        ("ending", Some(status::NODE), Some("Running")),
        ("ended", Some(status::NODE), Some("Running")),
        ("done", Some(status::NODE), Some("Succeeded")),
    ] {
        let spec = json!({"nodeName": node, "containers": [{"name": "main", "image": "i"}]});
        let labels = json!({"dask.org/component": if name == "worker" { "worker" } else { "runner" }});
        let metadata = json!({"name": name, "labels": labels});
        let pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
        let state = json!({"name": "main", "image": "i", "imageID": "", "ready": true, "restartCount": 2,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}});
        let ready = json!({"type": "Ready", "status": "True"});
        let status = json!({"phase": phase, "conditions": [ready], "containerStatuses": [state]});
        if phase.is_some() {
            let patch = Patch::Merge(json!({"status": status}));
            pods.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        }
    }
    for name in ["ending", "ended"] {
        pods.delete(name, &DeleteParams::default()).await.unwrap();
    }
    // Its end was said, and then daskflow ended.
    let over = Patch::Merge(json!({"status": {"phase": "Failed"}}));
    pods.patch_status("ended", &PatchParams::default(), &over).await.unwrap();
    let now = "2026-01-02T00:00:00Z".parse().unwrap();
    assert_eq!(give_up(&client, now).await.unwrap(), 3);
    let of = async |name: &str| pods.get(name).await.unwrap();
    for name in ["taken", "running"] {
        let pod = of(name).await;
        assert_eq!(phase(&pod), "Failed", "{name}");
        let end = state::terminated(&pod, "main").unwrap();
        assert_eq!(end.reason.as_deref(), Some("ContainerStatusUnknown"));
        assert!(end.finished_at.is_none(), "it is not known");
        assert_eq!(state::taken_away_at(&pod), Some(now), "{name}");
        let ready = |pod: &Pod| pod.status.clone()?.conditions?.into_iter().find(|one| one.type_ == "Ready");
        assert!(ready(&pod).is_none_or(|ready| ready.status == "False"), "{name}");
    }
    assert_eq!(of("running").await.status.unwrap().container_statuses.unwrap()[0].restart_count, 2);
    assert_eq!((phase(&of("new").await), phase(&of("done").await)), ("Pending", "Succeeded"));
    for name in ["ending", "ended", "worker"] {
        assert!(pods.get(name).await.is_err(), "{name} was to end, or has an address of before");
    }
    assert_eq!(give_up(&client, now).await.unwrap(), 0);
}

#[tokio::test]
async fn a_pod_that_ends_by_itself_as_it_is_deleted_goes() {
    let world = World::new("itself");
    // No order of the kubelet comes.
    world.serving.abort();
    let script = "until [ -e /flows/over ]; do sleep 0.05; done";
    let pod = world.create("itself", script, "Never", json!({})).await;
    let (_order, orders) = watch::channel(Order::Live);
    let (client, kubelet) = (world.client.clone(), world.kubelet.clone());
    let (clock, machine, logs) = (kubelet.clock.clone(), kubelet.machine.clone(), kubelet.logs.clone());
    let life = tokio::spawn(Box::pin(Life { client, clock, machine, logs, pod, orders }.live()));
    world.until("itself", |pod| state::runs(pod, "main")).await;
    world.pods().delete("itself", &DeleteParams::default()).await.unwrap();
    std::fs::write(world.place.join("over"), "").unwrap();
    timeout(LIMIT, life).await.unwrap().unwrap();
    assert!(world.pods().get("itself").await.is_err(), "it would end for ever");
}

#[tokio::test]
async fn logs_of_long_ago_are_looked_for_from_the_start() {
    let world = World::new("long-ago");
    let log = world.kubelet.machine.log("default", "long-ago");
    volumes::make_folder(log.parent().unwrap()).unwrap();
    let written = std::fs::File::create(&log).unwrap();
    written.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let goes = async {
        while log.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, goes).await.unwrap();
}

#[tokio::test]
async fn a_command_says_whether_a_pod_is_ready() {
    let world = World::new("probe");
    let mark = world.place.join("mark");
    let probe = json!({
        "exec": {"command": ["python", "-c", "echo asked; test -e \"$MARK\""]},
        "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 30,
    });
    let container = json!({"env": [{"name": "MARK", "value": "/flows/mark"}], "readinessProbe": probe});
    let pod = world.create("probe", "sleep 600", "Never", container).await;
    let is_ready = |pod: &Pod| state::container(pod, "main").is_some_and(|container| container.ready);
    world.until("probe", |pod| state::runs(pod, "main") && !is_ready(pod)).await;
    std::fs::write(&mark, "").unwrap();
    world.until("probe", is_ready).await;
    std::fs::remove_file(&mark).unwrap();
    world.until("probe", |pod| !is_ready(pod)).await;
    world.pods().delete("probe", &DeleteParams::default()).await.unwrap();
    world.is_deleted(&pod).await;
    let log = world.kubelet.machine.log("default", "probe");
    assert_eq!(std::fs::read_to_string(log).unwrap(), "", "what a probe writes is not in the log");
}

#[tokio::test]
async fn what_is_ignored_is_said_in_one_event_of_its_object_and_a_condition_of_the_pod() {
    let world = World::new("ignored");
    let spec = serde_json::from_value(json!({"image": "sh"})).unwrap();
    let clusters: Api<DaskCluster> = Api::default_namespaced(world.client.clone());
    let cluster = clusters.create(&PostParams::default(), &DaskCluster::new("gpus", spec)).await.unwrap();
    let pod = json!({
        "metadata": {"name": "one", "labels": {"dask.org/cluster-name": "gpus", "dask.org/component": "worker"}},
        "spec": {
            "nodeSelector": {"gpu": "yes"}, "restartPolicy": "Never",
            "containers": [{"name": "worker", "image": "sh", "command": ["python", "-c", "exit 0"]}],
        },
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    world.pods().create(&PostParams::default(), &pod).await.unwrap();
    let pod = world.until("one", |pod| phase(pod) == "Succeeded").await;
    let conditions = pod.status.clone().unwrap().conditions.unwrap();
    let ignored = conditions.iter().find(|condition| condition.type_ == "IgnoredOnThisMachine").unwrap();
    assert_eq!((ignored.status.as_str(), ignored.message.as_deref()), ("True", Some("nodeSelector")));
    let events: Api<Event> = Api::default_namespaced(world.client.clone());
    let about = ListParams::default().fields("involvedObject.name=gpus");
    let find = async {
        loop {
            let found = events.list(&about).await.unwrap().items;
            if !found.is_empty() {
                break found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(LIMIT, find).await.unwrap();
    assert_eq!(found[0].message.as_deref(), Some("ignored on this machine: nodeSelector"));
    assert_eq!(found[0].involved_object.uid, cluster.metadata.uid);
    // Another pod of the same has nothing new to say.
    Owner::of(&pod).note_ignored(&world.client, "nodeSelector", Clock::of_machine().now()).await;
    assert_eq!(events.list(&about).await.unwrap().items.len(), 1);
    Owner::of(&pod).note_ignored(&world.client, "tolerations", Clock::of_machine().now()).await;
    assert_eq!(events.list(&about).await.unwrap().items.len(), 2);
}

/// What a file holds, once it holds something.
async fn read(path: &Path) -> String {
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') {
            return text.trim().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
