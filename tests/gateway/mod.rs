//! Runs on clusters of a real Dask Gateway: its server with the local backend, and its own proxy. The
//! operator and the runner are those of `daskflow local`.
//!
//! The Python is that of `tests/gateway/venv.sh`, named by `DASKFLOW_GATEWAY_PYTHON`. Each test takes half a
//! minute, most of which are the starts of clusters.

mod away;
mod engines;
mod forgetful;
mod hub;
mod older;
mod secure;
mod server;
mod shared;

use std::time::Duration;

use super::{Local, PATIENCE, until};
use server::{Cutter, Gateway, PASSWORD};

/// It computes on both workers of the cluster, and knows neither the gateway nor its login.
const ON_WORKERS: &str = "\
import os
from distributed import Client
with Client() as client:
    assert len(client.scheduler_info()['workers']) == 2
    assert client.submit(sum, client.map(abs, range(-100, 0), pure=False)).result() == 5050
    pids = set(client.run(os.getpid).values())
    assert len(pids) == 2 and os.getpid() not in pids, pids
print('ran at', os.environ['DASK_SCHEDULER_ADDRESS'].split('-')[0])
";

/// A Flow on a cluster of the gateway, with this script and these further lines of its spec.
fn flow(name: &str, gateway: &str, script: &str, further: &str) -> String {
    let script: String = script.lines().flat_map(|line| ["      ", line, "\n"]).collect();
    format!(
        "---
apiVersion: daskflow.dev/v1alpha1
kind: Flow
metadata: {{name: {name}}}
spec:
  image: flows:1
  cluster: {{gateway: {{{gateway}}}}}
  engine: Dask
{further}  code:
    inline: |
{script}"
    )
}

/// The fields of a gateway whose REST API is at `port`.
fn at(gateway: &Gateway, port: u16, further: &str) -> String {
    format!(
        "address: 'http://127.0.0.1:{port}', proxyAddress: '127.0.0.1:{}', auth: {{type: Basic, secretName: login}}, {further}",
        gateway.port
    )
}

fn login(name: &str, password: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{username: alice, password: {password}}}\n"
    )
}

/// All that was printed or logged by a daskflow and its processes.
fn all_text(local: &Local) -> String {
    let mut found = vec![local.text()];
    let mut waiting = vec![local.folder.join("tmp")];
    while let Some(folder) = waiting.pop() {
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned());
            }
        }
    }
    found.join("\n")
}

#[test]
fn a_run_gets_a_cluster_of_its_gateway_which_ends_with_it() {
    let Some(gateway) = Gateway::start("gateway_run") else { return };
    let fields = at(&gateway, gateway.port, "workers: 2, options: {worker_cores: 1}");
    let manifest = login("login", PASSWORD) + &flow("etl", &fields, ON_WORKERS, "");
    let mut local = Local::start("gateway_run", &gateway.python, &manifest, &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    let text = all_text(&local);
    assert!(text.contains("ran at tls://daskgateway"), "{text}");
    assert!(!text.contains(PASSWORD), "the password was printed:\n{text}");
    assert_eq!(gateway.states(), ["STOPPED"], "{}\n{}", local.text(), gateway.log());
    local.leaves_nothing(Duration::from_secs(1));
}

/// It asks a gateway itself, as scripts do that were written for one, and has no login.
const ASKS: &str = "\
from dask_gateway import Gateway
gateway = Gateway()
with gateway.new_cluster(worker_cores=2) as cluster, cluster.get_client() as client:
    cluster.scale(1)
    client.wait_for_workers(1)
    assert len(cluster.scheduler_info['workers']) == 1
    assert len(gateway.sync(cluster.scheduler_comm.identity)['workers']) == 1
    assert client.submit(sum, [1, 2]).result() == 3
    print('its dashboard is at', cluster.dashboard_link, client.dashboard_link)
assert gateway.list_clusters() == []
";

/// Looks at what [`ASKS`] has printed.
fn is_led_to_its_dashboard(text: &str, gateway: &Gateway) {
    let said = text.lines().find_map(|line| line.split_once("its dashboard is at ")).map(|(_, links)| links);
    let links: Vec<&str> = said.unwrap_or_default().split(' ').collect();
    let start = format!("http://127.0.0.1:{}/clusters/", gateway.port);
    assert!(links.len() == 2 && links[0] == links[1] && links[0].starts_with(&start), "{text}");
}

#[test]
fn a_script_that_asks_a_gateway_itself_is_given_the_run_s_cluster() {
    let Some(gateway) = Gateway::start("gateway_asks") else { return };
    let fields = at(&gateway, gateway.port, "workers: 1");
    let manifest = login("login", PASSWORD) + &flow("etl", &fields, ASKS, "");
    let mut local = Local::start("gateway_asks", &gateway.python, &manifest, &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    is_led_to_its_dashboard(&text, &gateway);
    // There is no other one beside it.
    assert_eq!(gateway.states(), ["STOPPED"], "{text}\n{}", gateway.log());
}

#[test]
fn a_lost_answer_leaves_no_cluster_behind() {
    let Some(gateway) = Gateway::start("gateway_lost") else { return };
    let cutter = Cutter::before(gateway.port);
    let fields = at(&gateway, cutter.port, "workers: 2, options: {worker_cores: 1}");
    let manifest = login("login", PASSWORD) + &flow("etl", &fields, ON_WORKERS, "");
    let mut local = Local::start("gateway_lost", &gateway.python, &manifest, &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    assert_eq!(cutter.cut(), 1, "the answer to the request for a cluster was cut off");
    // It asked once, found the cluster, used it and ended it.
    assert_eq!(gateway.states(), ["STOPPED"], "{}\n{}", local.text(), gateway.log());
}

#[test]
fn a_run_whose_cluster_is_ended_by_others_gets_another() {
    let Some(gateway) = Gateway::start("gateway_ended") else { return };
    let script = "\
import os, time
from distributed import Client
client = Client()
print('is at work', flush=True)
time.sleep(600 if os.environ['DASKFLOW_ATTEMPT'] == '1' else 0)
assert client.submit(sum, [1, 2]).result() == 3
";
    let further = "  retries: {infrastructure: 1, delay: 1s}\n";
    let manifest =
        login("login", PASSWORD) + &flow("etl", &at(&gateway, gateway.port, "workers: 1"), script, further);
    let mut local = Local::start("gateway_ended", &gateway.python, &manifest, &["--once"]);
    local.says("is at work", 1);
    gateway.stop_all();
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    assert!(local.text().contains("ClusterLost: the gateway's cluster"), "{}", local.text());
    assert_eq!(gateway.states(), ["STOPPED", "STOPPED"], "{}", gateway.log());
}

#[test]
fn a_cluster_ends_with_a_daskflow_that_is_interrupted() {
    let Some(gateway) = Gateway::start("gateway_interrupt") else { return };
    let fields = at(&gateway, gateway.port, "workers: 1");
    let script = "import time\nfrom distributed import Client\nclient = Client()\nprint('is at work', flush=True)\ntime.sleep(600)\n";
    let manifest = login("login", PASSWORD) + &flow("etl", &fields, script, "");
    let mut local = Local::start("gateway_interrupt", &gateway.python, &manifest, &["--once"]);
    local.says("is at work", 1);
    assert_eq!(gateway.states(), ["RUNNING"]);
    local.signal("INT");
    assert_eq!(local.code(Duration::from_secs(60)), Some(130), "{}", local.text());
    until(Duration::from_secs(20), || (gateway.states() == ["STOPPED"]).then_some(()))
        .unwrap_or_else(|| panic!("{:?}\n{}\n{}", gateway.states(), local.text(), gateway.log()));
    assert!(local.text().contains("ending clusters of Dask Gateways: 1"), "{}", local.text());
}

#[test]
fn what_a_gateway_refuses_is_in_its_own_words() {
    let Some(gateway) = Gateway::start("gateway_refusals") else { return };
    let soon = "  clusterTimeout: 4s\n";
    let port = gateway.port;
    let wrong = at(&gateway, port, "workers: 1").replace("secretName: login", "secretName: wrong");
    let fails = "raise SystemExit('it failed')";
    let flows = [
        login("login", PASSWORD),
        login("wrong", "guessed"),
        flow("option", &at(&gateway, port, "workers: 1, options: {gpus: 1}"), fails, soon),
        flow("range", &at(&gateway, port, "workers: 1, options: {worker_cores: 99}"), fails, soon),
        flow("user", &wrong, fails, soon),
        flow("many", &at(&gateway, port, "workers: 9"), fails, "  clusterTimeout: 25s\n"),
        flow("script", &at(&gateway, port, "workers: 1"), fails, ""),
    ];
    let mut local = Local::start("gateway_refusals", &gateway.python, &flows.concat(), &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(1), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    for words in [
        "has no option gpus: it has size, worker_cores",
        "says no (422): worker_cores must be <= 2",
        "does not take the login of the Secret wrong (401: Authentication required)",
        "the gateway says: Scale request of 9 workers would exceed resource limit of 3 workers",
        "it failed",
    ] {
        assert!(text.contains(words), "{words:?} is missing in:\n{text}");
    }
    assert!(!text.contains("guessed") && !text.contains(PASSWORD), "{text}");
    // Of those whose options were taken, each had one cluster, and none is left.
    assert_eq!(gateway.states(), ["STOPPED", "STOPPED"], "{text}\n{}", gateway.log());
}
