//! What scheduler, worker and runner containers have in common.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, HTTPGetAction, LocalObjectReference, PodSecurityContext,
    PodSpec, Probe, SeccompProfile, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::written::Pages;

use crate::api::common::Entrypoint;
use crate::api::{DaskClusterSpec, PullPolicy};
use crate::plan::site::Site;

/// A plain environment variable.
pub fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.into()), value_from: None }
}

/// The kubelet expands `$(NAME)` in values, and makes one dollar of two: a text that is to arrive as it is
/// has them doubled.
/// <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>
pub fn escape(value: &str) -> String {
    value.replace('$', "$$")
}

/// Later variables of a name replace earlier ones, in place.
pub fn merge_env<'a>(layers: impl IntoIterator<Item = &'a [EnvVar]>) -> Vec<EnvVar> {
    let mut merged: Vec<EnvVar> = Vec::new();
    for variable in layers.into_iter().flatten() {
        match merged.iter_mut().find(|earlier| earlier.name == variable.name) {
            Some(earlier) => *earlier = variable.clone(),
            None => merged.push(variable.clone()),
        }
    }
    merged
}

/// A container with the security settings that every one of ours has.
pub fn container(name: &str, image: &str, pull_policy: Option<PullPolicy>) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: pull_policy.map(|policy| policy.as_str().to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// A pod of one container, with the settings that every one of ours has.
///
/// Service links are off: in a namespace with thousands of Services the variables they make do not fit a
/// process.
pub fn pod(container: Container, restart_policy: &str, pull_secrets: &[LocalObjectReference]) -> PodSpec {
    PodSpec {
        containers: vec![container],
        restart_policy: Some(restart_policy.to_owned()),
        enable_service_links: Some(false),
        automount_service_account_token: Some(false),
        image_pull_secrets: (!pull_secrets.is_empty()).then(|| pull_secrets.to_vec()),
        security_context: Some(PodSecurityContext {
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// A Dask process asked over HTTP whether it is well. Its comm port would log a broken handshake at each
/// probe.
pub fn health_probe(port: u16, pages: &Pages) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(format!("{}/health", pages.prefix)),
            port: IntOrString::Int(port.into()),
            scheme: pages.is_https.then(|| "HTTPS".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(5),
        timeout_seconds: Some(5),
        failure_threshold: Some(6),
        ..Probe::default()
    }
}

/// A named port.
pub fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort { name: Some(name.to_owned()), container_port: number.into(), ..ContainerPort::default() }
}

/// The command that starts Python, where the spec may name one.
pub fn python(site: Site, named: Option<&String>) -> String {
    site.python(named.map(String::as_str)).to_owned()
}

/// Lets the container run these words: as its command, or as arguments of the image's `ENTRYPOINT`.
pub fn run(container: &mut Container, words: Vec<String>, entrypoint: Option<Entrypoint>) {
    match entrypoint {
        Some(Entrypoint::Image) => container.args = Some(words),
        Some(Entrypoint::Python) | None => container.command = Some(words),
    }
}

/// A Dask container of a cluster: its image, its environment, and `python PROGRAM ARGS…`, with the Python
/// that it names.
///
/// As a program `-m MODULE` works in every release; the commands `dask-scheduler` and `dask-worker` are gone
/// since 2026.6.
pub fn dask(
    name: &str,
    (spec, site): (&DaskClusterSpec, Site),
    program: [&str; 2],
    arguments: Vec<String>,
) -> Container {
    let mut words = vec![python(site, spec.python.as_ref())];
    words.extend(program.map(str::to_owned));
    words.extend(arguments);
    let mut dask = Container {
        env: Some(spec.env.clone()),
        // Nothing in it writes a termination message; its last words are one.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..container(name, &spec.image, spec.image_pull_policy)
    };
    run(&mut dask, words, spec.entrypoint);
    dask
}
