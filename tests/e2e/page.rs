//! The page of a cluster, as the chart installs it: it has the rights of whoever's token a request brings,
//! and none of its own.

use std::process::Stdio;
use std::time::Duration;

use daskflow::api::Flow;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::audit::asked;
use crate::support::manifests::inline;
use crate::support::programs::{self, run};
use crate::support::{Load, Namespace, poll, test, within};

/// What the release is called.
const RELEASE: &str = "page";
/// What its page is called.
const PAGE: &str = "page-ui";
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

#[tokio::test]
async fn page_in_the_cluster_obeys_the_users_rights() {
    test("page_in_the_cluster_obeys_the_users_rights", Load::Light, async |namespace| {
        if !programs::are_here("page_in_the_cluster_obeys_the_users_rights").await {
            return;
        }
        install(namespace).await;
        namespace.create::<Flow>(inline("etl", "print(1)\n", "nowhere")).await;
        let reader = user(namespace, "reader", &["daskflow-view", "view"]).await;
        let editor = user(namespace, "editor", &["daskflow-edit", "view"]).await;
        let stranger = user(namespace, "stranger", &[]).await;
        let page = Page::open(namespace).await;
        let flows = format!("/?namespace={}&format=json", namespace.name);

        let (code, text) = page.get(&flows, None).await;
        assert!(code == 401 && text.contains("bearer token"), "{code} {text}");
        let (code, text) = page.get(&flows, Some("no-token")).await;
        assert!(code >= 400 && !text.contains("etl"), "{code} {text}");
        let (code, text) = page.get(&flows, Some(&stranger)).await;
        assert!(text.contains("you may not") && !text.contains("\"etl\""), "{code} {text}");
        // Not even after another user has looked, whose watches are warm.
        page.shows(&flows, &reader, "\"etl\"").await;
        let (_, text) = page.get(&flows, Some(&stranger)).await;
        assert!(!text.contains("\"etl\""), "{text}");

        let (code, text) = page.suspend(namespace, &reader).await;
        assert!(code >= 400 && text.contains("you may not"), "{code} {text}");
        assert!(!namespace.get::<Flow>("etl").await.spec.suspend);
        let (code, text) = page.suspend(namespace, &editor).await;
        assert_eq!(code, 303, "{text}");
        assert!(namespace.get::<Flow>("etl").await.spec.suspend);
        own_account_does_nothing(namespace).await;
    })
    .await;
}

/// Renders the chart's page into this namespace, with the image of the operator under test.
async fn install(namespace: &Namespace) {
    let (repository, tag) = namespace.settings.operator.rsplit_once(':').unwrap();
    let values = json!({
        "fullnameOverride": RELEASE, "image": {"repository": repository, "tag": tag},
        "ui": {"enabled": true}, "networkPolicy": {"enabled": true},
    });
    let template = ["template", RELEASE, "charts/daskflow", "--namespace", &namespace.name, "--values=-"];
    let only = ["--show-only=templates/ui.yaml"];
    let yaml = run("helm", &[&template[..], &only].concat(), &values.to_string()).await;
    kubectl(namespace, &["apply", "--server-side", "--filename=-"], &yaml).await;
    let available = ["wait", "--for=condition=Available", "--timeout=120s", &format!("deployment/{PAGE}")];
    kubectl(namespace, &available, "").await;
}

async fn kubectl(namespace: &Namespace, arguments: &[&str], input: &str) -> String {
    run("kubectl", &[&["--namespace", &namespace.name], arguments].concat(), input).await
}

/// The token of a new account with these `ClusterRole`s in this namespace.
async fn user(namespace: &Namespace, name: &str, roles: &[&str]) -> String {
    kubectl(namespace, &["create", "serviceaccount", name], "").await;
    let account = format!("--serviceaccount={}:{name}", namespace.name);
    for role in roles {
        let (binding, role) = (format!("{name}-{role}"), format!("--clusterrole={role}"));
        kubectl(namespace, &["create", "rolebinding", &binding, &role, &account], "").await;
    }
    kubectl(namespace, &["create", "token", name], "").await.trim().to_owned()
}

/// The page's own account asked for nothing, and might not have; what users did is in the log as theirs.
async fn own_account_does_nothing(namespace: &Namespace) {
    let account = |name: &str| format!("system:serviceaccount:{}:{name}", namespace.name);
    let as_page = format!("--as={}", account(PAGE));
    for right in [["list", "flows.daskflow.dev"], ["get", "pods"]] {
        let can_i = ["--namespace", &namespace.name, "auth", "can-i", right[0], right[1], &as_page];
        let may = programs::try_run("kubectl", &can_i, "").await;
        assert!(may.is_err_and(|said| said.contains("no\n")), "{right:?}");
    }
    let Some(log) = &namespace.settings.audit_log else { return };
    let of_page = asked(log, &account(PAGE));
    assert!(of_page.iter().all(|one| one.what.resource.contains("subjectaccessreviews")), "{of_page:?}");
    for (name, denied) in [("editor", false), ("reader", true)] {
        let is_it = |what: &crate::support::audit::Asked| {
            what.what.resource == "flows" && what.what.verb == "patch" && what.denied == denied
        };
        let of_user = asked(log, &account(name));
        assert!(of_user.iter().any(is_it), "{name}: {of_user:?}");
    }
}

/// The page, on a port of this machine.
struct Page {
    host: String,
    _forward: Child,
}

impl Page {
    async fn open(namespace: &Namespace) -> Self {
        let target = format!("service/{PAGE}");
        let mut forward = Command::new("kubectl")
            .args(["--namespace", &namespace.name, "port-forward", &target, ":8080"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
        let line = timeout(ANSWER_MAX, lines.next_line()).await.expect("it forwards").unwrap().unwrap();
        let port = line.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split_once(' ')).unwrap().0;
        let host = format!("127.0.0.1:{port}");
        // It says a line of each connection, and ends where nobody reads.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { host, _forward: forward }
    }

    /// A request as a proxy makes it: the status and all of the answer.
    async fn ask(&self, line: &str, token: Option<&str>, more: &str, body: &str) -> (u16, String) {
        let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{bearer}{more}Content-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        let exchange = async {
            let mut stream = TcpStream::connect(&self.host).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        };
        let answer = timeout(ANSWER_MAX, exchange).await.expect("it answers");
        let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.unwrap_or_else(|| panic!("no answer: {answer:?}")), answer)
    }

    async fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        self.ask(&format!("GET {path}"), token, "", "").await
    }

    /// Waits until a page shows this: its watches may be cold.
    async fn shows(&self, path: &str, token: &str, text: &str) -> String {
        poll(within(30, format!("{path} shows {text}")), async || {
            let (code, answer) = self.get(path, Some(token)).await;
            if code == 200 && answer.contains(text) { Ok(answer) } else { Err(format!("{code} {answer}")) }
        })
        .await
    }

    /// Presses the button of the Flow's page that suspends it.
    async fn suspend(&self, namespace: &Namespace, token: &str) -> (u16, String) {
        let path = format!("/flows/{}/etl", namespace.name);
        let page = self.shows(&path, token, "name=\"form\"").await;
        let between = |text: &str, begin: &str, end: &str| {
            let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {text}"));
            rest.split_once(end).unwrap().0.to_owned()
        };
        let form = between(&page, "name=\"form\" value=\"", "\"");
        let cookie = between(&page, "set-cookie: daskflow-forms=", ";");
        let more = format!(
            "Cookie: daskflow-forms={cookie}\r\nOrigin: http://{}\r\nContent-Type: application/x-www-form-urlencoded\r\n",
            self.host
        );
        self.ask(&format!("POST {path}/suspend"), Some(token), &more, &format!("form={form}")).await
    }
}
