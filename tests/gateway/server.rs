//! A real gateway on this machine, and a way to it that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
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

/// A server with its proxy. It ends, with its clusters, when this is dropped.
pub struct Gateway {
    child: Child,
    /// The port of its proxy: of the REST API and of all schedulers.
    pub port: u16,
    /// The Python that has it, and Dask.
    pub python: PathBuf,
    folder: PathBuf,
}

impl Gateway {
    /// Starts one. None: there is no Python with it, which is said past the test harness;
    /// `DASKFLOW_GATEWAY_REQUIRED=1` makes that fail instead.
    #[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
    pub fn start(test: &str) -> Option<Self> {
        let Ok(python) = std::env::var("DASKFLOW_GATEWAY_PYTHON") else {
            let is_required = std::env::var("DASKFLOW_GATEWAY_REQUIRED").as_deref() == Ok("1");
            assert!(!is_required, "required: DASKFLOW_GATEWAY_PYTHON");
            let line = b"LEFT OUT: a test with a Dask Gateway: see tests/gateway/venv.sh\n";
            std::io::stderr().write_all(line).unwrap_or_default();
            return None;
        };
        let python = PathBuf::from(python);
        let (port, private) = (free_port(), free_port());
        let folder = program::folder(&format!("{test}-server"), &[("config.py", &config(port, private))]);
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let bin = python.parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let child = Command::new(bin.join("dask-gateway-server"))
            .args(["-f", "config.py"])
            .current_dir(&folder)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let gateway = Self { child, port, python, folder };
        let is_up = || answer(port, "GET /api/health").filter(|body| body.contains("pass")).map(drop);
        until(PATIENCE, is_up).unwrap_or_else(|| panic!("the gateway does not start:\n{}", gateway.log()));
        Some(gateway)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The states of all clusters that it ever made, sorted. One that is being ended counts as ended.
    pub fn states(&self) -> Vec<String> {
        let state = |cluster: &Value| cluster["status"].as_str().unwrap().replace("STOPPING", "STOPPED");
        let mut states: Vec<String> = self.clusters().values().map(state).collect();
        states.sort();
        states
    }

    /// Ends all clusters, as an administrator does.
    pub fn stop_all(&self) {
        for name in self.clusters().keys() {
            answer(self.port, &format!("DELETE /api/v1/clusters/{name}")).unwrap();
        }
    }

    fn clusters(&self) -> Map<String, Value> {
        let path = "GET /api/v1/clusters/?status=pending,running,stopping,stopped,failed";
        let body = answer(self.port, path).unwrap_or_default();
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It ends its proxy and its clusters.
        let _ = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        if until(PATIENCE, || self.child.try_wait().unwrap()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn config(port: u16, private: u16) -> String {
    format!(
        "import os

from dask_gateway_server.options import Integer, Options, Select

c.DaskGateway.backend_class = 'dask_gateway_server.backends.local.UnsafeLocalBackend'
c.DaskGateway.authenticator_class = 'dask_gateway_server.auth.SimpleAuthenticator'
c.SimpleAuthenticator.password = '{PASSWORD}'
c.DaskGateway.address = '127.0.0.1:{private}'
c.Proxy.address = '127.0.0.1:{port}'
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

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// The body of an answer, once there is one.
fn answer(port: u16, call: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    // The older version has no chunks.
    let request = format!("{call} HTTP/1.0\r\nHost: gw\r\nAuthorization: {AUTHORIZATION}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// Passes connections on, and cuts off the answer to the first request for a cluster, once the gateway has
/// given it.
pub struct Cutter {
    /// Its port.
    pub port: u16,
    cut: Arc<AtomicUsize>,
}

impl Cutter {
    /// In front of this port.
    pub fn before(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicUsize::new(0));
        let count = cut.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = count.clone();
                thread::spawn(move || pass(stream, target, &count));
            }
        });
        Self { port, cut }
    }

    /// How many answers were cut off.
    pub fn cut(&self) -> usize {
        self.cut.load(Ordering::SeqCst)
    }
}

/// One request and its answer: each connection of daskflow has one.
fn pass(mut client: TcpStream, target: u16, cut: &AtomicUsize) -> Option<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?;
    let request = whole(&mut client)?;
    server.write_all(&request).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    let is_creation = request.starts_with(b"POST /api/v1/clusters/ ");
    let is_first = || cut.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    if is_creation && is_first() {
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
