//! One kept connection for questions, opened when one is asked.

use futures::future::BoxFuture;
use tokio::sync::Mutex;

use super::CONNECT;
use crate::dask::{Address, Error, Scheduler};

/// A connection to one scheduler over which one question is asked at a time. One that failed is opened anew by the next
/// question.
pub(in crate::operator) struct Line {
    address: Address,
    kept: Mutex<Option<Scheduler>>,
}

impl Line {
    /// A line that is not open yet.
    pub(super) fn to(address: Address) -> Self {
        Self { address, kept: Mutex::default() }
    }

    /// Where the scheduler is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Asks, once the questions before have been answered. The question is asked a second time if the scheduler turns out
    /// to have hung up since the last one, so it must change nothing.
    pub(in crate::operator) async fn ask<R>(
        &self,
        question: impl for<'a> Fn(&'a mut Scheduler) -> BoxFuture<'a, Result<R, Error>>,
    ) -> Result<R, Error> {
        let mut kept = self.kept.lock().await;
        if let Some(scheduler) = kept.as_mut().filter(|scheduler| scheduler.is_usable()) {
            match question(scheduler).await {
                Err(Error::Closed(_) | Error::StateUntold(_)) => {}
                answer => return answer,
            }
        }
        *kept = None;
        let scheduler = kept.insert(Scheduler::connect(&self.address, CONNECT).await?);
        question(scheduler).await
    }

    /// Hangs up, unless a question is being asked.
    pub(super) fn hang_up(&self) {
        if let Ok(mut kept) = self.kept.try_lock() {
            *kept = None;
        }
    }

    /// Whether a connection is kept.
    #[cfg(test)]
    pub(super) async fn is_open(&self) -> bool {
        self.kept.lock().await.is_some()
    }
}
