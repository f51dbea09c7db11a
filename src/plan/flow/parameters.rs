//! The parameters of a run: which, and whether they reach its script.

use serde_json::{Map, Value};

use crate::api::{Flow, FlowRun, FlowRunSpec};
use crate::plan::pods::Violation;

/// Linux starts no program with a longer string among its arguments or its environment, such as `NAME=value`;
/// the NUL at the end counts (`MAX_ARG_STRLEN`, 32 pages of 4 KiB:
/// <https://man7.org/linux/man-pages/man2/execve.2.html>).
const STRING_BYTES_MAX: usize = 131_071;
/// All of them together. Linux takes 2 MiB with the usual limit of the stack; a Job is stored whole, and a
/// write to the API server has 1.5 MiB at most (etcd's default), with the Job's pod beside them.
const STRINGS_BYTES_MAX: usize = 1_000_000;
/// The most levels of lists and maps within each other. The operator reads objects of a hundred levels, and a
/// run holds its parameters some levels deeper than the Flow that they are of; nobody writes half as many.
const LEVELS_MAX: usize = 50;
/// The variable in which a runner finds them.
const VARIABLE: &str = "DASKFLOW_PARAMETERS";

/// The Flow's parameters, over them those of the run's clock, or those of the run's tick in place of both;
/// over them the run's own; each name by itself.
pub fn merged(flow: &Flow, run: &FlowRunSpec) -> Map<String, Value> {
    let clock = run.clock.as_deref().and_then(|name| {
        let schedule = flow.spec.schedule.as_ref()?;
        schedule.clocks.iter().find(|clock| clock.name == name)?.parameters.as_ref()
    });
    let layers = match run.merged_parameters.as_ref() {
        Some(all) => [Some(all), None, run.parameters.as_ref()],
        None => [flow.spec.parameters.as_ref(), clock, run.parameters.as_ref()],
    };
    let objects = layers.into_iter().flatten().filter_map(Value::as_object);
    objects.flat_map(|object| object.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

/// The parameters of all attempts of a run: those of its tick, else those of its first attempt, else what
/// they would be now.
pub(in crate::plan) fn of_run(flow: &Flow, run: &FlowRun) -> Map<String, Value> {
    let begun = run.status.as_ref().and_then(|status| status.merged_parameters.as_ref()?.as_object());
    begun.filter(|_| run.spec.merged_parameters.is_none()).cloned().unwrap_or_else(|| merged(flow, &run.spec))
}

/// What keeps these parameters from reaching a script.
pub fn violation(parameters: &Map<String, Value>, field: &str) -> Option<Violation> {
    if parameters.values().any(|value| is_deeper(value, LEVELS_MAX)) {
        let message = format!(
            "the parameters are nested too deeply: they may have {LEVELS_MAX} levels of lists and maps within each other; put the values into a file or an object store and pass its name"
        );
        return Some(Violation::invalid(field, message));
    }
    let bytes = VARIABLE.len() + 1 + Value::Object(parameters.clone()).to_string().len();
    (bytes > STRING_BYTES_MAX).then(|| {
        let message = format!(
            "the parameters are too long: as JSON in {VARIABLE} they have {bytes} bytes, and Linux starts no program with more than {STRING_BYTES_MAX}; put the values into a file or an object store and pass its name"
        );
        Violation::invalid(field, message)
    })
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return value.is_array() || value.is_object() };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, below)),
        Value::Object(fields) => fields.values().any(|item| is_deeper(item, below)),
        _ => false,
    }
}

/// The same of what a `FlowRun` or a `FlowBackfill` says itself, whatever its Flow adds.
pub fn violation_of_own(parameters: Option<&Value>) -> Option<Violation> {
    violation(parameters?.as_object()?, "spec.parameters")
}

/// The same of everything that a Flow hands to its runners, with the parameters of each of its clocks.
pub(super) fn violations(flow: &Flow) -> Vec<Violation> {
    let spec = &flow.spec;
    let mut found = Vec::new();
    found.extend(violation(&merged(flow, &FlowRunSpec::default()), "spec.parameters"));
    if found.is_empty() {
        for entry in spec.schedule.iter().flat_map(|schedule| &schedule.clocks) {
            let run = FlowRunSpec { clock: Some(entry.name.clone()), ..FlowRunSpec::default() };
            let field = format!("spec.schedule.clocks[{}].parameters", entry.name);
            found.extend(violation(&merged(flow, &run), &field));
        }
    }
    let mut all = 0_usize;
    let mut strings: Vec<(String, usize)> = Vec::new();
    for (index, text) in spec.command.iter().enumerate() {
        strings.push((format!("spec.command[{index}]"), text.len()));
    }
    for (index, text) in spec.args.iter().enumerate() {
        strings.push((format!("spec.args[{index}]"), text.len()));
    }
    for variable in &spec.env {
        let value = variable.value.as_deref().unwrap_or_default();
        strings.push((format!("spec.env[{}]", variable.name), variable.name.len() + 1 + value.len()));
    }
    for (field, bytes) in strings {
        all = all.saturating_add(bytes);
        if bytes > STRING_BYTES_MAX {
            let message = format!(
                "it has {bytes} bytes, and Linux starts no program with more than {STRING_BYTES_MAX} in one of them"
            );
            found.push(Violation::invalid(field, message));
        }
    }
    if all > STRINGS_BYTES_MAX {
        let message = format!(
            "command, args and env have {all} bytes together, and no more than {STRINGS_BYTES_MAX} reach a program"
        );
        found.push(Violation::invalid("spec.env", message));
    }
    found
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn flow(spec: &Value) -> Flow {
        serde_json::from_value(json!({
            "apiVersion": "daskflow.dev/v1alpha1", "kind": "Flow", "metadata": {"name": "etl"}, "spec": spec,
        }))
        .unwrap()
    }

    /// `{"files":"xxx"}` with so many bytes in all, the variable's name among them.
    fn filled(bytes: usize) -> Value {
        json!({"files": "x".repeat(bytes - r#"DASKFLOW_PARAMETERS={"files":""}"#.len())})
    }

    #[rstest]
    #[case(131_071, 0)]
    #[case(131_072, 1)]
    fn what_linux_does_not_hand_over_is_refused(#[case] bytes: usize, #[case] faults: usize) {
        assert_eq!(violations(&flow(&json!({"cluster": {}, "parameters": filled(bytes)}))).len(), faults);
        let clock = json!({"name": "c", "interval": "1h", "parameters": filled(bytes)});
        let told = violations(&flow(&json!({"cluster": {}, "schedule": {"clocks": [clock]}})));
        let fields: Vec<&str> = told.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, vec!["spec.schedule.clocks[c].parameters"; faults]);
    }

    #[rstest]
    #[case(50, None)]
    #[case(51, Some("spec.parameters"))]
    fn what_would_be_too_deep_in_a_run_is_refused_in_its_flow(
        #[case] levels: usize,
        #[case] field: Option<&str>,
    ) {
        let nested = (0..levels)
            .fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({"a": inner}) });
        let told = violations(&flow(&json!({"cluster": {}, "parameters": {"x": nested, "y": 1}})));
        assert_eq!(told.first().map(|fault| fault.field.as_str()), field);
    }

    #[test]
    fn environment_and_arguments_have_the_same_limits() {
        let long = "x".repeat(131_072);
        let spec =
            json!({"cluster": {}, "args": [long], "env": [{"name": "A", "value": "x".repeat(131_070)}]});
        let fields: Vec<String> = violations(&flow(&spec)).into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["spec.args[0]", "spec.env[A]"]);
        let many: Vec<Value> =
            (0..9).map(|index| json!({"name": format!("A{index}"), "value": "x".repeat(120_000)})).collect();
        let fields: Vec<String> = violations(&flow(&json!({"cluster": {}, "env": many})))
            .into_iter()
            .map(|fault| fault.field)
            .collect();
        assert_eq!(fields, ["spec.env"]);
    }

    #[test]
    fn what_a_run_was_given_at_its_tick_stands_in_place_of_the_flows() {
        let flow = flow(&json!({"cluster": {}, "parameters": {"a": 1, "b": 2}}));
        let run = FlowRunSpec {
            merged_parameters: Some(json!({"a": 0})),
            parameters: Some(json!({"c": 3})),
            ..FlowRunSpec::default()
        };
        assert_eq!(Value::Object(merged(&flow, &run)), json!({"a": 0, "c": 3}));
    }
}
