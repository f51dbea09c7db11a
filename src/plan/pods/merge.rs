//! The user's pod template, merged over the generated one last.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use super::Violation;
use crate::plan::subset;

/// Merges `overrides` over `template`: containers, volumes, environment variables and the like by name, maps by key,
/// everything else replaced.
///
/// # Errors
///
/// A [`Violation`] of `field` when `overrides` is no pod template, or has a field that pods do not have.
pub fn over(template: &mut PodTemplateSpec, overrides: Option<&Value>, field: &str) -> Result<(), Violation> {
    let Some(given) = overrides else { return Ok(()) };
    let parsed: PodTemplateSpec = serde_json::from_value(given.clone()).map_err(|error| {
        Violation::invalid(
            field,
            format!("this is no pod template: {error} (quote quantities, as in cpu: \"1\")"),
        )
    })?;
    let understood = serde_json::to_value(&parsed).unwrap_or_default();
    if let Some(path) = subset::first_unknown(given, &understood) {
        return Err(Violation::invalid(format!("{field}.{path}"), "a pod template has no such field"));
    }
    template.merge_from(parsed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn generated() -> PodTemplateSpec {
        serde_json::from_value(json!({"spec": {
            "containers": [{"name": "worker", "image": "a", "env": [{"name": "X", "value": "1"}]}],
        }}))
        .unwrap()
    }

    #[test]
    fn containers_and_env_merge_by_name() {
        let mut template = generated();
        let overrides = json!({"spec": {
            "containers": [
                {"name": "worker", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "3"}]},
                {"name": "sidecar", "image": "b"},
            ],
            "nodeSelector": {"disk": "ssd"},
        }});
        over(&mut template, Some(&overrides), "spec.workers.template").unwrap();
        let spec = template.spec.unwrap();
        assert_eq!(spec.containers.len(), 2);
        assert_eq!(spec.containers[0].image.as_deref(), Some("a"));
        let env = spec.containers[0].env.clone().unwrap();
        assert_eq!(env.len(), 2);
        assert_eq!(env[0].value.as_deref(), Some("3"));
        assert!(spec.node_selector.unwrap().contains_key("disk"));
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let overrides = json!({"spec": {"containers": [{"name": "worker", "imge": "x"}]}});
        let violation = over(&mut generated(), Some(&overrides), "spec.workers.template").unwrap_err();
        assert_eq!(
            violation.message,
            "spec.workers.template.spec.containers[0].imge: a pod template has no such field"
        );
    }

    #[test]
    fn something_else_than_a_template_is_explained() {
        let overrides = json!({"spec": {"containers": "none"}});
        let violation = over(&mut generated(), Some(&overrides), "spec.workers.template").unwrap_err();
        assert!(
            violation.message.starts_with("spec.workers.template: this is no pod template"),
            "{}",
            violation.message
        );
    }
}
