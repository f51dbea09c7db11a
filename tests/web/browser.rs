//! The page in a real browser, Chromium: that its script does what it is for, that nothing is refused by its
//! own policy, and that all that can be used has a name. Pictures of all pages at two widths are left in
//! `.build/browser`, for whoever changes them to look at.
//!
//! It takes half a minute. Without a browser it is left out, unless `DASKFLOW_BROWSER_REQUIRED` is set.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use daskflow::daemon::clock::Clock;
use daskflow::web::{Door, Links, Loopback, Options, Scope, serve};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;

use crate::client::stage::{RUNS, Stage, furnished, runner};
use crate::program::folder;

/// How long something may take in a browser on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where browsers are called by the packages of Debian and of others.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// A desk and a telephone.
const WIDTHS: [u32; 2] = [1280, 390];
/// What can be used has one of these roles.
const USABLE: [&str; 6] = ["button", "link", "textbox", "searchbox", "combobox", "checkbox"];

/// The browser, if there is one.
pub(super) fn program() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&paths).collect();
    let found =
        NAMES.iter().find_map(|name| folders.iter().map(|path| path.join(name)).find(|path| path.is_file()));
    assert!(
        found.is_some() || std::env::var_os("DASKFLOW_BROWSER_REQUIRED").is_none(),
        "there is no Chromium"
    );
    if found.is_none() {
        eprintln!("LEFT OUT: the page in a browser: there is no Chromium");
    }
    found
}

/// A tab of a browser that is started for it.
pub(super) struct Tab {
    socket: WebSocketStream<TcpStream>,
    session: String,
    id: u64,
    /// What the browser complains of.
    complaints: Vec<String>,
    _browser: Child,
}

impl Tab {
    pub(super) async fn open(program: &Path) -> Self {
        let profile = folder("browser", &[("profile/.keep", "")]).join("profile");
        let mut browser = Command::new(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(browser.stderr.take().unwrap()).lines();
        let address = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("it has ended");
                if let Some(address) = line.strip_prefix("DevTools listening on ") {
                    return address.to_owned();
                }
            }
        };
        let address = timeout(PATIENCE, address).await.unwrap();
        // It writes on, and is not to wait for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let host = address.strip_prefix("ws://").unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(host).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(address.as_str(), stream).await.unwrap();
        let mut tab =
            Self { socket, session: String::new(), id: 0, complaints: Vec::new(), _browser: browser };
        let target = tab.ask("Target.createTarget", json!({"url": "about:blank"})).await["targetId"].clone();
        let attached = tab.ask("Target.attachToTarget", json!({"targetId": target, "flatten": true})).await;
        attached["sessionId"].as_str().unwrap().clone_into(&mut tab.session);
        for domain in ["Page", "Runtime", "Log", "Accessibility"] {
            tab.ask(&format!("{domain}.enable"), json!({})).await;
        }
        tab
    }

    /// Asks the browser for something.
    pub(super) async fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.id += 1;
        let mut question = json!({"id": self.id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            question["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(question.to_string())).await.unwrap();
        let answer = async {
            loop {
                let message = self.socket.next().await.unwrap().unwrap();
                let Ok(text) = message.to_text() else { continue };
                let said: Value = serde_json::from_str(text).unwrap_or_default();
                match said["method"].as_str() {
                    Some("Runtime.exceptionThrown") => self.complaints.push(said.to_string()),
                    Some("Log.entryAdded") if said["params"]["entry"]["level"] == "error" => {
                        self.complaints.push(said.to_string());
                    }
                    _ => {}
                }
                if said["id"] == self.id {
                    assert!(said["error"].is_null(), "{method}: {said}");
                    return said["result"].clone();
                }
            }
        };
        timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{method} is not answered"))
    }

    /// What an expression of JavaScript gives on the page.
    pub(super) async fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.ask("Runtime.evaluate", asked).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(super) async fn until(&mut self, expression: &str) {
        let waits = async {
            while self.eval(expression).await != json!(true) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(PATIENCE, waits).await.is_err() {
            let page = self.eval("location.href + '\\n' + document.body.innerText").await;
            panic!("{expression} does not become true on {page}; {:?}", self.complaints);
        }
    }

    /// Goes to a page, and waits until its objects are there.
    pub(super) async fn go(&mut self, address: &str) {
        self.ask("Page.navigate", json!({"url": address})).await;
        self.until("document.readyState == 'complete' && !!document.querySelector('[data-part]')").await;
    }

    /// Leaves a picture of the whole page.
    async fn picture(&mut self, name: &str) {
        let asked = json!({"format": "png", "captureBeyondViewport": true});
        let data = self.ask("Page.captureScreenshot", asked).await["data"].as_str().unwrap().to_owned();
        // A Secret's data are in the same form.
        let bytes: k8s_openapi::ByteString = serde_json::from_value(json!(data)).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".build/browser");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes.0).unwrap();
    }

    /// What can be used and has no name for a screen reader.
    async fn nameless(&mut self) -> Vec<String> {
        let tree = self.ask("Accessibility.getFullAXTree", json!({})).await;
        let nodes = tree["nodes"].as_array().unwrap().iter();
        let is_nameless = |node: &&Value| {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            let name = node["name"]["value"].as_str().unwrap_or_default();
            node["ignored"] != json!(true) && USABLE.contains(&role) && name.trim().is_empty()
        };
        nodes.filter(is_nameless).map(Value::to_string).collect()
    }
}

impl Tab {
    /// What axe finds wrong for people with screen readers, little sight or no mouse; all of its rules.
    async fn barriers(&mut self, axe: &str) -> Vec<String> {
        self.eval(&format!("{axe}; true")).await;
        let found = self
            .eval(
                "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations.map((one) => \
                 one.id + ': ' + one.help + ': ' + one.nodes.map((node) => node.target.join(' ')).join(', ')))",
            )
            .await;
        serde_json::from_value(found).unwrap()
    }
}

/// The script of axe, which `tests/web/axe.sh` takes from PyPI; `DASKFLOW_BROWSER_REQUIRED` makes its lack a
/// failure.
fn axe() -> Option<String> {
    let path = std::env::var_os("DASKFLOW_AXE");
    let required = std::env::var_os("DASKFLOW_BROWSER_REQUIRED").is_some();
    assert!(path.is_some() || !required, "DASKFLOW_AXE names no script");
    if path.is_none() {
        eprintln!("LEFT OUT: the rules of axe: DASKFLOW_AXE names no script");
    }
    path.map(|path| std::fs::read_to_string(path).unwrap())
}

/// A page of one's own machine, and its address with the token.
pub(super) async fn page(stage: &Stage) -> (String, String, AbortOnDropHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let loopback = Loopback::new(stage.cluster.clone(), address).unwrap();
    let url = loopback.url();
    let options = Options {
        door: Door::Loopback(loopback),
        scope: Scope::Namespace("default".to_owned()),
        read_only: false,
        links: Links::default(),
        clock: Clock::of_machine(),
    };
    let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, options)));
    (format!("http://{address}"), url, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_work_in_a_browser() {
    let Some(program) = program() else { return };
    let stage = furnished().await;
    let (base, url, _server) = page(&stage).await;
    let mut tab = Tab::open(&program).await;
    tab.go(&url).await;
    assert_eq!(tab.eval("location.href").await, json!(format!("{base}/")), "the token is out of the address");
    assert_eq!(tab.eval("document.cookie").await, json!(""), "no script has the cookie");
    every_page(&mut tab, &base).await;
    run_follow_cancel(&mut tab, &base, &stage).await;
    assert_eq!(tab.complaints, Vec::<String>::new());
}

async fn every_page(tab: &mut Tab, base: &str) {
    let axe = axe();
    for (name, path) in [
        ("flows", "/"),
        ("runs", "/runs"),
        ("clusters", "/clusters"),
        ("attention", "/attention"),
        ("flow", "/flows/default/nightly-report"),
        ("backfill", "/flows/default/nightly-report/backfill?from=2025-10-01&to=2025-10-08"),
        ("run-failed", "/runs/default/nightly-report-20251007t000000"),
        ("run-running", "/runs/default/nightly-report-now-8kfpz"),
        ("cluster", "/clusters/default/analytics"),
    ] {
        for width in WIDTHS {
            let screen =
                json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
            tab.ask("Emulation.setDeviceMetricsOverride", screen).await;
            tab.go(&format!("{base}{path}")).await;
            tab.picture(&format!("{name}-{width}")).await;
            let wide = tab.eval("document.documentElement.scrollWidth - window.innerWidth").await;
            assert!(wide.as_i64().unwrap() <= 0, "{path} at {width}: it is wider than the screen by {wide}");
            if let Some(axe) = &axe {
                assert_eq!(tab.barriers(axe).await, Vec::<String>::new(), "{path} at {width}");
            }
        }
        assert_eq!(tab.nameless().await, Vec::<String>::new(), "{path}");
    }
    // Dark as well as light.
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    tab.ask("Emulation.setEmulatedMedia", dark).await;
    tab.go(&format!("{base}/flows/default/nightly-report")).await;
    assert_eq!(tab.eval("getComputedStyle(document.body).backgroundColor").await, json!("rgb(20, 22, 26)"));
    tab.picture("flow-dark").await;
    if let Some(axe) = &axe {
        assert_eq!(tab.barriers(axe).await, Vec::<String>::new(), "dark");
    }
    tab.ask("Emulation.clearDeviceMetricsOverride", json!({})).await;
}

/// A run is asked for, followed while it runs, and cancelled; the page is never loaded again meanwhile.
async fn run_follow_cancel(tab: &mut Tab, base: &str, stage: &Stage) {
    tab.go(&format!("{base}/flows/default/nightly-report")).await;
    tab.eval("document.querySelector('[name=\"p.days\"]').value = '3'; document.querySelector('form[action$=\"/run\"] button').click()").await;
    tab.until("location.pathname.startsWith('/runs/default/nightly-report-now-') && document.readyState == 'complete'").await;
    let path = tab.eval("location.pathname").await;
    let name = path.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let asked = stage.get(&format!("{RUNS}/{name}")).await;
    assert_eq!(asked["spec"]["parameters"], json!({"days": 3}));
    tab.until(
        "!!document.querySelector('#head') && document.querySelector('.state').innerText.includes('Queued')",
    )
    .await;
    tab.eval("window.mark = 'the same page'").await;
    // What an operator does.
    let pod = format!("{name}-1");
    stage.put(0, runner(&name, 1, "Running")).await;
    stage.logs.write(&pod, stage.now, "loading 3 days");
    let more = stage.logs.more(&pod);
    let running =
        json!({"phase": "Running", "reason": "RunnerRunning", "attempt": 1, "startedAt": stage.now});
    stage.set_run(&name, &running).await;
    tab.until("document.querySelector('.state').innerText.includes('Running')").await;
    tab.until("document.querySelector('#lines')?.innerText.includes('loading 3 days')").await;
    let line = daskflow::cluster_api::LogLine {
        at: stage.now + jiff::SignedDuration::from_secs(1),
        text: b"1 of 3".to_vec(),
    };
    more.unbounded_send(line).unwrap();
    tab.until("document.querySelector('#lines').innerText.includes('1 of 3')").await;
    let count = tab.eval("document.querySelector('#lines').innerText.split('loading 3 days').length").await;
    assert_eq!(count, json!(2), "no line is there twice");
    // Another attempt has a log of its own.
    drop(more);
    stage.put(0, runner(&name, 2, "Running")).await;
    stage.logs.write(&format!("{name}-2"), stage.now, "once more");
    let again = json!({"phase": "Running", "reason": "RunnerRunning", "attempt": 2, "startedAt": stage.now});
    stage.set_run(&name, &again).await;
    tab.until("document.querySelector('#lines').innerText.trim() == 'once more'").await;
    tab.eval("document.querySelector('form[action$=\"/cancel\"] button').focus()").await;
    assert_eq!(tab.eval("window.mark").await, json!("the same page"));
    tab.eval("document.querySelector('form[action$=\"/cancel\"] button').click()").await;
    tab.until("document.readyState == 'complete' && document.querySelector('.state')?.innerText.includes('asked to end')").await;
    assert_eq!(stage.get(&format!("{RUNS}/{name}")).await["spec"]["cancel"], true);
    stage
        .set_run(&name, &json!({"phase": "Cancelled", "reason": "Cancelled", "finishedAt": stage.now}))
        .await;
    tab.until("document.querySelector('.state').innerText.includes('Cancelled')").await;
    tab.until("!!document.querySelector('form[action$=\"/retry\"]')").await;
}
