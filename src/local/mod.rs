//! Flows and Dask clusters on this machine, without Kubernetes: the operator as it is, on a Kubernetes API in
//! this process, with two small controllers beside it, one that makes pods of Jobs, and a kubelet that makes
//! processes of pods.
//!
//! What always holds: no process outlives daskflow by more than a few seconds, however daskflow ends; nothing
//! listens but on 127.0.0.1, and the API there asks for a token; and what a machine cannot do of what a
//! manifest asks for is said, never passed over in silence.

mod apply;
mod balancer;
mod cure;
mod deployments;
mod environment;
mod file_watch;
mod folder;
mod gateways;
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
mod page;
mod ports;
mod python;
mod record;
mod screen;
mod stored;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster_api::{ClusterApi, Disk, DiskError, jobs};
use crate::daemon::clock::{Chance, Clock};
use crate::daemon::http;
use crate::dask::{Budget, Connector, Reach};
use crate::manifest::Checked;
use crate::operator::{self, Sites, Surroundings};
use apply::Applied;
use file_watch::FileWatch;
pub use file_watch::Manifests;
use folder::{Folder, OBJECTS, Sign};
use kubeconfig::Kubeconfig;
use kubelet::Kubelet;
use lines::Before;
pub use living::{Living, living};
use machine::Machine;
use news::News;
use objects::Objects;
pub use packages::installed;
use ports::Ports;
use record::Record;
use screen::World;
pub use screen::{Table, browser};

/// The exit code where not all runs were waited for that were to be run once: that of a shell after Ctrl-C.
const INTERRUPTED: u8 = 130;
/// How many changes are known to watches, whole objects of some 30 KiB in memory: those of a quarter of a
/// minute with a hundred Flows that run each minute.
const CHANGES_KEPT: usize = 500;

/// The file in the folder in which objects are kept that says which FlowRuns and FlowBackfills the files had.
const ONCE: &str = "once.json";

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
    /// Where objects and logs are kept over restarts; none: objects are in memory, and logs in the temporary
    /// directory.
    pub state: Option<PathBuf>,
    /// Whether it ends when nothing is left to do.
    pub until_idle: bool,
    /// The table that a terminal shows; none: one line for each change.
    pub table: Option<Table>,
    /// Variables that all processes have, unless their manifests say something else.
    pub env: Vec<(String, String)>,
    /// A folder that Python finds modules in, before others.
    pub modules: Option<PathBuf>,
    /// Whether the kinds of dask-kubernetes are served too.
    pub dask_kubernetes: bool,
}

/// How it is ended.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// In order: runners, then workers, then schedulers, within ten seconds.
    pub in_order: CancellationToken,
    /// At once.
    pub at_once: CancellationToken,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code: that of the first run that failed, where it ends by itself, else 0.
    pub code: u8,
    /// What of its lines was lost.
    pub written: io::Result<()>,
}

/// Why it cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files do not make sense together.
    #[error(transparent)]
    Objects(#[from] objects::Error),
    /// They cannot be brought into the API.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// There is no way in for kubectl.
    #[error(transparent)]
    Kubeconfig(#[from] kubeconfig::Error),
    /// There is no Python to run pods with.
    #[error(transparent)]
    Python(#[from] python::Error),
    /// There is no folder for logs and volumes.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// Objects cannot be kept.
    #[error("{path} cannot be used{cure}")]
    Kept {
        /// The file of objects.
        path: PathBuf,
        /// What can be done about it, where the disk refuses.
        cure: String,
        /// Why not.
        source: Arc<DiskError>,
    },
    /// The pods of before cannot be given up.
    #[error("the pods of the daskflow before cannot be given up")]
    Lost(#[source] Box<kube::Error>),
    /// What there was before cannot be read.
    #[error("the objects of before cannot be read")]
    Before(#[source] Box<kube::Error>),
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
///
/// # Errors
///
/// The files, the Python or this machine do not allow it, or the operator ended.
pub async fn run(options: Options, stop: Stop) -> Result<Ended, Error> {
    let mut objects = Objects::of(&options.files)?;
    if options.once {
        objects = objects.for_once()?;
    }
    let (clock, chance) = (Clock::of_machine(), Chance::of_machine());
    let begun = clock.now();
    let interrupted = if options.once || options.until_idle { INTERRUPTED } else { 0 };
    let python = tokio::select! {
        found = python::find(options.python.as_deref()) => found?,
        () = stop.in_order.cancelled() => return Ok(Ended { code: interrupted, written: Ok(()) }),
    };
    let machine = Arc::new(Machine {
        python,
        folder: match &options.state {
            Some(path) => Folder::kept(path)?,
            None => Folder::new(&std::env::temp_dir(), chance.seed(), begun.into())?,
        },
        maps: options.maps,
        env: environment::of_all(options.env, options.modules.as_deref()),
        shows_runs: options.once,
        news: News::new(clock.clone()),
    });
    let is_kept = options.state.is_some();
    say_begin(&machine, &objects, is_kept);
    let api = begin(&machine, is_kept, &clock, chance.seed(), options.dask_kubernetes)?;
    let kept = is_kept.then(|| machine.folder.path());
    let (client, ports) = (api.client(), Arc::new(Ports::of(&api, kept, &chance)));
    let given = if is_kept {
        Given::Applied(resume(&client, &machine, objects, begun).await?)
    } else {
        Given::Objects(objects)
    };
    let kubelet = Kubelet::new(client.clone(), clock.clone(), machine.clone());
    api.set_log_source(kubelet.logs());
    api.keep_changes(CHANGES_KEPT);
    let sign = sign(&machine, chance.seed(), begun);
    let (own, of_sign) = (machine.folder.kubeconfig(), sign.as_ref().map(Sign::kubeconfig));
    let kubeconfig = Kubeconfig::serve(&api, options.kubeconfig.as_deref(), &own, of_sign.as_deref()).await?;
    machine.news.say(&format!("kubectl --kubeconfig {} get flows", kubeconfig.path().display()));
    let page = if options.once { None } else { page::serve(&client, &clock, &machine).await };
    let before = Before::read(&client).await.map_err(|error| Error::Before(Box::new(error)))?;
    let mut operator = operator(&client, (clock.clone(), chance), (&ports, options.dask_kubernetes)).await?;
    let address = page.as_ref().map(|page| page.address.as_str());
    let world = World { client: &client, clock: &clock, machine: &machine, stop: &stop, page: address };
    let controllers = controllers(&api, (&client, &clock), &kubelet);
    let asked = work(&world, given, (options.once, options.until_idle.then_some(begun), options.watched));
    let ended = tokio::select! {
        () = stop.in_order.cancelled() => {
            machine.news.say("stopping: runners, workers and schedulers end in this order; once more ends them at once");
            Ok(interrupted)
        }
        ended = asked => ended,
        ended = &mut operator => Err(end_of_operator(ended)),
        fault = api.disk_fault() => Err(not_kept(&machine, fault)),
        () = controllers => Ok(0),
        () = lines::write(&client, &machine.news, before, options.once) => Ok(0),
        () = screen::show(options.table.as_ref(), &world) => Ok(0),
    };
    tokio::select! {
        () = gateways::end(&client, is_kept, &machine.news) => {}
        () = stop.at_once.cancelled() => {}
    }
    // From here on nothing starts a run, makes a pod, or takes one to this machine.
    drop(operator);
    end(&kubelet, &stop).await;
    machine.folder.clear();
    let written = api.written().await.map_err(|fault| not_kept(&machine, fault));
    let code = ended.and_then(|code| written.map(|()| code))?;
    Ok(Ended { code, written: machine.news.written() })
}

/// Ends all pods.
async fn end(kubelet: &Kubelet, stop: &Stop) {
    tokio::select! {
        () = kubelet.end() => {}
        () = stop.at_once.cancelled() => kubelet.kill().await,
    }
}

/// What `--local` finds a daskflow by whose folder is somewhere else.
fn sign(machine: &Machine, number: u64, now: Timestamp) -> Option<Sign> {
    if !machine.folder.is_kept() {
        return None;
    }
    let made = Sign::new(&std::env::temp_dir(), number, now.into());
    let not_found = |error| machine.news.say(&format!("commands do not find this one by --local: {error}"));
    made.map_err(not_found).ok()
}

fn end_of_operator(ended: Result<Result<(), operator::Error>, tokio::task::JoinError>) -> Error {
    match ended {
        Ok(Ok(())) => Error::Operator(operator::Error::TaskEnded("the operator")),
        Ok(Err(error)) => Error::Operator(error),
        Err(error) => Error::Broken(error),
    }
}

/// The API: in memory, or with what is kept in this machine's folder.
fn begin(
    machine: &Machine,
    is_kept: bool,
    clock: &Clock,
    seed: u64,
    dask_kubernetes: bool,
) -> Result<ClusterApi, Error> {
    let clock = clock.clone();
    let clock = move || clock.now();
    let api = if is_kept {
        let disk = Disk::open(&machine.folder.path().join(OBJECTS));
        let api = disk.and_then(|disk| ClusterApi::kept(clock, seed, disk));
        api.map_err(|fault| not_kept(machine, Arc::new(fault)))?
    } else {
        ClusterApi::new(clock, seed)
    };
    api.reach_pods_at(Ipv4Addr::LOCALHOST.into());
    if dask_kubernetes {
        api.serve_dask_kubernetes();
    }
    Ok(api)
}

fn not_kept(machine: &Machine, source: Arc<DiskError>) -> Error {
    let cure = source.of_disk().map(|error| format!(": {}", cure::of(error, cure::KEPT)));
    Error::Kept { path: machine.folder.path().join(OBJECTS), cure: cure.unwrap_or_default(), source }
}

/// Goes on from what is stored, before anything acts on it: its processes ended with the daskflow before, and
/// the files count over it.
async fn resume(
    client: &Client,
    machine: &Machine,
    objects: Objects,
    now: Timestamp,
) -> Result<Applied, Error> {
    let lost = kubelet::give_up(client, now).await.map_err(|error| Error::Lost(Box::new(error)))?;
    if lost > 0 {
        machine
            .news
            .say(&format!("processes that ended with the daskflow before: {lost}; their pods are lost"));
    }
    let record = Record::at(machine.folder.path().join(ONCE));
    let (applied, deleted) = Applied::over_stored(client, objects, record).await?;
    if deleted > 0 {
        machine.news.say(&format!("objects that the files have no more, and that are deleted: {deleted}"));
    }
    Ok(applied)
}

/// What the files hold, as the work begins.
enum Given {
    /// Nothing of it is in the API yet.
    Objects(Objects),
    /// It is there: what was there before has been changed to it.
    Applied(Applied),
}

/// Does what is asked for, and gives the exit code; what has no end goes on.
async fn work(
    world: &World<'_>,
    given: Given,
    (once, until_idle, watched): (bool, Option<Timestamp>, Option<Arc<dyn Manifests>>),
) -> Result<u8, Error> {
    let (client, machine) = (world.client, world.machine);
    let applied = match given {
        Given::Objects(objects) => Applied::new(client, objects).await?,
        Given::Applied(mut applied) => {
            for line in applied.finish().await? {
                machine.news.say(&line);
            }
            applied
        }
    };
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
        match until_idle {
            Some(begun) => idle::wait(client, (world.clock, begun), &machine.news).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        never = watch => never,
        code = idle => Ok(code),
    }
}

fn say_begin(machine: &Machine, objects: &Objects, is_kept: bool) {
    let python = &machine.python;
    let (path, logs) = (python.path.display(), machine.folder.logs());
    machine.news.say(&format!("Python {} at {path}, Dask {}", python.version, python.distributed));
    machine.news.say("images are not used: all runs with this Python");
    if is_kept {
        machine.news.say(&format!("objects are kept in {}", machine.folder.path().display()));
    }
    machine.news.say(&format!("logs are in {}", logs.display()));
    for line in &objects.left_out {
        machine.news.say_once(line);
    }
}

/// What Kubernetes has beside its API.
async fn controllers(api: &ClusterApi, (client, clock): (&Client, &Clock), kubelet: &Kubelet) {
    futures::join!(
        api.collect_always(),
        jobs::always(api),
        kubelet.serve(),
        balancer::serve(client),
        deployments::serve(client, clock)
    );
}

/// The operator, as it runs in Kubernetes, but for where its clusters are.
async fn operator(
    client: &Client,
    (clock, chance): (Clock, Chance),
    (ports, dask_kubernetes): (&Arc<Ports>, bool),
) -> Result<AbortOnDropHandle<Result<(), operator::Error>>, http::CannotListen> {
    let budget = Budget::default();
    let ports = ports.clone();
    let options = operator::Options {
        client: client.clone(),
        lease: None,
        namespaces: Vec::new(),
        dask_kubernetes,
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
