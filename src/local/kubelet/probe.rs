//! Readiness: whether a process answers.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::process::{Process, Program};

/// How often what is not ready is asked: sooner than its probe says, since a person waits for it.
const ASK: Duration = Duration::from_millis(200);
/// The same of a command, each of which is a process.
const ASK_COMMAND: Duration = Duration::from_secs(1);

/// Whom a readiness probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// A port at which something listens.
    Port(u16),
    /// A page at a port.
    Page(u16, String),
    /// A command that ends with 0.
    Command(Program),
}

/// What a readiness probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    asked: Asked,
    limit: Duration,
    /// How long to wait between two answers.
    pub period: Duration,
    /// How many answers in turn must fail until it is not ready any more.
    pub failures: i32,
}

impl Question {
    /// What a container's probe asks: its command as it is started here. None where it has none, or one of
    /// gRPC: then it is ready when it runs.
    pub fn of(container: &Container, command: Option<Program>) -> Option<Self> {
        let probe = container.readiness_probe.as_ref()?;
        let asked = if let Some(program) = command {
            Asked::Command(program)
        } else if let Some(get) = &probe.http_get {
            let port = number(container, &get.port)?;
            // A certificate that nothing here can check keeps a page from being read.
            let is_plain = get.scheme.as_deref().unwrap_or("HTTP") == "HTTP";
            let page = get.path.clone().unwrap_or_else(|| "/".to_owned());
            if is_plain { Asked::Page(port, page) } else { Asked::Port(port) }
        } else {
            Asked::Port(number(container, &probe.tcp_socket.as_ref()?.port)?)
        };
        Some(Self::new(probe, asked))
    }

    fn new(probe: &Probe, asked: Asked) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default).max(1))
        };
        Self {
            asked,
            limit: seconds(probe.timeout_seconds, 1),
            period: seconds(probe.period_seconds, 10),
            failures: probe.failure_threshold.unwrap_or(3).max(1),
        }
    }

    /// How long to wait until it is asked again that is not ready.
    pub fn again(&self) -> Duration {
        if matches!(self.asked, Asked::Command(_)) { ASK_COMMAND } else { ASK }
    }

    /// Whether it is answered well, within its time. The guard of a command has this lock too.
    pub async fn ask(&self, lock: &File) -> bool {
        match &self.asked {
            Asked::Port(port) => timeout(self.limit, connect(*port)).await.is_ok_and(|found| found.is_some()),
            Asked::Page(port, page) => {
                timeout(self.limit, look(*port, page)).await.is_ok_and(|found| found.is_some())
            }
            Asked::Command(program) => {
                let Ok(mut process) = Process::start(program, lock) else { return false };
                let code = timeout(self.limit, process.ended()).await;
                // What it started ends with it.
                process.signal("KILL").await;
                code == Ok(0)
            }
        }
    }
}

/// The number of a container's port.
fn number(container: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            named?.container_port
        }
    };
    u16::try_from(number).ok()
}

async fn connect(port: u16) -> Option<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()
}

/// Asks for a page: there is something only if it is there.
async fn look(port: u16, page: &str) -> Option<()> {
    let mut stream = connect(port).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let request = format!("GET {page} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    // `HTTP/1.1 200`: as the kubelet does, all from 200 to 399 is well.
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.ok()?;
    let code: u16 = std::str::from_utf8(first.get(9..)?).ok()?.parse().ok()?;
    (200..400).contains(&code).then_some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_page_that_is_there_is_well() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let container = |path: &str| -> Container {
            serde_json::from_value(json!({
                "name": "scheduler", "ports": [{"name": "http", "containerPort": port}],
                "readinessProbe": {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 5},
            }))
            .unwrap()
        };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 9];
                stream.read_exact(&mut asked).await.unwrap();
                let code = if asked.ends_with(b"/well") { "200 OK" } else { "503 Busy" };
                stream.write_all(format!("HTTP/1.1 {code}\r\n\r\n").as_bytes()).await.unwrap();
            }
        });
        let lock = File::open("/dev/null").unwrap();
        assert!(Question::of(&container("/well"), None).unwrap().ask(&lock).await);
        assert!(!Question::of(&container("/sick"), None).unwrap().ask(&lock).await);
        assert_eq!(Question::of(&Container::default(), None), None);
    }
}
