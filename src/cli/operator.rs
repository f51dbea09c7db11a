//! `daskflow operator`

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::operator::{self, Options};

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
    let options = Options { listen: arguments.listen };
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
