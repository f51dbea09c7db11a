//! Which field was meant by one that there is not.

use std::collections::VecDeque;

use serde_json::Value;

use super::similar::similar;

/// Words of CronJob, Job and Pod, of dask-kubernetes and of Dask's own options, in small letters without
/// signs, and the fields that say the same here, below the object in which the word was written. The first
/// that this object has is meant.
const OF_OTHERS: &[(&str, &[&str])] = &[
    ("activedeadlineseconds", &["timeout"]),
    ("adaptive", &["workers.autoscale", "autoscale"]),
    ("affinity", &["template.spec.affinity"]),
    ("backofflimit", &["retries.limit"]),
    ("clustername", &["cluster.ref.name"]),
    ("clusterref", &["cluster.ref"]),
    ("concurrencypolicy", &["concurrency"]),
    ("containers", &["template.spec.containers"]),
    ("enddate", &["to", "endAt", "schedule.clocks[].endAt"]),
    ("failedjobshistorylimit", &["history.failed"]),
    ("flowname", &["flow"]),
    ("idletimeout", &["idle.after"]),
    ("jobtemplate", &["template"]),
    ("memorylimit", &["memory"]),
    ("nodeselector", &["template.spec.nodeSelector"]),
    ("nthreads", &["threads", "workers.threads"]),
    ("nworkers", &["workers.replicas", "cluster.template.workers.replicas"]),
    ("startdate", &["from", "startAt", "schedule.clocks[].startAt"]),
    ("startingdeadlineseconds", &["startingDeadline"]),
    ("successfuljobshistorylimit", &["history.succeeded"]),
    ("timezone", &["timeZone", "schedule.timeZone"]),
    ("tolerations", &["template.spec.tolerations"]),
    ("ttlsecondsafterfinished", &["history.olderThan"]),
    ("volumes", &["template.spec.volumes"]),
];

/// So many steps down a field of the same name is looked for.
const DEPTH: usize = 4;

/// The field of an object of this schema, or of one below it, that was meant by `word`, which is none of its
/// fields.
pub(super) fn meant(schema: &Value, word: &str) -> Option<String> {
    let plain: String =
        word.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let of_others = OF_OTHERS.iter().find(|(theirs, _)| *theirs == plain).map_or(&[][..], |(_, ours)| ours);
    of_others
        .iter()
        .find(|path| leads_to_a_field(schema, path))
        .map(|path| (*path).to_owned())
        .or_else(|| similar(word, fields(schema).map(|(name, _)| name)).map(str::to_owned))
        .or_else(|| below(schema, &plain))
}

fn fields(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, schema)| (name.as_str(), schema))
}

/// Whether the schema has the field, or says nothing about what is there, as of a pod template.
fn leads_to_a_field(schema: &Value, path: &str) -> bool {
    let mut place = schema;
    for step in path.split('.') {
        let (name, is_list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let Some((_, field)) = fields(place).find(|(known, _)| *known == name) else {
            return place != schema && place.get("properties").is_none();
        };
        place = if is_list { field.get("items").unwrap_or(field) } else { field };
    }
    true
}

/// The one field of this name that is nearest below the object, if there are not two.
fn below(schema: &Value, plain: &str) -> Option<String> {
    let mut levels: VecDeque<Vec<(String, &Value)>> = VecDeque::from([vec![(String::new(), schema)]]);
    for depth in 0..DEPTH {
        levels.resize_with(3, Vec::new);
        let mut found = None;
        for (path, schema) in levels.pop_front()? {
            for (name, field) in fields(schema) {
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                if depth > 0 && name.to_ascii_lowercase() == plain && found.replace(path.clone()).is_some() {
                    return None;
                }
                // An item of a list is a step further, so that "workers" is nearer than one of
                // "workerGroups".
                if let (Some(item), Some(level)) = (field.get("items"), levels.get_mut(1)) {
                    level.push((format!("{path}[]"), item));
                }
                if let Some(level) = levels.get_mut(0) {
                    level.push((path, field));
                }
            }
        }
        if found.is_some() {
            return found;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::schemas::SCHEMAS;
    use super::*;

    #[rstest]
    #[case::of_a_cron_job("Flow", "concurrencyPolicy", Some("concurrency"))]
    #[case::of_a_cron_job_at_its_place("Flow", "timeZone", Some("schedule.timeZone"))]
    #[case::of_a_pod("Flow", "nodeSelector", Some("template.spec.nodeSelector"))]
    #[case::of_dask("DaskCluster", "n_workers", Some("workers.replicas"))]
    #[case::of_dask_in_a_flow("Flow", "n_workers", Some("cluster.template.workers.replicas"))]
    #[case::misspelt("Flow", "schedul", Some("schedule"))]
    #[case::too_high("Flow", "cron", Some("schedule.clocks[].cron"))]
    #[case::too_high("DaskCluster", "replicas", Some("workers.replicas"))]
    #[case::of_two_kinds("FlowBackfill", "start_date", Some("from"))]
    #[case::nothing_like_it("Flow", "airflow", None)]
    fn what_was_meant(#[case] kind: &str, #[case] word: &str, #[case] expected: Option<&str>) {
        let spec = &SCHEMAS[kind].openapi["properties"]["spec"];
        assert_eq!(meant(spec, word).as_deref(), expected);
    }

    #[test]
    fn every_word_of_others_has_a_field_of_ours() {
        let kinds = ["Flow", "FlowRun", "DaskCluster", "FlowBackfill"];
        let specs = kinds.map(|kind| &SCHEMAS[kind].openapi["properties"]["spec"]);
        let workers = &specs[2]["properties"]["workers"];
        let clocks = &specs[0]["properties"]["schedule"]["properties"]["clocks"]["items"];
        for (word, paths) in OF_OTHERS {
            for path in *paths {
                let is_there =
                    specs.iter().copied().chain([workers, clocks]).any(|place| leads_to_a_field(place, path));
                assert!(is_there, "{word}: {path}");
            }
        }
    }
}
