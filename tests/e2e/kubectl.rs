//! kubectl on the API in this process and on a real API server: the same commands, the same answers.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use daskflow::cluster_api::ClusterApi;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::kubectl_commands::{commands, plain, samples};
use crate::support::figures::{figure, say};
use crate::support::{Load, Namespace, clock, test};

/// How long one command may take, and a watch may wait for its line.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// Answers that are known to differ in their words: how the command begins and ends, whether it succeeds
/// (with both), and what differs. One that differs no more is taken out.
const KNOWN: [(&str, &str, bool, &str); 5] = [
    ("apply -f -", "", false, "how a refusal names the value, and an unknown field in a patch"),
    ("patch ", "/spec/nothing\"}]", false, "here the place that is not there is named"),
    ("scale ", "", false, "the word for a kind without that subresource"),
    ("explain ", "", true, "the texts of apiVersion, kind and metadata"),
    ("get ", "--show-managed-fields", true, "the owners of places that are empty, and of what was defaulted"),
];

/// One of the two.
#[derive(Clone, Copy)]
enum Server {
    Real,
    InProcess(SocketAddr),
}

/// What a command came to.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    succeeded: bool,
    text: String,
}

/// The operator under test rests, so that nothing but the commands changes the objects.
#[tokio::test]
async fn kubectl_is_answered_alike_by_both_api_servers() {
    test("kubectl_is_answered_alike_by_both_api_servers", Load::OwnOperator, async |namespace| {
        let api = ClusterApi::new(clock::now, 1);
        let listening = api.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let ours = Server::InProcess(listening.address());
        let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace.name}});
        assert!(ours.ask(namespace, "create -f -", &made).await.succeeded);
        let (mut faults, mut count, mut known) = (Vec::new(), 0, [0; KNOWN.len()]);
        for sample in samples() {
            for command in commands(&sample) {
                let real = Server::Real.ask(namespace, &command.arguments, &command.input).await;
                let own = ours.ask(namespace, &command.arguments, &command.input).await;
                count += 1;
                if real.succeeded != command.succeeds {
                    faults
                        .push(format!("kubectl {} on the real API server: {}", command.arguments, real.text));
                }
                let verdict = if real == own { "same" } else { "differs" };
                say(&format!("{verdict:<8} kubectl {}", command.arguments));
                if real != own {
                    match is_known(&command.arguments, &real, &own) {
                        Some(place) => known[place] += 1,
                        None => faults.push(difference(&command.arguments, &real, &own)),
                    }
                }
            }
        }
        let met = known.iter().zip(KNOWN).filter(|(times, _)| **times == 0);
        faults.extend(met.map(|(_, (begins, .., what))| format!("kubectl {begins}: no more: {what}")));
        figure("kubectl_commands_known_to_differ", known.iter().sum::<usize>(), "commands");
        for sample in samples() {
            let (real, own) =
                (watched(Server::Real, namespace, &sample.object), watched(ours, namespace, &sample.object));
            let (real, own) = (real.await, own.await);
            count += 1;
            if real != own {
                faults.push(format!("kubectl get {} -w: {real:?} and {own:?}", sample.plural));
            }
        }
        figure("kubectl_commands_compared", count, "commands");
        assert!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    })
    .await;
}

impl Server {
    fn command(self, namespace: &Namespace, arguments: &str) -> Command {
        let mut command = Command::new("kubectl");
        if let Self::InProcess(address) = self {
            let cache = std::env::temp_dir().join(format!("{}-{}", namespace.name, address.port()));
            command
                .args(["--server", &format!("http://{address}"), "--kubeconfig", "/dev/null", "--cache-dir"])
                .arg(cache);
        }
        command
            .args(["--namespace", &namespace.name])
            .args(arguments.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn ask(self, namespace: &Namespace, arguments: &str, input: &Value) -> Said {
        let mut child = self.command(namespace, arguments).spawn().expect("kubectl is on the PATH");
        let mut stdin = child.stdin.take().unwrap();
        if !input.is_null() {
            stdin.write_all(input.to_string().as_bytes()).await.unwrap();
        }
        drop(stdin);
        let output = timeout(COMMAND_MAX, child.wait_with_output()).await.expect("kubectl ends").unwrap();
        let text = [output.stdout, output.stderr].concat();
        Said {
            succeeded: output.status.success(),
            text: plain(&String::from_utf8_lossy(&text), &namespace.name),
        }
    }
}

/// What `kubectl get -w` shows of an object that is made, changed and deleted meanwhile.
async fn watched(server: Server, namespace: &Namespace, object: &Value) -> Vec<String> {
    let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
    let one = format!("{kind} {name}");
    assert!(server.ask(namespace, "apply -f -", object).await.succeeded, "{one}");
    let arguments = format!("get {one} -w --output-watch-events --no-headers");
    let mut watch = server.command(namespace, &arguments).spawn().expect("kubectl is on the PATH");
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = timeout(COMMAND_MAX, lines.next_line()).await;
        let line = line.expect("a watch says what happens").unwrap().unwrap_or_default();
        plain(&line, &namespace.name)
    };
    let mut said = vec![next().await];
    for command in [format!("label {one} watched=yes"), format!("delete {one}")] {
        assert!(server.ask(namespace, &command, &Value::Null).await.succeeded, "{command}");
        said.push(next().await);
    }
    watch.kill().await.unwrap();
    said
}

/// The place in [`KNOWN`] of a difference.
fn is_known(arguments: &str, real: &Said, own: &Said) -> Option<usize> {
    KNOWN.iter().position(|(begins, ends, succeeds, _)| {
        arguments.starts_with(begins)
            && arguments.ends_with(ends)
            && [real.succeeded, own.succeeded] == [*succeeds; 2]
    })
}

/// The lines in which two answers differ.
fn difference(arguments: &str, real: &Said, own: &Said) -> String {
    let (real_lines, own_lines): (Vec<&str>, Vec<&str>) =
        (real.text.lines().collect(), own.text.lines().collect());
    let only = |lines: &[&str], others: &[&str], mark: &str| -> Vec<String> {
        let own = lines.iter().filter(|line| !others.contains(line));
        own.map(|line| format!("  {mark} {line}")).collect()
    };
    let mut all = only(&real_lines, &own_lines, "real:");
    all.extend(only(&own_lines, &real_lines, "here:"));
    if all.is_empty() {
        all.push("  the same lines in another order".to_owned());
    }
    format!("kubectl {arguments} (succeeds: {} and {})\n{}", real.succeeded, own.succeeded, all.join("\n"))
}
