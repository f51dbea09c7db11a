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

/// The Service of theirs, as ours, and as one beside it, with the same spec as before, where ours cannot have
/// all that is in it.
///
/// `name` is the cluster's; none where that is known only at run time.
pub(super) fn translate(
    given: &Value,
    name: Option<&str>,
    annotations: BTreeMap<String, String>,
    notes: &mut Notes,
) -> (ServiceSpec, Option<core::ServiceSpec>) {
    let plain = ServiceSpec { annotations: annotations.clone(), ..ServiceSpec::default() };
    if given.is_null() {
        return (plain, None);
    }
    let Some(theirs) = notes.or_refused::<core::ServiceSpec>("service", given) else {
        return (plain, None);
    };
    let understood = serde_json::to_value(&theirs).unwrap_or_default();
    for path in unknown(given.clone(), &understood) {
        notes.changed(&format!("service.{path}"), "service", "a Service has no such field; left out");
    }
    match ours(&theirs, name) {
        Ok(ours) => (ServiceSpec { annotations, ..ours }, None),
        Err(field) if name.is_some() => {
            let message = "the Service of the scheduler cannot have this: a Service of its own is written beside the cluster";
            notes.changed(&format!("service.{field}"), "service", message);
            (ServiceSpec::default(), Some(theirs))
        }
        Err(field) => {
            let message = "left out: the Service of a cluster that is made for a run cannot have this";
            notes.changed(&format!("service.{field}"), "service", message);
            (plain, None)
        }
    }
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
    let mut selector = theirs.selector.iter().flatten();
    let is_usual = |(key, value): (&String, &String)| match key.as_str() {
        labels::CLUSTER_NAME => name.is_none_or(|name| name == value),
        labels::COMPONENT => value == labels::SCHEDULER,
        _ => false,
    };
    if !selector.all(is_usual) {
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

/// Whether it is a port of the scheduler, under its own number.
fn is_usual_port(port: &core::ServicePort) -> bool {
    let is_it = |(name, number): &(&str, i32)| {
        let leads_there = match &port.target_port {
            None => true,
            Some(IntOrString::Int(target)) => target == number,
            // Their definition wants texts, of numbers too.
            Some(IntOrString::String(target)) => target == name || *target == number.to_string(),
        };
        port.port == *number && port.name.as_deref() == Some(*name) && leads_there
    };
    let is_plain = port.node_port.is_none() && port.app_protocol.is_none();
    is_plain && port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP") && PORTS.iter().any(is_it)
}
