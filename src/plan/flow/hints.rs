//! What is right and still may not be what was meant.

use serde_json::Value;

use super::parameters;
use crate::api::{Flow, FlowRunSpec};
use crate::plan::pods::Violation;

/// Clocks that do the same work and make runs of their own: a clock with `parameters` does, whatever they are. Where two of
/// them tick at one instant, the work is done twice.
pub fn hints(flow: &Flow) -> Vec<Violation> {
    let clocks = flow.spec.schedule.as_ref().map(|schedule| schedule.clocks.as_slice()).unwrap_or_default();
    let merged = |name: &String| {
        let run = FlowRunSpec { clock: Some(name.clone()), ..FlowRunSpec::default() };
        Value::Object(parameters::merged(flow, &run))
    };
    let all: Vec<Value> = clocks.iter().map(|clock| merged(&clock.name)).collect();
    let mut found = Vec::new();
    for (index, clock) in clocks.iter().enumerate().filter(|(_, clock)| clock.parameters.is_some()) {
        let twin = clocks.iter().zip(&all).enumerate().find(|(other, (twin, parameters))| {
            let is_told = *other < index || twin.parameters.is_none();
            *other != index && is_told && all.get(index) == Some(*parameters)
        });
        if let Some((_, (twin, _))) = twin {
            let message = format!(
                "the clocks {} and {} have the same parameters in the end, and where both tick at one instant there are two runs: leave out `parameters` of both, so that they share one",
                twin.name, clock.name
            );
            found.push(Violation::invalid(
                format!("spec.schedule.clocks[{}].parameters", clock.name),
                message,
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::the_same(json!({"x": 1}), json!({"x": 1}), &["b"])]
    #[case::empty(json!({}), json!(null), &["a"])]
    #[case::what_the_flow_says(json!({"y": 2}), json!(null), &["a"])]
    #[case::others(json!({"x": 1}), json!({"x": 2}), &[])]
    #[case::none(json!(null), json!(null), &[])]
    fn clocks_that_do_the_same_work_twice_are_told(
        #[case] a: Value,
        #[case] b: Value,
        #[case] told: &[&str],
    ) {
        let clock = |name: &str, parameters: Value| {
            let mut clock = json!({"name": name, "interval": "1h", "parameters": parameters});
            clock.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            clock
        };
        let flow: Flow = serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl"},
            "spec": {"cluster": {}, "parameters": {"y": 2}, "schedule": {"clocks": [clock("a", a), clock("b", b)]}},
        }))
        .unwrap();
        let fields: Vec<String> = hints(&flow).into_iter().map(|hint| hint.field).collect();
        let wanted: Vec<String> =
            told.iter().map(|name| format!("spec.schedule.clocks[{name}].parameters")).collect();
        assert_eq!(fields, wanted);
    }
}
