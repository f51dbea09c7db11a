use rstest::rstest;
use serde_json::{Map, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

fn place(hidden: &Hidden) -> Place<'_> {
    let authorization = "Basic YWxpY2U6czNjcmV0";
    Place { prefix: "/services/gw", authority: "gw:8000", authorization, hidden }
}

/// The other end: gives what was asked when it has all of it, and answers with these bytes.
async fn answering(mut peer: DuplexStream, answer: Vec<u8>) -> String {
    let mut asked = Vec::new();
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        if peer.read_buf(&mut asked).await.unwrap() == 0 {
            break;
        }
    }
    peer.write_all(&answer).await.unwrap_or_default();
    String::from_utf8_lossy(&asked).into_owned()
}

async fn asked(call: &Call, answer: impl Into<Vec<u8>>) -> (String, Result<Answer, Error>) {
    let (stream, peer) = duplex(1 << 20);
    let hidden = Hidden::of("Basic YWxpY2U6czNjcmV0", "s3cret");
    let place = place(&hidden);
    let asking = exchange(stream, &place, call, Duration::from_secs(20));
    tokio::join!(answering(peer, answer.into()), asking)
}

fn answer(status: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_call_is_one_request_that_says_who_asks() {
    let options = Map::from_iter([("worker_cores".to_owned(), json!(2))]);
    let date = "Date: Mon, 30 Nov 2026 11:00:05 GMT\r\nSet-Cookie: dask-gateway-a=b; Max-Age=600\r\n";
    let (request, found) =
        asked(&Call::create(&options), answer("201 Created", date, "{\"name\": \"a\"}")).await;
    assert!(request.starts_with("POST /services/gw/api/v1/clusters/ HTTP/1.1\r\n"), "{request}");
    let request = request.to_lowercase();
    for line in ["host: gw:8000\r\n", "authorization: basic ywxpy2u6cznjcmv0\r\n", "connection: close\r\n"] {
        assert!(request.contains(line), "{request}");
    }
    assert!(!request.contains("cookie"));
    let found = found.unwrap();
    assert_eq!(message::created(&found.body).unwrap(), "a");
    assert_eq!(found.date, Some("2026-11-30T11:00:05Z".parse().unwrap()));
}

#[rstest]
#[case::unknown_user(
    "401 Unauthorized",
    "{\"error\": \"Authentication required\"}",
    "it answers 401: Authentication required"
)]
#[case::not_the_users("403 Forbidden", "{\"error\": \"User bob lacks\"}", "it answers 403: User bob lacks")]
#[case::not_running(
    "409 Conflict",
    "{\"error\": \"cluster a is not running\"}",
    "it answers 409: cluster a is not running"
)]
#[case::bad_option(
    "422 Unprocessable",
    "{\"error\": \"Unknown fields ['z']\"}",
    "it answers 422: Unknown fields ['z']"
)]
#[case::repeats("403 Forbidden", "{\"error\": \"not s3cret\"}", "it answers 403: not ***")]
#[case::trouble("500 Error", "<html>inside</html>", "it answers 500: it does not say why")]
#[case::proxy("502 Bad Gateway", "", "it answers 502: it does not say why")]
#[tokio::test]
async fn a_refusal_is_in_the_gateways_words(#[case] status: &str, #[case] body: &str, #[case] words: &str) {
    let (_, found) = asked(&Call::options(), answer(status, "", body)).await;
    assert_eq!(found.unwrap_err().to_string(), words);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let more = "Location: https://elsewhere/api?password=s3cret\r\n";
    let (_, found) = asked(&Call::options(), answer("302 Found", more, "")).await;
    assert_eq!(found.unwrap_err().to_string(), "it redirects to \"https://elsewhere/api?password=***\"");
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
    let (_, found) = asked(&Call::list(), [head.as_bytes(), &vec![b'['; BODY_BYTES_MAX + 1]].concat()).await;
    assert!(matches!(found, Err(Error::TooLong { .. })), "{found:?}");
    let (_, found) =
        asked(&Call::list(), "HTTP/1.1 200 OK\r\nX: ".to_owned() + &"x".repeat(HEAD_BYTES_MAX)).await;
    assert!(matches!(found, Err(Error::Cut(_))), "{found:?}");
}

#[rstest]
#[case::nothing("")]
#[case::half("HTTP/1.1 201 Created\r\nContent-Length: 40\r\n\r\n{\"name\":")]
#[case::no_http("SSH-2.0-OpenSSH_9.6\r\n")]
#[tokio::test]
async fn a_cut_connection_leaves_a_call_in_doubt(#[case] answer: &str) {
    let (_, found) = asked(&Call::create(&Map::new()), answer).await;
    let error = found.unwrap_err();
    assert!(matches!(error, Error::Cut(_)) && !error.is_certain(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_silent_is_given_up() {
    let (stream, _peer) = duplex(1 << 20);
    let hidden = Hidden::default();
    let found = exchange(stream, &place(&hidden), &Call::options(), Duration::from_secs(3)).await;
    assert_eq!(found.unwrap_err().to_string(), "no answer within 3 s");
}

#[tokio::test]
async fn what_no_header_can_hold_is_not_sent() {
    let (stream, _peer) = duplex(1 << 20);
    let hidden = Hidden::default();
    let place = Place { authorization: "Basic a\r\nX: y", ..place(&hidden) };
    let found = exchange(stream, &place, &Call::options(), Duration::from_secs(3)).await;
    let error = found.unwrap_err();
    assert!(matches!(error, Error::Unwritable(_)) && !error.to_string().contains("X: y"), "{error}");
}
