//! Many Flows that are due at one instant, beside Kubernetes' CronJobs and beside the limit, which is a
//! client that only creates; what a write costs the API server; and a restart under load.
//!
//! `make bench-burst` brings up a cluster with fake nodes for it and prints tables in Markdown. Without
//! `--directory`, as where all benches are run, it does nothing and says so.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark prints its figures, and ends at what it cannot do"
)]

#[path = "burst/audit.rs"]
mod audit;
#[path = "burst/cluster.rs"]
mod cluster;
#[path = "burst/machine.rs"]
mod machine;
#[path = "burst/report.rs"]
mod report;
#[path = "burst/restart.rs"]
mod restart;
#[path = "burst/scheduler.rs"]
mod scheduler;
#[path = "burst/turns.rs"]
mod turns;
#[path = "burst/writes.rs"]
mod writes;

use std::time::Duration;

use clap::Parser;
use kube::Client;

use audit::Audit;
use cluster::Cluster;
use machine::{Busy, Operator};
use report::{BARE, COMMITTED, CRON_JOB, DASKFLOW, Turns};
use turns::Templates;

/// Processes that keep the cores busy.
const LOAD: usize = 4;

#[derive(Parser)]
struct Options {
    /// The folder of the embedded cluster.
    #[arg(long)]
    directory: Option<String>,
    /// The operator. Default: that of this build.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_daskflow"))]
    program: String,
    /// All sizes as small as they can be: whether it works, and no figures.
    #[arg(long)]
    small: bool,
    /// Flows, and CronJobs, that are due at one instant.
    #[arg(long, default_value_t = 1_000)]
    flows: usize,
    /// Rounds on a machine that does nothing else.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Rounds with four processes beside that keep the cores busy.
    #[arg(long, default_value_t = 3)]
    busy_rounds: usize,
    /// No turns of CronJobs: a look at daskflow and the limit, in a quarter of the time.
    #[arg(long)]
    without_cron_jobs: bool,
    /// How long a run's pod lasts.
    #[arg(long, default_value_t = 30)]
    run_s: u64,
    /// From the first create to the tick, at least: all Flows must be created and looked at by then.
    #[arg(long, default_value_t = 60)]
    lead_s: u64,
    /// Writes of each way, for what they cost; 0 leaves that out.
    #[arg(long, default_value_t = 1_600)]
    writes: usize,
    /// Flows at the restart; 0 leaves that out.
    #[arg(long, default_value_t = 5_000)]
    all_flows: usize,
    /// Those of these Flows that came due just before.
    #[arg(long, default_value_t = 1_000)]
    due: usize,
    /// Finished runs at the restart.
    #[arg(long, default_value_t = 10_000)]
    old_runs: usize,
    /// From the first create to the tick before the restart.
    #[arg(long, default_value_t = 120)]
    restart_lead_s: u64,
    /// `cargo bench` says so.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn made_small(self) -> Self {
        if !self.small {
            return self;
        }
        Self {
            flows: 5,
            rounds: 1,
            busy_rounds: 0,
            run_s: 1,
            lead_s: 3,
            writes: 16,
            all_flows: 6,
            due: 2,
            old_runs: 12,
            restart_lead_s: 2,
            ..self
        }
    }

    /// For all Jobs of a turn, and for all to end after that.
    fn patience(&self) -> Duration {
        Duration::from_secs(if self.small { 60 } else { 900 })
    }

    /// Between two looks at all runs, which cost the API server.
    fn pause(&self) -> Duration {
        if self.small { Duration::from_millis(300) } else { Duration::from_secs(5) }
    }
}

/// What all measurements share.
struct Bench {
    cluster: Cluster,
    options: Options,
    directory: String,
    kubeconfig: String,
    /// Of the Flows' scheduler.
    address: String,
    api_server: u32,
    etcd: u32,
}

impl Bench {
    fn operator(&self) -> Operator {
        Operator::start(&self.options.program, &self.kubeconfig, &format!("{}/operator.log", self.directory))
    }

    fn audit(&self, user: &str) -> Audit {
        Audit::from_now(&format!("{}/logs/audit.log", self.directory), user)
    }

    /// All three, by turns, so that none is always the first. The client comes after daskflow: it creates
    /// what that did.
    async fn rounds(&self, count: usize, title: &str) -> (Turns, Option<Templates>) {
        let (mut turns, mut templates) = (Turns::new(), None);
        for round in 0..count {
            for is_ours in [round % 2 == 0, round % 2 != 0] {
                let who = if is_ours { DASKFLOW } else { CRON_JOB };
                say(&format!("{title}, round {} of {count}: {who}, load {}", round + 1, machine::load()));
                if is_ours {
                    let (turn, made) = self.daskflow().await;
                    say(&format!("{turn:?}"));
                    turns.entry(DASKFLOW).or_default().push(turn);
                    for (who, with_commits) in [(BARE, false), (COMMITTED, true)] {
                        turns.entry(who).or_default().push(self.limit(&made, with_commits).await);
                    }
                    templates = Some(made);
                } else if !self.options.without_cron_jobs {
                    turns.entry(CRON_JOB).or_default().push(self.cron_jobs().await);
                }
                self.cluster.clear().await;
            }
        }
        (turns, templates)
    }

    async fn run(&self) {
        let flows = self.options.flows;
        let (quiet, templates) = self.rounds(self.options.rounds, "quiet machine").await;
        if !quiet.is_empty() {
            println!("## {flows} due at one instant\n\n{}", report::turns(&quiet, flows));
            println!("{}", report::kinds(&quiet, flows));
        }
        let busy = (self.options.busy_rounds > 0).then(|| Busy::start(LOAD));
        let (turns, more) = self.rounds(self.options.busy_rounds, "busy machine").await;
        drop(busy);
        if !turns.is_empty() {
            println!(
                "## {flows} due at one instant, with a load of {LOAD}\n\n{}",
                report::turns(&turns, flows)
            );
            println!("{}", report::kinds(&turns, flows));
        }
        let Some(templates) = templates.or(more) else { return };
        if self.options.writes > 0 {
            println!("## What a write costs\n\n{}", report::costs(&self.costs_of_writes(&templates).await));
            self.cluster.clear().await;
        }
        if self.options.all_flows > 0 {
            println!("## Restart under load\n\n{}", report::restart(&self.restart(&templates).await));
            self.cluster.clear().await;
        }
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse().made_small();
    let Some(directory) = options.directory.clone() else {
        return println!("burst: left out, because it needs a cluster of its own: make bench-burst");
    };
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let cluster = Cluster { client: Client::try_default().await.unwrap() };
    let kubeconfig = cluster.prepare(&directory).await;
    cluster.clear().await;
    let address = scheduler::serve().await;
    let (api_server, etcd) =
        (machine::pid_of(&directory, "kube-apiserver"), machine::pid_of(&directory, "etcd"));
    let bench = Bench { cluster, options, directory, kubeconfig, address, api_server, etcd };
    Box::pin(bench.run()).await;
}

/// Progress, beside the tables.
fn say(line: &str) {
    eprintln!("{} {line}", cluster::now().strftime("%H:%M:%S"));
}
