//! The Service of a scheduler.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::remark::Notes;
use super::theirs::unknown;
use crate::api::dask_cluster::{ServiceSpec, ServiceType};
use crate::api::labels;

/// The ports of a scheduler, as both operators call them.
pub(super) const PORTS: [(&str, i32); 2] = [("tcp-comm", 8786), ("http-dashboard", 8787)];

/// A Service of theirs, and what belongs to it.
pub(super) struct Given<'a> {
    pub spec: &'a Value,
    /// The cluster's name; none where that is known only at run time.
    pub name: Option<&'a str>,
    pub annotations: BTreeMap<String, String>,
    /// Ports at which the scheduler listened, and those in their place.
    pub moved: Vec<(i32, i32)>,
}

/// The Service of theirs, as ours, and as one beside it, with the same spec as before, where ours cannot have
/// all that is in it.
pub(super) fn translate(given: Given<'_>, notes: &mut Notes) -> (ServiceSpec, Option<core::ServiceSpec>) {
    let Given { spec: given, name, annotations, moved } = given;
    let plain = ServiceSpec { annotations: annotations.clone(), ..ServiceSpec::default() };
    if given.is_null() {
        return (plain, None);
    }
    let Some(mut theirs) = notes.or_refused::<core::ServiceSpec>("service", given) else {
        return (plain, None);
    };
    let understood = serde_json::to_value(&theirs).unwrap_or_default();
    for path in unknown(given.clone(), &understood) {
        notes.changed(&format!("service.{path}"), "service", "a Service has no such field; left out");
    }
    lead_to_moved(&mut theirs, &moved);
    match (ours(&theirs, name), name) {
        (Ok(ours), _) => (ServiceSpec { annotations, ..ours }, None),
        (Err(field), Some(name)) => {
            let message = format!(
                "the Service of the scheduler cannot have this: a Service of its own is written beside the cluster{}",
                new_addresses(&theirs, name)
            );
            notes.changed(&format!("service.{field}"), "service", message);
            (ServiceSpec::default(), Some(theirs))
        }
        (Err(field), None) => {
            let message = "left out: the Service of a cluster that is made for a run cannot have this";
            notes.changed(&format!("service.{field}"), "service", message);
            (plain, None)
        }
    }
}

/// Lets ports that led to a number at which the scheduler listened lead to the one in its place.
fn lead_to_moved(theirs: &mut core::ServiceSpec, moved: &[(i32, i32)]) {
    for port in theirs.ports.iter_mut().flatten() {
        let target = match &port.target_port {
            None => Some(port.port),
            Some(IntOrString::Int(target)) => Some(*target),
            Some(IntOrString::String(target)) => target.parse().ok(),
        };
        if let Some((_, now)) = moved.iter().find(|(before, _)| Some(*before) == target) {
            port.target_port = Some(IntOrString::Int(*now));
        }
    }
}

/// The addresses of the old Service that the one of the scheduler does not answer at, each with the one that
/// does; empty where it answers at all of them.
fn new_addresses(theirs: &core::ServiceSpec, name: &str) -> String {
    let selects_others = !selects_scheduler(theirs, Some(name));
    let lost = theirs.ports.iter().flatten().filter(|port| selects_others || !is_answered(port));
    let lost: Vec<String> = lost
        .map(|port| format!("{name}-service:{number} for {name}-scheduler:{number}", number = port.port))
        .collect();
    if lost.is_empty() {
        return String::new();
    }
    format!(", and clients and Ingresses have to be given its address: {}", lost.join(", "))
}

/// Whether it selects nothing but the pod of the scheduler.
fn selects_scheduler(theirs: &core::ServiceSpec, name: Option<&str>) -> bool {
    theirs.selector.iter().flatten().all(|(key, value)| match key.as_str() {
        labels::CLUSTER_NAME => name.is_none_or(|name| name == value),
        labels::COMPONENT => value == labels::SCHEDULER,
        _ => false,
    })
}

/// The Service as ours can have it, else the first field that it cannot have.
fn ours(theirs: &core::ServiceSpec, name: Option<&str>) -> Result<ServiceSpec, String> {
    let wrong = |field: &str| field.to_owned();
    let enumerated = |word: &Option<String>| word.clone().map_or(Value::Null, Value::from);
    let type_ = match &theirs.type_ {
        None => ServiceType::default(),
        Some(word) => serde_json::from_value(Value::from(word.as_str())).map_err(|_| wrong("type"))?,
    };
    let external = serde_json::from_value(enumerated(&theirs.external_traffic_policy));
    if !selects_scheduler(theirs, name) {
        return Err(wrong("selector"));
    }
    let mut ports = theirs.ports.iter().flatten().enumerate();
    if let Some((at, _)) = ports.find(|(_, port)| !is_usual_port(port)) {
        return Err(format!("ports[{at}]"));
    }
    // Ours has both ports, and nothing is to be reached from outside that was not.
    let is_missing = |(name, _): &(&str, i32)| {
        theirs.ports.iter().flatten().all(|port| port.name.as_deref() != Some(*name))
    };
    if type_ != ServiceType::ClusterIP && PORTS.iter().any(is_missing) {
        return Err(wrong("ports"));
    }
    // What is left of it is in no field of ours.
    let mut rest = core::ServiceSpec {
        type_: None,
        selector: None,
        ports: None,
        load_balancer_source_ranges: None,
        load_balancer_class: None,
        external_traffic_policy: None,
        ..theirs.clone()
    };
    // What it is by default.
    rest.session_affinity = rest.session_affinity.filter(|affinity| affinity != "None");
    if rest != core::ServiceSpec::default() {
        let rest = serde_json::to_value(&rest).unwrap_or_default();
        let field = rest.as_object().and_then(|fields| fields.keys().next().cloned());
        return Err(field.unwrap_or_default());
    }
    Ok(ServiceSpec {
        type_,
        annotations: BTreeMap::new(),
        load_balancer_source_ranges: theirs.load_balancer_source_ranges.clone().unwrap_or_default(),
        load_balancer_class: theirs.load_balancer_class.clone(),
        external_traffic_policy: external.map_err(|_| wrong("externalTrafficPolicy"))?,
    })
}

/// Whether it is a port of the scheduler, under its own number and name.
fn is_usual_port(port: &core::ServicePort) -> bool {
    let is_named = PORTS.contains(&(port.name.as_deref().unwrap_or_default(), port.port));
    is_named && port.node_port.is_none() && port.app_protocol.is_none() && is_answered(port)
}

/// Whether the Service of the scheduler leads to the same port from this number.
fn is_answered(port: &core::ServicePort) -> bool {
    let is_it = |(name, number): &(&str, i32)| {
        let leads_there = match &port.target_port {
            None => true,
            Some(IntOrString::Int(target)) => target == number,
            // Their definition wants texts, of numbers too.
            Some(IntOrString::String(target)) => target == name || *target == number.to_string(),
        };
        port.port == *number && leads_there
    };
    port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP") && PORTS.iter().any(is_it)
}
