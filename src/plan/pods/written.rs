//! What users wrote into arguments, environments and templates, as far as other parts of a pod have to follow
//! it.

use k8s_openapi::api::core::v1::{Container, EnvVar};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use crate::api::common::{Amount, Entrypoint};
use crate::api::{DaskClusterSpec, WorkersSpec, labels};
use crate::plan::site::Site;
use crate::plan::violation::Violation;

/// The name in `podDefaults` of the container that a pod is for.
pub const EVERY: &str = "*";
/// What the `ENTRYPOINT` of Dask's own images installs before anything else.
const PACKAGES: &[&str] = &["EXTRA_PIP_PACKAGES", "EXTRA_CONDA_PACKAGES", "EXTRA_APT_PACKAGES"];
/// With this variable Dask serves its dashboard over HTTPS.
const DASHBOARD_CERTIFICATE: &str = "DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__TLS__CERT";

/// Where the web pages of a Dask process are, on the host and port that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// What stands before the path, such as `/analytics`; empty without `--dashboard-prefix`.
    pub prefix: String,
    /// Whether it is HTTPS.
    pub is_https: bool,
}

impl Pages {
    /// The scheduler's.
    pub fn of_scheduler(spec: &DaskClusterSpec) -> Self {
        let own = &spec.scheduler;
        Self::of(spec, labels::SCHEDULER, &own.args, own.template.as_ref())
    }

    /// That of the workers of a group. Dask reads the same certificate for their pages as for the
    /// scheduler's.
    pub fn of_worker(spec: &DaskClusterSpec, workers: &WorkersSpec) -> Self {
        Self::of(spec, labels::WORKER, &workers.args, workers.template.as_ref())
    }

    /// As the arguments and the environment have it, those of templates included.
    fn of(spec: &DaskClusterSpec, container: &str, arguments: &[String], template: Option<&Value>) -> Self {
        let templates = [spec.pod_defaults.as_ref(), template];
        let written = templates.into_iter().flatten().flat_map(|template| variables(template, container));
        let mut names = spec.env.iter().map(|variable| variable.name.as_str()).chain(written);
        let is_https = names.any(|name| name == DASHBOARD_CERTIFICATE);
        let more = template.map(|template| words(template, container)).unwrap_or_default();
        let arguments: Vec<String> = arguments.iter().cloned().chain(more).collect();
        let prefix = option(&arguments, "--dashboard-prefix").unwrap_or_default();
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        Self { prefix, is_https }
    }

    /// The address of a scheduler's web UI, which is at this host and port.
    pub fn status_of(&self, place: &str) -> String {
        let (scheme, prefix) = (if self.is_https { "https" } else { "http" }, &self.prefix);
        format!("{scheme}://{place}{prefix}/status")
    }
}

/// The value of an option in a list of arguments, the last one if it is there more than once.
fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let mut found = None;
    for (index, argument) in arguments.iter().enumerate() {
        match argument.strip_prefix(name) {
            Some("") => found = arguments.get(index + 1).map(String::as_str),
            Some(rest) if rest.starts_with('=') => found = rest.strip_prefix('='),
            _ => {}
        }
    }
    found
}

/// The containers of a template that stand for the one of this name.
fn containers<'a>(template: &'a Value, container: &'a str) -> impl Iterator<Item = &'a Value> {
    let all = template.pointer("/spec/containers").and_then(Value::as_array);
    all.into_iter().flatten().filter(move |one| {
        one.get("name").and_then(Value::as_str).is_some_and(|name| name == container || name == EVERY)
    })
}

/// The names of the variables that a template gives to this container.
fn variables<'a>(template: &'a Value, container: &'a str) -> Vec<&'a str> {
    let lists = containers(template, container).filter_map(|one| one.get("env")?.as_array());
    lists.flatten().filter_map(|variable| variable.get("name")?.as_str()).collect()
}

/// The arguments that a template gives to this container.
fn words(template: &Value, container: &str) -> Vec<String> {
    let lists = containers(template, container).filter_map(|one| one.get("args")?.as_array());
    lists.flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The arguments that a template adds to the command that is made here; with the image's entrypoint they take
/// its place.
pub fn added_arguments(
    template: Option<&Value>,
    (container, entrypoint): (&str, Option<Entrypoint>),
) -> Vec<String> {
    let has_command =
        |template: &Value| containers(template, container).any(|one| one.get("command").is_some());
    let template =
        template.filter(|template| entrypoint != Some(Entrypoint::Image) && !has_command(template));
    template.map(|template| words(template, container)).unwrap_or_default()
}

/// The limit of a resource that a template gives to this container.
pub fn limit(template: Option<&Value>, container: &str, resource: &str) -> Option<Amount> {
    let mut limits =
        containers(template?, container).filter_map(|one| one.pointer("/resources/limits")?.get(resource));
    limits.find_map(|amount| serde_json::from_value(amount.clone()).ok())
}

/// Refuses arguments of the scheduler by which nobody would find it in Kubernetes. The same are taken on a
/// machine, where [`listen_at`] takes them out.
///
/// # Errors
///
/// A [`Violation`] of `field`.
pub fn check_scheduler(arguments: &[String], speaks_tls: bool, field: &str) -> Result<(), Violation> {
    let site = Site::Kubernetes;
    let (comm, pages) = (site.comm_port().to_string(), format!(":{}", site.dashboard_port()));
    let everywhere = format!("0.0.0.0{pages}");
    let fixed: [(&str, &[&str], &str); 4] = [
        ("--port", &[&comm], "the Service, the workers and the operator find the scheduler at it"),
        (
            "--host",
            &["0.0.0.0", "::", "[::]"],
            "workers, runners and the operator come by the address of the pod",
        ),
        ("--protocol", if speaks_tls { &["tls"] } else { &["tcp"] }, "it follows spec.tls"),
        ("--dashboard-address", &[&pages, &everywhere], "the probe and the Service use it"),
    ];
    for (name, allowed, why) in fixed {
        let is_meant = |argument: &&String| {
            argument.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        let value = option(arguments, name);
        if arguments.iter().any(|argument| is_meant(&argument))
            && !value.is_some_and(|value| allowed.contains(&value))
        {
            return Err(Violation::invalid(field, format!("{name} cannot be set: {why}; leave it out")));
        }
    }
    Ok(())
}

/// Lets a container listen where `ours` says. These `options`, with their values, are taken out of its
/// command and its arguments, and `ours` are where the first of them was. Without one of them nothing is
/// changed, and it is false.
pub fn listen_at(main: &mut Container, options: &[&str], ours: &[String]) -> bool {
    let (mut is_value, mut is_there) = (false, false);
    for words in main.command.iter_mut().chain(&mut main.args) {
        let mut kept = Vec::with_capacity(words.len());
        for word in std::mem::take(words) {
            let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
            let is_option = !is_value && options.contains(&name);
            let is_kept = !is_value && !is_option;
            is_value = is_option && name.len() == word.len();
            if is_option && !is_there {
                kept.extend_from_slice(ours);
                is_there = true;
            }
            if is_kept {
                kept.push(word);
            }
        }
        *words = kept;
    }
    is_there
}

/// Lets the probes of a container that ask at a port ask at the one that `ours` gives in its place, if any.
pub fn ask_at(main: &mut Container, ours: impl Fn(&IntOrString) -> Option<IntOrString>) {
    let probes = [&mut main.startup_probe, &mut main.readiness_probe, &mut main.liveness_probe];
    for probe in probes.into_iter().flatten() {
        let page = probe.http_get.as_mut().map(|page| &mut page.port);
        let socket = probe.tcp_socket.as_mut().map(|socket| &mut socket.port);
        for port in page.into_iter().chain(socket) {
            if let Some(ours) = ours(port) {
                *port = ours;
            }
        }
    }
}

/// Refuses a command that does not give the worker the name of its pod: it could not be told from a stranger,
/// and pods would be made for workers that nobody counts.
///
/// # Errors
///
/// A [`Violation`] of `field`.
pub fn check_worker(container: &Container, name: &str, field: &str) -> Result<(), Violation> {
    let is_pods_name = |variable: &&EnvVar| {
        let from = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        from.is_some_and(|from| from.field_path == "metadata.name")
    };
    let variables =
        container.env.iter().flatten().filter(is_pods_name).map(|variable| variable.name.as_str());
    let names: Vec<&str> = variables.chain([name, WORKER_NAME]).collect();
    let mut words = container.command.iter().chain(&container.args).flatten();
    if words.any(|word| names.iter().any(|name| word.contains(name))) {
        return Ok(());
    }
    Err(Violation::invalid(
        field,
        "a command of the worker's own has to give the worker the name of its pod, or it is not counted: add --name \
         $(DASK_WORKER_NAME); the scheduler is at $(DASK_SCHEDULER_ADDRESS)",
    ))
}

/// The programs by which manifests of other operators start Dask, and how their containers are called.
const PROGRAMS: [&str; 4] = ["dask-worker", "dask-scheduler", "dask-cuda-worker", "dask"];

/// Refuses a template that starts Dask itself: the program as an argument, where arguments follow the command
/// that is made here, or in a container beside the one that the pod is for.
///
/// # Errors
///
/// A [`Violation`] of a field in `field`.
pub fn check_programs(
    template: Option<&Value>,
    (container, entrypoint): (&str, Option<Entrypoint>),
    field: &str,
) -> Result<(), Violation> {
    let all = template.and_then(|template| template.pointer("/spec/containers")).and_then(Value::as_array);
    for one in all.into_iter().flatten() {
        let name = one.get("name").and_then(Value::as_str).unwrap_or_default();
        let first = |list: &str| one.get(list)?.as_array()?.first()?.as_str();
        let is_program = |word: Option<&str>| word.is_some_and(|word| PROGRAMS.contains(&word));
        let place = format!("{field}.spec.containers[{name}]");
        if name == container || name == EVERY {
            // With the image's entrypoint they take the place of what would be its arguments.
            let is_added = one.get("command").is_none() && entrypoint != Some(Entrypoint::Image);
            if is_added && is_program(first("args")) {
                let field = format!("{place}.args");
                let message =
                    "the command is made for you, and these would be its arguments: leave the program out";
                return Err(Violation::invalid(field, message));
            }
        } else if is_program(first("args")) || is_program(first("command")) || is_program(Some(name)) {
            let message = format!(
                "a second container, beside the one that runs Dask in this pod, which is called {container}: write under that \
                 name what is meant for it"
            );
            return Err(Violation::invalid(place, message));
        }
    }
    Ok(())
}

/// The variables of a worker with its own name, and the address of its scheduler.
pub const WORKER_NAME: &str = "DASK_WORKER_NAME";
/// See [`WORKER_NAME`].
pub const SCHEDULER_ADDRESS: &str = "DASK_SCHEDULER_ADDRESS";

/// The first variable that only the image's `ENTRYPOINT` reads, where that does not run.
pub fn idle_packages(env: &[EnvVar], entrypoint: Option<Entrypoint>, field: &str) -> Option<Violation> {
    let found = env.iter().map(|variable| variable.name.as_str());
    { found }.find_map(|name| idle_package(name, entrypoint, &format!("{field}[{name}]")))
}

/// The same in a template.
pub fn idle_packages_in(
    template: Option<&Value>,
    container: &str,
    entrypoint: Option<Entrypoint>,
    field: &str,
) -> Option<Violation> {
    let template = template?;
    // With a command of its own it is the template's to start the entrypoint.
    if containers(template, container).any(|one| one.get("command").is_some()) {
        return None;
    }
    variables(template, container).into_iter().find_map(|name| idle_package(name, entrypoint, field))
}

fn idle_package(name: &str, entrypoint: Option<Entrypoint>, field: &str) -> Option<Violation> {
    (entrypoint != Some(Entrypoint::Image) && PACKAGES.contains(&name)).then(|| {
        let message = format!(
            "{name} is read by the ENTRYPOINT of the image, which does not run; set entrypoint: Image, or build the packages \
             into the image"
        );
        Violation::invalid(field, message)
    })
}

#[cfg(test)]
mod tests;
