//! The tables, in Markdown, for docs/benchmarks.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::restart::Restart;
use crate::turns::Turn;
use crate::writes::{Costs, KINDS, Way};

/// The turns of a few rounds, by who had them.
pub type Turns = BTreeMap<&'static str, Vec<Turn>>;

/// A figure of a turn.
type Pick = fn(&Turn) -> Option<f64>;

pub const DASKFLOW: &str = "daskflow";
pub const CRON_JOB: &str = "CronJob";
pub const BARE: &str = "bare client";
pub const COMMITTED: &str = "bare client with the commits and live reads";

/// The median, with the least and the most where they are several.
fn median(values: impl IntoIterator<Item = f64>, digits: usize) -> String {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => "-".to_owned(),
        [only] => format!("{only:.digits$}"),
        [least, .., most] => {
            format!("{:.digits$} ({least:.digits$}-{most:.digits$})", middle(&values).unwrap_or_default())
        }
    }
}

fn middle(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

/// Seconds to the many that were done; where some turn never got so far, that.
fn seconds(turns: &[Turn], pick: Pick) -> String {
    let all: Vec<f64> = turns.iter().filter_map(pick).collect();
    let never = turns.len() - all.len();
    let text = median(all, 2);
    if never == 0 { text } else { format!("{text}, never in {never} of {}", turns.len()) }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn writes(turn: &Turn) -> usize {
    turn.writes.values().sum()
}

fn conflicts(turn: &Turn) -> usize {
    turn.writes.iter().filter(|(kind, _)| kind.ends_with(" 409")).map(|(_, count)| *count).sum()
}

/// What was due at one instant, one line for each who had a turn.
pub fn turns(turns: &Turns, flows: usize) -> String {
    let each = count(flows);
    let mut text = String::from(
        "| | FlowRun p50, s | p99 | Job p50, s | p99 | writes a run | conflicts | reads | processor, ms a run | peak memory, MiB | ended by itself |\n",
    );
    text += &("| --- ".repeat(11) + "|\n");
    for (who, turns) in turns {
        let is_ours = *who == DASKFLOW;
        let ours = |value: String| if is_ours { value } else { "-".to_owned() };
        let ended: usize = turns.iter().map(|turn| turn.ended).sum();
        let has_runs = turns.iter().any(|turn| turn.run_p50.is_some()) || is_ours;
        let run = |pick| if has_runs { seconds(turns, pick) } else { "-".to_owned() };
        let cells = [
            format!("{who}, n={}", turns.len()),
            run(|turn| turn.run_p50),
            run(|turn| turn.run_p99),
            seconds(turns, |turn| turn.job_p50),
            seconds(turns, |turn| turn.job_p99),
            median(turns.iter().map(|turn| count(writes(turn)) / each), 1),
            median(turns.iter().map(|turn| count(conflicts(turn)) / each), 2),
            median(turns.iter().map(|turn| count(turn.reads) / each), 1),
            ours(median(turns.iter().map(|turn| turn.cpu_s * 1e3 / each), 1)),
            ours(median(turns.iter().map(|turn| turn.peak_mib), 0)),
            ours(ended.to_string()),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text + &ratios(turns) + &others(turns)
}

/// Those that the burst is not to delay.
fn others(turns: &Turns) -> String {
    let ours = turns.get(DASKFLOW).map(Vec::as_slice).unwrap_or_default();
    format!(
        "\nWhile these were due: a Flow of another namespace that was due at the same instant got its run after {} s and its \
         Job after {} s; a FlowRun made by hand half a second into the burst, in the same namespace, got its Job after {} s.\n",
        seconds(ours, |turn| turn.neighbour[0]),
        seconds(ours, |turn| turn.neighbour[1]),
        seconds(ours, |turn| turn.by_hand),
    )
}

/// The goals are ratios.
fn ratios(turns: &Turns) -> String {
    let of = |who: &str, pick: Pick| {
        let mut values: Vec<f64> = turns.get(who)?.iter().filter_map(pick).collect();
        values.sort_by(f64::total_cmp);
        middle(&values)
    };
    let ratio = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => format!("{:.1}", one / other),
        _ => "-".to_owned(),
    };
    let (run, job): (Pick, Pick) = (|turn| turn.run_p99, |turn| turn.job_p99);
    let ours = of(DASKFLOW, job);
    let mut text = String::from("\nOf the medians, p99 of daskflow as a multiple of the limit:");
    for limit in [BARE, COMMITTED] {
        let (run, job) = (ratio(of(DASKFLOW, run), of(limit, run)), ratio(ours, of(limit, job)));
        let _ = write!(text, " FlowRun {run} and Job {job} ({limit});");
    }
    let _ = writeln!(
        text,
        " p99 of CronJob's Jobs as a multiple of daskflow's: {}.",
        ratio(of(CRON_JOB, job), ours)
    );
    text
}

/// Requests that write, for one run, by what they ask.
pub fn kinds(turns: &Turns, flows: usize) -> String {
    let all = |who: &str| turns.get(who).map(Vec::as_slice).unwrap_or_default();
    let mut text = String::from("| write | daskflow, for a run | CronJob |\n| --- | --- | --- |\n");
    let both = || [DASKFLOW, CRON_JOB].into_iter().flat_map(all);
    let kinds: BTreeSet<&String> = both().flat_map(|turn| turn.writes.keys()).collect();
    for kind in kinds {
        let each = |who| {
            let counts = all(who).iter().map(|turn| turn.writes.get(kind).copied().unwrap_or_default());
            median(counts.map(|number| count(number) / count(flows)), 2)
        };
        let _ = writeln!(text, "| {kind} | {} | {} |", each(DASKFLOW), each(CRON_JOB));
    }
    text
}

/// Processor time of a write.
pub fn costs(costs: &Costs) -> String {
    let mut text = String::from(
        "| status of | way | API server, ms a write | etcd, ms a write |\n| --- | --- | --- | --- |\n",
    );
    for kind in KINDS {
        for way in Way::ALL {
            let all = costs.get(&(kind, way)).map(Vec::as_slice).unwrap_or_default();
            let (server, etcd) = (all.iter().map(|cost| cost.0), all.iter().map(|cost| cost.1));
            let (server, etcd) = (median(server, 2), median(etcd, 2));
            let _ = writeln!(text, "| {kind} | {} | {server} | {etcd} |", way.title());
        }
    }
    text
}

pub fn restart(restart: &Restart) -> String {
    let s = |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |value| format!("{value:.2}"));
    format!(
        "| restart: after the start of the process | |\n| --- | --- |\n| ready, s | {:.2} |\n| first run created, s | {} |\n\
         | all due runs created, s | {} |\n| all their Jobs created, s | {} |\n| lost; doubled | {}; {} |\n\
         | processor, s | {:.1} |\n| peak memory, MiB | {:.0} |\n| ended by itself | {} |\n",
        restart.ready,
        s(restart.first_run),
        s(restart.last_run),
        s(restart.last_job),
        restart.lost,
        restart.doubled,
        restart.cpu_s,
        restart.peak_mib,
        restart.ended,
    )
}
