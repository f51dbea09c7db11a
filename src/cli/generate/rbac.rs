//! `daskflow generate rbac`: the table of rights as the chart's template, and as a page of the documentation.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{ArgGroup, Args};

use crate::api::{GROUP, dask_kubernetes};
use crate::operator::rights::{Place, RIGHTS, Right, USER_ROLES, Use, UserRole, When};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("form").required(true)))]
pub(super) struct Arguments {
    /// As a template of the Helm chart.
    #[arg(long, group = "form")]
    helm: bool,
    /// As a page of the documentation.
    #[arg(long, group = "form")]
    markdown: bool,
}

/// How wide generated comments are.
const COMMENT_WIDTH: usize = 110;
/// The name of the operator, wherever the chart is installed.
const NAME: &str = r#"{{ include "daskflow.fullname" . }}"#;
/// Begins what is there only where the kinds of dask-kubernetes are served too.
const IF_DASK_KUBERNETES: &str = "  {{- if $.Values.compatibility.daskKubernetes.enabled }}\n";
/// Ends it.
const END: &str = "  {{- end }}\n";
/// The name of its Lease.
const LEASE: &str = r#"{{ include "daskflow.leaseName" . }}"#;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let text = if arguments.helm { helm() } else { markdown() };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::cli::output::fail(&error),
    }
}

/// The template. `watchNamespaces` decides between one `ClusterRole` and a Role for each namespace.
fn helm() -> String {
    let rules = |place, when| rows(place, when).map(rule).collect::<String>();
    let always = rules(Place::Watched, When::Always);
    let theirs = rules(Place::Watched, When::DaskKubernetes);
    let watched = format!("{always}{IF_DASK_KUBERNETES}{theirs}{END}");
    let mut text = include_str!("rbac/template.yaml")
        .replace("@WATCHED@", watched.trim_end())
        .replace("@OWN@", rules(Place::Own, When::Always).trim_end());
    let users: String = USER_ROLES.iter().map(user_role).collect();
    text = text.replace("@USERS@", users.trim_end());
    text
}

/// The rights that hold there and then.
fn rows(place: Place, when: When) -> impl Iterator<Item = &'static Right> {
    RIGHTS.iter().filter(move |right| right.place == place && right.when == when)
}

/// One rule, with why it is there.
fn rule(right: &Right) -> String {
    let mut text = comment(right.why);
    let group = if right.group.is_empty() { "\"\"" } else { right.group };
    let _ = writeln!(text, "  - apiGroups: [{group}]");
    let _ = writeln!(text, "    resources: [{}]", right.resources.join(", "));
    if right.own_name {
        let _ = writeln!(text, "    resourceNames: [{LEASE}]");
    }
    let _ = writeln!(text, "    verbs: [{}]", right.verbs.join(", "));
    text
}

/// A `ClusterRole` for users.
fn user_role(role: &UserRole) -> String {
    let mut text = format!("---\n{}", comment(role.why).replace("  #", "#"));
    let _ = write!(
        text,
        "apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRole\n\
         metadata:\n  name: {NAME}-{}\n  labels:\n    \
         {{{{- include \"daskflow.labels\" . | nindent 4 }}}}\n",
        role.name
    );
    for known in role.added_to {
        let _ = writeln!(text, "    rbac.authorization.k8s.io/aggregate-to-{known}: \"true\"");
    }
    text += "rules:\n";
    text += &user_rules(GROUP, role.rules);
    text += IF_DASK_KUBERNETES;
    text += &user_rules(dask_kubernetes::GROUP, role.dask_kubernetes);
    text += END;
    text
}

fn user_rules(group: &str, rules: &[(&[&str], &[&str])]) -> String {
    let mut text = String::new();
    for (resources, verbs) in rules {
        let _ = writeln!(text, "  - apiGroups: [{group}]");
        let _ = writeln!(text, "    resources: [{}]", resources.join(", "));
        let _ = writeln!(text, "    verbs: [{}]", verbs.join(", "));
    }
    text
}

/// Sentences as lines of a comment.
fn comment(sentences: &str) -> String {
    let mut lines = vec![String::new()];
    for word in sentences.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.len() + word.len() >= COMMENT_WIDTH {
            lines.push(word.to_owned());
        } else {
            let space = if line.is_empty() { "" } else { " " };
            let _ = write!(line, "{space}{word}");
        }
    }
    lines.iter().fold(String::new(), |text, line| format!("{text}  # {line}\n"))
}

/// The page.
fn markdown() -> String {
    let table = |place, when| rows(place, when).map(row).collect::<String>();
    let users = USER_ROLES.iter().map(|role| {
        let added: Vec<String> = role.added_to.iter().map(|known| format!("`{known}`")).collect();
        let rules = |rules: &[(&[&str], &[&str])]| {
            let of = |(resources, verbs): &(&[&str], &[&str])| {
                format!("{}: {}", code(resources).join(", "), verbs.join(", "))
            };
            rules.iter().map(of).collect::<Vec<_>>().join("; ")
        };
        let (ours, theirs) = (rules(role.rules), rules(role.dask_kubernetes));
        format!("| `daskflow-{}` | {} | {ours} | {theirs} | {} |\n", role.name, added.join(", "), role.why)
    });
    include_str!("rbac/page.md")
        .replace("@WATCHED@\n", &table(Place::Watched, When::Always))
        .replace("@DASK_KUBERNETES@\n", &table(Place::Watched, When::DaskKubernetes))
        .replace("@OWN@\n", &table(Place::Own, When::Always))
        .replace("@USERS@\n", &users.collect::<String>())
}

fn row(right: &Right) -> String {
    let group = if right.group.is_empty() { "core" } else { right.group };
    let name = if right.own_name { ", the operator's one Lease only" } else { "" };
    let why = match right.used {
        Use::Requests | Use::LateRequests => right.why.to_owned(),
        Use::Admission => {
            format!("{} (Checked only by an admission plugin, so no audit log shows it.)", right.why)
        }
    };
    format!(
        "| {group} | {} | {}{name} | {why} |\n",
        code(right.resources).join("<br>"),
        right.verbs.join(", ")
    )
}

fn code(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| format!("`{word}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_wrapped_and_lose_no_word() {
        let sentences = "word ".repeat(60);
        let text = comment(&sentences);
        assert!(
            text.lines().all(|line| line.len() <= COMMENT_WIDTH + 4 && line.starts_with("  # ")),
            "{text}"
        );
        assert_eq!(text.matches("word").count(), 60);
    }

    #[test]
    fn no_placeholder_is_left() {
        for text in [helm(), markdown()] {
            assert!(!text.contains('@'), "{text}");
        }
    }

    /// Every right is in both, with its resources and verbs.
    #[test]
    fn every_right_is_written() {
        for right in RIGHTS {
            assert!(helm().contains(&rule(right)), "{right:?}");
            assert!(markdown().contains(&row(right)), "{right:?}");
        }
    }
}
