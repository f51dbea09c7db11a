//! `daskflow dashboard`

use std::time::Duration;

use clap::Args;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::access::Access;
use super::failure::Failure;
use super::forward::{self, Local, Signals};
use super::session::Session;
use crate::cli::output::say;
use crate::client::dashboard::Dashboard;
use crate::client::find::Named;
use crate::client::forward::{Port, is_here};
use crate::local::browser;

/// How long a browser may take to say that it took the address.
const BROWSER_MAX: Duration = Duration::from_secs(5);

/// Exit code 0: it ended with Ctrl-C; or nothing needs to be forwarded, as on `daskflow local` and behind a
/// Dask Gateway. 1: there is no scheduler, or it may not be reached, or the cluster was deleted. 2: the
/// command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// A cluster, or a run for its cluster.
    #[arg(value_name = "CLUSTER|RUN")]
    object: Named,
    #[command(flatten)]
    local: Local,
    /// Open no browser.
    #[arg(long)]
    no_open: bool,
    /// The browser: commands, separated by colons, in which %s stands for the address.
    #[arg(long, env = "BROWSER", hide = true)]
    browser: Option<String>,
    #[command(flatten)]
    pub(super) access: Access,
}

pub(super) async fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    let scheduler = match Dashboard::find(&session.cluster, &arguments.object).await? {
        Dashboard::OfPod(scheduler) => *scheduler,
        Dashboard::OfGateway(there) => {
            arguments.local.note_unused("the dashboard is behind a Dask Gateway", session);
            session.note(there.login());
            return show_and_end(&there.address, arguments, session).await;
        }
    };
    let address = scheduler.address(Port::Dashboard)?.to_owned();
    if is_here(&address) {
        arguments.local.note_unused("the scheduler is on this machine", session);
        return show_and_end(&address, arguments, session).await;
    }
    // Whether it can be reached at all is said at once, and not when a browser connects.
    drop(scheduler.dial(Port::Dashboard).await?);
    let signals = Signals::new().await?;
    let (listener, local) = arguments.local.listen(Port::Dashboard).await?;
    show(&moved(&address, &local.to_string()), arguments, session)?;
    forward::forward((&scheduler, Port::Dashboard), listener, signals, session).await
}

/// Prints the address of a dashboard that needs no port here, and opens it in a browser.
async fn show_and_end(
    address: &str,
    arguments: &Arguments,
    session: &mut Session<'_>,
) -> Result<u8, Failure> {
    if let Some(opened) = show(address, arguments, session)? {
        // A browser that stays until its window is closed is not waited for.
        let _ = timeout(BROWSER_MAX, opened).await;
    }
    Ok(0)
}

/// Prints the address, and opens it in a browser: a task, which ends when the browser has taken it.
fn show(
    address: &str,
    arguments: &Arguments,
    session: &mut Session<'_>,
) -> Result<Option<JoinHandle<()>>, Failure> {
    writeln!(session.out, "Dashboard: {address}")?;
    session.out.flush()?;
    let (browser, address) = (arguments.browser.clone(), address.to_owned());
    let open = async move {
        if !browser::open(browser.as_deref(), &address).await {
            say("no browser was opened (BROWSER may name one): open the address yourself");
        }
    };
    Ok((!arguments.no_open).then(|| tokio::spawn(open)))
}

/// An address with another host and port: what is behind them stays.
fn moved(address: &str, host: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let path = rest.split_once('/').map(|(_, path)| path).unwrap_or_default();
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_scheme_and_its_path() {
        let of = |address| moved(address, "127.0.0.1:1");
        assert_eq!(of("http://a-scheduler.b.svc:8787/status"), "http://127.0.0.1:1/status");
        assert_eq!(of("https://a:8787"), "https://127.0.0.1:1/");
    }
}
