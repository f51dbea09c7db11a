//! `daskflow operator`

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::operator::{self, Options, log};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where probes and metrics are served.
    #[arg(long, env = "DASKFLOW_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Where `GET /log` tells what is logged, and `PUT /log` changes it: an address that only this machine, or the pod,
    /// can reach. `kubectl port-forward` reaches it.
    #[arg(long, env = "DASKFLOW_ADMIN_LISTEN", default_value = "127.0.0.1:8081", value_parser = loopback)]
    admin_listen: SocketAddr,
    /// What is logged, such as `info` or `daskflow=debug,warn`.
    #[arg(long, env = "DASKFLOW_LOG", default_value = "info,kube_runtime=warn")]
    log: String,
    /// How log lines look.
    #[arg(long, env = "DASKFLOW_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Where traces are sent by OTLP over HTTP, such as `http://collector:4318`. Default: nowhere.
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For programs, one JSON object a line.
    Json,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let format = match arguments.log_format {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::fail(&error),
    };
    let traces = match traces(arguments, &runtime) {
        Ok(traces) => traces,
        Err(error) => return super::fail(error.as_ref()),
    };
    let log = match log::start(&arguments.log, format, traces.as_ref()) {
        Ok(level) => level,
        Err(error) => return super::fail(&error),
    };
    let options = Options { listen: arguments.listen, admin_listen: arguments.admin_listen, log };
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone());
        operator::run(options, stop).await
    });
    #[cfg(feature = "otlp")]
    if let Some(traces) = traces {
        traces.end();
    }
    // Tasks that hang must not hold the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

/// Where traces go, if anywhere.
#[cfg(feature = "otlp")]
fn traces(arguments: &Arguments, runtime: &Runtime) -> Result<Option<log::Traces>, Box<dyn Error>> {
    let _inside = runtime.enter();
    Ok(arguments.otlp_endpoint.as_deref().map(log::Traces::to).transpose()?)
}

#[cfg(not(feature = "otlp"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it may fail")]
fn traces(_: &Arguments, _: &Runtime) -> Result<Option<log::Traces>, Box<dyn Error>> {
    Ok(None)
}

/// An address that nothing outside can reach.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => {
            Err("whoever reaches it changes the log: write a loopback address such as 127.0.0.1:8081"
                .to_owned())
        }
        Err(error) => Err(error.to_string()),
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
