//! A real gateway on this machine, and a way to it that can be cut.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::until;
use crate::program;

/// The password of the gateway's users.
pub const PASSWORD: &str = "s3cret-of-alice";
/// `alice` with that password, as a header has it.
pub const AUTHORIZATION: &str = "Basic YWxpY2U6czNjcmV0LW9mLWFsaWNl";
/// How long the server may take to start and to end on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a gateway is started.
pub struct Setup {
    /// The variable that names the Python with it, and what makes that Python.
    pub variable: (&'static str, &'static str),
    /// The `Authorization` header of the user whose clusters are looked at.
    pub authorization: String,
    /// Further lines of its configuration.
    pub config: String,
    /// Files beside that.
    pub files: Vec<(&'static str, String)>,
    /// Whether its REST API has TLS.
    pub is_secure: bool,
    /// Whether its proxy and its clusters outlive its server.
    pub is_lasting: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            variable: ("DASKFLOW_GATEWAY_PYTHON", "tests/gateway/venv.sh"),
            authorization: AUTHORIZATION.to_owned(),
            config: String::new(),
            files: Vec::new(),
            is_secure: false,
            is_lasting: false,
        }
    }
}

/// The Python that a variable names. None: there is none, which is said past the test harness;
/// `DASKFLOW_GATEWAY_REQUIRED=1` makes that fail instead.
#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
pub fn python((variable, maker): (&str, &str)) -> Option<PathBuf> {
    let python = std::env::var(variable).ok().filter(|python| !python.is_empty());
    if python.is_none() {
        let is_required = std::env::var("DASKFLOW_GATEWAY_REQUIRED").as_deref() == Ok("1");
        assert!(!is_required, "required: {variable}");
        let line = format!("LEFT OUT: a test with a Dask Gateway: {variable} is not set: see {maker}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap_or_default();
    }
    python.map(PathBuf::from)
}

/// A server with its proxy. It ends, with its clusters, when this is dropped.
pub struct Gateway {
    server: Option<Child>,
    /// Where it does not belong to the server.
    proxy: Option<Child>,
    /// The port of its proxy: of the REST API and of all schedulers.
    pub port: u16,
    /// The port of the server itself, without TLS.
    private: u16,
    /// The Python that has it, and Dask.
    pub python: PathBuf,
    /// Its working folder.
    pub folder: PathBuf,
    setup: Setup,
}

impl Gateway {
    /// Starts one. None: there is no Python with it.
    pub fn start(test: &str) -> Option<Self> {
        Self::start_as(test, Setup::default())
    }

    /// The same, with more to say on it.
    pub fn start_as(test: &str, setup: Setup) -> Option<Self> {
        let python = python(setup.variable)?;
        let (port, private) = (free_port(), free_port());
        let config = config(port, private) + if setup.is_lasting { LASTING } else { "" } + &setup.config;
        let mut files = vec![("config.py", config.as_str())];
        files.extend(setup.files.iter().map(|(name, text)| (*name, text.as_str())));
        let folder = program::folder(&format!("{test}-server"), &files);
        let mut gateway = Self { server: None, proxy: None, port, private, python, folder, setup };
        if gateway.setup.is_lasting {
            gateway.proxy = Some(gateway.spawn(&["proxy", "-f", "config.py"]));
        }
        gateway.start_server();
        Some(gateway)
    }

    /// Ends the proxy that does not belong to the server, and starts another one: all connections are cut.
    pub fn restart_proxy(&mut self) {
        if let Some(proxy) = self.proxy.take() {
            end(proxy);
        }
        self.proxy = Some(self.spawn(&["proxy", "-f", "config.py"]));
    }

    /// Starts its server, and waits until it answers.
    pub fn start_server(&mut self) {
        self.server = Some(self.spawn(&["-f", "config.py"]));
        let answers = |port| answer(port, "GET /api/health", "").filter(|body| body.contains("pass"));
        let is_open = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok().map(drop);
        let is_up = || {
            answers(self.private)?;
            if self.setup.is_secure { is_open() } else { answers(self.port).map(drop) }
        };
        until(PATIENCE, is_up).unwrap_or_else(|| panic!("the gateway does not start:\n{}", self.log()));
    }

    /// Ends its server: with its proxy and its clusters, unless they outlive it.
    pub fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            end(server);
        }
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let bin = self.python.parent().unwrap();
        Command::new(bin.join("dask-gateway-server"))
            .args(arguments)
            .current_dir(&self.folder)
            .env("PATH", path_with(bin))
            .env("DASK_GATEWAY_PROXY_TOKEN", "0123456789abcdef0123456789abcdef")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The states of all clusters that it ever made, sorted. One that is being ended counts as ended.
    pub fn states(&self) -> Vec<String> {
        self.states_of(&self.setup.authorization)
    }

    /// The same for the user of this `Authorization` header.
    pub fn states_of(&self, authorization: &str) -> Vec<String> {
        let state = |cluster: &Value| cluster["status"].as_str().unwrap().replace("STOPPING", "STOPPED");
        let mut states: Vec<String> = self.clusters(authorization).values().map(state).collect();
        states.sort();
        states
    }

    /// Ends all clusters, as an administrator does.
    pub fn stop_all(&self) {
        let authorization = &self.setup.authorization;
        for name in self.clusters(authorization).keys() {
            answer(self.private, &format!("DELETE /api/v1/clusters/{name}"), authorization).unwrap();
        }
    }

    fn clusters(&self, authorization: &str) -> Map<String, Value> {
        let path = "GET /api/v1/clusters/?status=pending,running,stopping,stopped,failed";
        let body = answer(self.private, path, authorization).unwrap_or_default();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.setup.is_lasting && self.server.is_some() && !thread::panicking() {
            self.stop_all();
            until(PATIENCE, || self.states().iter().all(|state| state == "STOPPED").then_some(()));
        }
        self.stop_server();
        if let Some(proxy) = self.proxy.take() {
            end(proxy);
        }
    }
}

/// Asks a process to end, and waits for that.
pub fn end(mut child: Child) {
    let _ = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    if until(PATIENCE, || child.try_wait().unwrap()).is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// PATH with this folder before all others.
#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
pub fn path_with(bin: &Path) -> String {
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default())
}

/// What makes proxy and clusters outlive a server. Should nobody end the clusters, they end themselves.
const LASTING: &str = "
c.Proxy.externally_managed = True
c.DBBackendBase.db_url = 'sqlite:///gateway.sqlite'
c.DBBackendBase.db_encrypt_keys = ['0123456789abcdef0123456789abcdef']
c.DBBackendBase.stop_clusters_on_shutdown = False
c.ClusterConfig.idle_timeout = 300
";

fn config(port: u16, private: u16) -> String {
    format!(
        "import os

from dask_gateway_server.options import Integer, Options, Select

c.DaskGateway.backend_class = 'dask_gateway_server.backends.local.UnsafeLocalBackend'
c.DaskGateway.authenticator_class = 'dask_gateway_server.auth.SimpleAuthenticator'
c.SimpleAuthenticator.password = '{PASSWORD}'
c.DaskGateway.address = '127.0.0.1:{private}'
c.Proxy.address = '127.0.0.1:{port}'
c.UnsafeLocalBackend.api_url = 'http://127.0.0.1:{private}/api'
c.UnsafeLocalBackend.clusters_directory = os.path.abspath('clusters')
c.Backend.cluster_options = Options(
    Integer('worker_cores', default=1, min=1, max=2),
    Select('size', ['small', 'large'], default='small'),
    handler=lambda options: {{'worker_cores': options.worker_cores}},
)
# Newer ones of Dask have no dask-scheduler.
c.ClusterConfig.scheduler_cmd = ['dask', 'scheduler']
c.ClusterConfig.worker_cmd = ['dask', 'worker']
c.ClusterConfig.cluster_max_workers = 3
"
    )
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The body of an answer, once there is one. Without an `Authorization`, none is sent.
fn answer(port: u16, call: &str, authorization: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    // The older version has no chunks.
    let mut request = format!("{call} HTTP/1.0\r\nHost: gw\r\n");
    if !authorization.is_empty() {
        write!(request, "Authorization: {authorization}\r\n").unwrap();
    }
    stream.write_all((request + "\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// Passes connections on, and cuts off the answer to the first request for a cluster, once the gateway has
/// given it, if it is to.
pub struct Cutter {
    /// Its port.
    pub port: u16,
    cut: Arc<AtomicUsize>,
    seen: Arc<AtomicUsize>,
}

impl Cutter {
    /// In front of this port.
    pub fn before(target: u16) -> Self {
        Self::start(target, true)
    }

    /// The same, without cutting anything off.
    pub fn letting_all_through(target: u16) -> Self {
        Self::start(target, false)
    }

    fn start(target: u16, is_cutting: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, all) = (cut.clone(), seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                all.fetch_add(1, Ordering::SeqCst);
                let count = count.clone();
                thread::spawn(move || pass(stream, target, is_cutting.then_some(&*count)));
            }
        });
        Self { port, cut, seen }
    }

    /// How often the gateway was asked.
    pub fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    /// How many answers were cut off.
    pub fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }
}

/// One request and its answer: each connection of daskflow has one.
fn pass(mut client: TcpStream, target: u16, cut: Option<&AtomicUsize>) -> Option<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?;
    let request = whole(&mut client)?;
    server.write_all(&request).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    let is_creation = request.starts_with(b"POST /api/v1/clusters/ ");
    let is_first = |cut: &AtomicUsize| cut.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    if is_creation && cut.is_some_and(is_first) {
        return None;
    }
    client.write_all(&answer).ok()
}

/// A request, with as many bytes as it says that it has.
pub fn whole(client: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        let head = request.windows(4).position(|end| end == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if request.len() >= head + 4 + length.unwrap_or(0) {
                return Some(request);
            }
        }
        let read = client.read(&mut bytes).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&bytes[..read]);
    }
}
