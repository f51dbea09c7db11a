//! `daskflow ui` itself.

use daskflow::client::Cluster;
use daskflow::cluster_api::{Access, ClusterApi};
use daskflow::daemon::clock::Clock;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::visitor::Visitor;
use crate::client::forward::{ask, scheduler};
use crate::client::program::Listens;
use crate::client::stage::{Stage, furnished};

/// What is answered to a request.
async fn get(address: &str, path: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_serves_on_loopback_until_it_is_ended() {
    let here = Listens::new("page_program", furnished().await).await;
    let mut child = here.command("exec daskflow ui --port 0 --no-open").spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    out.read_line(&mut said).await.unwrap();
    let url = said.trim_end().strip_prefix("Page: http://").unwrap();
    let (address, path) = url.split_once('/').unwrap();
    assert!(address.starts_with("127.0.0.1:") && path.starts_with("?token="), "{said}");
    let opened = get(address, &format!("/{path}"), "").await;
    assert!(opened.starts_with("HTTP/1.1 303"), "{opened}");
    let cookie = opened.split("set-cookie: ").nth(1).unwrap().split(';').next().unwrap();
    let cookie = format!("Cookie: {cookie}\r\n");
    let page = loop {
        let page = get(address, "/", &cookie).await;
        if !page.contains("Reading what there is in") {
            break page;
        }
    };
    assert!(page.contains("/flows/default/nightly-report"), "{page}");
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().await.unwrap().success());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_command_line_say_what_to_do() {
    let here = Listens::new("page_faults", furnished().await).await;
    for (line, code, said) in [
        ("ui --no-open --kubeconfig nowhere", 1, "no cluster is known"),
        ("ui --in-cluster --context here", 2, "cannot be used with"),
        ("ui --listen 127.0.0.1:0", 2, "--in-cluster"),
        ("ui --local --listen 127.0.0.1:0", 2, "cannot be used with"),
        ("ui --kubeconfig here --server http://127.0.0.1:1", 2, "cannot be used with"),
        ("ui --port 0 --certificate-authority ca.crt", 2, "cannot be used with"),
        ("ui --logs-link 'javascript:alert(1)//${run}'", 2, "begins with https:// or http://"),
        ("ui --dashboard-link 'https://dask.example/${run}'", 2, "${run} stands for nothing"),
        ("ui -n Bad_NS", 2, "is no name of a namespace"),
        ("ui --in-cluster", 1, "no API server is known, as this is no pod: name one with --server"),
        (
            "ui --in-cluster --server http://127.0.0.1:1 --listen 192.0.2.1:80",
            1,
            "name another one with --listen",
        ),
        ("ui -A -n team", 2, "cannot be used with"),
    ] {
        let (found, out, err) = here.run(&format!("daskflow {line}")).await;
        assert!(found == code && err.contains(said), "{line}: {found}: {out}{err}");
    }
}

/// As in the image, where the system has no certificates: those of the file are all that is trusted.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_the_certificates_of_the_file_are_trusted_and_no_others() {
    let here = Listens::new("page_certificates", Stage::empty()).await;
    let clock = Clock::of_machine();
    let api = ClusterApi::new(move || clock.now(), 7);
    let (access, other) = (Access::new().unwrap(), Access::new().unwrap());
    let listening = api.listen_with("127.0.0.1:0".parse().unwrap(), &access).await.unwrap();
    std::fs::write(here.folder.join("ca.crt"), access.certificate()).unwrap();
    std::fs::write(here.folder.join("other.crt"), other.certificate()).unwrap();
    std::fs::write(here.folder.join("none.crt"), "").unwrap();
    for (file, code, said) in [
        ("ca.crt", 200, "There is no Flow in"),
        ("other.crt", 502, "invalid peer certificate"),
        ("none.crt", 503, "there is no certificate in none.crt"),
    ] {
        let line = format!(
            "exec daskflow ui --in-cluster --listen 127.0.0.1:0 --server https://{} --certificate-authority {file}",
            listening.address()
        );
        let mut command = here.command(&line);
        command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
        let mut child = command.spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut said_first = String::new();
        err.read_line(&mut said_first).await.unwrap();
        let address = said_first.trim_end().strip_prefix("listening on ").unwrap();
        let bearer = format!("Authorization: Bearer {}\r\n", access.token());
        let page = loop {
            let page = get(address, "/", &bearer).await;
            if !page.contains("Reading what there is in") {
                break page;
            }
        };
        assert!(page.starts_with(&format!("HTTP/1.1 {code}")) && page.contains(said), "{file}: {page}");
    }
}

/// A port of its own: under a path of the page it would not work.
#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_is_brought_to_this_machine() {
    let here = Listens::new("page_dashboard", furnished().await).await;
    scheduler(&here, "analytics-scheduler-a", 0).await;
    let config = std::fs::read_to_string(here.folder.join("kubeconfig")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap().parse().unwrap();
    let client = kube::Client::try_from(kube::Config::new(server)).unwrap();
    let visitor = Visitor::new(Cluster { client, namespace: "default".to_owned() }).await;
    let path = "/clusters/default/analytics";
    assert!(visitor.page(path).await.text.contains("Bring its dashboard to this machine"));
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let brought = visitor.send(&format!("{path}/dashboard"), "").await;
        assert_eq!((brought.code, brought.header("location")), (303, path), "{}", brought.text);
        let page = visitor.page(path).await.text;
        let link = page.split("href=\"http://localhost:").nth(1).unwrap();
        assert!(link.split('"').next().unwrap().ends_with("/status"), "{link}");
        addresses.push(format!("127.0.0.1:{}", link.split('/').next().unwrap()));
    }
    assert_eq!(addresses[0], addresses[1], "once is enough");
    assert_eq!(ask(&addresses[0]).await, "ping from analytics-scheduler-a at 8787");
}
