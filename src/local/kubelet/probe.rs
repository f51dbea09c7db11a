//! A probe: a question to a process, and whether it answers.

use std::fs::File;
use std::io;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::process::{Process, Program};
use super::status::ADDRESS;

/// How often what is not ready is asked: sooner than its probe says, since a person waits for it.
const ASK: Duration = Duration::from_millis(200);
/// The same of a command, each of which is a process.
const ASK_COMMAND: Duration = Duration::from_secs(1);

/// What a container is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whether it has started. It is asked for nothing else before.
    Startup,
    /// Whether it is ready to be used.
    Readiness,
    /// Whether it lives.
    Liveness,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Readiness, Self::Liveness];

    /// A container's probe of this kind.
    pub fn probe(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
        }
    }

    /// The word of the kubelet's events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        }
    }
}

/// A page of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    path: String,
    headers: Vec<(String, String)>,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// A port of a host, at which something listens.
    Port(String, u16),
    /// A page at a port of a host.
    Page(String, u16, Page),
    /// A command that ends with 0.
    Command(Program),
}

/// What a probe asks, and how its answers are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it is asked for.
    pub kind: Kind,
    asked: Asked,
    limit: Duration,
    /// How long after its start a container is asked first.
    pub delay: Duration,
    /// How long to wait between two answers.
    pub period: Duration,
    /// How many answers in turn must fail until that counts.
    pub failures: i32,
    /// How many answers in turn must be well until that counts.
    pub successes: i32,
    /// How long a container may take to end that has failed; none: as long as its pod.
    pub grace: Option<Duration>,
}

/// Whether a probe was answered well; if not, why not.
pub type Answer = Result<(), String>;

impl Question {
    /// What a container's probe of this kind asks: its command as it is started here. None where it has none,
    /// or one that cannot be asked here: see [`unknown`].
    pub fn of(kind: Kind, container: &Container, command: Option<Program>) -> Option<Self> {
        let probe = kind.probe(container)?;
        let host = |host: Option<&String>| host.map_or(ADDRESS, String::as_str).to_owned();
        let asked = if let Some(program) = command {
            Asked::Command(program)
        } else if let Some(get) = &probe.http_get {
            let (host, port) = (host(get.host.as_ref()), number(container, &get.port)?);
            // A certificate that nothing here can check keeps a page from being read.
            let is_plain = get.scheme.as_deref().unwrap_or("HTTP") == "HTTP";
            if is_plain { Asked::Page(host, port, page(get)) } else { Asked::Port(host, port) }
        } else {
            let socket = probe.tcp_socket.as_ref()?;
            Asked::Port(host(socket.host.as_ref()), number(container, &socket.port)?)
        };
        Some(Self::new(kind, probe, asked))
    }

    fn new(kind: Kind, probe: &Probe, asked: Asked) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default))
        };
        let second = Duration::from_secs(1);
        let grace = probe.termination_grace_period_seconds.and_then(|grace| u64::try_from(grace).ok());
        Self {
            kind,
            asked,
            limit: seconds(probe.timeout_seconds, 1).max(second),
            delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(second),
            failures: probe.failure_threshold.unwrap_or(3).max(1),
            successes: probe.success_threshold.unwrap_or(1).max(1),
            grace: grace.map(Duration::from_secs),
        }
    }

    /// How long to wait until it is asked again that is not ready.
    pub fn again(&self) -> Duration {
        if matches!(self.asked, Asked::Command(_)) { ASK_COMMAND } else { ASK }
    }

    /// Asks, and waits for the answer as long as the probe says. The guard of a command has this lock too.
    pub async fn ask(&self, lock: &File) -> Answer {
        let asked = match &self.asked {
            Asked::Command(program) => return self.run(program, lock).await,
            Asked::Port(host, port) => timeout(self.limit, listens(host, *port)).await,
            Asked::Page(host, port, page) => timeout(self.limit, answers((host, *port), page)).await,
        };
        asked.unwrap_or_else(|_| Err(format!("no answer within {} s", self.limit.as_secs())))
    }

    /// Runs a command to its end.
    async fn run(&self, program: &Program, lock: &File) -> Answer {
        let mut process = Process::start(program, lock).map_err(|error| error.to_string())?;
        let code = timeout(self.limit, process.ended()).await;
        // What it started ends with it.
        process.signal("KILL").await;
        match code {
            Ok(0) => Ok(()),
            Ok(code) => Err(format!("the command ended with {code}")),
            Err(_) => Err(format!("the command has not ended within {} s", self.limit.as_secs())),
        }
    }
}

/// A container's probe that cannot be asked here, in words, if it is one: of gRPC, or of a port whose name
/// has no number.
pub fn unknown(kind: Kind, container: &Container) -> Option<String> {
    let probe = kind.probe(container).filter(|probe| probe.exec.is_none())?;
    if Question::of(kind, container, None).is_some() {
        return None;
    }
    let word = kind.word();
    Some(if probe.grpc.is_some() {
        format!("a grpc {word}Probe")
    } else {
        format!("a {word}Probe of a port that has no number here")
    })
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

fn page(get: &HTTPGetAction) -> Page {
    let path = get.path.as_deref().unwrap_or_default();
    let headers = get.http_headers.iter().flatten();
    Page {
        path: format!("/{}", path.strip_prefix('/').unwrap_or(path)),
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    }
}

/// Whether something listens at a port.
async fn listens(host: &str, port: u16) -> Answer {
    TcpStream::connect((host, port)).await.map(drop).map_err(|error| error.to_string())
}

/// Whether a page is there: as with the kubelet, all from 200 to 399 is well.
async fn answers(place: (&str, u16), page: &Page) -> Answer {
    match status(place, page).await {
        Ok(Some(200..400)) => Ok(()),
        Ok(Some(code)) => Err(format!("HTTP probe failed with statuscode: {code}")),
        Ok(None) => Err("the answer is not HTTP".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Asks for a page, and gives the status of the answer; none: it is no answer of HTTP.
async fn status((host, port): (&str, u16), page: &Page) -> io::Result<Option<u16>> {
    let mut stream = TcpStream::connect((host, port)).await?;
    let mut request = format!("GET {} HTTP/1.0\r\n", page.path);
    let own = ("Host".to_owned(), format!("{host}:{port}"));
    let names_host = page.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    for (name, value) in page.headers.iter().chain((!names_host).then_some(&own)) {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    // `HTTP/1.1 200`
    let mut first = [0; 12];
    stream.read_exact(&mut first).await?;
    let code = first.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(rest.get(2..)?).ok());
    Ok(code.and_then(|code| code.parse().ok()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;

    fn container(probe: &Value) -> Container {
        let value = json!({"name": "main", "readinessProbe": probe, "livenessProbe": probe});
        serde_json::from_value(value).unwrap()
    }

    async fn ask(container: &Container, command: Option<Program>) -> Answer {
        let lock = File::open("/dev/null").unwrap();
        Question::of(Kind::Readiness, container, command).unwrap().ask(&lock).await
    }

    #[tokio::test]
    async fn a_page_that_is_there_is_well() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let page = |path: &str| -> Container {
            let header = json!({"name": "X-Key", "value": "open"});
            let get = json!({"path": path, "port": "http", "httpHeaders": [header]});
            let mut container = container(&json!({"httpGet": get, "timeoutSeconds": 60}));
            container.ports = Some(vec![crate::plan::pods::container::port("http", port)]);
            container
        };
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    // A probe of the port alone asks for nothing.
                    let Ok(byte) = stream.read_u8().await else { break };
                    request.push(char::from(byte));
                }
                if request.is_empty() {
                    continue;
                }
                assert!(
                    request.contains("X-Key: open\r\n") && request.contains("Host: 127.0.0.1:"),
                    "{request}"
                );
                let answer = match request.split(' ').nth(1).unwrap() {
                    "/well" => "HTTP/1.1 200 OK\r\n\r\n",
                    "/strange" => "220 mail.example ESMTP\r\n",
                    _ => "HTTP/1.1 503 Busy\r\n\r\n",
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        assert_eq!(ask(&page("/well"), None).await, Ok(()));
        assert_eq!(ask(&page("well"), None).await, Ok(()));
        let busy = ask(&page("/sick"), None).await;
        assert_eq!(busy, Err("HTTP probe failed with statuscode: 503".to_owned()));
        assert_eq!(ask(&page("/strange"), None).await, Err("the answer is not HTTP".to_owned()));
        let socket = |port: u16| {
            container(&json!({"tcpSocket": {"port": port, "host": "localhost"}, "timeoutSeconds": 60}))
        };
        assert_eq!(ask(&socket(port), None).await, Ok(()));
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
        let refused = ask(&socket(free), None).await.unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
    }

    #[tokio::test]
    async fn a_command_is_well_that_ends_with_0_in_its_time() {
        let container = container(&json!({"exec": {"command": []}, "timeoutSeconds": 1}));
        let command = |script: &str| {
            let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
            Some(Program { words, env: Vec::new(), folder: "/".into(), log: "/dev/null".into() })
        };
        assert_eq!(ask(&container, command("exit 3")).await, Err("the command ended with 3".to_owned()));
        let late = ask(&container, command("sleep 600")).await;
        assert_eq!(late, Err("the command has not ended within 1 s".to_owned()));
        let patient = Container { readiness_probe: None, ..container };
        let mut probe = patient.liveness_probe.clone().unwrap();
        probe.timeout_seconds = Some(60);
        let patient = Container { readiness_probe: Some(probe), ..patient };
        assert_eq!(ask(&patient, command("exit 0")).await, Ok(()));
    }

    #[test]
    fn what_cannot_be_asked_is_known() {
        for (probe, wanted) in [
            (json!({"grpc": {"port": 80}}), Some("a grpc livenessProbe")),
            (json!({"httpGet": {"port": "web"}}), Some("a livenessProbe of a port that has no number here")),
            (json!({"tcpSocket": {"port": 80}}), None),
            (json!({"exec": {"command": ["true"]}}), None),
        ] {
            assert_eq!(unknown(Kind::Liveness, &container(&probe)).as_deref(), wanted, "{probe}");
        }
        assert_eq!(Question::of(Kind::Liveness, &Container::default(), None), None);
        assert_eq!(unknown(Kind::Liveness, &Container::default()), None);
    }
}
