//! Each Flow once, now.

use kube::api::{ObjectMeta, PostParams};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Client, ResourceExt};

use super::lines;
use super::news::News;
use crate::api::{FlowRun, FlowRunSpec};
use crate::view::exit;

/// Runs each Flow, one after the other, and gives the exit code of the first run that failed.
///
/// # Errors
///
/// A run cannot be created or waited for.
pub async fn run_each(client: &Client, flows: &[(String, String)], news: &News) -> Result<u8, Error> {
    let mut first = 0;
    for (namespace, flow) in flows {
        let api: Api<FlowRun> = Api::namespaced(client.clone(), namespace);
        let run = run(&api, flow).await.map_err(|source| Error { flow: flow.clone(), source })?;
        if let Some(line) = run.as_ref().and_then(lines::of_run) {
            news.say(&line);
        }
        if first == 0 {
            first = run.as_ref().map_or(exit::FAILED, code);
        }
    }
    Ok(first)
}

/// A run could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the Flow {flow} could not be run")]
pub struct Error {
    flow: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Creates a run of a Flow, by hand, and gives its name.
///
/// # Errors
///
/// The API refuses it.
pub async fn create(
    api: &Api<FlowRun>,
    flow: &str,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let spec: FlowRunSpec = serde_json::from_value(serde_json::json!({"flow": flow}))?;
    let mut run = FlowRun::new("", spec);
    run.metadata = ObjectMeta { generate_name: Some(format!("{flow}-")), ..ObjectMeta::default() };
    Ok(api.create(&PostParams::default(), &run).await?.name_any())
}

/// Creates a run and waits for its end; none if it was deleted meanwhile.
async fn run(
    api: &Api<FlowRun>,
    flow: &str,
) -> Result<Option<FlowRun>, Box<dyn std::error::Error + Send + Sync>> {
    let created = create(api, flow).await?;
    Ok(await_condition(api.clone(), &created, has_ended()).await?)
}

fn has_ended() -> impl Condition<FlowRun> {
    |run: Option<&FlowRun>| {
        run.is_none_or(|run| run.status.as_ref().is_some_and(|status| status.phase.is_final()))
    }
}

/// The exit code of a run that has ended.
pub fn code(run: &FlowRun) -> u8 {
    exit::code(&run.status.clone().unwrap_or_default())
}
