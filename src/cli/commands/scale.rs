//! `daskflow scale`

use clap::Args;

use super::access::Access;
use super::failure::Failure;
use super::format::Output;
use super::session::{Session, Waited, deadline};
use crate::api::worker_group::Drain;
use crate::api::{DaskCluster, Kind};
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
    /// The cluster.
    cluster: Named,
    /// The number of workers; or, before it, a group of the cluster. Default: that of spec.workers.
    // Each is an argument of its own: options may stand between them.
    #[arg(value_name = "GROUP|WORKERS")]
    first: String,
    /// The number of workers of a group that is named.
    #[arg(value_name = "WORKERS")]
    second: Option<String>,
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
    let named = &arguments.cluster;
    let (group, workers) = match wish(&arguments.first, arguments.second.as_deref()) {
        Ok(wish) => wish,
        Err(why) => {
            session.note(&format!("daskflow: {why}"));
            return Ok(WRONG_COMMAND_LINE);
        }
    };
    let Found::Cluster(cluster) = find::find(&session.cluster, named, &[Kind::DaskCluster]).await? else {
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

/// The group and the number of workers that the words name.
fn wish<'a>(first: &'a str, second: Option<&'a str>) -> Result<(&'a str, i32), String> {
    let (group, workers) = second.map_or((DEFAULT, first), |workers| (first, workers));
    let in_range = |workers: &i32| (0..=WORKERS_MAX).contains(workers);
    let workers =
        workers.parse::<i32>().ok().filter(in_range).ok_or_else(|| {
            format!("{workers:?} is no number of workers: write one from 0 to {WORKERS_MAX}")
        })?;
    Ok((group, workers))
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
                Drain::Wait => format!("{head}: {fewer} fewer, as soon as the tasks there have ended"),
                Drain::Restart if !has_workers(&change.cluster) => format!(
                    "{head}: {fewer} fewer; no worker is left: results on them are lost, and tasks wait until there are workers again"
                ),
                Drain::Restart => format!(
                    "{head}: {fewer} fewer; results move to other workers, and tasks that run there start again elsewhere"
                ),
            }
        }
    }
}

/// Whether a group of a cluster may have a worker.
fn has_workers(cluster: &DaskCluster) -> bool {
    let named = cluster.spec.worker_groups.iter().map(|group| &group.workers);
    let mut groups = named.chain([&cluster.spec.workers]);
    groups.any(|group| group.autoscale.is_some() || group.fixed_size() > 0)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn options_may_stand_between_the_words() {
        for (line, group, workers) in [
            ("scale small 2 --local", DEFAULT, 2),
            ("scale small --local 2", DEFAULT, 2),
            ("scale --local small big -n team 3", "big", 3),
            ("scale small --wait big --timeout 5 3", "big", 3),
        ] {
            let arguments = Line::parse_from(line.split(' ')).arguments;
            let wish = wish(&arguments.first, arguments.second.as_deref());
            assert_eq!(wish, Ok((group, workers)), "{line}");
            assert_eq!(arguments.cluster.name, "small");
        }
        assert!(wish("big", None).unwrap_err().contains("is no number of workers"));
    }

    #[test]
    fn results_move_where_workers_are_left() {
        let said = |spec: Value, workers: i32| {
            let cluster = serde_json::from_value(json!({
                "apiVersion": "daskflow.dev/v1alpha1", "kind": "DaskCluster", "metadata": {"name": "a"}, "spec": spec,
            }));
            let change = Change { before: 2, drain: Drain::Restart, cluster: cluster.unwrap() };
            sentence("a", DEFAULT, workers, &change)
        };
        let workers = |replicas: i32| json!({"image": "i", "workers": {"replicas": replicas}});
        assert!(said(workers(1), 1).contains("results move to other workers"));
        assert!(said(workers(0), 0).contains("no worker is left"), "{}", said(workers(0), 0));
        let mut others = workers(0);
        others["workerGroups"] = json!([{"name": "b", "replicas": 1}]);
        assert!(said(others, 0).contains("results move to other workers"));
    }
}
