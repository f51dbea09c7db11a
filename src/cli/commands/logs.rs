//! `daskflow logs`

use clap::Args;
use futures::StreamExt;
use futures::stream::{select_all, unfold};
use kube::ResourceExt;

use super::access::Access;
use super::failure::{Failure, INTERRUPTED};
use super::follow;
use super::session::{Session, Waited, interrupted};
use crate::api::{FlowRun, labels};
use crate::client::find::{self, Found, Named};
use crate::client::logs::{self, Line, Wanted};
use crate::client::tail::Tail;
use crate::client::{Error, runs};
use crate::plan::facts::{attempt_of, phase_of};

/// Exit code 0: the log was shown; with --follow of a run that has not ended, that of the run. 1: there is
/// none, or it may not be read. 2: the command line is wrong.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// A run, or a Flow for its newest run.
    #[arg(value_name = "RUN|FLOW")]
    run: Named,
    /// The number of the attempt. Default: the last one.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// The attempt before the last one.
    #[arg(long, conflicts_with = "attempt")]
    previous: bool,
    /// With the logs of the workers that served it, by time; each line begins with its pod.
    #[arg(long)]
    workers: bool,
    /// Go on until the run has ended. Ctrl-C leaves the run as it is.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    pub(super) access: Access,
}

pub(super) async fn run(arguments: &Arguments, session: &mut Session<'_>) -> Result<u8, Failure> {
    let run = match find::find(&session.cluster, &arguments.run, &runs::RUN_OR_FLOW).await? {
        Found::Flow(flow) => runs::newest(&session.cluster, &flow).await?,
        Found::Run(run) => *run,
        Found::Cluster(_) | Found::Backfill(_) => return Ok(1),
    };
    let name = run.name_any();
    let attempt = if arguments.previous { Some(before_last(&run)?) } else { arguments.attempt };
    let goes_on = attempt.is_none_or(|attempt| attempt == attempt_of(&run)) && !phase_of(&run).is_final();
    let wanted = Wanted { attempt, workers: arguments.workers };
    if !arguments.follow || !goes_on {
        let sources = logs::sources(&session.cluster, &run, wanted).await?;
        let (lines, notes) = logs::merged(&session.cluster, &sources).await?;
        for line in &lines {
            write(line, arguments.workers, session)?;
        }
        for note in notes {
            session.note(&note);
        }
        return Ok(0);
    }
    if arguments.workers {
        return follow_all(&run, wanted, session).await;
    }
    let hint = format!("the run goes on: `daskflow cancel {name}` ends it");
    match follow::follow(&name, None, &hint, session).await? {
        Waited::Done(run) => Ok(crate::view::exit::code(&run.status.unwrap_or_default())),
        Waited::Ended(code) => Ok(code),
    }
}

/// The attempt before the last one.
fn before_last(run: &FlowRun) -> Result<u32, Failure> {
    match attempt_of(run) {
        0 | 1 => Err(Error::Senseless(format!(
            "the run {} has one attempt only: leave --previous out",
            run.name_any()
        ))
        .into()),
        last => Ok(last - 1),
    }
}

/// Follows the runner and the workers that are there now, until the run has ended.
async fn follow_all(run: &FlowRun, wanted: Wanted, session: &mut Session<'_>) -> Result<u8, Failure> {
    let mut tails = Vec::new();
    for source in logs::sources(&session.cluster, run, wanted).await? {
        let is_runner = source.container == labels::RUNNER;
        match Tail::open(&session.cluster, source.clone()).await {
            Ok(tail) => tails.push((is_runner, tail)),
            Err(error) => session.note(&format!("without {}: {error}", source.pod)),
        }
    }
    let (runner, workers): (Vec<_>, Vec<_>) = tails.into_iter().partition(|(is_runner, _)| *is_runner);
    let mut runner = runner.into_iter().map(|(_, tail)| tail).next();
    let mut workers = select_all(workers.into_iter().map(|(_, tail)| unfold(tail, following).boxed()));
    let (cluster, name) = (session.cluster.clone(), run.name_any());
    // Workers go on when the run has ended.
    let mut unseen = |_| {};
    let mut ended = Box::pin(runs::until_ended(&cluster, &name, &mut unseen));
    let mut asked = Box::pin(interrupted());
    let run = loop {
        tokio::select! {
            biased;
            () = &mut asked => return Ok(INTERRUPTED),
            line = next(&mut runner) => show(line, &mut runner, session)?,
            line = workers.next(), if !workers.is_empty() => match line {
                Some(Ok(line)) => write(&line, true, session)?,
                Some(Err(error)) => session.note(&error.to_string()),
                None => {}
            },
            run = &mut ended => break run?,
        }
    };
    while let Some(tail) = &mut runner {
        let line = tokio::select! {
            line = tail.rest() => line,
            () = &mut asked => return Ok(INTERRUPTED),
        };
        show(line, &mut runner, session)?;
    }
    Ok(crate::view::exit::code(&run.status.unwrap_or_default()))
}

/// The next line of the runner; waits for ever where there is no log.
async fn next(runner: &mut Option<Tail>) -> Option<Result<Line, Error>> {
    match runner {
        Some(tail) => tail.next().await,
        None => std::future::pending().await,
    }
}

/// Shows a line of the runner, or forgets its log, which has ended.
fn show(
    line: Option<Result<Line, Error>>,
    runner: &mut Option<Tail>,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    match line {
        Some(Ok(line)) => write(&line, true, session)?,
        Some(Err(error)) => session.note(&error.to_string()),
        None => *runner = None,
    }
    Ok(())
}

/// The next line of a log, and the log after it.
async fn following(mut tail: Tail) -> Option<(Result<Line, Error>, Tail)> {
    tail.next().await.map(|line| (line, tail))
}

fn write(line: &Line, with_pod: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    if with_pod {
        write!(session.out, "{}: ", line.pod)?;
    }
    writeln!(session.out, "{}", line.text)?;
    Ok(())
}
