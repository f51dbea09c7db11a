//! A gateway whose users are those of a `JupyterHub`: a real hub, whose service API judges the tokens. It has
//! no proxy of its own, which would need Node: nobody looks at it by a browser.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::super::{Local, PATIENCE, until};
use super::server::{Gateway, Setup, end, free_port, path_with, python};
use super::{at, flow};
use crate::program;

/// The token by which the gateway asks the hub, that of a service that may use the gateway, and that of one
/// that may not.
const OF_GATEWAY: &str = "0a-token-of-the-gateway";
const OF_FLOWS: &str = "1b-token-of-the-flows";
const OF_OTHERS: &str = "2c-token-of-the-others";

const CONFIG: &str = "
from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    should_start = False

    async def add_route(self, routespec, target, data):
        pass

    async def delete_route(self, routespec):
        pass

    async def get_all_routes(self):
        return {}


c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = 'dummy'
c.JupyterHub.db_url = 'sqlite:///hub.sqlite'
c.JupyterHub.load_roles = [
    {'name': 'of-flows', 'scopes': ['access:services!service=dask-gateway'], 'services': ['flows']},
]
";

/// A hub. It ends when this is dropped.
struct Hub {
    child: Option<Child>,
    port: u16,
    folder: PathBuf,
}

impl Hub {
    fn start(test: &str) -> Option<Self> {
        let python = python(Setup::default().variable)?;
        let (port, public, gateway) = (free_port(), free_port(), free_port());
        let services = format!(
            "c.JupyterHub.bind_url = 'http://127.0.0.1:{public}'
c.JupyterHub.hub_ip = '127.0.0.1'
c.JupyterHub.hub_port = {port}
c.JupyterHub.services = [
    {{'name': 'dask-gateway', 'api_token': '{OF_GATEWAY}', 'url': 'http://127.0.0.1:{gateway}'}},
    {{'name': 'flows', 'api_token': '{OF_FLOWS}'}},
    {{'name': 'others', 'api_token': '{OF_OTHERS}'}},
]
"
        );
        let config = CONFIG.to_owned() + &services;
        let folder = program::folder(&format!("{test}-hub"), &[("config.py", &config)]);
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(&python)
            .args(["-m", "jupyterhub", "-f", "config.py"])
            .current_dir(&folder)
            .env("PATH", path_with(python.parent().unwrap()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut hub = Self { child: Some(child), port, folder };
        until(PATIENCE, || {
            let ended = hub.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(ended.is_none(), "the hub has ended: {ended:?}\n{}", hub.log());
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok().map(drop)
        })
        .unwrap_or_else(|| panic!("the hub does not start:\n{}", hub.log()));
        Some(hub)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end(child);
        }
    }
}

#[test]
fn a_token_of_a_jupyterhub_is_taken_where_the_hub_takes_it() {
    let Some(hub) = Hub::start("gateway_hub") else { return };
    let config = format!(
        "c.DaskGateway.authenticator_class = 'dask_gateway_server.auth.JupyterHubAuthenticator'
c.JupyterHubAuthenticator.jupyterhub_api_token = '{OF_GATEWAY}'
c.JupyterHubAuthenticator.jupyterhub_api_url = 'http://127.0.0.1:{}/hub/api'
c.JupyterHubAuthenticator.jupyterhub_service_name = 'dask-gateway'
",
        hub.port
    );
    let authorization = format!("jupyterhub {OF_FLOWS}");
    let setup = Setup { authorization, config, ..Setup::default() };
    let Some(gateway) = Gateway::start_as("gateway_hub", setup) else { return };
    let script = "from distributed import Client\nassert Client().submit(sum, [1, 2]).result() == 3\n";
    let soon = "  clusterTimeout: 4s\n";
    let on = |secret: &str| {
        let login = format!("type: JupyterHub, secretName: {secret}");
        at(&gateway, gateway.port, "workers: 1").replace("type: Basic, secretName: login", &login)
    };
    let token = |name: &str, token: &str| {
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{token: {token}}}\n"
        )
    };
    let manifest = [
        token("flows", OF_FLOWS),
        token("others", OF_OTHERS),
        token("unknown", "3d-token-of-nobody"),
        flow("taken", &on("flows"), script, ""),
        flow("refused", &on("others"), script, soon),
        flow("unheard", &on("unknown"), script, soon),
    ];
    let mut local = Local::start("gateway_hub", &gateway.python, &manifest.concat(), &["--once"]);
    assert_eq!(local.code(PATIENCE), Some(1), "{}\n{}\n{}", local.text(), gateway.log(), hub.log());
    let text = local.text();
    for (run, words) in [
        ("taken-", "Succeeded"),
        ("refused-", "does not take the login of the Secret others (401"),
        ("unheard-", "does not take the token of the Secret unknown (500"),
    ] {
        let is_told = text.lines().any(|line| line.contains(run) && line.contains(words));
        assert!(is_told, "{run} has not {words:?} in:\n{text}\n{}\n{}", gateway.log(), hub.log());
    }
    for token in [OF_GATEWAY, OF_FLOWS, OF_OTHERS, "3d-token-of-nobody"] {
        assert!(!text.contains(token), "{token} was printed:\n{text}");
    }
    assert_eq!(gateway.states(), ["STOPPED"], "{text}\n{}", gateway.log());
    local.leaves_nothing(Duration::from_secs(1));
}
