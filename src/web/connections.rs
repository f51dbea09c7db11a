//! Connections of browsers and of a proxy: so many at a time, and none that only waits.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many connections there are at the same time, so that files are left for others.
pub(super) const CONNECTIONS_MAX: usize = 2_000;
/// How long the head of a request may take to come, and a connection may wait for its next one: longer than
/// the usual proxies keep one that is idle (90 s at most), so that none sends into one that ends.
const HEAD: Duration = Duration::from_secs(100);
/// How long until connections are accepted again where the machine has no room for one.
const AGAIN: Duration = Duration::from_secs(1);

/// Answers on a listener for as long as it is polled. Whoever comes while there is no place waits in the
/// queue of the kernel.
pub(super) async fn serve(listener: TcpListener, router: Router, most: usize) {
    let places = std::sync::Arc::new(Semaphore::new(most));
    // They end with this.
    let mut open = JoinSet::new();
    loop {
        // It is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(AGAIN).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(HEAD);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        open.spawn(async move {
            // There is nothing to do for one who breaks off.
            let _ = connection.await;
            drop(place);
        });
        while open.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    #[tokio::test]
    async fn one_more_waits_for_a_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(async || "here");
        let _server = AbortOnDropHandle::new(tokio::spawn(serve(listener, router, 1)));
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        second.write_all(request).await.unwrap();
        // The first is answered as often as it asks, and the second not meanwhile.
        for _ in 0..3 {
            first.write_all(request).await.unwrap();
            let mut answer = [0; 1024];
            let count = first.read(&mut answer).await.unwrap();
            assert!(answer.get(..count).unwrap().ends_with(b"here"));
        }
        let mut answer = [0; 1024];
        assert!(second.try_read(&mut answer).is_err(), "it is not answered yet");
        drop(first);
        let count = second.read(&mut answer).await.unwrap();
        assert!(answer.get(..count).unwrap().ends_with(b"here"));
    }
}
