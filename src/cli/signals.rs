//! The signals that end `daskflow local`, and what else runs until Ctrl-C.

use std::process::Stdio;

use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::local::Stop;

/// Ends itself with a hang-up, unless it takes no notice of it. A program that is started inherits from its
/// parent which signals are ignored.
const HANG_UP: &str = "kill -s HUP $$";

/// From now on the first signal ends all in order: Ctrl-C, SIGTERM, or the end of the terminal, unless this
/// process was started to go on after that, as `nohup` does. Ctrl-C or SIGTERM once more ends all at once.
/// A terminal that is closed says so several times, by the kernel and by its shell: that is one signal. A key
/// of the table counts as the first signal.
pub(super) fn stop(stop: Stop) {
    tokio::spawn(async move {
        let [Ok(mut interrupt), Ok(mut terminate)] =
            [SignalKind::interrupt(), SignalKind::terminate()].map(signal)
        else {
            return tracing::error!("signals cannot be caught");
        };
        let mut hangup = None;
        if !hangup_is_ignored().await {
            hangup = signal(SignalKind::hangup()).ok();
        }
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = received(&mut hangup) => {}
            () = stop.in_order.cancelled() => {}
        }
        stop.in_order.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = stop.at_once.cancelled() => {}
        }
        stop.at_once.cancel();
    });
}

/// Waits for a signal; for ever if there is none to wait for.
pub(super) async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether a hang-up is ignored by this process, as long as it has not asked for it. A shell is asked, which
/// has it from this process: Rust has no way of its own that is safe and is the same on Linux and macOS.
pub(super) async fn hangup_is_ignored() -> bool {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", HANG_UP]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // In a group of its own, Ctrl-C does not end it before it has answered.
    shell.process_group(0).status().await.is_ok_and(|status| status.success())
}
