//! Operators as processes of the test, which can be stopped and let go on.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::{Namespace, poll, within};

/// Seconds of the Lease where it has to end. Shorter than the operator's own, so that the test is; not so
/// short that a busy machine makes a leader late.
pub const LEASE_S: u64 = 8;
/// The Lease of this test, in its own namespace.
pub const LEASE: &str = "two-operators";

/// One operator.
pub struct Operator {
    name: String,
    port: u16,
    log: PathBuf,
    child: Child,
}

impl Operator {
    /// Starts an operator that looks at this namespace, with a Lease of [`LEASE_S`]. Its log is in `folder`.
    pub async fn start(namespace: &Namespace, name: &str, folder: &Path, kubeconfig: Option<&Path>) -> Self {
        let lease = ["--lease-seconds", &LEASE_S.to_string()];
        Self::start_with(namespace, name, folder, kubeconfig, &lease).await
    }

    /// The same with these arguments.
    pub async fn start_with(
        namespace: &Namespace,
        name: &str,
        folder: &Path,
        kubeconfig: Option<&Path>,
        arguments: &[&str],
    ) -> Self {
        let port = free_port().await;
        let log = folder.join(format!("{name}.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_daskflow"));
        command
            .args(["operator", "--lease-name", LEASE, "--lease-namespace", &namespace.name])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(arguments)
            .env("DASKFLOW_NAMESPACES", &namespace.name)
            .env("POD_NAME", name)
            .env_remove("POD_UID")
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true);
        if let Some(kubeconfig) = kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        Self { name: name.to_owned(), port, log, child: command.spawn().unwrap() }
    }

    /// Waits until it is ready and says this of itself: `leader` or `standby`.
    pub async fn until(&self, what: &str, limit_s: u64) {
        let wanted = format!("ok: {what}");
        poll(within(limit_s, format!("operator {} says {wanted}", self.name)), async || {
            let said = said(self.port).await.unwrap_or_else(|| "nothing".to_owned());
            if said.contains(&wanted) { Ok(()) } else { Err(format!("{said}; log: {}", self.log())) }
        })
        .await;
    }

    /// Where it says whether it leads.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its whole log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Stops the process where it stands (`-STOP`), or lets it go on (`-CONT`).
    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it has not ended").to_string();
        let status = Command::new("kill").args([signal, &id]).status().await.unwrap();
        assert!(status.success(), "kill {signal} {id}");
    }

    /// Waits until the process has ended by itself.
    pub async fn until_ended(&mut self, limit_s: u64) -> ExitStatus {
        let ended = timeout(Duration::from_secs(limit_s), self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} does not end; log: {}", self.name, self.log())).unwrap()
    }
}

/// Whether the operator that listens there says that it leads. One that says nothing does not.
pub async fn leads(port: u16) -> bool {
    said(port).await.is_some_and(|said| said.contains("ok: leader"))
}

async fn said(port: u16) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    timeout(Duration::from_millis(500), ask).await.ok()?
}

async fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port()
}

/// A folder that goes when the test does.
pub struct Folder(pub PathBuf);

impl Folder {
    /// Makes it.
    pub fn make(name: &str) -> Self {
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
