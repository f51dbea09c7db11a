//! Who a gateway is, and who its users are: https with an authority that no machine knows, and several users.

#[path = "../dask/certificates.rs"]
#[allow(dead_code, reason = "tests of the connection to a scheduler need more of it")]
mod certificates;

use std::process::Command;

use super::super::{Local, PATIENCE};
use super::server::{Gateway, PASSWORD, Setup};
use super::{at, flow, login};
use crate::program;
use certificates::Authority;

/// `bob`, with the password of all, as a header has it.
const BOB: &str = "Basic Ym9iOnMzY3JldC1vZi1hbGljZQ==";

/// A Secret with an authority.
fn ca(name: &str, authority: &Authority) -> String {
    let lines: String = authority.pem.lines().flat_map(|line| ["    ", line, "\n"]).collect();
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData:\n  ca.crt: |\n{lines}"
    )
}

/// The connections go directly to the gateway, whatever proxy of the web the environment names: see the last
/// table of `docs/gateway.md`.
#[test]
fn an_authority_of_ones_own_is_believed_and_no_other() {
    let (ours, strange) = (Authority::new("ours"), Authority::new("strange"));
    let pair = ours.issue(&["127.0.0.1"]);
    let setup = Setup {
        is_secure: true,
        config: "c.Proxy.tls_cert = 'tls.crt'\nc.Proxy.tls_key = 'tls.key'\n".to_owned(),
        files: vec![("tls.crt", pair.certificate), ("tls.key", pair.key)],
        ..Setup::default()
    };
    let Some(gateway) = Gateway::start_as("gateway_https", setup) else { return };
    let script = "from distributed import Client\nassert Client().submit(sum, [1, 2]).result() == 3\nprint('ran', flush=True)\n";
    let on = |ca: &str| at(&gateway, gateway.port, &format!("workers: 1{ca}")).replace("http:", "https:");
    let soon = "  clusterTimeout: 4s\n";
    let manifest = [
        login("login", PASSWORD),
        ca("ours", &ours),
        ca("strange", &strange),
        flow("believed", &on(", ca: {secretName: ours}"), script, ""),
        flow("stranger", &on(", ca: {secretName: strange}"), script, soon),
        flow("unnamed", &on(""), script, soon),
    ];
    let folder = program::folder("gateway_https", &[("flow.yaml", &manifest.concat())]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_daskflow"));
    command.args(["local", "--python"]).arg(&gateway.python).args(["-f", "flow.yaml", "--once"]);
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env(variable, "http://127.0.0.1:1");
    }
    command.env_remove("NO_PROXY").env_remove("no_proxy");
    let mut local = Local::spawn("gateway_https", &folder, command);
    assert_eq!(local.code(PATIENCE), Some(1), "{}\n{}", local.text(), gateway.log());
    let text = local.text();
    for (run, words) in
        [("believed-", "Succeeded"), ("stranger-", "no TLS session"), ("unnamed-", "no TLS session")]
    {
        let is_told = text.lines().any(|line| line.contains(run) && line.contains(words));
        assert!(is_told, "{run} has not {words:?} in:\n{text}\n{}", gateway.log());
    }
    let is_told_twice = |line: &str| line.matches("no TLS session").count() > 1;
    assert!(!text.lines().any(is_told_twice), "{text}");
    assert_eq!(gateway.states(), ["STOPPED"], "{text}\n{}", gateway.log());
    assert!(!text.contains(PASSWORD), "{text}");
}

/// A gateway's answers set a cookie, which counts more than the login beside it: who kept it would ask for
/// one user as another.
#[test]
fn users_of_one_gateway_do_not_become_one_another() {
    let Some(gateway) = Gateway::start("gateway_users") else { return };
    let script = "from distributed import Client\nassert Client().submit(sum, [1, 2]).result() == 3\n";
    let on = |secret: &str| {
        at(&gateway, gateway.port, "workers: 1")
            .replace("secretName: login", &format!("secretName: {secret}"))
    };
    let manifest = [
        login("alice", PASSWORD),
        login("bob", PASSWORD).replace("username: alice", "username: bob"),
        flow("of-alice", &on("alice"), script, ""),
        flow("of-bob", &on("bob"), script, ""),
    ];
    let mut local = Local::start("gateway_users", &gateway.python, &manifest.concat(), &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(0), "{}\n{}", local.text(), gateway.log());
    for (user, states) in [("alice", gateway.states()), ("bob", gateway.states_of(BOB))] {
        assert_eq!(states, ["STOPPED"], "{user}: {}\n{}", local.text(), gateway.log());
    }
}
