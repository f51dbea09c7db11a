use std::net::SocketAddr;
use std::time::Duration;

use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::testing::logging;
use super::*;

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
