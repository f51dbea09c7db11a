//! Ports of pods, as kube's own client asks for them.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{create, refusal};
use crate::cluster_api::{ClusterApi, Listening};

/// A client that comes by a port of this machine, as others do.
fn client(api: &Listening) -> Client {
    let config = Config::new(format!("http://{}", api.address()).parse().unwrap());
    Client::try_from(config).unwrap()
}

/// An API whose pods are here, and one pod.
async fn api_with_a_pod() -> (ClusterApi, Listening) {
    let api = ClusterApi::new(|| jiff::Timestamp::UNIX_EPOCH, 1);
    create(&api, &["a"]).await;
    let listening = api.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    (api, listening)
}

#[tokio::test]
async fn a_port_of_a_pod_is_reached_both_ways_until_it_ends() {
    let (api, listening) = api_with_a_pod().await;
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
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

#[tokio::test]
async fn a_port_that_nothing_listens_at_says_so() {
    let (api, listening) = api_with_a_pod().await;
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let pods: Api<Pod> = Api::default_namespaced(client(&listening));
    let mut forwarder = pods.portforward("a", &[free]).await.unwrap();
    let fault = forwarder.take_error(free).unwrap().await.unwrap();
    assert!(fault.contains("refused"), "{fault}");
}

#[tokio::test]
async fn pods_that_are_elsewhere_or_not_there_have_no_ports() {
    let (api, listening) = api_with_a_pod().await;
    let pods: Api<Pod> = Api::default_namespaced(client(&listening));
    assert!(pods.portforward("a", &[1]).await.is_err(), "nothing says where its pods are");
    api.reach_pods_at("127.0.0.1".parse().unwrap());
    assert!(pods.portforward("b", &[1]).await.is_err());
    let plain = http::Request::get("/api/v1/namespaces/default/pods/a/portforward?ports=1").body(Vec::new());
    let (code, ..) = refusal(client(&listening).request::<serde_json::Value>(plain.unwrap()).await);
    assert_eq!(code, 501);
}
