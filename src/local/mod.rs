//! Flows and Dask clusters on this machine, without Kubernetes: the operator as it is, on a Kubernetes API in
//! this process, with two small controllers beside it, one that makes pods of Jobs, and a kubelet that makes
//! processes of pods.
//!
//! What always holds: no process outlives daskflow by more than a few seconds, however daskflow ends; nothing
//! listens but on 127.0.0.1, and the API there asks for a token; and what a machine cannot do of what a
//! manifest asks for is said, never passed over in silence.

mod apply;
mod environment;
mod file_watch;
mod folder;
mod idle;
mod kubeconfig;
mod kubelet;
mod lines;
mod living;
mod log_copy;
mod machine;
mod news;
mod objects;
mod once;
mod packages;
mod ports;
mod python;
mod screen;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster_api::{ClusterApi, jobs};
use crate::daemon::clock::{Chance, Clock};
use crate::daemon::http;
use crate::dask::{Budget, Connector, Reach};
use crate::manifest::Checked;
use crate::operator::{self, Sites, Surroundings};
use apply::Applied;
use file_watch::FileWatch;
pub use file_watch::Manifests;
use folder::Folder;
use kubeconfig::Kubeconfig;
use kubelet::Kubelet;
pub use living::{Living, living};
use machine::Machine;
use news::News;
use objects::Objects;
pub use packages::installed;
use ports::Ports;
use screen::World;
pub use screen::{Table, browser};

/// The exit code where not all runs were waited for that were to be run once: that of a shell after Ctrl-C.
const INTERRUPTED: u8 = 130;

/// What is run, and how.
#[derive(Debug)]
pub struct Options {
    /// The files by their names, checked and without faults.
    pub files: Vec<(String, Checked)>,
    /// The same files, to be watched; none: they are not.
    pub watched: Option<Arc<dyn Manifests>>,
    /// Where the kubeconfig is written; none: into the folder of this daskflow.
    pub kubeconfig: Option<PathBuf>,
    /// The interpreter; none: that of the active virtual environment, else `python3`.
    pub python: Option<PathBuf>,
    /// Paths of the image, and the folders of this machine that take their place.
    pub maps: Vec<(String, PathBuf)>,
    /// Whether each Flow is run once, now, and nothing else.
    pub once: bool,
    /// Whether it ends when nothing is left to do.
    pub until_idle: bool,
    /// The table that a terminal shows; none: one line for each change.
    pub table: Option<Table>,
    /// Variables that all processes have, unless their manifests say something else.
    pub env: Vec<(String, String)>,
    /// A folder that Python finds modules in, before others.
    pub modules: Option<PathBuf>,
}

/// How it is ended.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// In order: runners, then workers, then schedulers, within ten seconds.
    pub in_order: CancellationToken,
    /// At once.
    pub at_once: CancellationToken,
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files do not make sense together.
    #[error(transparent)]
    Objects(#[from] objects::Error),
    /// The API refuses what is in them.
    #[error(transparent)]
    Refused(#[from] apply::Refused),
    /// There is no way in for kubectl.
    #[error(transparent)]
    Kubeconfig(#[from] kubeconfig::Error),
    /// There is no Python to run pods with.
    #[error(transparent)]
    Python(#[from] python::Error),
    /// The folder for logs and volumes cannot be made.
    #[error("the folder {path} cannot be made: name a folder that is there and has room with TMPDIR")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// No port is left for probes and metrics.
    #[error(transparent)]
    Listen(#[from] http::CannotListen),
    /// The operator ended.
    #[error("the operator ended")]
    Operator(#[source] operator::Error),
    /// The task of the operator broke.
    #[error("the operator broke off")]
    Broken(#[source] tokio::task::JoinError),
    /// A Flow could not be run.
    #[error(transparent)]
    Once(#[from] once::Error),
}

/// Runs what the files say until it is stopped, until each Flow has run once, or until nothing is left to do.
/// Gives the exit code: that of the first run that failed, where it ends by itself, else 0.
///
/// # Errors
///
/// The files, the Python or this machine do not allow it, or the operator ended.
pub async fn run(options: Options, stop: Stop) -> Result<u8, Error> {
    let mut objects = Objects::of(&options.files)?;
    if options.once {
        objects = objects.for_once()?;
    }
    let (clock, chance) = (Clock::of_machine(), Chance::of_machine());
    let machine = Arc::new(Machine {
        python: python::find(options.python.as_deref()).await?,
        folder: Folder::new(&std::env::temp_dir(), chance.seed())
            .map_err(|(path, source)| Error::Folder { path, source })?,
        maps: options.maps,
        env: environment::of_all(options.env, options.modules.as_deref()),
        shows_runs: options.once,
        news: News::new(clock.clone()),
    });
    say_begin(&machine, &objects);
    let api = ClusterApi::new(
        {
            let clock = clock.clone();
            move || clock.now()
        },
        chance.seed(),
    );
    let (client, ports) = (api.client(), Arc::new(Ports::new(&chance)));
    let kubelet = Kubelet::new(client.clone(), clock.clone(), machine.clone());
    api.set_log_source(kubelet.logs());
    let own = machine.folder.kubeconfig();
    let kubeconfig = Kubeconfig::serve(&api, options.kubeconfig.as_deref(), &own).await?;
    machine.news.say(&format!("kubectl --kubeconfig {} get flows", kubeconfig.path().display()));
    let mut operator = operator(&client, (clock.clone(), chance), &ports).await?;
    let world = World { client: &client, clock: &clock, machine: &machine, stop: &stop };
    let controllers = async { join(join(api.collect_always(), jobs::always(&api)), kubelet.serve()).await };
    let asked = work(&world, objects, (options.once, options.until_idle, options.watched));
    let ended = tokio::select! {
        () = stop.in_order.cancelled() => {
            machine.news.say("stopping: runners, workers and schedulers end in this order; once more ends them at once");
            Ok(if options.once || options.until_idle { INTERRUPTED } else { 0 })
        }
        ended = asked => ended,
        ended = &mut operator => Err(match ended {
            Ok(Ok(())) => Error::Operator(operator::Error::TaskEnded("the operator")),
            Ok(Err(error)) => Error::Operator(error),
            Err(error) => Error::Broken(error),
        }),
        _ = controllers => Ok(0),
        () = lines::write(&client, &machine, &ports) => Ok(0),
        () = screen::show(options.table.as_ref(), &world) => Ok(0),
    };
    // From here on nothing starts a run, makes a pod, or takes one to this machine.
    drop(operator);
    tokio::select! {
        () = kubelet.end() => {}
        () = stop.at_once.cancelled() => kubelet.kill().await,
    }
    machine.folder.clear();
    ended
}

/// Does what is asked for, and gives the exit code; what has no end goes on.
async fn work(
    world: &World<'_>,
    objects: Objects,
    (once, until_idle, watched): (bool, bool, Option<Arc<dyn Manifests>>),
) -> Result<u8, Error> {
    let (client, machine) = (world.client, world.machine);
    let applied = Applied::new(client, objects).await?;
    if once {
        return Ok(once::run_each(client, &applied.objects().flows(), &machine.news).await?);
    }
    let watch = async {
        if let Some(manifests) = watched {
            FileWatch { manifests, applied, machine }.follow().await;
        }
        std::future::pending().await
    };
    let idle = async {
        if until_idle {
            idle::wait(client, world.clock, &machine.news).await
        } else {
            std::future::pending().await
        }
    };
    tokio::select! {
        never = watch => never,
        code = idle => Ok(code),
    }
}

fn say_begin(machine: &Machine, objects: &Objects) {
    let python = &machine.python;
    let (path, logs) = (python.path.display(), machine.folder.logs());
    machine.news.say(&format!("Python {} at {path}, Dask {}", python.version, python.distributed));
    machine.news.say("images are not used: all runs with this Python");
    machine.news.say(&format!("logs are in {}", logs.display()));
    for line in &objects.left_out {
        machine.news.say_once(line);
    }
}

/// The operator, as it runs in Kubernetes, but for where its clusters are.
async fn operator(
    client: &Client,
    (clock, chance): (Clock, Chance),
    ports: &Arc<Ports>,
) -> Result<AbortOnDropHandle<Result<(), operator::Error>>, http::CannotListen> {
    let budget = Budget::default();
    let ports = ports.clone();
    let options = operator::Options {
        client: client.clone(),
        lease: None,
        namespaces: Vec::new(),
        surroundings: Surroundings {
            sites: Sites::by(move |cluster| ports.site(cluster)),
            clock,
            chance,
            schedulers: Connector::tcp(Reach::All, &budget),
            addresses: Connector::tcp(Reach::All, &budget),
        },
        listener: http::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?,
    };
    Ok(AbortOnDropHandle::new(tokio::spawn(operator::run(options, CancellationToken::new()))))
}
