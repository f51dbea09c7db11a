//! The programs that users have: kubectl and Helm, as the PATH has them.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::harness::leave_out;

/// Runs a program with this text on its standard input: what it wrote, or how it failed.
pub async fn try_run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let mut stdin = child.stdin.take().unwrap();
    // A program that needs no input does not read it.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(|error| format!("{program}: {error}"))?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() {
        Ok(out.into_owned())
    } else {
        Err(format!("{program} {}: {out}{err}", arguments.join(" ")))
    }
}

/// The same; a failure fails the test.
pub async fn run(program: &str, arguments: &[&str], input: &str) -> String {
    try_run(program, arguments, input).await.unwrap_or_else(|failure| panic!("{failure}"))
}

/// Whether kubectl and Helm are here. If not, it says that the test is left out, where that is allowed.
pub async fn are_here(test: &str) -> bool {
    for (program, arguments) in [("helm", ["version"].as_slice()), ("kubectl", &["version", "--client"])] {
        if let Err(why) = try_run(program, arguments, "").await {
            leave_out(test, &why);
            return false;
        }
    }
    true
}
