//! Which cluster a command works on, and as whom: as kubectl has it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::api::object_name::{is_namespace_name, no_namespace};
use crate::causes::chain;
use crate::cli::output::say;
use crate::client::Cluster;
use crate::local::{self, Living};
use crate::manifest::shell::word;

/// How requests of commands are told from the operator's, in audit logs too.
const AGENT: &str = concat!("daskflow-command/", env!("CARGO_PKG_VERSION"));

/// How long a connection may take. kube's own is 30 s, which is long for whoever sits before it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct Access {
    /// The namespace. Default: that of the context, else default.
    #[arg(short, long, value_name = "NS", value_parser = namespace_name)]
    pub namespace: Option<String>,
    /// The context of the kubeconfig. Default: its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig. Default: $KUBECONFIG, else ~/.kube/config, else the account of the pod.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The `daskflow local` that runs on this machine.
    #[arg(long, conflicts_with_all = ["context", "kubeconfig", "impersonate"])]
    local: bool,
    /// The user to act as.
    #[arg(long = "as", value_name = "USER")]
    impersonate: Option<String>,
    /// A group to act as. May be given several times.
    #[arg(long = "as-group", value_name = "GROUP", requires = "impersonate")]
    impersonate_groups: Vec<String>,
}

/// The options that lead another command to the same cluster, and to the same namespace in it.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Way(String);

/// The commands that take these options, as far as messages name them.
const ON_CLUSTER: &[&str] = &[
    "backfill",
    "cancel",
    "check",
    "connect",
    "dashboard",
    "logs",
    "report",
    "resume",
    "retry",
    "run",
    "scale",
    "status",
    "suspend",
];

impl Way {
    /// A text in which each command that is to be copied reaches the same cluster: one between backticks, or
    /// alone on its line.
    pub fn repeated(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let lines = text.split('\n').map(|line| {
            if is_on_cluster(line) {
                return format!("{line}{}", self.0);
            }
            let parts = line.split('`').enumerate().map(|(index, part)| {
                let is_quoted = index % 2 == 1 && is_on_cluster(part);
                format!("{part}{}", if is_quoted { self.0.as_str() } else { "" })
            });
            parts.collect::<Vec<_>>().join("`")
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Whether a text begins with such a command.
fn is_on_cluster(text: &str) -> bool {
    let mut words = text.split(' ');
    words.next() == Some("daskflow") && words.next().is_some_and(|word| ON_CLUSTER.contains(&word))
}

#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum Error {
    #[error(
        "no cluster is known ({why}): set KUBECONFIG or --kubeconfig, or start one on this machine with `daskflow local`"
    )]
    NoCluster { why: String },
    #[error("the kubeconfig has no context {context}{hint}")]
    NoContext { context: String, hint: String },
    #[error(
        "no `daskflow local` of yours was found on this machine: start one, or name its kubeconfig with --kubeconfig"
    )]
    NoLocal,
    #[error(
        "several of yours run on this machine, and not one alone was started in this folder: choose one with --kubeconfig, of {0}"
    )]
    SeveralLocal(String),
    #[error("the `daskflow local` of {0} has no kubeconfig there: it begins just now; try again in a second")]
    BeginningLocal(String),
    #[error("the kubeconfig cannot be used ({why}): `kubectl config view` shows it")]
    Kubeconfig { why: String },
}

impl Access {
    /// The options by which this cluster was chosen. `namespace` is the one that is meant.
    pub fn way(&self, namespace: &str) -> Way {
        let mut words = Vec::new();
        let mut option = |name: &str, value: &str| words.push(format!(" {name} {}", word(value)));
        if self.namespace.is_some() || namespace != "default" {
            option("-n", namespace);
        }
        if let Some(context) = &self.context {
            option("--context", context);
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            option("--kubeconfig", &kubeconfig.display().to_string());
        }
        if let Some(user) = &self.impersonate {
            option("--as", user);
        }
        for group in &self.impersonate_groups {
            option("--as-group", group);
        }
        if self.local {
            words.push(" --local".to_owned());
        }
        Way(words.concat())
    }

    /// Prints why the program ends, as [`fail`](crate::cli::output::fail) does: the commands in it reach the
    /// same cluster.
    pub fn fail(&self, failure: &dyn std::error::Error) -> ExitCode {
        let way = self.way(self.namespace.as_deref().unwrap_or("default"));
        say(&format!("daskflow: {}", way.repeated(&chain(failure))));
        ExitCode::FAILURE
    }

    /// A client of the cluster, with the caller's own rights.
    pub async fn cluster(&self) -> Result<Cluster, Error> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
        if self.impersonate.is_some() {
            config.auth_info.impersonate.clone_from(&self.impersonate);
            config.auth_info.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| Error::Kubeconfig { why: chain(&error) })?;
        Ok(Cluster { client, namespace })
    }

    async fn config(&self) -> Result<Config, Error> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let local = self.local.then(local_kubeconfig).transpose()?;
        let read = match local.as_ref().or(self.kubeconfig.as_ref()) {
            Some(path) => match Kubeconfig::read_from(path) {
                Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await,
                Err(error) => Err(error),
            },
            None => Config::from_kubeconfig(&options).await,
        };
        match read {
            Ok(config) => Ok(config),
            // In a pod there is no file, but an account.
            Err(error)
                if local.is_none()
                    && self.kubeconfig.is_none()
                    && self.context.is_none()
                    && is_missing(&error) =>
            {
                Config::incluster().map_err(|_| Error::NoCluster { why: chain(&error) })
            }
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn failure(&self, error: &KubeconfigError) -> Error {
        match error {
            KubeconfigError::LoadContext(context) => {
                Error::NoContext { context: context.clone(), hint: self.contexts() }
            }
            KubeconfigError::CurrentContextNotSet => {
                Error::NoCluster { why: format!("the kubeconfig has no current context{}", self.contexts()) }
            }
            error if is_missing(error) => Error::NoCluster { why: chain(error) },
            error => {
                // A text that is no YAML is shown with the line in it; the first says enough.
                let why = chain(error).lines().next().unwrap_or_default().to_owned();
                Error::Kubeconfig { why }
            }
        }
    }

    /// The contexts that there are.
    fn contexts(&self) -> String {
        let read = self.kubeconfig.as_ref().map_or_else(Kubeconfig::read, Kubeconfig::read_from);
        let names: Vec<String> =
            read.map(|read| read.contexts.into_iter().map(|one| one.name).collect()).unwrap_or_default();
        if names.is_empty() { String::new() } else { format!("; it has {}", names.join(", ")) }
    }
}

/// A name that a namespace can have: of any other one there is nothing to show.
fn namespace_name(text: &str) -> Result<String, String> {
    if is_namespace_name(text) { Ok(text.to_owned()) } else { Err(no_namespace(text)) }
}

/// The kubeconfig of the one `daskflow local` of this user, or of the one of several that was started in the
/// working directory.
fn local_kubeconfig() -> Result<PathBuf, Error> {
    let mut living = local::living(&std::env::temp_dir());
    if living.len() > 1 {
        let here = std::env::current_dir().ok();
        let is_here = |one: &Living| here.is_some() && one.started_in == here;
        if living.iter().filter(|one| is_here(one)).count() == 1 {
            living.retain(is_here);
        }
    }
    match (living.pop(), living.as_slice()) {
        (None, _) => Err(Error::NoLocal),
        (Some(Living { folder, kubeconfig, .. }), []) => {
            kubeconfig.ok_or_else(|| Error::BeginningLocal(folder.display().to_string()))
        }
        (Some(last), others) => {
            let all: Vec<String> = others.iter().chain([&last]).map(choice).collect();
            Err(Error::SeveralLocal(all.join(", ")))
        }
    }
}

/// What is to be named to choose this one.
fn choice(Living { folder, kubeconfig, started_in }: &Living) -> String {
    let file = kubeconfig.clone().unwrap_or_else(|| folder.join("kubeconfig"));
    match started_in {
        Some(started_in) => format!("{} (started in {})", file.display(), started_in.display()),
        None => file.display().to_string(),
    }
}

/// Whether there is no kubeconfig, rather than one that is wrong.
fn is_missing(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(source, _) => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        access: Access,
    }

    fn repeated(options: &[&str], namespace: &str, text: &str) -> String {
        let line = Line::parse_from([&["daskflow"], options].concat());
        line.access.way(namespace).repeated(text)
    }

    #[test]
    fn commands_in_messages_reach_the_same_cluster() {
        let text = "the run goes on. To see it:\ndaskflow logs -f a\ndaskflow cancel a";
        let local = "the run goes on. To see it:\ndaskflow logs -f a --local\ndaskflow cancel a --local";
        assert_eq!(repeated(&["--local"], "default", text), local);
        assert_eq!(repeated(&[], "default", text), text);
        let text = "`daskflow status a` shows it, and `daskflow local` has its own";
        for (options, namespace, expected) in [
            (&["-n", "team"][..], "team", " -n team"),
            (&[], "of-the-context", " -n of-the-context"),
            (&["-n", "default"], "default", " -n default"),
            (
                &["--context", "my c", "--kubeconfig", "k/c", "--as", "u", "--as-group", "g"],
                "default",
                " --context 'my c' --kubeconfig k/c --as u --as-group g",
            ),
        ] {
            let with = format!("`daskflow status a{expected}` shows it, and `daskflow local` has its own");
            assert_eq!(repeated(options, namespace, text), with);
        }
    }
}
