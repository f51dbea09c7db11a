//! Ports of pods, as kube's own client asks for them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{create, refusal};
use crate::cluster_api::{ClusterApi, Listening};

/// A client that comes by a port of this machine, as others do.
fn client(api: &Listening) -> Client {
    let config = Config::new(format!("http://{}", api.address()).parse().unwrap());
    Client::try_from(config).unwrap()
}

/// An API with one pod, which has this port, if any, and is of this phase.
async fn api_with_a_pod(port: Option<u16>, phase: &str) -> (ClusterApi, Listening) {
    let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
    let ports: Vec<Value> = port.into_iter().map(|port| json!({"containerPort": port})).collect();
    let containers = json!([{"name": "main", "image": "i"}, {"name": "more", "image": "i", "ports": ports}]);
    let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "here", "containers": containers}});
    let pods: Api<Pod> = Api::default_namespaced(api.client());
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    let status = Patch::Merge(json!({"status": {"phase": phase}}));
    pods.patch_status("a", &PatchParams::default(), &status).await.unwrap();
    let listening = api.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    (api, listening)
}

/// A port of this machine that nothing listens at.
async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_port_of_a_pod_is_reached_both_ways_until_it_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (api, listening) = api_with_a_pod(Some(port), "Running").await;
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    // It gives back what it was given, turned round, and ends.
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut word = [0; 3];
        stream.read_exact(&mut word).await.unwrap();
        word.reverse();
        stream.write_all(&word).await.unwrap();
    });
    let pods: Api<Pod> = Api::default_namespaced(client(&listening));
    let mut forwarder = pods.portforward("a", &[port]).await.unwrap();
    let mut stream = forwarder.take_stream(port).unwrap();
    stream.write_all(b"abc").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"cba");
}

/// What is said of a port of the pod.
async fn fault(listening: &Listening, port: u16) -> String {
    let pods: Api<Pod> = Api::default_namespaced(client(listening));
    let mut forwarder = pods.portforward("a", &[port]).await.unwrap();
    forwarder.take_error(port).unwrap().await.unwrap()
}

#[tokio::test]
async fn a_port_that_nothing_listens_at_says_so() {
    let free = free_port().await;
    let (api, listening) = api_with_a_pod(Some(free), "Running").await;
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    let said = fault(&listening, free).await;
    assert!(said.starts_with(&format!("error forwarding port {free} to pod a, uid ")), "{said}");
    assert!(said.contains("refused"), "{said}");
}

#[tokio::test]
async fn only_ports_of_the_pod_are_reached_and_only_while_it_runs() {
    // Something listens at each of them.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (api, listening) = api_with_a_pod(None, "Running").await;
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    let said = fault(&listening, port).await;
    assert!(said.ends_with("no container of the pod has it in its ports"), "{said}");
    for phase in ["Pending", "Succeeded"] {
        let (api, listening) = api_with_a_pod(Some(port), phase).await;
        api.reach_pods_at("127.0.0.1".parse().unwrap());
        let said = fault(&listening, port).await;
        assert!(said.ends_with(&format!("the pod is not running: its phase is {phase}")), "{said}");
    }
}

#[tokio::test]
async fn a_pod_without_a_node_is_refused_as_kubernetes_does() {
    let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
    create(&api, &["a"]).await;
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    let listening = api.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client(&listening));
    assert!(pods.portforward("a", &[1]).await.is_err());
}

#[tokio::test]
async fn connections_end_with_the_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (api, listening) = api_with_a_pod(Some(port), "Running").await;
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    let pods: Api<Pod> = Api::default_namespaced(client(&listening));
    let _forwarder = pods.portforward("a", &[port]).await.unwrap();
    let (mut there, _) = listener.accept().await.unwrap();
    drop(listening);
    assert_eq!(there.read(&mut [0; 1]).await.unwrap_or_default(), 0);
}

#[tokio::test]
async fn pods_that_are_elsewhere_or_not_there_have_no_ports() {
    let (api, listening) = api_with_a_pod(Some(1), "Running").await;
    let pods: Api<Pod> = Api::default_namespaced(client(&listening));
    assert!(pods.portforward("a", &[1]).await.is_err(), "nothing says where its pods are");
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    assert!(pods.portforward("b", &[1]).await.is_err());
    let plain = http::Request::get("/api/v1/namespaces/default/pods/a/portforward?ports=1").body(Vec::new());
    let (code, ..) = refusal(client(&listening).request::<serde_json::Value>(plain.unwrap()).await);
    assert_eq!(code, 501);
}

/// Asks for a port of the pod once, as `kr8s` does; kube's client would try again. Gives the connection, the
/// code of the answer, and its body.
async fn ask(listening: &Listening, port: u16) -> (BufReader<TcpStream>, String, String) {
    let address = listening.address();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let request = format!(
        "GET /api/v1/namespaces/default/pods/a/portforward?ports={port} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).await.unwrap() > 0, "{head}");
    }
    let code = head.split(' ').nth(1).unwrap().to_owned();
    let mut lines = head.lines().filter_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; lines.next().map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    (stream, code, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn a_listener_has_so_many_connections_and_room_again_when_one_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (api, listening) = api_with_a_pod(Some(port), "Running").await;
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    let mut open = Vec::new();
    for number in 1..=128 {
        let (stream, code, body) = ask(&listening, port).await;
        assert_eq!(code, "101", "{number}: {body}");
        open.push(stream);
    }
    let (_, code, body) = ask(&listening, port).await;
    assert_eq!(code, "429");
    assert!(body.contains("128 connections to ports of pods are open: close some"), "{body}");
    // Another listener has its own.
    let other = api.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    assert_eq!(ask(&other, port).await.1, "101");
    open.pop();
    let is_free = async { while ask(&listening, port).await.1 != "101" {} };
    timeout(Duration::from_secs(20), is_free).await.expect("the one that has ended counts still");
}
