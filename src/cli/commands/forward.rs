//! What `dashboard` and `connect` do alike: a port of this machine for one of a scheduler.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use super::session::Session;
use crate::cli::signals::{hangup_is_ignored, received};
use crate::client::forward::{News, Port, Scheduler};

#[derive(Args, Debug)]
pub(super) struct Local {
    /// The port of 127.0.0.1; 0 for any that is free. Default: the scheduler's own number, or any where that
    /// is taken.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

impl Local {
    /// Says that nothing is forwarded, where a port was asked for.
    pub fn note_unused(&self, why: &str, session: &mut Session<'_>) {
        if self.port.is_some() {
            session.note(&format!("--port is not used: {why}, and nothing is forwarded"));
        }
    }

    /// Listens.
    pub async fn listen(&self, port: Port) -> Result<(TcpListener, SocketAddr), Failure> {
        let at = |number: u16| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, number)));
        let bound = match self.port {
            Some(number) => at(number).await,
            None => match at(port.number()).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => at(0).await,
                bound => bound,
            },
        };
        let local = bound.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = local.map_err(|error| {
            let number = self.port.unwrap_or(port.number());
            Failure::Senseless(format!(
                "the port {number} of 127.0.0.1 cannot be used ({error}): name another one with --port, or 0 for any"
            ))
        })?;
        Ok((listener, address))
    }
}

/// The signals by which people and systems end a program.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// From here on they do not end the program by themselves: keys are deleted before.
    pub async fn new() -> Result<Self, Failure> {
        let of = |kind| signal(kind).map_err(Failure::Runtime);
        let (interrupt, terminate) = (of(SignalKind::interrupt())?, of(SignalKind::terminate())?);
        let is_ignored = hangup_is_ignored().await;
        let hangup = (!is_ignored).then(|| of(SignalKind::hangup())).transpose()?;
        Ok(Self { interrupt, terminate, hangup })
    }

    /// The first one.
    pub async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = received(&mut self.hangup) => {}
        }
    }
}

/// Forwards until Ctrl-C; that is how it ends well.
pub(super) async fn forward(
    (scheduler, port): (&Scheduler, Port),
    listener: TcpListener,
    mut signals: Signals,
    session: &mut Session<'_>,
) -> Result<u8, Failure> {
    let (mut pod, mut trouble) = (None, None);
    session.note("Ctrl-C ends it");
    let seen = |news: News| match news {
        News::Connects(name) => {
            if pod.as_ref().is_some_and(|known| *known != name) || trouble.is_some() {
                session.note(&format!("connected to the pod {name}"));
            }
            (pod, trouble) = (Some(name), None);
        }
        // A browser tries it again and again.
        News::Fails(why) => {
            if trouble.as_ref() != Some(&why) {
                session.note(&why);
            }
            trouble = Some(why);
        }
    };
    tokio::select! {
        () = signals.any() => Ok(0),
        error = scheduler.forward(port, listener, seen) => Err(error.into()),
    }
}
