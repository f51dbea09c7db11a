//! `daskflow scale`

use clap::Args;

use super::access::Access;
use super::failure::Failure;
use super::format::Output;
use super::session::{Session, Waited, deadline};
use crate::api::Kind;
use crate::api::worker_group::Drain;
use crate::client::find::{self, Found, Named};
use crate::client::scale::{self, Change, DEFAULT};
use crate::client::wait::Seen;
use crate::view::counted;

/// The exit code of a command line that is wrong, which clap gives by itself where it can.
const WRONG_COMMAND_LINE: u8 = 2;
/// The most workers that a group may have, as in its field.
const WORKERS_MAX: i32 = 10_000;

/// Exit code 0: it is set; with --wait, the workers are there. 1: there is no such cluster or group, or it
/// scales itself. 124: the time of --timeout is over. 2: the command line is wrong.
#[derive(Args, Debug)]
#[command(override_usage = "daskflow scale [OPTIONS] CLUSTER [GROUP] WORKERS")]
pub(in crate::cli) struct Arguments {
    /// The cluster; one of its groups, default for that of spec.workers; the number of workers.
    #[arg(value_name = "CLUSTER [GROUP] WORKERS", num_args = 2..=3, required = true)]
    what: Vec<String>,
    /// Wait until as many workers are registered with the scheduler.
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
    let (named, group, workers) = match wish(&arguments.what) {
        Ok(wish) => wish,
        Err(why) => {
            session.note(&format!("daskflow: {why}"));
            return Ok(WRONG_COMMAND_LINE);
        }
    };
    let Found::Cluster(cluster) = find::find(&session.cluster, &named, &[Kind::DaskCluster]).await? else {
        return Ok(1);
    };
    let change = scale::scale(&session.cluster, &cluster, group, workers).await?;
    session.print(std::slice::from_ref(&change.cluster), &sentence(&named.name, group, workers, &change))?;
    if !arguments.wait {
        return Ok(0);
    }
    let to = session.cluster.clone();
    let hint = format!("the workers are not all there yet: `daskflow status cluster/{}`", named.name);
    let until = deadline(arguments.timeout);
    let scaled =
        async |seen: &mut Seen<'_>| scale::until_scaled(&to, &named.name, group, workers, seen).await;
    match session.wait(until, &hint, scaled).await? {
        Waited::Done(_) => {
            if session.format.is_for_people() {
                let counted = counted(usize::try_from(workers).unwrap_or_default(), "worker");
                writeln!(session.out, "cluster/{} has {counted} in the group {group}", named.name)?;
            }
            Ok(0)
        }
        Waited::Ended(code) => Ok(code),
    }
}

/// The cluster, the group and the number of workers that the words name.
fn wish(what: &[String]) -> Result<(Named, &str, i32), String> {
    let (name, group, workers) = match what {
        [name, workers] => (name, DEFAULT, workers),
        [name, group, workers] => (name, group.as_str(), workers),
        _ => return Err("write CLUSTER [GROUP] WORKERS".to_owned()),
    };
    let in_range = |workers: &i32| (0..=WORKERS_MAX).contains(workers);
    let workers =
        workers.parse::<i32>().ok().filter(in_range).ok_or_else(|| {
            format!("{workers:?} is no number of workers: write one from 0 to {WORKERS_MAX}")
        })?;
    Ok((name.parse()?, group, workers))
}

/// What will happen.
fn sentence(cluster: &str, group: &str, workers: i32, change: &Change) -> String {
    let after = usize::try_from(workers).unwrap_or_default();
    let before = counted(change.before, "worker");
    let head = format!("cluster/{cluster}: the group {group} has {before} and is to have {after}");
    match after.cmp(&change.before) {
        std::cmp::Ordering::Equal => {
            format!("cluster/{cluster}: the group {group} has {} already", counted(after, "worker"))
        }
        std::cmp::Ordering::Greater => format!("{head}: {} more", after - change.before),
        std::cmp::Ordering::Less => {
            let fewer = change.before - after;
            match change.drain {
                Drain::Restart => format!(
                    "{head}: {fewer} fewer; results move to other workers, and tasks that run there start again elsewhere"
                ),
                Drain::Wait => format!("{head}: {fewer} fewer, as soon as the tasks there have ended"),
            }
        }
    }
}
