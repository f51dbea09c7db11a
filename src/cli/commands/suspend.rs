//! `daskflow suspend` and `daskflow resume`

use clap::Args;

use super::access::Access;
use super::failure::Failure;
use super::format::Output;
use super::session::{Session, Waited, deadline};
use crate::api::{Kind, Phase};
use crate::client::find::{self, Found, Named, shown};
use crate::client::wait::Seen;
use crate::client::{read, suspend};
use crate::plan::facts::phase_of;

/// Exit code 0: it is set; with --wait, it is carried out. 1: an object is not there, or may not be changed.
/// 124: the time of --timeout is over. 2: the command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Flows, runs, clusters or backfills, with the kind before the name where several have it: flow/nightly.
    #[arg(value_name = "[KIND/]NAME", required = true)]
    objects: Vec<Named>,
    /// Wait until it is carried out.
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

/// Sets `spec.suspend` to `suspends`.
pub(super) async fn run(
    arguments: &Arguments,
    suspends: bool,
    session: &mut Session<'_>,
) -> Result<u8, Failure> {
    let kinds = [Kind::Flow, Kind::FlowRun, Kind::DaskCluster, Kind::FlowBackfill];
    let mut found = Vec::new();
    for named in &arguments.objects {
        found.push(find::find(&session.cluster, named, &kinds).await?);
    }
    // One that cannot be set leaves the others as they are.
    for object in &found {
        refuse_ended(object)?;
        suspend::refuse_followed(object)?;
    }
    let (mut set, mut failed) = (Vec::new(), None);
    for before in &found {
        match suspend::set(&session.cluster, before, suspends).await {
            Ok(after) => {
                if session.format.is_for_people() {
                    let sentence = sentence(before, &after, suspends, session).await;
                    writeln!(session.out, "{sentence}")?;
                }
                set.push(after);
            }
            Err(error) => {
                failed = Some(error.into());
                break;
            }
        }
    }
    let values = set.iter().map(Found::to_value).collect::<Result<Vec<_>, _>>()?;
    session.print_done(&values, failed)?;
    let until = deadline(arguments.timeout);
    for object in set.iter().filter(|_| arguments.wait) {
        let (cluster, name) = (session.cluster.clone(), object.name());
        let hint = format!("it is not carried out yet: `daskflow status {}/{name}`", shown(object.kind()));
        let done = async |seen: &mut Seen<'_>| suspend::until_done(&cluster, object, suspends, seen).await;
        match session.wait(until, &hint, done).await? {
            Waited::Done(done) if session.format.is_for_people() => {
                let word = if suspends { "suspended" } else { "resumed" };
                writeln!(session.out, "{}/{name} is {word}", shown(done.kind()))?;
            }
            Waited::Done(_) => {}
            Waited::Ended(code) => return Ok(code),
        }
    }
    Ok(0)
}

/// What has ended does not go on.
fn refuse_ended(found: &Found) -> Result<(), Failure> {
    let phase = match found {
        Found::Run(run) => phase_of(run),
        _ => Phase::Queued,
    };
    if phase.is_final() {
        let name = found.name();
        return Err(Failure::Senseless(format!(
            "the run {name} has ended ({}): `daskflow retry {name}` runs it again",
            phase.as_str()
        )));
    }
    Ok(())
}

/// What was done, and what goes on all the same.
async fn sentence(before: &Found, after: &Found, suspends: bool, session: &Session<'_>) -> String {
    let object = format!("{}/{}", shown(after.kind()), after.name());
    let word = if suspends { "suspended" } else { "resumed" };
    if suspend::is_set(before) == suspends {
        return format!("{object} was {word} already");
    }
    let more = match after {
        Found::Flow(flow) if suspends => {
            let runs = read::runs_of(&session.cluster, &after.name()).await.unwrap_or_default();
            match suspend::go_on(flow, &runs).as_slice() {
                [] => "no run starts until it is resumed".to_owned(),
                [only] => format!("no run starts until it is resumed; {only} goes on"),
                some => format!("no run starts until it is resumed; {} runs go on", some.len()),
            }
        }
        Found::Cluster(_) if suspends => "its pods are deleted, and what runs on it ends".to_owned(),
        Found::Run(_) if suspends => "its runner is stopped, and starts from the beginning later".to_owned(),
        Found::Backfill(_) if suspends => "it starts no further runs; those that are active go on".to_owned(),
        _ => return format!("{object} {word}"),
    };
    format!("{object} {word}: {more}")
}
