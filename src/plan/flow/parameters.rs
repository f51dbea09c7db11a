//! The parameters of a run.

use serde_json::{Map, Value};

use crate::api::{Flow, FlowRunSpec};

/// The Flow's parameters, over them those of the run's clock, over them the run's own; each name by itself.
pub fn merged(flow: &Flow, run: &FlowRunSpec) -> Map<String, Value> {
    let clock = run.clock.as_deref().and_then(|name| {
        let schedule = flow.spec.schedule.as_ref()?;
        schedule.clocks.iter().find(|clock| clock.name == name)?.parameters.as_ref()
    });
    let layers = [flow.spec.parameters.as_ref(), clock, run.parameters.as_ref()];
    let objects = layers.into_iter().flatten().filter_map(Value::as_object);
    objects.flat_map(|object| object.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}
