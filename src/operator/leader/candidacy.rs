//! The candidacy of this process, where its caller wants it: as a rule on a thread of its own.
//!
//! Whatever the runtime of watches and reconciles is busy with, and be it with one message that takes seconds
//! to decode on each of its threads, the Lease is then renewed. Its clients have connections of their own,
//! and their tasks are on that thread too.

use kube::{Api, Client};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Election, LeaseOptions, Ways};
use crate::daemon::clock::{Chance, Clock};
use crate::operator::metrics::{CountRequests, Metrics};
use crate::operator::pulse::Pulse;
use crate::operator::{Error, client};
use crate::plan::lease::Loss;

/// How an operator comes to lead.
pub struct Candidature {
    /// For which Lease it stands, and as whom.
    pub lease: LeaseOptions,
    /// Makes clients for it, each with connections of its own ([`client::of_config`]).
    pub client: Box<dyn Fn() -> kube::Result<Client> + Send>,
    /// Where it is carried on.
    pub place: Place,
}

/// Where a candidacy is carried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a thread that does nothing else.
    Thread,
    /// In a task of the operator's own runtime, whose time may be paused.
    Task,
}

/// The candidacy of this process.
pub(in crate::operator) struct Candidacy {
    release: CancellationToken,
    /// None: it is no candidate.
    ended: Option<oneshot::Receiver<Result<(), Error>>>,
    _task: Option<AbortOnDropHandle<()>>,
}

impl Candidacy {
    /// Begins to look at the Lease, and asks for it once the caches are full. `namespace` is that of the
    /// Lease where its options name none.
    pub(in crate::operator) fn start(
        candidature: Option<Candidature>,
        namespace: &str,
        (metrics, pulse): (&Metrics, &Pulse),
        given: (Clock, Chance),
    ) -> Result<Self, Error> {
        let release = CancellationToken::new();
        let Some(Candidature { lease, client, place }) = candidature else {
            return Ok(Self { release, ended: None, _task: None });
        };
        let namespace = lease.namespace.clone().unwrap_or_else(|| namespace.to_owned());
        tracing::info!(
            lease = lease.name,
            namespace,
            identity = lease.identity,
            "this operator is a candidate"
        );
        let tells = (pulse.claim.clone(), pulse.heartbeats.clone());
        let count = CountRequests(metrics.clone());
        let election = move || {
            let way = || {
                let client = client::over(client().map_err(Error::Client)?).with_layer(&count).build();
                Ok::<_, Error>(Api::namespaced(client, &namespace))
            };
            let ways = Ways::new([way()?, way()?, way()?]);
            Ok(Election::new(ways, &lease.name, lease.candidate(), tells, given))
        };
        let (tell, ended) = oneshot::channel();
        let candidacy = elect(election, pulse.able(), release.clone());
        let task = match place {
            Place::Thread => {
                alone(candidacy, tell)?;
                None
            }
            Place::Task => {
                let task = async move {
                    // Nobody listens any more where the operator has ended.
                    let _ = tell.send(candidacy.await);
                };
                Some(AbortOnDropHandle::new(tokio::spawn(task)))
            }
        };
        Ok(Self { release, ended: Some(ended), _task: task })
    }

    /// Ends when the Lease is lost.
    pub(in crate::operator) async fn lost(&mut self) -> Error {
        let Some(ended) = &mut self.ended else { return std::future::pending().await };
        match ended.await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => Error::TaskEnded("the candidacy for the Lease"),
        }
    }

    /// Gives up the Lease. It takes no longer than the renew deadline.
    pub(in crate::operator) async fn release(self) {
        self.release.cancel();
        if let Some(ended) = self.ended {
            // What went wrong is in the log.
            let _ = ended.await;
        }
    }
}

/// Carries an election on. It is made where it runs, since a client begins tasks where it is made.
async fn elect(
    election: impl FnOnce() -> Result<Election, Error>,
    able: CancellationToken,
    release: CancellationToken,
) -> Result<(), Error> {
    let ended: Result<(), Loss> = election()?.run(able, release).await;
    ended.map_err(Error::Lost)
}

/// Carries a candidacy on, on a thread that does nothing else.
fn alone(
    candidacy: impl Future<Output = Result<(), Error>> + Send + 'static,
    tell: oneshot::Sender<Result<(), Error>>,
) -> Result<(), Error> {
    let body = move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let end = runtime.map_err(Error::Thread).and_then(|runtime| runtime.block_on(candidacy));
        // Nobody listens any more in a process that ends.
        let _ = tell.send(end);
    };
    std::thread::Builder::new().name("lease".to_owned()).spawn(body).map_err(Error::Thread)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::daemon::clock::{Chance, Clock};
    use crate::daemon::heartbeats::Heartbeats;
    use crate::operator::leader::Claim;
    use crate::operator::leader::tests::{Server, candidate};

    use super::*;

    /// In real time, since a thread that is busy does not see another one.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_lease_is_kept_while_all_threads_of_the_runtime_are_busy() {
        let (claim, server) = (Arc::new(Claim::new()), Server::default());
        let (able, release) = (CancellationToken::new(), CancellationToken::new());
        able.cancel();
        let of_thread = claim.clone();
        let election = move || {
            let (candidate, tells) = (candidate("me", 4), (of_thread, Arc::<Heartbeats>::default()));
            let given = (Clock::of_machine(), Chance::of_machine());
            Ok(Election::new(server.ways(), "daskflow", candidate, tells, given))
        };
        let (tell, ended) = oneshot::channel();
        alone(elect(election, able, release.clone()), tell).unwrap();
        claim.begins().await;
        let busy = || tokio::spawn(async { std::thread::sleep(Duration::from_secs(5)) });
        let tasks = [busy(), busy()];
        for _ in 0..50 {
            // This one is polled by the test's own thread, which is none of the runtime's.
            std::thread::sleep(Duration::from_millis(100));
            assert!(claim.is_current());
        }
        for task in tasks {
            task.await.unwrap();
        }
        release.cancel();
        assert!(matches!(ended.await, Ok(Ok(()))));
    }
}
