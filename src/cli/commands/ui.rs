//! `daskflow ui`

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use http::Uri;
use tokio::net::TcpListener;

use super::access::Access;
use super::failure::Failure;
use super::forward::Signals;
use crate::cli::out::{code, print_by};
use crate::cli::output::{fail, say};
use crate::daemon::clock::Clock;
use crate::daemon::http::listen;
use crate::local::browser;
use crate::web::{self, Door, Links, Loopback, Options, Scope, Server, Users};

/// The port of 127.0.0.1 where none is named and it is free.
const PORT: u16 = 8480;

/// What is of a page on one's own machine only. What is of a cluster conflicts with each by itself: clap does
/// not ask for --in-cluster where that could not be there.
const HERE: [&str; 5] = ["context", "kubeconfig", "local", "impersonate", "port"];

/// Exit code 0: it was ended with Ctrl-C. 1: the cluster is not known, or the port cannot be used. 2: the
/// command line is wrong.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    access: Access,
    /// Begin with the objects of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// The port of 127.0.0.1; 0 for any that is free. Default: 8480, or any where that is taken.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Open no browser.
    #[arg(long)]
    no_open: bool,
    /// Show, and change nothing.
    #[arg(long)]
    read_only: bool,
    /// The browser: commands, separated by colons, in which %s stands for the address.
    #[arg(long, env = "BROWSER", hide = true)]
    browser: Option<String>,
    /// Serve many users behind a proxy: each request must have a bearer token, which goes on to the API
    /// server. Nothing else gives rights, no kubeconfig and no account of a pod.
    #[arg(long, conflicts_with_all = HERE)]
    in_cluster: bool,
    /// With --in-cluster: where to listen.
    #[arg(
        long, value_name = "ADDRESS", default_value = "[::]:8080", requires = "in_cluster", conflicts_with_all = HERE
    )]
    listen: SocketAddr,
    /// With --in-cluster: the API server, such as `https://10.96.0.1:443`. Default: that of the pod's
    /// cluster.
    #[arg(long, value_name = "URL", requires = "in_cluster", conflicts_with_all = HERE)]
    server: Option<Uri>,
    /// With --in-cluster: a file with the certificates that are trusted for the API server.
    #[arg(long, value_name = "FILE", requires = "in_cluster", conflicts_with_all = HERE)]
    certificate_authority: Option<PathBuf>,
    /// Where the dashboards of clusters are, with ${namespace} and ${name} in the address.
    #[arg(long, value_name = "URL", value_parser = Links::read_dashboard)]
    dashboard_link: Option<String>,
    /// Where logs are kept longer than pods, with ${namespace}, ${run}, and ${startedAtEpoch} and
    /// ${finishedAtEpoch} (milliseconds since 1970) in the address.
    #[arg(long, value_name = "URL", value_parser = Links::read_logs)]
    logs_link: Option<String>,
    /// Where Kubernetes says that its API server is.
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", hide = true)]
    server_host: Option<String>,
    /// The same.
    #[arg(long, env = "KUBERNETES_SERVICE_PORT", hide = true, default_value_t = 443)]
    server_port: u16,
}

/// Serves until it is ended.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let ended = runtime.block_on(async {
        if arguments.in_cluster {
            Box::pin(in_cluster(arguments)).await.map(Ok)
        } else {
            Box::pin(here(arguments)).await
        }
    });
    // A watch that hangs must not keep the program.
    runtime.shutdown_background();
    match ended {
        Ok(printed) => ExitCode::from(code(printed, 0)),
        Err(failure) => fail(&failure),
    }
}

impl Arguments {
    fn options(&self, door: Door, scope: Scope) -> Options {
        let links = Links { dashboard: self.dashboard_link.clone(), logs: self.logs_link.clone() };
        Options { door, scope, read_only: self.read_only, links, clock: Clock::of_machine() }
    }

    /// The API server of the cluster that the pod is in, or the one that is named.
    fn server(&self) -> Result<Server, Failure> {
        let host = self.server_host.as_ref().map(|host| {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            format!("https://{host}:{}", self.server_port)
        });
        let address = self.server.clone().map(Ok).or_else(|| host.map(|host| host.parse::<Uri>()));
        let address = address.and_then(Result::ok).ok_or_else(|| {
            Failure::Senseless("no API server is known, as this is no pod: name one with --server".to_owned())
        })?;
        Ok(Server {
            address,
            authority: self.certificate_authority.clone(),
            namespace: self.access.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        })
    }
}

/// On the machine of one person. Gives what was lost of the address.
async fn here(arguments: &Arguments) -> Result<io::Result<()>, Failure> {
    let cluster = arguments.access.cluster().await?;
    let scope =
        if arguments.all_namespaces { Scope::All } else { Scope::Namespace(cluster.namespace.clone()) };
    let mut signals = Signals::new().await?;
    let (listener, address) = bind(arguments.port).await?;
    let loopback = Loopback::new(cluster, address)?;
    let url = loopback.url();
    let printed = print_by(|out| writeln!(out, "Page: {url}"));
    say("Ctrl-C ends it; the address opens once, in one browser");
    let served = tokio::spawn(web::serve(listener, arguments.options(Door::Loopback(loopback), scope)));
    if !arguments.no_open {
        let browser = arguments.browser.clone();
        tokio::spawn(async move {
            if !browser::open(browser.as_deref(), &url).await {
                say("no browser was opened (BROWSER may name one): open the address yourself");
            }
        });
    }
    tokio::select! {
        () = signals.any() => {}
        ended = served => ended.map_err(|error| Failure::Runtime(error.into()))?.map_err(Failure::Runtime)?,
    }
    Ok(printed)
}

/// Behind a proxy, for whoever it lets in.
async fn in_cluster(arguments: &Arguments) -> Result<(), Failure> {
    let server = arguments.server()?;
    let scope = match (&arguments.access.namespace, arguments.all_namespaces) {
        (Some(namespace), false) => Scope::Namespace(namespace.clone()),
        _ => Scope::All,
    };
    let users = Users::new(server.clients());
    let mut signals = Signals::new().await?;
    let listener = listen(arguments.listen).await.map_err(|error| {
        Failure::Senseless(format!("{}: name another one with --listen", crate::causes::chain(&error)))
    })?;
    say(&format!("listening on {}", listener.local_addr().unwrap_or(arguments.listen)));
    tokio::select! {
        () = signals.any() => Ok(()),
        ended = web::serve(listener, arguments.options(Door::Proxied(users), scope)) => {
            ended.map_err(Failure::Runtime)
        }
    }
}

/// A port of 127.0.0.1.
async fn bind(port: Option<u16>) -> Result<(TcpListener, SocketAddr), Failure> {
    let at = |number: u16| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, number)));
    let bound = match port {
        Some(number) => at(number).await,
        None => match at(PORT).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => at(0).await,
            bound => bound,
        },
    };
    let bound = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
    let (address, listener) = bound.map_err(|error| {
        Failure::Senseless(format!(
            "the port {} of 127.0.0.1 cannot be used ({error}): name another one with --port, or 0 for any",
            port.unwrap_or(PORT)
        ))
    })?;
    Ok((listener, address))
}
