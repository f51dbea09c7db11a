//! A run that was created, and is followed or waited for.

use std::io::Write;

use clap::Args;
use kube::ResourceExt;
use tokio::time::Instant;

use super::failure::{Failure, INTERRUPTED, OUT_OF_TIME};
use super::session::{Session, Waited, deadline, interrupted, over};
use crate::api::FlowRun;
use crate::client::logs::Line;
use crate::client::{self, runs};
use crate::plan::facts::phase_of;
use crate::view::plain::plain;
use crate::view::state::State;
use crate::view::{exit, status};

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Waits {
    /// Show the run's log and wait for its end. Ctrl-C leaves the run as it is.
    #[arg(short, long)]
    follow: bool,
    /// Wait for the run's end.
    #[arg(long)]
    wait: bool,
    /// How many seconds to wait at most; the run goes on after that. Default: no limit.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Says that a run was created, and waits for it if that is wanted; gives the exit code.
pub(super) async fn created(run: &FlowRun, waits: &Waits, session: &mut Session<'_>) -> Result<u8, Failure> {
    let name = run.name_any();
    let until = deadline(waits.timeout);
    let next = format!("daskflow logs -f {name}\ndaskflow cancel {name}");
    if !waits.follow && !waits.wait {
        session.print(std::slice::from_ref(run), &format!("run/{name} created"))?;
        if session.format.is_for_people() {
            session.note(&next);
        }
        return Ok(0);
    }
    let hint = format!("the run goes on. To see and to end it:\n{next}");
    if session.format.is_for_people() {
        session.note(&format!("run/{name} created"));
    }
    let waited = if waits.follow {
        follow(&name, until, &hint, session).await?
    } else {
        let cluster = session.cluster.clone();
        session.wait(until, &hint, async |seen| runs::until_ended(&cluster, &name, seen).await).await?
    };
    let run = match waited {
        Waited::Done(run) => run,
        Waited::Ended(code) => return Ok(code),
    };
    // The log is the output of a run that is followed.
    if session.format.is_for_people() {
        let text = status::outcome(&run).draw(&|_, sign| sign.to_owned());
        session.note(text.trim_end());
    } else {
        session.print(std::slice::from_ref(&run), "")?;
    }
    Ok(exit::code(&run.status.unwrap_or_default()))
}

/// Follows a run until it has ended, or until then at most.
pub(super) async fn follow(
    name: &str,
    until: Option<Instant>,
    hint: &str,
    session: &mut Session<'_>,
) -> Result<Waited<FlowRun>, Failure> {
    let cluster = session.cluster.clone();
    let is_alone = !session.format.is_for_people();
    let mut seen = Printed { out: &mut *session.out, err: &mut *session.err, is_alone };
    let following = client::follow::follow(&cluster, name, &mut seen);
    let code = tokio::select! {
        ended = Box::pin(following) => return Ok(Waited::Done(ended?)),
        () = interrupted() => INTERRUPTED,
        () = over(until) => OUT_OF_TIME,
    };
    session.note(hint);
    Ok(Waited::Ended(code))
}

/// Prints what is seen of a run: its log on standard output, and what becomes of it beside.
struct Printed<'a> {
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    /// The object is to be alone on standard output, where a program reads it: the log is beside as well.
    is_alone: bool,
}

impl client::follow::Seen for Printed<'_> {
    fn changed(&mut self, run: &FlowRun) {
        // Its end is said by whoever follows it.
        if let Some(state) = run.state().filter(|_| !phase_of(run).is_final()) {
            let _ = writeln!(self.err, "{}", plain(&state));
        }
    }

    fn wrote(&mut self, line: &Line) {
        let out = if self.is_alone { &mut *self.err } else { &mut *self.out };
        // Nothing is lost with a line that is not read.
        let _ = writeln!(out, "{}", line.text);
        let _ = out.flush();
    }

    fn lacks(&mut self, why: &str) {
        let _ = writeln!(self.err, "without its log: {}", plain(why));
    }
}
