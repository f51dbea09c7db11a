//! The runner: the Job of one attempt of a run, and the ConfigMap with its code.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, EnvVar, LocalObjectReference, Pod, PodTemplateSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::{Map, Value};

pub use super::script::Script;
use super::{
    Violation, common_labels, container, content_hash, controller_ref, keep_restart_policy, label, merge,
    mounts, program, written,
};
use crate::api::common::Entrypoint;
use crate::api::{Flow, FlowRun, PullPolicy, labels};
use crate::plan::names;
use crate::plan::site::{Folder, Site};

/// The name of the runner's container.
pub const CONTAINER: &str = "runner";
/// The folder of the script, in that of the code.
const SCRIPT_FOLDER: &str = "code";

/// The cluster that a runner works on, as far as its pod is concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// The address of the Dask scheduler.
    pub address: String,
    /// The image, where the Flow names none.
    pub image: Option<String>,
    /// When it is pulled, where the Flow does not say.
    pub pull_policy: Option<PullPolicy>,
    /// What it is pulled with, where the Flow does not say.
    pub pull_secrets: Vec<LocalObjectReference>,
    /// The cluster's environment.
    pub env: Vec<EnvVar>,
    /// The Python of the cluster's image, where the Flow names neither.
    pub python: Option<String>,
    /// What becomes of its `ENTRYPOINT`, likewise.
    pub entrypoint: Option<Entrypoint>,
    /// What the pods of the cluster have in common.
    pub pod_defaults: Option<Value>,
    /// Whether others use the cluster as well.
    pub is_shared: bool,
    /// What the scheduler is shown, and what is trusted, where it speaks TLS.
    pub tls: Option<mounts::Files>,
    /// The host to connect to in place of the address's own, which no name server knows: that is what a proxy
    /// is asked for.
    pub proxy: Option<String>,
}

/// The ConfigMap with the bootstrap and the script, if the Flow runs a script. Its name carries a hash of its
/// content and it never changes, so that a run keeps the code that it started with.
pub fn code(flow: &Flow, script: Option<&Script>) -> Option<ConfigMap> {
    flow.spec.code.as_ref()?;
    let mut data = program::data();
    let mut binary = BTreeMap::new();
    if let Some(script) = script {
        script.put(&mut data, &mut binary);
    }
    let name = flow.name_any();
    let mut all_labels = common_labels(&name, labels::RUNNER);
    all_labels.insert(labels::FLOW.to_owned(), name.clone());
    Some(ConfigMap {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{}", content_hash(&(&data, &binary)))),
            namespace: flow.namespace(),
            owner_references: controller_ref(flow).map(|owner| vec![owner]),
            labels: Some(all_labels),
            ..ObjectMeta::default()
        },
        data: Some(data),
        immutable: Some(true),
        binary_data: (!binary.is_empty()).then_some(binary),
    })
}

/// The logical time of a run and the ticks of its clock around it, each RFC 3339 in UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogicalTime {
    /// The tick, or when a run without a clock was created.
    pub scheduled: String,
    /// The tick before, if there is one.
    pub previous: Option<String>,
    /// The tick after, if there is one.
    pub next: Option<String>,
}

impl LogicalTime {
    fn annotations(&self) -> BTreeMap<String, String> {
        let all = [
            (labels::SCHEDULED_TIME, Some(&self.scheduled)),
            (labels::PREVIOUS_TICK, self.previous.as_ref()),
            (labels::NEXT_TICK, self.next.as_ref()),
        ];
        all.into_iter().filter_map(|(key, time)| Some((key.to_owned(), time?.clone()))).collect()
    }

    /// For any script, and for Prefect 1, which takes `PREFECT__CONTEXT__X` over into `prefect.context.x`.
    fn environment(&self) -> Vec<EnvVar> {
        let scheduled = Some(&self.scheduled);
        let all = [
            ("DASKFLOW_SCHEDULED_TIME", scheduled),
            ("DASKFLOW_PREVIOUS_TICK", self.previous.as_ref()),
            ("DASKFLOW_NEXT_TICK", self.next.as_ref()),
            ("PREFECT__CONTEXT__DATE", scheduled),
            ("PREFECT__CONTEXT__SCHEDULED_START_TIME", scheduled),
            ("PREFECT__CONTEXT__PREVIOUS_TICK", self.previous.as_ref()),
            ("PREFECT__CONTEXT__NEXT_TICK", self.next.as_ref()),
        ];
        all.into_iter()
            .filter_map(|(name, time)| Some(container::env(name, container::escape(time?))))
            .collect()
    }
}

/// What a run's Job is made from.
pub struct Attempt<'a> {
    /// Where it runs.
    pub site: Site,
    /// The Flow.
    pub flow: &'a Flow,
    /// The run.
    pub run: &'a FlowRun,
    /// The number of the attempt, from 1.
    pub number: u32,
    /// The cluster.
    pub target: &'a Target,
    /// The script, if it is not in the image.
    pub script: Option<&'a Script>,
    /// The parameters of the run: the Flow's, the clock's and the run's own, merged.
    pub parameters: Map<String, Value>,
    /// The logical time.
    pub time: LogicalTime,
    /// How long the attempt may take.
    pub timeout: Option<Duration>,
}

/// The Job of one attempt. It never retries by itself, and never replaces a pod that has not ended.
///
/// # Errors
///
/// A [`Violation`] of `spec.template`, or of `spec.image` where no image is known.
pub fn job(attempt: &Attempt<'_>) -> Result<Job, Violation> {
    let (flow, run) = (attempt.flow, attempt.run);
    let name = names::job_name(&run.name_any(), attempt.number);
    let code = code(flow, attempt.script);
    let code_name = code.and_then(|map| map.metadata.name);
    let mut template =
        PodTemplateSpec { metadata: None, spec: Some(pod_spec(attempt, code_name.as_deref())?) };
    let env = container::merge_env([attempt.target.env.as_slice(), &flow.spec.env]);
    let written = merge::Written { resources: &flow.spec.resources, env: &env, priority_class_name: None };
    merge::defaults(&mut template, attempt.target.pod_defaults.as_ref(), CONTAINER, &written)?;
    if let (Some(account), Some(pod)) = (&flow.spec.service_account_name, &mut template.spec) {
        pod.service_account_name = Some(account.clone());
    }
    merge::over(&mut template, flow.spec.template.as_ref(), "spec.template")?;
    keep_restart_policy(&mut template, CONTAINER, "Never");
    keep_address(&mut template, &attempt.target.address);
    tell_grace(&mut template);
    if attempt.target.tls.is_some() {
        mounts::let_user_read(&mut template);
    }
    let mut all_labels = common_labels(&flow.name_any(), labels::RUNNER);
    all_labels.insert(labels::COMPONENT.to_owned(), labels::RUNNER.to_owned());
    all_labels.insert(labels::FLOW.to_owned(), flow.name_any());
    all_labels.insert(labels::RUN.to_owned(), run.name_any());
    label(&mut template, all_labels.clone());
    all_labels.extend(code_name.map(|code| (labels::CODE.to_owned(), code)));
    let mut annotations = attempt.time.annotations();
    annotations.extend(
        attempt.target.tls.as_ref().map(|files| (labels::CERTIFICATE.to_owned(), files.secret.clone())),
    );
    let metadata = template.metadata.get_or_insert_default();
    metadata.annotations.get_or_insert_default().extend(annotations.clone());
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: run.namespace(),
            owner_references: controller_ref(run).map(|owner| vec![owner]),
            labels: Some(all_labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            pod_replacement_policy: Some("Failed".to_owned()),
            active_deadline_seconds: attempt.timeout.map(seconds),
            template,
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// What a runner's pod has in common with those that the API server judges alike: all but what tells its run
/// from other runs, its Job from other Jobs, and its Flow from Flows that are made alike.
pub fn kind_of_pod(pod: &Pod) -> String {
    let mut pod = pod.clone();
    // The last two are the Job controller's, as are those of batch.kubernetes.io.
    let names_one = |label: &str| {
        ["daskflow.dev/", "app.kubernetes.io/", "batch.kubernetes.io/"].iter().any(|of| label.starts_with(of))
            || ["controller-uid", "job-name"].contains(&label)
    };
    let metadata = &mut pod.metadata;
    metadata.name = None;
    for words in [&mut metadata.labels, &mut metadata.annotations].into_iter().flatten() {
        words.iter_mut().filter(|(key, _)| names_one(key)).for_each(|(_, value)| value.clear());
    }
    let containers = pod.spec.iter_mut().flat_map(|spec| &mut spec.containers);
    for variable in containers.flat_map(|container| container.env.iter_mut().flatten()) {
        if ["DASKFLOW_", "PREFECT__CONTEXT__"].iter().any(|prefix| variable.name.starts_with(prefix)) {
            variable.value = None;
        }
    }
    content_hash(&pod)
}

/// How long a Job may take, as Kubernetes counts it.
pub fn seconds(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX)
}

fn pod_spec(
    attempt: &Attempt<'_>,
    code_name: Option<&str>,
) -> Result<k8s_openapi::api::core::v1::PodSpec, Violation> {
    let (spec, target) = (&attempt.flow.spec, attempt.target);
    let Some(image) = spec.image.as_ref().or(target.image.as_ref()) else {
        return Err(Violation::invalid("spec.image", "the flow has no image and neither has its cluster"));
    };
    let mut main = container::container(CONTAINER, image, spec.image_pull_policy.or(target.pull_policy));
    let code_path = attempt.site.path(Folder::Code);
    let script_path = match (&spec.code, attempt.script) {
        (Some(_), Some(script)) => Some(format!("{code_path}/{SCRIPT_FOLDER}/{}", script.file)),
        (Some(code), None) => code.path.as_deref().map(container::escape),
        (None, _) => None,
    };
    let entrypoint = spec.entrypoint.or(target.entrypoint.filter(|_| spec.image.is_none()));
    if let Some(violation) = written::idle_packages(&spec.env, entrypoint, "spec.env") {
        return Err(violation);
    }
    let words = if let Some(path) = script_path {
        let of_cluster = target.python.as_ref().filter(|_| spec.image.is_none());
        let python = container::python(attempt.site, spec.python.as_ref().or(of_cluster));
        vec![python, format!("{code_path}/{}", program::START), path]
    } else {
        spec.command.clone()
    };
    main.args = (!spec.args.is_empty()).then(|| spec.args.clone());
    if entrypoint == Some(Entrypoint::Image) {
        container::run(&mut main, words.into_iter().chain(spec.args.clone()).collect(), entrypoint);
        main.args = main.args.filter(|words| !words.is_empty());
    } else if !words.is_empty() {
        container::run(&mut main, words, entrypoint);
    }
    main.env = Some(environment(attempt));
    main.env_from = (!spec.env_from.is_empty()).then(|| spec.env_from.clone());
    main.resources = Some(spec.resources.to_requirements());
    // A command of the user's own writes no termination message; its last words do.
    main.termination_message_policy = Some("FallbackToLogsOnError".to_owned());
    main.volume_mounts = code_name.map(|_| {
        vec![VolumeMount {
            name: "code".to_owned(),
            mount_path: code_path.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]
    });
    let secrets =
        if spec.image_pull_secrets.is_empty() { &target.pull_secrets } else { &spec.image_pull_secrets };
    let mut pod = container::pod(main, "Never", secrets);
    pod.volumes = code_name.map(|name| vec![code_volume(name, attempt.script)]);
    if let Some(files) = &target.tls {
        files.mount(&mut pod, attempt.site, &["CLIENT"]);
    }
    if let Some(account) = &spec.service_account_name {
        pod.service_account_name = Some(account.clone());
        // Who names an account wants its token.
        pod.automount_service_account_token = None;
    }
    Ok(pod)
}

fn code_volume(name: &str, script: Option<&Script>) -> Volume {
    let mut items = program::items();
    items.extend(script.iter().flat_map(|script| script.items(SCRIPT_FOLDER)));
    Volume {
        name: "code".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: name.to_owned(),
            items: Some(items),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Ours first, then the cluster's, then the Flow's; the address of the scheduler is nobody's to change.
fn environment(attempt: &Attempt<'_>) -> Vec<EnvVar> {
    let (flow, run, target) = (attempt.flow, attempt.run, attempt.target);
    // With the bootstrap the class path of the oldest Prefect works on every version, since it imports the
    // module that the path names; a bare command has no such help, and Prefect 0.14 to 1.4 all know the newer
    // path.
    let executor = if flow.spec.code.is_some() {
        "prefect.engine.executors.DaskExecutor"
    } else {
        "prefect.executors.DaskExecutor"
    };
    let parameters = Value::Object(attempt.parameters.clone()).to_string();
    let ours = [
        container::env("DASKFLOW_FLOW", flow.name_any()),
        container::env("DASKFLOW_RUN", run.name_any()),
        container::env("DASKFLOW_ATTEMPT", attempt.number.to_string()),
        container::env("DASKFLOW_ENGINE", flow.spec.engine.as_str()),
        container::env("DASKFLOW_CLUSTER_SHARED", if target.is_shared { "true" } else { "false" }),
        container::env("DASKFLOW_PARAMETERS", container::escape(&parameters)),
        container::env("PREFECT__ENGINE__EXECUTOR__DEFAULT_CLASS", executor),
        container::env("PREFECT__FLOWS__RUN_ON_SCHEDULE", "false"),
        // pendulum 2 ships zones of 2020; the image's own are newer.
        container::env("PYTZDATA_TZDATADIR", "/usr/share/zoneinfo"),
        container::env("PYTHONUNBUFFERED", "1"),
    ];
    let time = attempt.time.environment();
    let proxy: Vec<EnvVar> = target
        .proxy
        .iter()
        .map(|host| container::env("DASKFLOW_SCHEDULER_PROXY", container::escape(host)))
        .collect();
    let paths = target.tls.as_ref().map(|_| mounts::paths(attempt.site)).unwrap_or_default();
    container::merge_env([
        ours.as_slice(),
        &paths,
        &time,
        &proxy,
        &target.env,
        &flow.spec.env,
        &addresses(&target.address),
    ])
}

/// The variables that lead to the scheduler; they are nobody's to change.
fn addresses(address: &str) -> [EnvVar; 2] {
    [
        container::env("DASK_SCHEDULER_ADDRESS", container::escape(address)),
        container::env("PREFECT__ENGINE__EXECUTOR__DASK__ADDRESS", container::escape(address)),
    ]
}

/// Puts the address back after the user's template was merged.
fn keep_address(template: &mut PodTemplateSpec, address: &str) {
    let containers = template.spec.iter_mut().flat_map(|spec| &mut spec.containers);
    for main in containers.filter(|container| container.name == CONTAINER) {
        let env = main.env.take().unwrap_or_default();
        main.env = Some(container::merge_env([env.as_slice(), &addresses(address)]));
    }
}

/// How long a pod has from SIGTERM to SIGKILL where its spec does not say.
const GRACE_SECONDS: i64 = 30;

/// Tells the runner how long it has from SIGTERM on, whoever said so.
fn tell_grace(template: &mut PodTemplateSpec) {
    let Some(spec) = &mut template.spec else { return };
    let grace = spec.termination_grace_period_seconds.unwrap_or(GRACE_SECONDS);
    for main in spec.containers.iter_mut().filter(|container| container.name == CONTAINER) {
        let env = main.env.take().unwrap_or_default();
        main.env = Some(container::merge_env([
            env.as_slice(),
            &[container::env("DASKFLOW_GRACE_SECONDS", grace.to_string())],
        ]));
    }
}
