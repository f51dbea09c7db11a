//! `daskflow operator`

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{ArgAction, Args, ValueEnum};
use ipnet::IpNet;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::daemon::clock::Chance;
use crate::daemon::{http, log};
use crate::dask::Reach;
use crate::operator::{self, Candidature, LeaseOptions, Options, Place, Surroundings, client};
use crate::plan::lease::Timing;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The address on which probes and metrics are served. `[::]` is all addresses, of IPv4 as well.
    #[arg(long, env = "DASKFLOW_LISTEN", default_value = "[::]:8080")]
    listen: SocketAddr,
    /// Watch these namespaces only, such as `team-a,team-b`. Default: all.
    #[arg(long, env = "DASKFLOW_NAMESPACES", value_name = "NS,...", default_value = "")]
    namespace: Namespaces,
    /// The networks in which a Flow's `cluster.address` may be, such as `10.0.0.0/8,192.168.7.5/32`:
    /// addresses in them, and no others. Default: all but loopback, link-local and metadata addresses where
    /// the operator runs in Kubernetes, else all.
    #[arg(long, env = "DASKFLOW_SCHEDULER_NETWORKS", value_name = "CIDR,...", default_value = "")]
    scheduler_networks: Networks,
    /// Serve the kinds of dask-kubernetes (`kubernetes.dask.org/v1`) too, as its own operator does: not
    /// beside that one in the same namespaces.
    #[arg(long, env = "DASKFLOW_DASK_KUBERNETES")]
    dask_kubernetes: bool,
    /// The address on which `GET /log` returns the log filter and `PUT /log` changes it: a loopback address,
    /// which only this machine, or the pod, can reach. `kubectl port-forward` reaches it.
    #[arg(long, env = "DASKFLOW_ADMIN_LISTEN", default_value = "127.0.0.1:8081", value_parser = loopback)]
    admin_listen: SocketAddr,
    /// The log filter, such as `info` or `daskflow=debug,warn`.
    #[arg(long, env = "DASKFLOW_LOG", default_value = "info,kube_runtime=warn,kube_client::client=error")]
    log: String,
    /// The format of log lines.
    #[arg(long, env = "DASKFLOW_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Where traces are sent by OTLP over HTTP, such as `http://collector:4318`. Default: nowhere.
    #[cfg(feature = "otlp")]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    #[command(flatten)]
    lease: LeaseArguments,
}

/// Leader election: which of several operators reconciles.
#[derive(Debug, Args)]
struct LeaseArguments {
    /// Whether to take part in leader election. With `false`, this operator reconciles even if others do.
    #[arg(long, env = "DASKFLOW_LEADER_ELECTION", default_value_t = true, action = ArgAction::Set)]
    leader_election: bool,
    /// The name of the Lease. Operators that watch the same objects must use the same one.
    #[arg(long, env = "DASKFLOW_LEASE_NAME", default_value = "daskflow")]
    lease_name: String,
    /// The namespace of the Lease, by default that of the service account or the kubeconfig.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Seconds after the last renewal until another operator takes the Lease. For tests: all figures of
    /// `plan::lease` follow it.
    #[arg(long, hide = true, default_value_t = Timing::LEASE_S, value_parser = clap::value_parser!(u16).range(2..=120))]
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

    /// A container that is started anew in its pod has its predecessor's identity and, since that one is
    /// certainly dead, its Lease at once. Outside of a pod every process is another one.
    fn identity(&self) -> String {
        if let (Some(name), Some(uid)) = (&self.pod_name, &self.pod_uid) {
            return format!("{name}_{uid}");
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = self.pod_name.as_deref().or(Some(host.trim()).filter(|host| !host.is_empty()));
        format!("{}_{:016x}", name.unwrap_or("daskflow"), Chance::of_machine().seed())
    }
}

/// Networks in the notation of CIDR.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Networks(Vec<IpNet>);

impl FromStr for Networks {
    type Err = String;

    /// An empty text names none. An address alone is a network of its own.
    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
        let networks = words.map(|word| {
            let network = word.parse::<IpNet>().or_else(|error| word.parse::<IpAddr>().map(IpNet::from).map_err(|_| error));
            network.map_err(|_| {
                format!("{word:?} is no network: write addresses with a prefix length, such as 10.0.0.0/8, with commas between")
            })
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

impl Networks {
    /// Where connections may go. A pod has a machine of its own, and neighbours that are not to reach it.
    fn reach(&self, in_kubernetes: bool) -> Reach {
        match (self.0.as_slice(), in_kubernetes) {
            ([], true) => Reach::Others,
            ([], false) => Reach::All,
            (networks, _) => Reach::Networks(networks.to_vec()),
        }
    }
}

/// Names of namespaces, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Namespaces(Vec<String>);

impl FromStr for Namespaces {
    type Err = String;

    /// An empty text names none. A comma too many is a fault, and not a way to watch all by mistake.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut names: Vec<String> = Vec::new();
        let words = text.split(',').map(str::trim);
        for word in words.filter(|_| !text.trim().is_empty()) {
            if !is_namespace(word) {
                return Err(format!(
                    "{word:?} is no namespace: write names of lowercase letters, digits and hyphens with commas between"
                ));
            }
            if !names.iter().any(|name| name == word) {
                names.push(word.to_owned());
            }
        }
        Ok(Self(names))
    }
}

/// Whether a namespace can have this name: a label of RFC 1123.
fn is_namespace(name: &str) -> bool {
    let is_middle = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_middle)
        && !name.starts_with('-')
        && !name.ends_with('-')
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
        Err(error) => return super::output::fail(&error),
    };
    let traces = match traces(arguments, &runtime) {
        Ok(traces) => traces,
        Err(error) => return super::output::fail(error.as_ref()),
    };
    let log = match log::start(&arguments.log, format, traces.as_ref()) {
        Ok(level) => level,
        Err(error) => return super::output::fail(&error),
    };
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone());
        let options = options(arguments).await?;
        let admin = tokio::spawn(log::level::serve(arguments.admin_listen, log));
        let ended = operator::run(options, stop).await;
        admin.abort();
        ended
    });
    #[cfg(feature = "otlp")]
    if let Some(traces) = traces {
        traces.end();
    }
    // Tasks that hang must not hold the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::output::fail(&error),
    }
}

/// An operator as the arguments want it, in the surroundings that this machine is.
async fn options(arguments: &Arguments) -> Result<Options, operator::Error> {
    let config = kube::Config::infer().await.map_err(operator::Error::Config)?;
    // What every container in Kubernetes has.
    let reach = arguments.scheduler_networks.reach(std::env::var_os("KUBERNETES_SERVICE_HOST").is_some());
    Ok(Options {
        client: client::of_config(config.clone()).map_err(operator::Error::Client)?,
        lease: arguments.lease.options().map(|lease| {
            let client = Box::new(move || client::of_config(config.clone()));
            Candidature { lease, client, place: Place::Thread }
        }),
        namespaces: arguments.namespace.0.clone(),
        dask_kubernetes: arguments.dask_kubernetes,
        surroundings: Surroundings::of_machine(reach),
        listener: http::listen(arguments.listen).await?,
    })
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
            Err("it lets its clients change the log: write a loopback address such as 127.0.0.1:8081"
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        text.parse::<Namespaces>().map(|names| names.0)
    }

    #[test]
    fn namespaces_are_named_with_commas() {
        assert_eq!(read("a").unwrap(), ["a"]);
        assert_eq!(read("b, a,b,team-2").unwrap(), ["b", "a", "team-2"]);
        assert_eq!(read("").unwrap(), Vec::<String>::new(), "all");
    }

    #[test]
    fn networks_are_read_as_written_or_refused() {
        let reach = |text: &str, inside| text.parse::<Networks>().map(|networks| networks.reach(inside));
        assert_eq!(reach("", true), Ok(Reach::Others));
        assert_eq!(reach(" ", false), Ok(Reach::All));
        let networks = ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(reach("10.0.0.0/8, 127.0.0.1,fd00::/8", true), Ok(Reach::Networks(networks)));
        for text in [",", "10.0.0.0/8,", "10.0.0/8", "10.0.0.0/33", "*", "dask.example"] {
            assert!(reach(text, true).unwrap_err().contains("is no network"), "{text}");
        }
    }

    #[test]
    fn a_mistake_does_not_watch_all_namespaces() {
        for text in [",", "a,,b", "a,", "*", "A", "-a", "a-", "a.b", &"a".repeat(64)] {
            assert!(read(text).unwrap_err().contains("is no namespace"), "{text}");
        }
    }
}
