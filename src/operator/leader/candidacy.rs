//! The candidacy of this process, on a thread of its own.
//!
//! Whatever the runtime of watches and reconciles is busy with, and be it with one message that takes seconds to decode on each
//! of its threads, the Lease is renewed. Its clients have connections of their own, and
//! their tasks are on that thread too.

use kube::client::ClientBuilder;
use kube::{Api, Config};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Election, LeaseOptions, Ways};
use crate::operator::context::Context;
use crate::operator::metrics::CountRequests;
use crate::operator::{Error, with_agent};
use crate::plan::lease::Loss;

/// The candidacy of this process.
pub(in crate::operator) struct Candidacy {
    release: CancellationToken,
    /// None: it is no candidate.
    ended: Option<oneshot::Receiver<Result<(), Error>>>,
}

impl Candidacy {
    /// Begins to look at the Lease, and asks for it once the caches are full.
    pub(in crate::operator) fn start(
        mut config: Config,
        options: Option<&LeaseOptions>,
        context: &Context,
    ) -> Result<Self, Error> {
        let release = CancellationToken::new();
        let Some(options) = options else { return Ok(Self { release, ended: None }) };
        // The loop knows better when to try again than a client that does not know of deadlines.
        config.default_retry = false;
        let namespace = options.namespace.as_ref().unwrap_or(&config.default_namespace).clone();
        tracing::info!(
            lease = options.name,
            namespace,
            identity = options.identity,
            "this operator is a candidate"
        );
        let (config, count) = (with_agent(config), CountRequests(context.metrics.clone()));
        let builder =
            || Ok(ClientBuilder::try_from(config.clone()).map_err(Error::Client)?.with_layer(&count));
        let builders: [_; Ways::COUNT] = [builder()?, builder()?, builder()?];
        let (name, candidate) = (options.name.clone(), options.candidate());
        let (claim, heartbeats) = (context.claim.clone(), context.heartbeats.clone());
        let election = move || {
            let ways = Ways::new(builders.map(|builder| Api::namespaced(builder.build(), &namespace)));
            Election::new(ways, &name, candidate, claim, heartbeats)
        };
        let ended = alone(election, context.full.clone(), release.clone())?;
        Ok(Self { release, ended: Some(ended) })
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

/// Runs an election on a thread that does nothing else. It is made there, since a client begins tasks where it is made.
fn alone(
    election: impl FnOnce() -> Election + Send + 'static,
    able: CancellationToken,
    release: CancellationToken,
) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
    let (tell, ended) = oneshot::channel();
    let body = move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let end = runtime.map_err(Error::Thread).and_then(|runtime| {
            let ended: Result<(), Loss> = runtime.block_on(async { election().run(able, release).await });
            ended.map_err(Error::Lost)
        });
        // Nobody listens any more in a process that ends.
        let _ = tell.send(end);
    };
    std::thread::Builder::new().name("lease".to_owned()).spawn(body).map_err(Error::Thread)?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::operator::heartbeats::Heartbeats;
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
            let candidate = candidate("me", 4);
            Election::new(server.ways(), "daskflow", candidate, of_thread, Arc::<Heartbeats>::default())
        };
        let ended = alone(election, able, release.clone()).unwrap();
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
