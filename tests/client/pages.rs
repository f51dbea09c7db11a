//! What `docs/commands.md` shows is what the commands print.

use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use regex::Regex;
use serde_json::json;
use tokio::io::AsyncBufReadExt;

use super::forward::scheduler;
use super::program::{Listens, play};
use super::stage::furnished;
use crate::pages::{blocks, root};

/// The page.
const PAGE: &str = "docs/commands.md";
/// The present moment of the page.
const NOW: &str = "2026-11-30T12:00:00Z";
/// Instants are shown to so many seconds: the time that the commands before took does not count.
const STEP_S: i64 = 30;

/// A text with instants around the present moment as they are on the page.
fn on_page(text: &str, now: Timestamp) -> String {
    let instant = Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap();
    let page_now: Timestamp = NOW.parse().unwrap();
    let moved = instant.replace_all(text, |found: &regex::Captures<'_>| {
        let at: Timestamp = found[0].parse().unwrap();
        let distance = at.duration_since(now).as_secs();
        if distance.abs() > 2 * 24 * 3600 {
            return at.to_string();
        }
        let steps = distance.div_euclid(STEP_S);
        (page_now + SignedDuration::from_secs(steps * STEP_S)).to_string()
    });
    moved.into_owned()
}

/// Commands that end with Ctrl-C, and the port that they have on the page.
const PORTS: [(&str, &str); 2] = [("daskflow dashboard", "8787"), ("daskflow connect", "8786")];

/// What such a command prints, which another program may have let no port but another one.
async fn forwarded(here: &Listens, command: &str, port: &str) -> (i32, String, String) {
    let mut child = here.command(&format!("exec {command} 2>&1")).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        writeln!(text, "{line}").unwrap();
        if line.contains("Ctrl-C") {
            break;
        }
    }
    let id = child.id().unwrap().to_string();
    tokio::process::Command::new("kill").args(["-s", "INT", &id]).status().await.unwrap();
    let code = child.wait().await.unwrap().code().unwrap();
    let address = Regex::new(r"127\.0\.0\.1:\d+").unwrap();
    (code, address.replace_all(&text, format!("127.0.0.1:{port}")).into_owned(), String::new())
}

/// What a command prints in a terminal.
async fn shown(here: &Listens, command: &str) -> String {
    let line = format!("{{ {command}; }} 2>&1");
    let (_, out, _) = if command.contains("--follow") {
        let ended = json!({"phase": "Succeeded", "reason": "Succeeded", "exitCode": 0, "tasks": {"total": 304, "failed": 0}});
        tokio::join!(here.run(&line), play(here, &["loading 7 days", "all parts are there"], ended)).0
    } else if let Some((_, port)) = PORTS.iter().find(|(word, _)| command.starts_with(word)) {
        forwarded(here, command, port).await
    } else {
        here.run(&line).await
    };
    on_page(&out, here.stage.now)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_the_commands_print() {
    let here = Listens::new("commands_page", furnished().await).await;
    scheduler(&here, "analytics-scheduler-5d8f7", 8000).await;
    let text = std::fs::read_to_string(root().join(PAGE)).unwrap();
    let (mut page, mut count) = (text.clone(), 0);
    for block in blocks(&text).into_iter().filter(|block| block.language == "console") {
        let mut now = String::new();
        for command in block.text.lines().filter_map(|line| line.strip_prefix("$ ")) {
            writeln!(now, "$ {command}\n{}", shown(&here, command).await.trim_end()).unwrap();
            count += 1;
        }
        page = page.replace(&format!("```console\n{}\n```", block.text), &format!("```console\n{now}```"));
    }
    assert!(count >= 15, "only {count} commands were found");
    if std::env::var_os("DASKFLOW_WRITE_PAGES").is_some() {
        std::fs::write(root().join(PAGE), &page).unwrap();
        return;
    }
    let differ = page.lines().zip(text.lines()).find(|(now, before)| now != before);
    assert!(page == text, "{PAGE} is old (DASKFLOW_WRITE_PAGES=1 writes it anew): {differ:?}");
}

#[test]
fn instants_are_those_of_the_page() {
    let now: Timestamp = "2027-01-02T03:04:05Z".parse().unwrap();
    assert_eq!(
        on_page("at 2027-01-02T03:04:09Z, 2025-10-01T00:00:00Z", now),
        "at 2026-11-30T12:00:00Z, 2025-10-01T00:00:00Z"
    );
    assert_eq!(on_page("2027-01-02T16:34:05Z", now), "2026-12-01T01:30:00Z");
}
