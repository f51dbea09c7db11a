//! An older Dask Gateway, with a Dask of its time.

use super::super::{Local, PATIENCE};
use super::server::{Gateway, PASSWORD, Setup};
use super::{ASKS, ON_WORKERS, at, flow, is_led_to_its_dashboard, login};

/// What names its Python, and what makes that.
const OLDER: (&str, &str) = ("DASKFLOW_GATEWAY_OLDER_PYTHON", "tests/gateway/venv.sh 2023.1.1");

#[test]
fn an_older_gateway_makes_and_ends_a_cluster_as_well() {
    let setup = Setup { variable: OLDER, ..Setup::default() };
    let Some(gateway) = Gateway::start_as("gateway_older", setup) else { return };
    let soon = "  clusterTimeout: 4s\n";
    let on = |further: &str| at(&gateway, gateway.port, further);
    let wrong = on("workers: 1").replace("secretName: login", "secretName: wrong");
    let flows = [
        login("login", PASSWORD),
        login("wrong", "guessed"),
        flow("good", &on("workers: 2, options: {worker_cores: 1}"), ON_WORKERS, ""),
        flow("asks", &on("workers: 1"), ASKS, ""),
        flow("option", &on("workers: 1, options: {gpus: 1}"), "pass", soon),
        flow("range", &on("workers: 1, options: {worker_cores: 99}"), "pass", soon),
        flow("user", &wrong, "pass", soon),
    ];
    let mut local = Local::start("gateway_older", &gateway.python, &flows.concat(), &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(1), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    for (run, words) in [
        ("good-", "Succeeded"),
        ("asks-", "Succeeded"),
        ("option-", "has no option gpus: it has size, worker_cores"),
        ("range-", "says no (422): worker_cores must be <= 2"),
        ("user-", "does not take the login of the Secret wrong (401"),
    ] {
        let is_told = text.lines().any(|line| line.contains(run) && line.contains(words));
        assert!(is_told, "{run} has not {words:?} in:\n{text}\n{}", gateway.log());
    }
    assert!(text.contains("ran at tls://daskgateway") && !text.contains(PASSWORD), "{text}");
    is_led_to_its_dashboard(&text, &gateway);
    assert_eq!(gateway.states(), ["STOPPED", "STOPPED"], "{text}\n{}", gateway.log());
}
