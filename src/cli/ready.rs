//! `daskflow ready`: what `helm test` runs, from the operator's own image.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::api;

/// The most that is read of an answer: a status line, some headers and a sentence.
const ANSWER_BYTES_MAX: u64 = 8192;
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where the operator serves its probes: a name or an IP address, and a port.
    #[arg(long, default_value = "127.0.0.1:8080")]
    address: String,
    /// How many seconds to keep asking.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the operator at {address} is not ready: {last}")]
    NotReady { address: String, last: String },
    #[error("the API server does not serve {} of {}: install the custom resource definitions", .kinds, version())]
    NotServed { kinds: String },
    #[error("the API server does not report what it serves of {}: {last}", version())]
    NoDiscovery { last: String },
    #[error("no runtime")]
    Runtime(#[source] io::Error),
    #[error("the answer cannot be written")]
    Write(#[source] io::Error),
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match ask(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::output::fail(&error),
    }
}

fn ask(arguments: &Arguments) -> Result<(), Error> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    runtime.block_on(async {
        let deadline = Instant::now() + Duration::from_secs(arguments.timeout);
        let address = &arguments.address;
        until(deadline, async || readyz(address).await)
            .await
            .map_err(|last| Error::NotReady { address: address.clone(), last })?;
        let served =
            until(deadline, async || served().await).await.map_err(|last| Error::NoDiscovery { last })?;
        let missing = missing(&served);
        if !missing.is_empty() {
            return Err(Error::NotServed { kinds: missing.join(", ") });
        }
        let mut out = io::stdout().lock();
        writeln!(out, "ready: the operator at {address}, and all kinds of {}", version())
            .map_err(Error::Write)
    })
}

/// The group and version that are asked for.
fn version() -> String {
    format!("{}/{}", api::GROUP, api::VERSION)
}

/// Asks until there is an answer, or the time is over: then what went wrong last.
async fn until<T>(deadline: Instant, question: impl AsyncFn() -> Result<T, String>) -> Result<T, String> {
    let mut last = "no answer in time".to_owned();
    loop {
        match timeout_at(deadline, question()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(why)) => last = why,
            Err(_) => return Err(last),
        }
        if Instant::now() + PAUSE > deadline {
            return Err(last);
        }
        sleep(PAUSE).await;
    }
}

/// One request in HTTP/1.1: no more than what a probe of the kubelet says and hears.
async fn readyz(address: &str) -> Result<(), String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = exchange.await.map_err(|error| error.to_string())?;
    judge(&String::from_utf8_lossy(&answer))
}

/// Whether an answer says 200; if not, what it says.
fn judge(answer: &str) -> Result<(), String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.lines().next().unwrap_or_default();
    let mut words = status.split(' ');
    match (words.next(), words.next()) {
        (Some("HTTP/1.1"), Some("200")) => Ok(()),
        (Some("HTTP/1.1"), Some(_)) => {
            Err(format!("{}: {}", status.trim_start_matches("HTTP/1.1 "), body.trim()))
        }
        _ => Err("the answer is not HTTP/1.1".to_owned()),
    }
}

/// The plural names that the API server serves; every account may ask for them.
async fn served() -> Result<Vec<String>, String> {
    let client = kube::Client::try_default().await.map_err(|error| error.to_string())?;
    match client.list_api_group_resources(&version()).await {
        Ok(list) => Ok(list.resources.into_iter().map(|resource| resource.name).collect()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// What should be served and is not.
fn missing(served: &[String]) -> Vec<String> {
    let wanted = api::crds().into_iter().map(|crd| crd.spec.names.plural);
    wanted.filter(|plural| !served.contains(plural)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_is_ready() {
        assert_eq!(judge("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), Ok(()));
        let not_yet = "HTTP/1.1 503 Service Unavailable\r\n\r\nthe caches are being filled";
        assert_eq!(judge(not_yet), Err("503 Service Unavailable: the caches are being filled".to_owned()));
        for other in
            ["", "\r\n\r\n", "HTTP/1.1", "HTTP/1.1 2000 OK\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "200"]
        {
            assert!(judge(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn what_is_not_served_is_named() {
        let all: Vec<String> = api::crds().into_iter().map(|crd| crd.spec.names.plural).collect();
        assert_eq!(missing(&all), Vec::<String>::new());
        assert_eq!(missing(&all[1..]), ["daskclusters"]);
    }
}
