//! `daskflow operator`

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{ArgAction, Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::operator::{self, LeaseOptions, Options};
use crate::plan::lease::Timing;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where probes and metrics are served.
    #[arg(long, env = "DASKFLOW_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// What is logged, such as `info` or `daskflow=debug,warn`.
    #[arg(long, env = "DASKFLOW_LOG", default_value = "info")]
    log: String,
    /// How log lines look.
    #[arg(long, env = "DASKFLOW_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(flatten)]
    lease: LeaseArguments,
}

/// Which of several operators works.
#[derive(Debug, Args)]
struct LeaseArguments {
    /// Whether to ask before working. With `false`, this operator works whoever else does.
    #[arg(long, env = "DASKFLOW_LEADER_ELECTION", default_value_t = true, action = ArgAction::Set)]
    leader_election: bool,
    /// The Lease whose holder works. Operators that watch the same objects must name the same one.
    #[arg(long, env = "DASKFLOW_LEASE_NAME", default_value = "daskflow")]
    lease_name: String,
    /// The namespace of the Lease, by default that of the service account or the kubeconfig.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Seconds that the others wait after the last sign of life. For tests: all figures of `plan::lease` follow it.
    #[arg(long, hide = true, default_value_t = Timing::LEASE_S, value_parser = clap::value_parser!(u16).range(2..=300))]
    lease_seconds: u16,
    /// This pod's name.
    #[arg(long, env = "POD_NAME", hide = true)]
    pod_name: Option<String>,
    /// This pod's uid.
    #[arg(long, env = "POD_UID", hide = true)]
    pod_uid: Option<String>,
}

impl LeaseArguments {
    fn options(&self) -> Option<LeaseOptions> {
        self.leader_election.then(|| LeaseOptions {
            name: self.lease_name.clone(),
            namespace: self.lease_namespace.clone(),
            identity: self.identity(),
            lease_s: self.lease_seconds,
        })
    }

    /// A container that is started anew in its pod has its predecessor's identity and, since that one is certainly dead,
    /// its Lease at once. Outside of a pod every process is another one.
    fn identity(&self) -> String {
        if let (Some(name), Some(uid)) = (&self.pod_name, &self.pod_uid) {
            return format!("{name}_{uid}");
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = self.pod_name.as_deref().or(Some(host.trim()).filter(|host| !host.is_empty()));
        format!("{}_{:016x}", name.unwrap_or("daskflow"), operator::clock::seed())
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For programs, one JSON object a line.
    Json,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    start_logging(arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&error),
    };
    let options = Options { listen: arguments.listen, lease: arguments.lease.options() };
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone());
        operator::run(options, stop).await
    });
    // Tasks that hang must not hold the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

fn start_logging(arguments: &Arguments) {
    let filter = EnvFilter::new(&arguments.log);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// The first signal drains, the second ends the process at once.
fn stop_on_signals(stop: CancellationToken) {
    tokio::spawn(async move {
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return tracing::error!("signals cannot be caught");
        };
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !first {
                std::process::exit(1);
            }
            tracing::info!("asked to stop: reconciles that are under way are finished");
            stop.cancel();
        }
    });
}
