//! `daskflow cancel`

use clap::Args;
use kube::ResourceExt;

use super::access::Access;
use super::failure::Failure;
use super::format::Output;
use super::session::{Session, Waited, deadline};
use crate::api::{FlowRun, Kind, Phase};
use crate::client::find::{self, Named};
use crate::client::wait::Seen;
use crate::client::{Error, read, runs};
use crate::plan::facts::phase_of;

/// Exit code 0: all of them are asked to end; with --wait, all have ended. 1: one is not there, or may not be
/// cancelled. 124: the time of --timeout is over. 2: the command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The runs.
    #[arg(value_name = "RUN", required_unless_present = "selector")]
    runs: Vec<Named>,
    /// All runs with these labels that have not ended, such as daskflow.dev/flow=nightly.
    #[arg(short = 'l', long, conflicts_with = "runs")]
    selector: Option<String>,
    /// Wait until they have ended.
    #[arg(long)]
    wait: bool,
    /// How many seconds to wait at most. Default: no limit.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    pub(super) access: Access,
    #[command(flatten)]
    pub(super) output: Output,
}

pub(super) async fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    let mut found = Vec::new();
    for named in &arguments.runs {
        found.push(one(named, session).await?);
    }
    if let Some(selector) = &arguments.selector {
        let all = read::runs(&session.cluster, selector).await?;
        found.extend(all.into_iter().filter(|run| !phase_of(run).is_final()));
        if found.is_empty() {
            session.note(&format!("no run with the labels {selector} is under way"));
        }
    }
    let (mut asked, mut failed) = (Vec::new(), None);
    for run in &found {
        match cancel(run, session).await {
            Ok(run) => asked.push(run),
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    session.print_done(&asked, failed)?;
    let until = deadline(arguments.timeout);
    for run in asked.iter().filter(|run| arguments.wait && !phase_of(run).is_final()) {
        let (cluster, name) = (session.cluster.clone(), run.name_any());
        let hint = format!("the run {name} was asked to end and has not yet: `daskflow status {name}`");
        let ended = async |seen: &mut Seen<'_>| runs::until_ended(&cluster, &name, seen).await;
        match session.wait(until, &hint, ended).await? {
            Waited::Done(run) => say(&run, session)?,
            Waited::Ended(code) => return Ok(code),
        }
    }
    Ok(0)
}

/// The run of a name. Of a Flow's name the runs are named that may be meant.
async fn one(named: &Named, session: &Session<'_>) -> Result<FlowRun, Failure> {
    let error = match find::run(&session.cluster, named).await {
        Ok(run) => return Ok(run),
        Err(error) => error,
    };
    let is_flow = Named { kind: Some(Kind::Flow), name: named.name.clone() };
    if named.kind.is_some() || !matches!(error, Error::NotFound { .. }) {
        return Err(error.into());
    }
    if find::flow(&session.cluster, &is_flow).await.is_err() {
        return Err(error.into());
    }
    let runs = read::runs_of(&session.cluster, &named.name).await?;
    let active: Vec<String> =
        runs.iter().filter(|run| !phase_of(run).is_final()).map(ResourceExt::name_any).collect();
    Err(Failure::Senseless(if active.is_empty() {
        format!("{} is a Flow, and none of its runs is under way", named.name)
    } else {
        format!(
            "{} is a Flow: name its runs that are to end: `daskflow cancel {}`",
            named.name,
            active.join(" ")
        )
    }))
}

/// Asks for one to end. One that has ended stays as it is.
async fn cancel(run: &FlowRun, session: &mut Session<'_>) -> Result<FlowRun, Failure> {
    let name = run.name_any();
    if phase_of(run).is_final() {
        session.note(&format!("run/{name} has ended already: {}", phase_of(run).as_str()));
        return Ok(run.clone());
    }
    let asked = runs::cancel(&session.cluster, &name).await?;
    if session.format.is_for_people() {
        writeln!(session.out, "run/{name} is asked to end")?;
    }
    Ok(asked)
}

/// How it ended: it may have been faster.
fn say(run: &FlowRun, session: &mut Session<'_>) -> Result<(), Failure> {
    if session.format.is_for_people() {
        let phase = phase_of(run);
        let word = if phase == Phase::Cancelled { "" } else { " before it could be cancelled" };
        writeln!(session.out, "run/{} has ended{word}: {}", run.name_any(), phase.as_str())?;
    }
    Ok(())
}
