//! Gateways that end, restart and are away while a run is at work.

use std::path::Path;
use std::time::Duration;

use super::super::{Local, PATIENCE, until};
use super::server::{Cutter, Gateway, PASSWORD, Setup};
use super::{at, flow, login};

/// It has work on its cluster without a break, until it is told by a file to end.
fn steady(told: &Path) -> String {
    format!(
        "\
import os, time
from distributed import Client
client = Client()
rounds = 0
while not os.path.exists('{}'):
    assert client.submit(sum, [rounds, 1], pure=False).result() == rounds + 1
    rounds += 1
    if rounds == 1: print('is at work', flush=True)
    time.sleep(0.1)
print('all rounds went well', flush=True)
",
        told.display()
    )
}

/// Its proxy and its clusters are there all the time, as on Kubernetes, where they are pods of their own. The
/// operator looks at the cluster of a run that is at work every 15 seconds.
#[test]
fn a_gateway_that_is_away_and_comes_back_disturbs_no_run() {
    let setup = Setup { is_lasting: true, ..Setup::default() };
    let Some(mut gateway) = Gateway::start_as("gateway_away", setup) else { return };
    let told = gateway.folder.join("told");
    let way = Cutter::letting_all_through(gateway.port);
    let manifest =
        login("login", PASSWORD) + &flow("etl", &at(&gateway, way.port, "workers: 1"), &steady(&told), "");
    let mut local = Local::start("gateway_away", &gateway.python, &manifest, &["--once"]);
    local.says("is at work", 1);
    gateway.stop_server();
    let before = way.seen();
    until(PATIENCE, || (way.seen() >= before + 2).then_some(()))
        .unwrap_or_else(|| panic!("it was not asked while it was away:\n{}", local.text()));
    gateway.start_server();
    let before = way.seen();
    until(PATIENCE, || (way.seen() > before).then_some(()))
        .unwrap_or_else(|| panic!("it was not asked after it came back:\n{}", local.text()));
    std::fs::write(&told, "").unwrap();
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    assert!(text.contains("all rounds went well") && !text.contains("ClusterLost"), "{text}");
    assert_eq!(gateway.states(), ["STOPPED"], "{text}\n{}", gateway.log());
}

/// Its clusters end with it, and the next one knows none of them.
#[test]
fn a_gateway_that_starts_anew_costs_an_attempt() {
    let Some(mut gateway) = Gateway::start("gateway_anew") else { return };
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
    let mut local = Local::start("gateway_anew", &gateway.python, &manifest, &["--once"]);
    local.says("is at work", 1);
    gateway.stop_server();
    gateway.start_server();
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    assert!(local.text().contains("ClusterLost: the gateway"), "{}", local.text());
    // The first one was of the gateway before.
    assert_eq!(gateway.states(), ["STOPPED"], "{}\n{}", local.text(), gateway.log());
}

/// A run that waits for its gateway goes on when it is there, and says meanwhile what it waits for.
#[test]
fn a_run_waits_for_a_gateway_that_is_away() {
    let Some(mut gateway) = Gateway::start("gateway_late") else { return };
    gateway.stop_server();
    let script = "from distributed import Client\nassert Client().submit(sum, [1, 2]).result() == 3\n";
    let manifest =
        login("login", PASSWORD) + &flow("etl", &at(&gateway, gateway.port, "workers: 1"), script, "");
    let mut local = Local::start("gateway_late", &gateway.python, &manifest, &["--once"]);
    local.says("does not answer the operator as a Dask Gateway does", 1);
    gateway.start_server();
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    assert_eq!(gateway.states(), ["STOPPED"], "{}\n{}", local.text(), gateway.log());
    local.leaves_nothing(Duration::from_secs(1));
}

/// What its script fails of, once it is told to.
const FAILS: &str = "raise SystemExit('it failed by itself')\n";

/// Its proxy answers in its place that it is away, and leads to the cluster as before.
#[test]
fn a_script_that_fails_while_its_gateway_is_away_has_failed_itself() {
    let setup = Setup { is_lasting: true, ..Setup::default() };
    let Some(mut gateway) = Gateway::start_as("gateway_own_fault", setup) else { return };
    let told = gateway.folder.join("told");
    let further = "  retries: {infrastructure: 1, delay: 1s}\n";
    let fields = at(&gateway, gateway.port, "workers: 1");
    let manifest = login("login", PASSWORD) + &flow("etl", &fields, &(steady(&told) + FAILS), further);
    let mut local = Local::start("gateway_own_fault", &gateway.python, &manifest, &["--once"]);
    local.says("is at work", 1);
    gateway.stop_server();
    std::fs::write(&told, "").unwrap();
    local.says("ScriptError: ", 1);
    gateway.start_server();
    assert_eq!(local.code(PATIENCE), Some(1), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    assert!(text.contains("it failed by itself") && !text.contains("ClusterLost"), "{text}");
    assert_eq!(gateway.states(), ["STOPPED"], "{text}\n{}", gateway.log());
}

/// Its proxy and its clusters end with it: the same words of the script count for nothing.
#[test]
fn a_script_that_fails_after_its_cluster_has_ended_with_its_gateway_has_lost_it() {
    let Some(mut gateway) = Gateway::start("gateway_all_away") else { return };
    let told = gateway.folder.join("told");
    let script = format!(
        "import os, time\nfrom distributed import Client\nclient = Client()\nprint('is at work', flush=True)\n\
         while not os.path.exists('{}'): time.sleep(0.1)\n{FAILS}",
        told.display()
    );
    let fields = at(&gateway, gateway.port, "workers: 1");
    let manifest = login("login", PASSWORD) + &flow("etl", &fields, &script, "");
    let mut local = Local::start("gateway_all_away", &gateway.python, &manifest, &["--once"]);
    local.says("is at work", 1);
    gateway.stop_server();
    std::fs::write(&told, "").unwrap();
    local.says("ClusterLost: the scheduler of the gateway's cluster", 1);
    gateway.start_server();
    assert_eq!(local.code(PATIENCE), Some(1), "{}\n{}", local.text(), gateway.log());
    assert!(local.text().contains("it failed by itself"), "{}", local.text());
}

/// All its connections are cut, so a client loses its work. Which reason its script sees is up to Dask.
#[test]
fn a_proxy_that_restarts_costs_an_attempt_at_most() {
    let setup = Setup { is_lasting: true, ..Setup::default() };
    let Some(mut gateway) = Gateway::start_as("gateway_proxy", setup) else { return };
    let told = gateway.folder.join("told");
    let further = "  retries: {infrastructure: 1, delay: 1s}\n";
    let fields = at(&gateway, gateway.port, "workers: 1");
    let manifest = login("login", PASSWORD) + &flow("etl", &fields, &steady(&told), further);
    let mut local = Local::start("gateway_proxy", &gateway.python, &manifest, &["--once"]);
    local.says("is at work", 1);
    gateway.restart_proxy();
    std::fs::write(&told, "").unwrap();
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    assert!(local.text().contains("all rounds went well"), "{}", local.text());
    assert!(gateway.states().iter().all(|state| state == "STOPPED"), "{}", gateway.log());
}

/// A gateway may end clusters that it takes for idle: those of a script that computes in its own process.
#[test]
fn a_cluster_that_its_gateway_takes_for_idle_is_lost() {
    let setup = Setup { config: "c.ClusterConfig.idle_timeout = 10\n".to_owned(), ..Setup::default() };
    let Some(gateway) = Gateway::start_as("gateway_idle", setup) else { return };
    let script = "import time\nfrom distributed import Client\nclient = Client()\ntime.sleep(600)\n";
    let manifest =
        login("login", PASSWORD) + &flow("etl", &at(&gateway, gateway.port, "workers: 1"), script, "");
    let mut local = Local::start("gateway_idle", &gateway.python, &manifest, &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(1), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    assert!(
        text.contains("ClusterLost: the gateway's cluster") && text.contains("took it for idle"),
        "{text}"
    );
    assert_eq!(gateway.states(), ["STOPPED"], "{text}\n{}", gateway.log());
}
