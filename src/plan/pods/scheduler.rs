//! The scheduler's pod and Service.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, Pod, PodTemplateSpec, Probe, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::mounts::Certificate;
use super::written::{Pages, ask_at, check_scheduler, listen_at};
use super::{
    Violation, common_labels, container, content_hash, controller_ref, label, merge, mounts, of_cluster,
    shape_hash,
};
use crate::api::common::Entrypoint;
use crate::api::dask_cluster::ServiceSpec as ServiceWanted;
use crate::api::{DaskCluster, DaskClusterSpec, labels};
use crate::plan::names;
use crate::plan::site::Site;

/// The name of the scheduler's container.
pub const CONTAINER: &str = labels::SCHEDULER;
/// Asks the scheduler for an answer.
const ALIVE: &str = include_str!("alive.py");
/// The options by which it says where it listens.
const PLACE: [&str; 4] = ["--port", "--host", "--interface", "--dashboard-address"];

/// The hash of all that shapes a scheduler's pod. It is taken from the spec, not from the pod, so that a new
/// release of the operator replaces no running pod.
pub fn template_hash(spec: &DaskClusterSpec, certificate: Option<&Certificate>) -> String {
    let scheduler = &spec.scheduler;
    let shape = (
        (&spec.image, spec.image_pull_policy, &spec.image_pull_secrets, &spec.env),
        (&scheduler.resources, &scheduler.args, &scheduler.template),
    );
    shape_hash(spec, &shape, certificate)
}

/// The scheduler's pod, with TLS if there is a certificate. Its fixed name is the lock against a second one.
///
/// # Errors
///
/// A [`Violation`] of `spec.scheduler.template`.
pub fn pod(cluster: &DaskCluster, site: Site, certificate: Option<&Certificate>) -> Result<Pod, Violation> {
    let spec = &cluster.spec;
    // What users write is meant for Kubernetes, and checked as there: a machine's own place comes at the end.
    // "--host tls://" would bind to one address; the protocol and the port alone bind to all.
    let mut arguments = vec!["--port".to_owned(), Site::Kubernetes.comm_port().to_string()];
    if certificate.is_some() {
        arguments.extend(["--protocol".to_owned(), "tls".to_owned()]);
    }
    let pages = format!(":{}", Site::Kubernetes.dashboard_port());
    arguments.extend(["--dashboard-address".to_owned(), pages]);
    check_scheduler(&spec.scheduler.args, spec.tls.is_some(), "spec.scheduler.args")?;
    arguments.extend(spec.scheduler.args.iter().cloned());
    let mut main =
        container::dask(CONTAINER, (spec, site), ["-m", "distributed.cli.dask_scheduler"], arguments);
    main.ports = Some(vec![
        container::port("tcp-comm", site.comm_port()),
        container::port("http-dashboard", site.dashboard_port()),
    ]);
    main.readiness_probe = Some(container::health_probe(site.dashboard_port(), &Pages::of_scheduler(spec)));
    main.liveness_probe = liveness(spec, site);
    main.resources = Some(spec.scheduler.resources.to_requirements());
    let mut pod = container::pod(main, "Always", &spec.image_pull_secrets);
    if let Some(certificate) = certificate {
        mounts::Files::from(certificate).mount(&mut pod, site, &["SCHEDULER", "CLIENT"]);
    }
    let mut template = PodTemplateSpec { metadata: None, spec: Some(pod) };
    let written =
        merge::Written { resources: &spec.scheduler.resources, env: &spec.env, priority_class_name: None };
    merge::defaults(&mut template, spec.pod_defaults.as_ref(), CONTAINER, &written)?;
    let field = "spec.scheduler.template";
    super::written::check_programs(spec.scheduler.template.as_ref(), (CONTAINER, spec.entrypoint), field)?;
    merge::over(&mut template, spec.scheduler.template.as_ref(), field)?;
    let containers = template.spec.iter_mut().flat_map(|pod| &mut pod.containers);
    for main in containers.filter(|container| container.name == CONTAINER) {
        check_scheduler(main.args.as_deref().unwrap_or_default(), spec.tls.is_some(), field)?;
        listen(main, site);
    }
    label(&mut template, component_labels(&cluster.name_any(), labels::SCHEDULER));
    label(&mut template, [(labels::TEMPLATE_HASH.to_owned(), template_hash(spec, certificate))].into());
    mounts::finish(&mut template, certificate);
    Ok(of_cluster(cluster, names::scheduler_name(&cluster.name_any()), template))
}

/// Where all processes share an address, a scheduler listens at the ports of its cluster, whatever is
/// written.
fn listen(main: &mut Container, site: Site) {
    let Some(host) = site.host() else { return };
    let (port, pages) = (site.comm_port().to_string(), format!("{host}:{}", site.dashboard_port()));
    let ours = ["--port", &port, "--host", host, "--dashboard-address", &pages].map(str::to_owned);
    if !listen_at(main, &PLACE, &ours) {
        // A command of the template's own.
        main.args.get_or_insert_default().extend(ours);
    }
    // A probe of the template's own asks at the ports that it has in Kubernetes.
    let ports = [Site::Kubernetes, site].map(|site| [site.comm_port(), site.dashboard_port()].map(i32::from));
    let [written, ours] = ports;
    let here = |port: i32| written.into_iter().zip(ours).find(|(written, _)| *written == port);
    ask_at(main, |port| match port {
        IntOrString::Int(port) => here(*port).map(|(_, ours)| IntOrString::Int(ours)),
        IntOrString::String(_) => None,
    });
    for port in main.ports.iter_mut().flatten() {
        port.container_port = here(port.container_port).map_or(port.container_port, |(_, ours)| ours);
    }
}

/// A scheduler that answers nobody for a quarter of an hour is started again: one that hangs would be
/// unreachable for ever. One that is busy with a large graph answers nobody for minutes.
///
/// The program takes any answer for life, so that neither a prefix nor HTTPS matters, nor a port at which
/// nobody listens. With the image's own entrypoint nobody knows whether Python is found without it, and a
/// probe that cannot run would kill.
fn liveness(spec: &DaskClusterSpec, site: Site) -> Option<Probe> {
    let python = container::python(site, spec.python.as_ref());
    let command = [python.as_str(), "-I", "-S", "-c", ALIVE, &site.dashboard_port().to_string()];
    (spec.entrypoint != Some(Entrypoint::Image)).then(|| Probe {
        exec: Some(ExecAction { command: Some(command.map(str::to_owned).to_vec()) }),
        period_seconds: Some(60),
        timeout_seconds: Some(30),
        failure_threshold: Some(15),
        ..Probe::default()
    })
}

/// The user's annotations, and the hash of all that users may take away again: without it nobody would notice
/// that something is to go.
fn service_annotations(wanted: &ServiceWanted) -> BTreeMap<String, String> {
    let plain = ServiceWanted {
        type_: wanted.type_,
        annotations: wanted.annotations.clone(),
        ..ServiceWanted::default()
    };
    // The Services of releases that knew annotations alone stay as they are.
    let hash = if *wanted == plain { content_hash(&wanted.annotations) } else { content_hash(wanted) };
    wanted.annotations.clone().into_iter().chain([(labels::TEMPLATE_HASH.to_owned(), hash)]).collect()
}

/// The labels of the pods of a cluster.
pub fn component_labels(cluster: &str, component: &str) -> BTreeMap<String, String> {
    let mut all = common_labels(cluster, component);
    all.insert(labels::CLUSTER_NAME.to_owned(), cluster.to_owned());
    all.insert(labels::COMPONENT.to_owned(), component.to_owned());
    all
}

/// The Service in front of the scheduler.
///
/// Addresses are published before the pod is ready: workers and clients retry a refused connection at once,
/// but would wait for the next readiness probe otherwise.
pub fn service(cluster: &DaskCluster, site: Site) -> Service {
    let name = cluster.name_any();
    let port = |name: &str, number: u16| ServicePort {
        name: Some(name.to_owned()),
        port: number.into(),
        target_port: Some(IntOrString::Int(number.into())),
        ..ServicePort::default()
    };
    let selector = [(labels::CLUSTER_NAME, name.as_str()), (labels::COMPONENT, labels::SCHEDULER)];
    let wanted = &cluster.spec.scheduler.service;
    Service {
        metadata: ObjectMeta {
            name: Some(names::scheduler_name(&name)),
            namespace: cluster.namespace(),
            owner_references: controller_ref(cluster).map(|owner| vec![owner]),
            labels: Some(component_labels(&name, labels::SCHEDULER)),
            annotations: Some(service_annotations(wanted)),
            ..ObjectMeta::default()
        },
        spec: Some(ServiceSpec {
            type_: Some(wanted.type_.as_str().to_owned()),
            selector: Some(
                selector.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            ),
            ports: Some(vec![
                port("tcp-comm", site.comm_port()),
                port("http-dashboard", site.dashboard_port()),
            ]),
            publish_not_ready_addresses: Some(true),
            load_balancer_source_ranges: Some(wanted.load_balancer_source_ranges.clone())
                .filter(|ranges| !ranges.is_empty()),
            load_balancer_class: wanted.load_balancer_class.clone(),
            external_traffic_policy: wanted.external_traffic_policy.map(|policy| policy.as_str().to_owned()),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
