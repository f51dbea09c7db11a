use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rstest::rstest;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::api::{DaskCluster, DaskClusterSpec};
use crate::operator::testing;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logging(filter: &str, format: Format) -> (tracing::subscriber::DefaultGuard, Level, Log) {
    tracing_to(None, filter, format)
}

fn tracing_to(
    traces: Option<&Traces>,
    filter: &str,
    format: Format,
) -> (tracing::subscriber::DefaultGuard, Level, Log) {
    let log = Log::default();
    let writer = log.clone();
    let (subscriber, level) = subscriber(filter, format, traces, move || writer.clone()).unwrap();
    (tracing::subscriber::set_default(subscriber), level, log)
}

/// Reconciles a cluster whose every request is refused.
async fn fail() {
    let (context, server, _wakes) = testing::context(1);
    let refuse = |_: &str| testing::refusal(500, "InternalError", "the disk is full");
    let (_asked, _server) = testing::serve(server, refuse);
    let spec = DaskClusterSpec { image: "flows:1".into(), ..DaskClusterSpec::default() };
    let mut cluster = DaskCluster::new("lonely", spec);
    cluster.metadata.namespace = Some("team".into());
    cluster.metadata.uid = Some("u".into());
    testing::look(Arc::new(cluster), &Arc::new(context)).await;
}

#[tokio::test]
async fn each_line_of_a_reconcile_names_the_object_in_json() {
    // A filter for warnings must not take the name away.
    let (_guard, _level, log) = logging("warn", Format::Json);
    fail().await;
    let lines = log.lines();
    let about: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = about.iter().find(|line| line["message"] == "the reconcile failed").unwrap();
    assert_eq!(failed["level"], "WARN");
    assert!(failed["error"].as_str().unwrap().contains("the disk is full"), "with what caused it: {failed}");
    assert!(failed["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{failed}");
    for line in about {
        let object = [&line["kind"], &line["namespace"], &line["name"]];
        assert_eq!(object, ["DaskCluster", "team", "lonely"], "{line}");
    }
}

#[tokio::test]
async fn each_line_of_a_reconcile_names_the_object_in_text() {
    let (_guard, _level, log) = logging("info", Format::Text);
    fail().await;
    let lines = log.lines();
    assert!(lines.iter().any(|line| line.contains("the reconcile failed")), "{lines:?}");
    for line in lines {
        let object = r#"reconcile{kind="DaskCluster" namespace="team" name="lonely"}"#;
        assert!(line.contains(object), "{line}");
    }
}

#[rstest]
#[case::word("debgu", "\"debgu\" is no level")]
#[case::one_of_two("daskflow=debug,wran", "\"wran\" is no level")]
#[case::level_of_a_module("daskflow=loud", "daskflow=loud")]
#[case::nothing("", "\"\" is no level")]
fn a_filter_that_makes_no_sense_is_refused(#[case] filter: &str, #[case] words: &str) {
    let error = level::parse(filter).unwrap_err().to_string();
    assert!(error.contains(words) && error.contains("daskflow=debug,warn"), "{error}");
}

#[rstest]
#[case("info")]
#[case("OFF")]
#[case("daskflow=debug,warn")]
#[case("info, kube_runtime=warn")]
#[case("warn,[reconcile{name=\"etl\"}]=debug")]
fn a_filter_that_makes_sense_is_taken(#[case] filter: &str) {
    level::parse(filter).unwrap();
}

/// One HTTP request: the status code and the body.
async fn ask(address: SocketAddr, method: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} /log HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn the_filter_is_changed_over_http() {
    let (_guard, level, log) = logging("warn", Format::Text);
    let address = free_address().await;
    let _server = AbortOnDropHandle::new(tokio::spawn(level::serve(address, level)));
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let say = |words: &str| {
        tracing::debug!("{words}");
        log.lines().iter().any(|line| line.contains(words))
    };
    assert!(!say("before"));
    assert_eq!(ask(address, "GET", "").await, (200, "warn\n".to_owned()));

    assert_eq!(ask(address, "PUT", "daskflow=debug,warn\n").await, (200, "daskflow=debug,warn\n".to_owned()));
    assert!(say("between"));
    assert_eq!(ask(address, "GET", "").await, (200, "daskflow=debug,warn\n".to_owned()));

    let (code, words) = ask(address, "PUT", "loud").await;
    assert_eq!(code, 400);
    assert!(words.contains("\"loud\" is no level"), "{words}");
    assert!(say("after a bad one"), "the filter before stays");

    let endless = "a=info,".repeat(1_000);
    assert_eq!(ask(address, "PUT", &endless).await.0, 413);
    assert_eq!(ask(address, "DELETE", "").await.0, 405);
    ask(address, "PUT", "off").await;
    assert!(!say("at the end"));
}

/// A collector that keeps what it is sent.
#[cfg(feature = "otlp")]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_collector_hears_of_a_reconcile() {
    let (sent, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let take = move |body: axum::body::Bytes| {
        sent.send(body).unwrap();
        std::future::ready(())
    };
    let routes = axum::Router::new().route("/v1/traces", axum::routing::post(take));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _server = AbortOnDropHandle::new(tokio::spawn(async move { axum::serve(listener, routes).await }));

    let traces = Traces::to(&format!("http://{address}/")).unwrap();
    let (guard, _level, _log) = tracing_to(Some(&traces), "info", Format::Text);
    fail().await;
    drop(guard);
    tokio::task::spawn_blocking(|| traces.end()).await.unwrap();
    let spans = heard.recv().await.unwrap();
    let text = String::from_utf8_lossy(&spans);
    for words in ["daskflow", "reconcile", "DaskCluster", "team", "lonely", "the reconcile failed"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}
