//! A gateway that does not know a cluster which it has just made, as on Kubernetes, where its API server
//! learns of new clusters by a watch.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::super::{Local, PATIENCE};
use super::server::{Gateway, PASSWORD, whole};
use super::{at, flow, login};

/// How often it does not know the cluster.
const TIMES: usize = 3;

/// Passes calls on, and answers the first ones about a cluster as a gateway does that does not know it.
/// The port, and how often it has.
fn forgetful(target: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let answered = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // One after the other: it is one run that asks.
            pass(stream, target, &answered);
        }
    });
    (port, count)
}

fn pass(mut client: TcpStream, target: u16, answered: &AtomicUsize) -> Option<()> {
    let request = whole(&mut client)?;
    let about = request.strip_prefix(b"GET /api/v1/clusters/").filter(|rest| !rest.starts_with(b" "));
    if about.is_some() && answered.load(Ordering::SeqCst) < TIMES {
        answered.fetch_add(1, Ordering::SeqCst);
        let body = r#"{"error": "Cluster not found"}"#;
        let head = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        return client.write_all(answer.as_bytes()).ok();
    }
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?;
    server.write_all(&request).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    client.write_all(&answer).ok()
}

#[test]
fn a_cluster_that_its_gateway_does_not_know_at_first_is_waited_for() {
    let Some(gateway) = Gateway::start("gateway_forgetful") else { return };
    let (port, answered) = forgetful(gateway.port);
    let script = "from distributed import Client\nassert Client().submit(sum, [1, 2]).result() == 3\n";
    let manifest = login("login", PASSWORD) + &flow("etl", &at(&gateway, port, "workers: 1"), script, "");
    let mut local = Local::start("gateway_forgetful", &gateway.python, &manifest, &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    assert_eq!(answered.load(Ordering::SeqCst), TIMES);
    // There was no other one in its place, and it is not forgotten.
    assert_eq!(gateway.states(), ["STOPPED"], "{}\n{}", local.text(), gateway.log());
}
