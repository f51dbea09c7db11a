//! The main job: the example of `manifests/samples/example`, unedited, with all of its work on the Dask
//! workers.

use std::fs;
use std::path::Path;

use daskflow::api::{DaskCluster, Flow, FlowRun, Phase};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use crate::support::clock::{now, seconds};
use crate::support::figures::figure_seconds;
use crate::support::logs::{self, Line, TASK_STARTED};
use crate::support::manifests::with;
use crate::support::namespace::phase_of;
use crate::support::timeline::{Seen, Timeline};
use crate::support::{Load, Namespace, operator, poll, test, within};

/// Three maps over 100 items, the parent of each, and one sum.
pub const TASKS: usize = 304;

/// It takes up to three minutes, because it is about two ticks of a clock that ticks once a minute.
#[tokio::test]
async fn example_flow_runs_every_minute() {
    test("example_flow_runs_every_minute", Load::Dask, async |namespace| {
        let times = Times::watch(namespace);
        let created = now();
        let example = Example::read();
        example.create(namespace, &namespace.settings.prefect1, |_| {}).await;
        let (first, second) = two_ends(namespace, &example.flow).await;

        assert_eq!(ticks_between(&first, &second), 1, "two consecutive ticks");
        for run in [&first, &second] {
            assert_eq!(phase_of(run), Phase::Succeeded);
            assert_once(namespace, run).await;
        }
        // The workers are the same pods for both runs, whose lines part where the second runner started:
        // under Forbid the first one was over then, however long it took on a busy machine.
        let status = |run: &FlowRun| run.status.clone().unwrap();
        let started = status(&second).started_at.unwrap().0;
        assert!(status(&first).finished_at.unwrap().0 <= started, "the runs did not overlap");
        let lines = worker_lines(namespace, &example.cluster, 2 * TASKS).await;
        let earlier = lines.iter().filter(|line| line.at < started).count();
        assert_eq!((earlier, lines.len() - earlier), (TASKS, TASKS), "tasks on the workers in each run");
        print_figures(&times, created, &second, &lines);
        operator::print_memory(&namespace.client).await;
    })
    .await;
}

#[tokio::test]
async fn example_flow_runs_with_the_class_path_of_old() {
    test("example_flow_runs_with_the_class_path_of_old", Load::Dask, async |namespace| {
        // What Prefect 1.4 cannot find, and would then run everything in the runner without a word.
        let class = json!({
            "name": "PREFECT__ENGINE__EXECUTOR__DEFAULT_CLASS",
            "value": "prefect.engine.executors.DaskExecutor",
        });
        let example = Example::read();
        run_now(namespace, &example, &namespace.settings.prefect1, |spec| {
            spec.insert("env".to_owned(), json!([class]));
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn example_flow_runs_on_prefect_0() {
    test("example_flow_runs_on_prefect_0", Load::Dask, async |namespace| {
        run_now(namespace, &Example::read(), &namespace.settings.prefect0, |_| {}).await;
    })
    .await;
}

/// The example without its clock, once, now.
pub async fn run_now(
    namespace: &Namespace,
    example: &Example,
    image: &str,
    change: impl Fn(&mut Map<String, Value>),
) {
    example
        .create(namespace, image, |spec| {
            spec.remove("schedule");
            change(spec);
        })
        .await;
    let run = namespace.start_run(&example.flow).await;
    let run = namespace.until_phase(&run, Phase::Succeeded, 240).await;
    assert_once(namespace, &run).await;
    worker_lines(namespace, &example.cluster, TASKS).await;
}

/// The objects of the example's folder, as `kubectl apply -k` makes them.
pub struct Example {
    objects: Vec<Value>,
    /// The name of its DaskCluster.
    pub cluster: String,
    flow: String,
}

impl Example {
    /// Reads the folder.
    pub fn read() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples/example");
        let read = |file: &str| {
            fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
        };
        let parse = |file: &str| serde_yaml::from_str::<Value>(&read(file)).unwrap();
        let kustomization = parse("kustomization.yaml");
        let files = kustomization["resources"].as_array().unwrap().iter().map(|file| file.as_str().unwrap());
        let mut objects: Vec<Value> = files.map(parse).collect();
        for map in kustomization["configMapGenerator"].as_array().unwrap() {
            let files = map["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap());
            let data: Map<_, _> = files.map(|file| (file.to_owned(), json!(read(file)))).collect();
            objects.push(json!({"kind": "ConfigMap", "metadata": {"name": map["name"]}, "data": data}));
        }
        let name = |kind: &str| {
            let object = objects.iter().find(|object| object["kind"] == kind).unwrap();
            object["metadata"]["name"].as_str().unwrap().to_owned()
        };
        Self { cluster: name("DaskCluster"), flow: name("Flow"), objects }
    }

    /// The same, with more in the spec of its DaskCluster.
    pub fn with_cluster(mut self, more: &Value) -> Self {
        for object in self.objects.iter_mut().filter(|object| object["kind"] == "DaskCluster") {
            *object = with(object.take(), more.clone());
        }
        self
    }

    /// Creates the objects, with the image under test and a changed spec of the flow.
    async fn create(&self, namespace: &Namespace, image: &str, change: impl Fn(&mut Map<String, Value>)) {
        for object in &self.objects {
            let mut object = object.clone();
            match object["kind"].as_str().unwrap() {
                "ConfigMap" => drop(namespace.create::<ConfigMap>(object).await),
                "DaskCluster" => {
                    object["spec"]["image"] = json!(image);
                    drop(namespace.create::<DaskCluster>(object).await);
                }
                "Flow" => {
                    change(object["spec"].as_object_mut().unwrap());
                    drop(namespace.create::<Flow>(object).await);
                }
                other => panic!("the example has a {other}"),
            }
        }
    }
}

/// The first two runs, when both have ended.
async fn two_ends(namespace: &Namespace, flow: &str) -> (FlowRun, FlowRun) {
    let ended = poll(within(300, "two runs have ended"), async || {
        let runs = namespace.runs_of(flow).await;
        let seen: Vec<_> =
            runs.iter().map(|run| format!("{} {}", run.name_any(), phase_of(run).as_str())).collect();
        let ended: Vec<FlowRun> = runs.into_iter().filter(|run| phase_of(run).is_final()).collect();
        <[FlowRun; 2]>::try_from(ended).map_err(|_| seen.join(", "))
    });
    let [first, second] = ended.await;
    (first, second)
}

fn scheduled_time(run: &FlowRun) -> Timestamp {
    run.spec.scheduled_time.as_ref().unwrap().0
}

fn ticks_between(first: &FlowRun, second: &FlowRun) -> i64 {
    let elapsed = scheduled_time(second).as_second() - scheduled_time(first).as_second();
    assert_eq!(elapsed % 60, 0, "a clock of one minute ticks at whole minutes");
    elapsed / 60
}

/// One Job, one pod, none of the work in it, and the runner's own count is right.
pub async fn assert_once(namespace: &Namespace, run: &FlowRun) {
    let name = run.name_any();
    let jobs: Vec<Job> = namespace.list(&format!("daskflow.dev/run={name}")).await;
    let pods: Vec<Pod> = namespace.list(&logs::runner_of(&name)).await;
    assert_eq!((jobs.len(), pods.len()), (1, 1), "Jobs and pods of {name}");
    let in_runner = namespace.lines(&logs::runner_of(&name), TASK_STARTED).await;
    assert!(in_runner.is_empty(), "{} tasks ran in the runner of {name}", in_runner.len());
    let tasks = run.status.as_ref().unwrap().tasks.unwrap();
    assert_eq!((tasks.total, tasks.failed), (304, 0), "what the runner counted in {name}");
}

/// Each task that started on a worker, once there are as many as wanted and no more.
async fn worker_lines(namespace: &Namespace, cluster: &str, count: usize) -> Vec<Line> {
    let lines = poll(within(15, format!("{count} tasks in the workers' logs")), async || {
        let lines = namespace.lines(&logs::workers_of(cluster), TASK_STARTED).await;
        if lines.len() >= count { Ok(lines) } else { Err(format!("{} tasks", lines.len())) }
    });
    let lines = lines.await;
    assert_eq!(lines.len(), count, "tasks that started on the workers");
    lines
}

/// When each object was first seen.
struct Times {
    pods: Timeline<Pod>,
    clusters: Timeline<DaskCluster>,
    runs: Timeline<FlowRun>,
    jobs: Timeline<Job>,
}

impl Times {
    fn watch(namespace: &Namespace) -> Self {
        Self {
            pods: Timeline::watch(namespace),
            clusters: Timeline::watch(namespace),
            runs: Timeline::watch(namespace),
            jobs: Timeline::watch(namespace),
        }
    }
}

fn print_figures(times: &Times, created: Timestamp, run: &FlowRun, lines: &[Line]) {
    let print = |name: &str, from: Timestamp, to: Option<Timestamp>| {
        figure_seconds(name, seconds(from, to.unwrap_or_else(|| panic!("{name} was not seen"))));
    };
    let of_cluster = |component: &str| {
        let first = |versions: &[Seen<Pod>]| {
            let mut seen: Vec<(Timestamp, String)> = Vec::new();
            for Seen { at, object: pod, .. } in versions {
                let ours = pod.labels().get("dask.org/component").is_some_and(|it| it == component);
                if ours && seen.iter().all(|(_, name)| *name != pod.name_any()) {
                    seen.push((*at, pod.name_any()));
                }
            }
            seen.last().map(|(at, _)| *at)
        };
        times.pods.read(first)
    };
    let all_pods = of_cluster("scheduler").max(of_cluster("worker"));
    print("daskcluster_created_to_all_pods_created", created, all_pods);
    let registered =
        times.clusters.first(|cluster| cluster.status.as_ref().is_some_and(|it| it.workers.ready == 2));
    print("daskcluster_created_to_workers_registered", created, registered);
    let tick = scheduled_time(run);
    let name = run.name_any();
    print("tick_to_flowrun_created", tick, times.runs.first(|run| run.name_any() == name));
    print(
        "tick_to_job_created",
        tick,
        times.jobs.first(|job| job.labels().get("daskflow.dev/run") == Some(&name)),
    );
    let started =
        run.status.as_ref().and_then(|status| status.started_at.as_ref()).map_or(tick, |time| time.0);
    print("tick_to_first_task", tick, lines.iter().map(|line| line.at).find(|at| *at >= started));
}
