//! `daskflow backfill`

use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::Value;

use super::access::Access;
use super::failure::Failure;
use super::format::Output;
use super::parameters::Parameters;
use super::session::Session;
use crate::api::{Flow, FlowBackfill, FlowBackfillSpec};
use crate::cli::instant::instant;
use crate::cli::output::write_table;
use crate::client::find::{self, Named};
use crate::client::{Error, read, runs};
use crate::plan::backfill::{Foreseen, Observed, preview};
use crate::view::backfill::summary;

const HEADER: [&str; 5] = ["TICK", "RUN", "CLOCKS", "EXISTS", "ACTION"];

/// Exit code 0: the backfill is created; with --dry-run, its ticks are listed. 1: it would start nothing, or
/// could not be created. 2: the command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The Flow.
    flow: Named,
    /// No tick before this instant, such as 2026-10-01T00:00:00Z; a date is its midnight in UTC.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    from: Timestamp,
    /// No tick after this instant.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    to: Timestamp,
    /// Only ticks of this clock. May be given several times. Default: all clocks.
    #[arg(long, value_name = "NAME")]
    clock: Vec<String>,
    /// How many runs at the same time. The Flow's own concurrency counts as well.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    parallelism: u32,
    #[command(flatten)]
    parameters: Parameters,
    /// List the ticks and what would be done with each, and create nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) access: Access,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(super) async fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    if arguments.to < arguments.from {
        return Err(Error::Senseless(
            "--to is before --from: write the earlier instant into --from".to_owned(),
        )
        .into());
    }
    let flow = find::flow(&session.cluster, &arguments.flow).await?;
    let backfill = backfill(arguments, &flow)?;
    // What would start nothing is not created only to say so.
    let ticks = foreseen(&flow, &backfill, session).await?;
    if arguments.dry_run {
        if session.format.is_for_people() {
            list(&ticks, arguments.parallelism, session)?;
        } else {
            session.print(&[&backfill], "")?;
        }
        return Ok(0);
    }
    let created = runs::create_backfill(&session.cluster, &backfill).await?;
    let name = created.name_any();
    let sentence = format!("backfill/{name} created: {}", summary(&ticks));
    session.print(std::slice::from_ref(&created), &sentence)?;
    if session.format.is_for_people() {
        session.note(&format!("daskflow status backfill/{name}\ndaskflow suspend backfill/{name}"));
    }
    Ok(0)
}

fn backfill(arguments: &Arguments, flow: &Flow) -> Result<FlowBackfill, Failure> {
    let name = flow.name_any();
    let parameters = arguments.parameters.read()?;
    let mut spec = FlowBackfillSpec::new(name.clone(), Time(arguments.from), Time(arguments.to));
    spec.clocks.clone_from(&arguments.clock);
    spec.parallelism = arguments.parallelism.into();
    spec.parameters = (!parameters.is_empty()).then_some(Value::Object(parameters));
    let mut backfill = FlowBackfill::new("", spec);
    backfill.metadata = ObjectMeta {
        generate_name: Some(format!("{name}-")),
        namespace: flow.namespace(),
        ..ObjectMeta::default()
    };
    Ok(backfill)
}

/// What becomes of each tick, as the operator would decide it now.
async fn foreseen(
    flow: &Flow,
    backfill: &FlowBackfill,
    session: &Session<'_>,
) -> Result<Vec<Foreseen>, Failure> {
    let runs = read::runs_of(&session.cluster, &flow.name_any()).await?;
    let observed =
        Observed { flow: Some(Arc::new(flow.clone())), runs: runs.into_iter().map(Arc::new).collect() };
    let ticks = preview(backfill, &observed, session.clock.now()).map_err(|fault| {
        Failure::Senseless(format!("the backfill would start nothing: {}", fault.message))
    })?;
    if ticks.is_empty() {
        let (name, from, to) = (flow.name_any(), backfill.spec.from.0, backfill.spec.to.0);
        return Err(Failure::Senseless(format!(
            "the backfill would start nothing: no clock of the Flow {name} ticks between {from} and {to}"
        )));
    }
    Ok(ticks)
}

fn list(ticks: &[Foreseen], parallelism: u32, session: &mut Session<'_>) -> Result<(), Failure> {
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(ticks.iter().map(|tick| {
        let exists = tick.exists.map_or("-", crate::api::Phase::as_str).to_owned();
        [
            tick.tick.to_string(),
            tick.run.clone(),
            tick.clocks.join(","),
            exists,
            tick.does.as_str().to_owned(),
        ]
    }));
    write_table(&mut session.out, &rows)?;
    writeln!(session.out, "{}, at most {parallelism} at the same time; nothing was created", summary(ticks))?;
    Ok(())
}
