//! What is not sent to its end keeps no connection.

use axum::body::Body;
use daskflow::web::{router, serve};
use futures::StreamExt;
use http::{Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::visitor::{HOST, ask, options, read, request};
use crate::client::stage::Stage;

#[tokio::test(start_paused = true)]
async fn the_head_of_a_request_has_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (options, _) = options(Stage::empty().cluster);
    let _server = AbortOnDropHandle::new(tokio::spawn(serve(listener, options)));
    for part in ["", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(part.as_bytes()).await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_form_has_a_time() {
    let (options, path) = options(Stage::empty().cluster);
    let router = router(options);
    let opened = read(ask(&router, request(Method::GET, &path, &[("host", HOST)], "")).await).await;
    let cookie = opened.header("set-cookie").split(';').next().unwrap().to_owned();
    let begun = futures::stream::iter([Ok::<_, std::io::Error>("form=")]).chain(futures::stream::pending());
    let form = Request::post("/flows/default/a/run")
        .header("host", HOST)
        .header("cookie", cookie)
        .header("origin", format!("http://{HOST}"))
        .body(Body::from_stream(begun))
        .unwrap();
    let answer = read(ask(&router, form).await).await;
    assert!(answer.code == 408 && answer.text.contains("did not come in time"), "{}", answer.text);
}
