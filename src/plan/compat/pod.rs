//! A pod of theirs, taken apart: what has a field of its own here, and the rest, which is a template.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, LocalObjectReference, PodSpec, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value, json};

use super::command::{Program, Start};
use super::labels;
use super::remark::Notes;
use super::theirs::{Extra, unknown};
use crate::api::common::Amount;
use crate::api::{PullPolicy, Resources};
use crate::plan::pods::worker;
use crate::plan::pods::written::{SCHEDULER_ADDRESS, WORKER_NAME};

/// Variables by which Dask itself is given certificates, or refuses to speak without.
const TLS_VARIABLES: [&str; 3] = [
    "DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME",
    "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION",
    "DASK_DISTRIBUTED__COMM__TLS__",
];
/// What to do about TLS that the pods set up themselves.
pub(super) const TLS: &str = "the operator speaks TLS where spec.tls is set, with certificates that it makes or that are in a \
                              Secret: take the options, variables and volumes for it out, and add tls to what is written";

/// A pod of theirs.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The field of the container that the pod is for, such as `spec.containers[0]`.
    pub field: String,
    pub image: String,
    pub pull_policy: Option<PullPolicy>,
    pub pull_secrets: Vec<LocalObjectReference>,
    pub env: Vec<EnvVar>,
    pub resources: Resources,
    pub start: Start,
    pub restart_policy: Option<String>,
    /// What is left of the container that the pod is for.
    pub main: Container,
    /// What is left of the pod, with its other containers.
    pub pod: PodSpec,
}

/// The pod of a role, and what it starts.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub part: Part,
    /// Dask's own program; none where it is another command.
    pub program: Option<Program>,
}

/// Reads the pod of a role, `scheduler` or `worker`, which is also the name of its container here.
pub(super) fn role(spec: &Value, name: &str, notes: &mut Notes) -> Option<Role> {
    let part = read(spec, name, notes)?;
    let program = part.start.program(name);
    Some(Role { part, program })
}

/// Takes a pod apart. The container that it is for is the one of the name `own`, else the one that starts
/// Dask, else the first.
pub(super) fn read(spec: &Value, own: &str, notes: &mut Notes) -> Option<Part> {
    let mut given = spec.clone();
    write_quantities(&mut given);
    let mut pod: PodSpec = notes.or_refused("spec", &given)?;
    let understood = serde_json::to_value(&pod).unwrap_or_default();
    for path in unknown(given, &understood) {
        notes.changed(&format!("spec.{path}"), "", "a pod has no such field; left out");
    }
    let is_own = |container: &Container| container.name == own;
    let starts_dask = |container: &Container| {
        let start = start(container);
        start.program(own).is_some() || start.is_cuda_worker()
    };
    let containers = &pod.containers;
    let at = containers.iter().position(is_own).or_else(|| containers.iter().position(starts_dask));
    let at = at.unwrap_or_default();
    if at >= pod.containers.len() {
        notes.refused("spec.containers", "Required value: a pod has a container");
        return None;
    }
    let mut main = pod.containers.remove(at);
    let field = format!("spec.containers[{at}]");
    let Some(image) = main.image.take() else {
        notes.refused(&format!("{field}.image"), "Required value: the image of the container");
        return None;
    };
    let start = start(&main);
    (main.command, main.args) = (None, None);
    let pull_policy = main
        .image_pull_policy
        .take()
        .and_then(|word| notes.or_refused(&format!("{field}.imagePullPolicy"), &Value::from(word)));
    // A worker that is started by us is called as its pod, whatever its variables say.
    let is_named = own == worker::CONTAINER && start.program(own).is_some();
    let env = variables(main.env.take().unwrap_or_default(), is_named, &field, notes);
    let resources = resources(&mut main);
    if pod.service_account_name.is_none() {
        pod.service_account_name = pod.service_account.take();
    }
    pod.service_account = None;
    Some(Part {
        field,
        image,
        pull_policy,
        pull_secrets: pod.image_pull_secrets.take().unwrap_or_default(),
        env,
        resources,
        start,
        restart_policy: pod.restart_policy.take(),
        main,
        pod,
    })
}

fn start(container: &Container) -> Start {
    let command = container.command.clone().filter(|words| !words.is_empty());
    Start { command, args: container.args.clone().unwrap_or_default() }
}

/// Amounts as texts, as Kubernetes' own types have them. A number is one too in YAML.
pub(super) fn write_quantities(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(write_quantities),
        Value::Object(fields) => {
            for (name, field) in fields {
                let amounts = match (name.as_str(), field) {
                    ("sizeLimit" | "divisor", amount) => vec![amount],
                    ("requests" | "limits", Value::Object(amounts)) => amounts.values_mut().collect(),
                    (_, other) => {
                        write_quantities(other);
                        Vec::new()
                    }
                };
                for amount in amounts.into_iter().filter(|amount| amount.is_number()) {
                    *amount = Value::from(amount.to_string());
                }
            }
        }
        _ => {}
    }
}

/// The variables but for those that the operator sets. Its own name a worker is given as an argument where it
/// `is_named`, so that the variable may be another one.
fn variables(given: Vec<EnvVar>, is_named: bool, field: &str, notes: &mut Notes) -> Vec<EnvVar> {
    let mut kept = Vec::with_capacity(given.len());
    for variable in given {
        let name = variable.name.as_str();
        let field = format!("{field}.env[{name}]");
        let is_plain = variable
            .value
            .as_deref()
            .is_some_and(|value| ["tcp", "false", "0", ""].contains(&value.to_ascii_lowercase().as_str()));
        if name == WORKER_NAME && is_named {
            notes.changed(&field, "template", "kept for code of your own: the worker is called as its pod");
            kept.push(variable);
        } else if name == SCHEDULER_ADDRESS || name == WORKER_NAME {
            notes.changed(&field, "", format!("{name} is set by the operator; left out"));
        } else if !is_plain && TLS_VARIABLES.iter().any(|known| name.starts_with(known)) {
            notes.refused(&field, TLS);
        } else {
            kept.push(variable);
        }
    }
    kept
}

/// Requests and limits; what else there is stays with the container.
fn resources(main: &mut Container) -> Resources {
    let Some(given) = main.resources.take() else { return Resources::default() };
    main.resources = given
        .claims
        .filter(|claims| !claims.is_empty())
        .map(|claims| ResourceRequirements { claims: Some(claims), ..ResourceRequirements::default() });
    Resources { requests: amounts(given.requests), limits: amounts(given.limits) }
}

fn amounts(given: Option<BTreeMap<String, Quantity>>) -> BTreeMap<String, Amount> {
    let amount = |Quantity(text): Quantity| match text.parse() {
        Ok(number) => Amount::Number(number),
        Err(_) => Amount::Text(text),
    };
    given.unwrap_or_default().into_iter().map(|(name, quantity)| (name, amount(quantity))).collect()
}

/// The ports that a pod of a role has here, by name and number, and what else theirs is called.
pub(super) struct Ports {
    pub ours: &'static [(&'static str, i32)],
    /// The number of the one that serves `/health`.
    pub health: i32,
    /// Its name in their pods.
    pub health_name: &'static str,
}

impl Part {
    /// Leaves out what the pod has here anyway: ports, and a probe that asks the same.
    ///
    /// `moved` are the ports that were other ones before, with what they are now.
    pub fn leave_out(&mut self, ports: &Ports, moved: &[(i32, i32)], notes: &mut Notes) {
        self.leave_out_ports(ports, notes);
        let now = |port: &IntOrString| match port {
            IntOrString::Int(number) => {
                let moved = moved.iter().find(|(before, _)| before == number);
                Some(moved.map_or(*number, |(_, now)| *now))
            }
            IntOrString::String(name) => (name == ports.health_name).then_some(ports.health),
        };
        let is_pages = |port: &IntOrString| now(port) == Some(ports.health);
        let asks_the_same = self.main.readiness_probe.as_ref().is_some_and(|probe| {
            let page = probe.http_get.as_ref();
            page.is_some_and(|page| page.path.as_deref() == Some("/health") && is_pages(&page.port))
        });
        if asks_the_same {
            self.main.readiness_probe = None;
        }
        let main = &mut self.main;
        let probes = [&mut main.startup_probe, &mut main.readiness_probe, &mut main.liveness_probe];
        for probe in probes.into_iter().flatten() {
            let page = probe.http_get.as_mut().map(|page| &mut page.port);
            let socket = probe.tcp_socket.as_mut().map(|socket| &mut socket.port);
            for port in page.into_iter().chain(socket) {
                if let Some(now) = now(port) {
                    *port = IntOrString::Int(now);
                }
            }
        }
        if let Some(policy) = self.restart_policy.take().filter(|policy| policy != "Always") {
            let message = format!("restartPolicy {policy} is left out: the operator sets it");
            notes.changed("spec.restartPolicy", "", message);
        }
    }

    fn leave_out_ports(&mut self, ports: &Ports, notes: &mut Notes) {
        let mut kept: Vec<ContainerPort> = Vec::new();
        for (at, mut port) in self.main.ports.take().unwrap_or_default().into_iter().enumerate() {
            port.protocol = port.protocol.filter(|protocol| protocol != "TCP");
            let name = port.name.clone().unwrap_or_default();
            let is_number = |ours: &&(&str, i32)| ours.1 == port.container_port;
            let is_usual = name.is_empty()
                || (port.container_port == ports.health && name == ports.health_name)
                || ports.ours.contains(&(name.as_str(), port.container_port));
            let same = ports.ours.iter().find(is_number).filter(|_| is_usual && port.host_port.is_none());
            if let Some((ours, _)) = same {
                if !name.is_empty() && name != *ours {
                    let field = format!("{}.ports[{at}].name", self.field);
                    notes.changed(&field, "", format!("the port {name} is called {ours}"));
                }
                continue;
            }
            if ports.ours.iter().any(|(ours, _)| *ours == name) {
                let field = format!("{}.ports[{at}].name", self.field);
                notes.changed(&field, "template", format!("{name} is another port here; this has no name"));
                port.name = None;
            }
            kept.push(port);
        }
        self.main.ports = (!kept.is_empty()).then_some(kept);
    }

    /// Starts the container as it was started, as a part of the template.
    pub fn keep_start(&mut self) {
        let Start { command, mut args } = self.start.clone();
        let command = command.map(|mut words| {
            // Arguments are always given: others are made where the image's ENTRYPOINT runs elsewhere.
            if args.is_empty() {
                args = words.split_off(words.len().min(1));
            }
            words
        });
        (self.main.command, self.main.args) = (command, Some(args));
    }

    /// The template of the rest, in which the container is called `container`; none where nothing is left.
    pub fn template(&self, container: &str, metadata: Option<&Extra>) -> Option<Value> {
        let main = Container { name: container.to_owned(), ..self.main.clone() };
        let has_more = main != Container { name: container.to_owned(), ..Container::default() };
        let containers: Vec<&Container> =
            has_more.then_some(&main).into_iter().chain(&self.pod.containers).collect();
        let mut spec = serde_json::to_value(&self.pod).unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            fields.remove("containers");
            if !containers.is_empty() {
                fields.insert("containers".to_owned(), json!(containers));
            }
        }
        let is_empty = spec.as_object().is_none_or(Map::is_empty);
        let spec = (!is_empty).then(|| ("spec".to_owned(), spec));
        let metadata = labels::template(metadata).map(|metadata| ("metadata".to_owned(), metadata));
        let template: Map<String, Value> = metadata.into_iter().chain(spec).collect();
        (!template.is_empty()).then_some(Value::Object(template))
    }
}
