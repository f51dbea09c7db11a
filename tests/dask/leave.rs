//! The program with which a worker's pod takes leave of its scheduler, run as a pod's preStop step does,
//! against real schedulers of releases from 2022 to now, and against one that is silent.
//!
//! `DASKFLOW_DASK_VENVS` names the list that `tests/dask/venvs.sh` writes; without it these tests are left
//! out and say so (`DASKFLOW_DASK_REQUIRED=1`: they fail).

use super::peer::{Step, answer, handshake, peer};
use super::processes::{Cluster, Settings, python_with, scratch};
use daskflow::dask::message::NoArguments;
use daskflow::dask::{Address, Scheduler};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

const PROGRAM: &str = include_str!("../../src/plan/pods/leave.py");

/// How long a call may take on a machine that is starting many processes.
const PLENTY: Duration = Duration::from_secs(60);

/// How long one test may take.
const TEST_LIMIT: Duration = Duration::from_secs(170);

/// A limit in seconds that no test outlasts: a program that ends has not waited for it.
const FOREVER: &str = "100000";

/// The tests, for one release each.
macro_rules! release {
    ($module:ident, $release:literal) => {
        mod $module {
            use super::*;

            #[tokio::test]
            async fn data_moves_before_its_only_holder_leaves() {
                with_python($release, super::data_moves_before_its_only_holder_leaves).await;
            }

            #[tokio::test]
            async fn a_worker_leaves_over_tls() {
                with_python($release, super::a_worker_leaves_over_tls).await;
            }

            #[tokio::test]
            async fn the_wait_has_an_end() {
                with_python($release, super::the_wait_has_an_end).await;
            }
        }
    };
}

release!(dask_2022_2_0, "2022.2.0");
release!(dask_2023_4_1, "2023.4.1");
release!(dask_2024_3_1, "2024.3.1");
release!(dask_2026_8_0, "2026.8.0");

async fn with_python<F: AsyncFnOnce(&Path)>(release: &str, test: F) {
    let Some(python) = python_with(release) else { return };
    timeout(TEST_LIMIT, test(&python)).await.expect("the test takes too long");
}

/// Runs the program as a pod does, and gives what it says.
async fn leave(python: &Path, address: &Address, arguments: [&str; 2], settings: &Settings) -> String {
    let mut command = Command::new(python);
    command.args(["-c", PROGRAM, &address.to_string()]).args(arguments).kill_on_drop(true);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    let output = command.output().await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && errors.is_empty(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Who holds what, by name of the worker.
async fn holders(scheduler: &mut Scheduler) -> Vec<String> {
    let held: BTreeMap<String, Vec<String>> =
        scheduler.call("who_has", &NoArguments {}, PLENTY).await.unwrap();
    let workers = scheduler.identity().await.unwrap().workers;
    held.values().flatten().map(|address| workers[address].name.to_string()).collect()
}

async fn registered(scheduler: &mut Scheduler, workers: usize) {
    while scheduler.ncores().await.unwrap().len() != workers {
        sleep(Duration::from_millis(20)).await;
    }
}

async fn data_moves_before_its_only_holder_leaves(python: &Path) {
    let mut cluster = Cluster::start(python.to_owned()).await;
    let address = cluster.address.clone();
    let mut workers = [cluster.worker("w1"), cluster.worker("7")];
    let mut scheduler = Scheduler::connect(&address, None, PLENTY).await.unwrap().with_call_limit(PLENTY);
    registered(&mut scheduler, 2).await;
    let _load = cluster.load(&["data", "w1"]).await;
    assert_eq!(holders(&mut scheduler).await, ["w1"]);

    let said = leave(python, &address, ["w1", FOREVER], &Settings::new()).await;
    assert_eq!(said, "daskflow: w1 retired\n");
    assert_eq!(holders(&mut scheduler).await, ["7"]);
    assert!(workers[0].ended().await.success());
    registered(&mut scheduler, 1).await;

    // It is the only one now, and so what it holds stays with it.
    let said = leave(python, &address, ["7", FOREVER], &Settings::new()).await;
    assert!(said.starts_with("daskflow: 7 not retired: not known, or "), "{said}");
    assert_eq!(holders(&mut scheduler).await, ["7"]);

    cluster.scheduler.kill().await;
    let said = leave(python, &address, ["7", FOREVER], &Settings::new()).await;
    assert!(said.starts_with("daskflow: 7 not retired: ") && said.contains("refused"), "{said}");
}

/// Settings of Dask for a new self-signed certificate, which is its own authority: what users make.
async fn certified() -> Settings {
    let folder = scratch();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|file| folder.join(file).display().to_string());
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=dask"]);
    let made = command.args(["-keyout", &key, "-out", &certificate]).output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut settings = vec![("CA_FILE".to_owned(), certificate.clone())];
    for role in ["SCHEDULER", "WORKER", "CLIENT"] {
        settings
            .extend([(format!("{role}__CERT"), certificate.clone()), (format!("{role}__KEY"), key.clone())]);
    }
    let full = |(name, value)| (format!("DASK_DISTRIBUTED__COMM__TLS__{name}"), value);
    let require = ("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION".to_owned(), "True".to_owned());
    settings.into_iter().map(full).chain([require]).collect()
}

async fn a_worker_leaves_over_tls(python: &Path) {
    let settings = certified().await;
    let cluster = Cluster::start_with(python.to_owned(), settings.clone()).await;
    assert!(cluster.address.to_string().starts_with("tls://"), "{}", cluster.address);
    let mut workers = [cluster.worker("w1"), cluster.worker("w2"), cluster.worker("w3")];
    // A client waits until the workers are there.
    let _loads = [cluster.load(&["data", "w1"]).await, cluster.load(&["data", "w2"]).await];
    let said = leave(python, &cluster.address, ["w1", FOREVER], &settings).await;
    assert_eq!(said, "daskflow: w1 retired\n");
    assert!(workers[0].ended().await.success());

    // A pod without a certificate for its worker has one for clients.
    let client: Settings = settings.iter().filter(|(name, _)| !name.contains("WORKER")).cloned().collect();
    let said = leave(python, &cluster.address, ["w2", FOREVER], &client).await;
    assert_eq!(said, "daskflow: w2 retired\n");

    // Nothing is told to a scheduler that another authority has signed.
    let others = certified().await;
    let said = leave(python, &cluster.address, ["w3", FOREVER], &others).await;
    assert!(said.contains("not retired: ") && said.contains("CERTIFICATE_VERIFY_FAILED"), "{said}");
}

async fn the_wait_has_an_end(python: &Path) {
    let none = Settings::new();
    // Silent before its handshake, and in place of an answer.
    for (steps, phase) in [(vec![], "handshake"), (vec![handshake(), Step::Swallow], "answer")] {
        let (address, _requests) = peer(steps).await;
        let said = leave(python, &address, ["w1", "2"], &none).await;
        assert_eq!(said, format!("daskflow: w1 not retired: no {phase} in time\n"));
    }
    let cases = [
        (vec![handshake(), Step::Swallow, Step::HangUp], "the scheduler hung up"),
        (
            vec![Step::Bytes(b"HTTP/1.1 400 Bad Request\r\n".to_vec())],
            "the peer does not speak Dask's protocol",
        ),
        (vec![handshake(), answer(&json!(null))], "not known, or what it holds has nowhere to go"),
        (
            vec![
                handshake(),
                answer(&json!({"status": "uncaught-error", "exception_text": "ValueError('no')"})),
            ],
            "ValueError('no')",
        ),
    ];
    for (steps, reason) in cases {
        let (address, mut requests) = peer(steps).await;
        let said = leave(python, &address, ["w1", FOREVER], &none).await;
        assert_eq!(said, format!("daskflow: w1 not retired: {reason}\n"));
        if let Ok(request) = requests.try_recv() {
            let expected = json!({"op": "retire_workers", "names": ["w1"], "close_workers": false,
                "remove": true, "reply": true});
            assert_eq!(request, expected);
        }
    }
}
