//! A browser with the dashboard of a cluster.

use std::process::Stdio;

use tokio::process::Command;

/// What opens an address with the browser that a person prefers.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// The words that open an address: those of the first of the commands in `BROWSER`, which are separated by
/// colons and in which `%s` stands for the address, or what this system has for it.
fn words(browser: Option<&str>, address: &str) -> Vec<String> {
    let command = browser.and_then(|all| all.split(':').find(|one| !one.trim().is_empty()));
    let mut words: Vec<String> = command.unwrap_or(OPENER).split_whitespace().map(str::to_owned).collect();
    if !words.iter().any(|word| word.contains("%s")) {
        words.push("%s".to_owned());
    }
    for word in &mut words {
        *word = word.replace("%s", address);
    }
    words
}

/// Opens an address, and gives whether a browser took it. It is out of the group of the terminal, and may
/// live longer than daskflow.
pub async fn open(browser: Option<&str>, address: &str) -> bool {
    let words = words(browser, address);
    let Some((first, rest)) = words.split_first() else { return false };
    let mut command = Command::new(first);
    command.args(rest).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.status().await.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_browser_of_the_list_gets_the_address() {
        assert_eq!(words(None, "http://a"), [OPENER, "http://a"]);
        assert_eq!(words(Some(""), "http://a"), [OPENER, "http://a"]);
        assert_eq!(words(Some("firefox -P work:w3m"), "http://a"), ["firefox", "-P", "work", "http://a"]);
        assert_eq!(words(Some("open --url=%s --new"), "http://a"), ["open", "--url=http://a", "--new"]);
    }

    #[tokio::test]
    async fn where_there_is_none_that_is_known() {
        assert!(open(Some("true"), "http://a").await);
        assert!(!open(Some("false"), "http://a").await);
        assert!(!open(Some("/nowhere/browser"), "http://a").await);
    }
}
