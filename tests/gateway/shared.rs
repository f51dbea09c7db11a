//! Clusters that exist and that several Flows use, and clusters that adapt.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Local, PATIENCE, until};
use super::server::{AUTHORIZATION, Gateway, PASSWORD};
use super::{at, flow, login};

/// A call with a body, and the answer to it.
fn post(gateway: &Gateway, path: &str, body: &Value) -> Value {
    let body = body.to_string();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, gateway.port)).unwrap();
    let request = format!(
        "POST /api/v1/clusters/{path} HTTP/1.0\r\nHost: gw\r\nAuthorization: {AUTHORIZATION}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (_, answer) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(answer).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A cluster that people have made, with so many workers on their way: its name.
fn made(gateway: &Gateway, workers: u32) -> String {
    let name = post(gateway, "", &json!({}))["name"].as_str().unwrap().to_owned();
    until(PATIENCE, || (gateway.states() == ["RUNNING"]).then_some(()))
        .unwrap_or_else(|| panic!("{}", gateway.log()));
    let said = post(gateway, &format!("{name}/scale"), &json!({"count": workers}));
    assert_eq!(said["ok"], true, "{said}");
    name
}

#[test]
fn flows_share_a_cluster_that_exists_and_leave_it_running() {
    let Some(gateway) = Gateway::start("gateway_shared") else { return };
    let name = made(&gateway, 1);
    let script = "\
import os
from distributed import Client
with Client() as client:
    assert client.submit(sum, [1, 2], pure=False).result() == 3
    print('on', client.scheduler_info()['id'], os.environ['DASKFLOW_CLUSTER_SHARED'])
";
    let fields = at(&gateway, gateway.port, &format!("cluster: {name}"));
    let flows =
        [login("login", PASSWORD), flow("one", &fields, script, ""), flow("two", &fields, script, "")];
    let mut local = Local::start("gateway_shared", &gateway.python, &flows.concat(), &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    let schedulers: Vec<&str> =
        text.lines().filter_map(|line| line.split_once("on Scheduler-")).map(|(_, id)| id).collect();
    assert!(
        schedulers.len() == 2 && schedulers[0] == schedulers[1] && schedulers[0].ends_with(" true"),
        "{text}"
    );
    assert_eq!(gateway.states(), ["RUNNING"], "{text}\n{}", gateway.log());
    assert!(!text.contains("ending clusters"), "{text}");
    local.leaves_nothing(Duration::from_secs(1));
}

#[test]
fn a_cluster_that_exists_no_more_is_lost_and_one_that_never_did_is_named() {
    let Some(gateway) = Gateway::start("gateway_shared_lost") else { return };
    let name = made(&gateway, 1);
    let script = "\
import time
from distributed import Client
client = Client()
print('is at work', flush=True)
time.sleep(600)
";
    let soon = "  clusterTimeout: 5s\n  retries: {infrastructure: 1, delay: 1s}\n";
    let flows = [
        login("login", PASSWORD),
        flow("lost", &at(&gateway, gateway.port, &format!("cluster: {name}")), script, soon),
        flow("never", &at(&gateway, gateway.port, "cluster: c0ffee"), script, "  clusterTimeout: 5s\n"),
    ];
    let mut local = Local::start("gateway_shared_lost", &gateway.python, &flows.concat(), &["--once"]);
    local.says("is at work", 1);
    gateway.stop_all();
    assert_eq!(local.code(PATIENCE), Some(1), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    for words in [
        // That it was lost is shown for no time, where the next attempt is at once.
        "(attempt 2, the last one)",
        "write another one into cluster.gateway.cluster",
        "has no cluster c0ffee: write one of Gateway(...).list_clusters()",
    ] {
        assert!(text.contains(words), "{words:?} is missing in:\n{text}");
    }
    assert_eq!(gateway.states(), ["STOPPED"], "none was made in its place: {text}");
}

#[test]
fn a_cluster_adapts_to_the_work_from_none_or_from_a_minimum() {
    let Some(gateway) = Gateway::start("gateway_adapt") else { return };
    let script = "\
import time
from distributed import Client
with Client() as client:
    print('began with', len(client.scheduler_info()['workers']), 'workers', flush=True)
    print('sum', sum(client.gather(client.map(lambda x: time.sleep(0.01) or x, range(100), pure=False))))
";
    let port = gateway.port;
    let flows = [
        login("login", PASSWORD),
        flow("some", &at(&gateway, port, "adapt: {minimum: 1, maximum: 2}"), script, ""),
        flow("none", &at(&gateway, port, "adapt: {maximum: 1}"), script, ""),
    ];
    let mut local = Local::start("gateway_adapt", &gateway.python, &flows.concat(), &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    assert_eq!(text.matches("sum 4950").count(), 2, "{text}");
    assert_eq!(text.matches("began with 0 workers").count(), 1, "{text}");
    assert_eq!(gateway.states(), ["STOPPED", "STOPPED"], "{text}\n{}", gateway.log());
}
