//! Readiness: whether a process answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a readiness probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    port: u16,
    /// The page that must be there; none: that somebody listens is enough.
    page: Option<String>,
    limit: Duration,
    /// How long to wait between two answers.
    pub period: Duration,
    /// How many answers in turn must fail until it is not ready any more.
    pub failures: i32,
}

impl Question {
    /// What a container's probe asks. None where it has none, or one that runs a command: then it is ready
    /// when it runs.
    pub fn of(container: &Container) -> Option<Self> {
        let probe = container.readiness_probe.as_ref()?;
        if let Some(get) = &probe.http_get {
            // A certificate that nobody here can check keeps a page from being read.
            let is_plain = get.scheme.as_deref().unwrap_or("HTTP") == "HTTP";
            let page = get.path.clone().unwrap_or_else(|| "/".to_owned());
            return Self::at(container, probe, &get.port, Some(page).filter(|_| is_plain));
        }
        Self::at(container, probe, &probe.tcp_socket.as_ref()?.port, None)
    }

    fn at(container: &Container, probe: &Probe, port: &IntOrString, page: Option<String>) -> Option<Self> {
        let number = match port {
            IntOrString::Int(number) => *number,
            IntOrString::String(name) => {
                let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
                named?.container_port
            }
        };
        let seconds = |value: Option<i32>, default: u64| {
            Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default).max(1))
        };
        Some(Self {
            port: u16::try_from(number).ok()?,
            page,
            limit: seconds(probe.timeout_seconds, 1),
            period: seconds(probe.period_seconds, 10),
            failures: probe.failure_threshold.unwrap_or(3).max(1),
        })
    }

    /// Whether it is answered well.
    pub async fn ask(&self) -> bool {
        timeout(self.limit, self.answer()).await.is_ok_and(|answer| answer.is_some())
    }

    async fn answer(&self) -> Option<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect(address).await.ok()?;
        let Some(page) = &self.page else { return Some(()) };
        let request = format!("GET {page} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        // `HTTP/1.1 200`: as the kubelet does, all from 200 to 399 is well.
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.ok()?;
        let code: u16 = std::str::from_utf8(first.get(9..)?).ok()?.parse().ok()?;
        (200..400).contains(&code).then_some(())
    }
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
        assert!(Question::of(&container("/well")).unwrap().ask().await);
        assert!(!Question::of(&container("/sick")).unwrap().ask().await);
        assert_eq!(Question::of(&Container::default()), None);
    }
}
