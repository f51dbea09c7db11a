//! Real schedulers, workers and clients for tests: started, waited for by what they say, and gone with the
//! test.
//!
//! Every process has its own port, and a scratch folder of the build's; so tests run side by side. It is
//! forked from one that has imported its release of Dask (`fork.py`): to import it takes longer than most
//! tests.
use daskflow::dask::Address;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a process may take to say what it is waited for. Many may be starting on few cores.
const PATIENCE: Duration = Duration::from_secs(90);

/// The Python that has this release of Dask, by the list that `tests/dask/venvs.sh` writes. Without one the
/// reason is printed past the test harness, and the test is left out; `DASKFLOW_DASK_REQUIRED=1` makes it
/// fail instead.
pub fn python_with(release: &str) -> Option<PathBuf> {
    let reason = match find_python(release) {
        Ok(python) => return Some(python),
        Err(reason) => reason,
    };
    assert!(env("DASKFLOW_DASK_REQUIRED").as_deref() != Some("1"), "required: {reason}");
    let line = format!("LEFT OUT: a test with dask {release}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap_or_default();
    None
}

fn find_python(release: &str) -> Result<PathBuf, String> {
    let list = env("DASKFLOW_DASK_VENVS").ok_or("DASKFLOW_DASK_VENVS is not set: see tests/dask/venvs.sh")?;
    let text = std::fs::read_to_string(&list).map_err(|error| format!("{list} cannot be read: {error}"))?;
    let variable = format!("DASKFLOW_DASK_{}", release.replace('.', "_"));
    for line in text.lines() {
        if let Some(python) = line.strip_prefix(&format!("{variable}=")) {
            return Ok(PathBuf::from(python));
        }
        if let Some(reason) = line.strip_prefix(&format!("# {variable}: ")) {
            return Err(reason.to_owned());
        }
    }
    Err(format!("{list} does not list it"))
}

#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A process that writes its log to standard error. Killed when it is dropped; its log is shown when the test
/// fails.
pub struct Process {
    title: String,
    child: Child,
    log: watch::Receiver<String>,
}

impl Process {
    fn start(title: &str, python: &Path, arguments: &[&str], settings: &Settings) -> Self {
        let mut child = Command::new(python)
            // Without its site it starts at once: it imports nothing, the process behind it has done so.
            .args(["-S", "-E", &support("child.py"), &fork_server(python)])
            .args(arguments)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .current_dir(scratch())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (log, received) = watch::channel(String::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                log.send_modify(|log| writeln!(log, "{line}").unwrap());
            }
        });
        Self { title: title.to_owned(), child, log: received }
    }

    /// Waits for a line of the log with this text, and gives what follows the text.
    async fn said(&mut self, text: &str) -> String {
        let mut log = self.log.clone();
        let said = timeout(PATIENCE, log.wait_for(|log| after(log, text).is_some())).await;
        let line = said.ok().and_then(Result::ok).and_then(|log| after(&log, text));
        line.unwrap_or_else(|| panic!("{} did not say {text:?}", self.title))
    }

    /// Ends the process, at once and without telling anybody: it does so when its standard input ends.
    pub async fn kill(&mut self) {
        drop(self.child.stdin.take());
        timeout(PATIENCE, self.child.wait()).await.expect("the process goes on").unwrap();
    }

    /// Waits until the process has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        // Waiting closes standard input, which is a reason to end; so take it away for as long.
        let _input = self.child.stdin.take();
        timeout(PATIENCE, self.child.wait()).await.expect("the process goes on").unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.title, *self.log.borrow());
        }
    }
}

/// What stands after `text` in the first whole line that has it.
fn after(log: &str, text: &str) -> Option<String> {
    let (whole, _) = log.rsplit_once('\n')?;
    whole.lines().find_map(|line| line.split_once(text)).map(|(_, rest)| rest.trim().to_owned())
}

/// Variables of Dask's configuration.
pub type Settings = Vec<(String, String)>;

/// A scheduler, and what starts workers and clients of it.
pub struct Cluster {
    /// Where the scheduler listens.
    pub address: Address,
    /// The scheduler.
    pub scheduler: Process,
    python: PathBuf,
    settings: Settings,
    /// What the scheduler and its workers are told besides.
    arguments: Vec<String>,
}

impl Cluster {
    /// A scheduler that listens, without workers.
    pub async fn start(python: PathBuf) -> Self {
        Self::start_with(python, Vec::new()).await
    }

    /// A scheduler that listens, with these settings for it, its workers and clients.
    pub async fn start_with(python: PathBuf, settings: Settings) -> Self {
        Self::start_told(python, settings, Vec::new()).await
    }

    /// A scheduler that listens, with these settings, and these arguments for it and its workers.
    pub async fn start_told(python: PathBuf, settings: Settings, told: Vec<String>) -> Self {
        let mut arguments = vec!["--port", "0", "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"];
        arguments.extend(told.iter().map(String::as_str));
        let mut scheduler =
            child("scheduler", &python, "distributed.cli.dask_scheduler", &arguments, &settings);
        let address = scheduler.said("Scheduler at:").await.parse().unwrap();
        Self { address, scheduler, python, settings, arguments: told }
    }

    /// Starts a worker with one thread. It is registered some time later.
    pub fn worker(&self, name: &str) -> Process {
        self.worker_with(name, &[])
    }

    /// Starts a worker with one thread and these further arguments.
    pub fn worker_with(&self, name: &str, further: &[&str]) -> Process {
        let address = self.address.to_string();
        let mut arguments =
            vec![address.as_str(), "--name", name, "--nthreads", "1", "--memory-limit", "512MB"];
        arguments.extend(["--no-nanny", "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]);
        arguments.extend(["--local-directory", "."]);
        arguments.extend(self.arguments.iter().map(String::as_str));
        arguments.extend(further);
        child(
            &format!("worker {name}"),
            &self.python,
            "distributed.cli.dask_worker",
            &arguments,
            &self.settings,
        )
    }

    /// Starts a client with this load, and waits until the load is there.
    pub async fn load(&self, load: &[&str]) -> Process {
        let (script, address) = (support("load.py"), self.address.to_string());
        let arguments = [[script.as_str(), address.as_str()].as_slice(), load].concat();
        let mut client = Process::start("load", &self.python, &arguments, &self.settings);
        client.said("load: ready").await;
        client
    }
}

fn child(title: &str, python: &Path, module: &str, arguments: &[&str], settings: &Settings) -> Process {
    Process::start(title, python, &[&[module][..], arguments].concat(), settings)
}

/// By which name the `fork.py` of this Python is reached. It ends with this process, which holds its standard
/// input.
fn fork_server(python: &Path) -> String {
    static SERVERS: Mutex<BTreeMap<PathBuf, (std::process::Child, String)>> = Mutex::new(BTreeMap::new());
    let mut servers = SERVERS.lock().unwrap();
    let (_, name) = servers.entry(python.to_owned()).or_insert_with(|| {
        let mut server = std::process::Command::new(python)
            .arg(support("fork.py"))
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut name = String::new();
        std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut name).unwrap();
        assert!(name.ends_with('\n'), "fork.py of {} did not start", python.display());
        (server, name.trim().to_owned())
    });
    name.clone()
}

/// A file beside this one.
fn support(file: &str) -> String {
    format!("{}/tests/dask/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// A new folder for one process, among the build's own.
pub fn scratch() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dask-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
