//! Who the workers are, kept up to date by the scheduler itself: no polling, nothing sent while nothing
//! changes.
//!
//! It does not reconnect. When the stream ends the membership is stale, and the caller subscribes anew, which
//! begins with the whole membership again.
//!
//! Two limits of the scheduler's side that a caller must make up for, both by asking
//! [`Scheduler::ncores`](super::Scheduler::ncores) or subscribing anew now and then:
//!
//! - **One subscriber for each scheduler.** A second one takes the first one's place, and the first is
//!   neither told nor closed: it hears nothing more (measured on 2022.2.0 to 2026.8.0). So never subscribe to
//!   a scheduler that somebody else made: a `Cluster` object of Python watches its own the same way.
//! - The stream is silent while nothing changes, and so is a host that has lost its power.
use super::address::Address;
use super::connection::{Connection, Stream};
use super::connector::Connector;
use super::error::Error;
use super::lenient;
use super::message::{self, Identity, NoArguments, ReplyError, SubscribeEvent, WorkerInfo, WorkerName};
use super::tls::Credentials;
use std::collections::BTreeMap;
use std::time::Duration;

const OPERATION: &str = "subscribe_worker_status";

/// The workers of a scheduler.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Membership {
    /// Their names, by address. What else is known of a worker is not kept: it would be for as long as its
    /// scheduler is.
    pub workers: BTreeMap<String, WorkerName>,
}

/// The names of workers, by address.
fn names(workers: &BTreeMap<String, WorkerInfo>) -> impl Iterator<Item = (String, WorkerName)> {
    workers.iter().map(|(address, worker)| (address.clone(), worker.name.clone()))
}

impl Membership {
    /// Takes one change in, and tells whether it changed anything. Taking one in again changes nothing.
    pub fn apply(&mut self, event: &SubscribeEvent) -> bool {
        match event {
            SubscribeEvent::Added(workers) => {
                let mut changed = false;
                for (address, name) in names(workers) {
                    changed |= self.workers.insert(address, name.clone()).as_ref() != Some(&name);
                }
                changed
            }
            SubscribeEvent::Removed(address) => self.workers.remove(address).is_some(),
            SubscribeEvent::Other => false,
        }
    }
}

/// A subscription to the membership of one scheduler.
#[derive(Debug)]
pub struct MembershipStream {
    connection: Connection,
    scheduler_id: String,
    membership: Membership,
    ended: bool,
}

impl MembershipStream {
    /// Connects as [`Scheduler::connect`](super::Scheduler::connect) does, and subscribes; each of the two
    /// steps has `deadline`.
    pub async fn connect(
        address: &Address,
        credentials: Option<&Credentials>,
        deadline: Duration,
    ) -> Result<Self, Error> {
        Self::connect_by(&Connector::default(), address, credentials, deadline).await
    }

    /// As [`Self::connect`], by this connector.
    pub async fn connect_by(
        connector: &Connector,
        address: &Address,
        credentials: Option<&Credentials>,
        deadline: Duration,
    ) -> Result<Self, Error> {
        Self::subscribe(connector.open(address, credentials, deadline).await?, deadline).await
    }

    /// Shakes hands and subscribes over a stream that is open already; each of the two steps has `deadline`.
    pub async fn over(stream: impl Stream + 'static, deadline: Duration) -> Result<Self, Error> {
        Self::subscribe(Connection::over(stream, deadline).await?, deadline).await
    }

    /// The identity of the scheduler. Another one after reconnecting means that it was restarted.
    pub fn scheduler_id(&self) -> &str {
        &self.scheduler_id
    }

    /// The workers, as of the last change that [`Self::next`] gave.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Waits for changes, at most `limit`, and takes them in. `None` means that nothing was heard; the stream
    /// goes on. May be dropped without loss while nothing has come; dropped later, it may have ended the
    /// stream. After an error the stream has ended, and every further call gives [`Error::Closed`].
    pub async fn next(&mut self, limit: Duration) -> Result<Option<Vec<SubscribeEvent>>, Error> {
        if self.ended {
            return Err(Error::Closed(None));
        }
        let events = match self.connection.receive(limit).await {
            Ok(Some(payload)) => {
                // Whoever drops this while it is decoded has lost it.
                self.ended = true;
                let events = payload.decoded(message::decode_events).await;
                self.ended = false;
                events.map(Some).map_err(Error::from)
            }
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match &events {
            Ok(Some(events)) => {
                for event in events {
                    self.membership.apply(event);
                }
                // Each message keeps to the bound; so must what all of them add up to.
                if self.membership.workers.len() > lenient::ENTRIES_MAX {
                    self.ended = true;
                    return Err(lenient::too_many::<rmp_serde::decode::Error>().into());
                }
            }
            Ok(None) => {}
            Err(_) => self.ended = true,
        }
        events
    }

    async fn subscribe(mut connection: Connection, deadline: Duration) -> Result<Self, Error> {
        let request = message::encode_request(OPERATION, &NoArguments {})
            .map_err(|source| Error::Encode { op: OPERATION.to_owned(), source })?;
        connection.send(&request, deadline).await?;
        let reply = connection.receive(deadline).await?;
        let reply = reply.ok_or(Error::Timeout { what: "answer the subscription", limit: deadline })?;
        let reply: Result<Identity, ReplyError> = reply.decoded(message::decode_reply).await;
        let identity = reply.map_err(|error| match error {
            ReplyError::Remote { text } => Error::Remote { text },
            ReplyError::Nil => Error::UnknownOperation { op: OPERATION.to_owned() },
            ReplyError::Shape(error) => error.into(),
        })?;
        let membership = Membership { workers: names(&identity.workers).collect() };
        Ok(Self { connection, scheduler_id: identity.id, membership, ended: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn worker(name: &str) -> WorkerInfo {
        let bytes = rmp_serde::to_vec_named(&serde_json::json!({ "name": name })).unwrap();
        rmp_serde::from_slice(&bytes).unwrap()
    }

    fn added(address: &str, name: &str) -> SubscribeEvent {
        SubscribeEvent::Added(BTreeMap::from([(address.to_owned(), worker(name))]))
    }

    #[test]
    fn a_change_is_told_once() {
        let mut membership = Membership::default();
        assert!(membership.apply(&added("tcp://a:1", "w1")));
        assert!(!membership.apply(&added("tcp://a:1", "w1")));
        assert!(membership.apply(&added("tcp://a:1", "w2")));
        assert!(!membership.apply(&SubscribeEvent::Other));
        assert!(!membership.apply(&SubscribeEvent::Removed("tcp://b:1".to_owned())));
        assert!(membership.apply(&SubscribeEvent::Removed("tcp://a:1".to_owned())));
        assert_eq!(membership, Membership::default());
    }

    proptest! {
        #[test]
        fn the_last_word_on_an_address_counts(events in prop::collection::vec((0_u8..4, any::<bool>()), 0..40)) {
            let mut membership = Membership::default();
            let mut last = BTreeMap::new();
            for (address, is_added) in events {
                let address = format!("tcp://a:{address}");
                let event =
                    if is_added { added(&address, "w") } else { SubscribeEvent::Removed(address.clone()) };
                let changed = membership.apply(&event);
                let was = last.insert(address, is_added).unwrap_or(false);
                prop_assert_eq!(changed, was != is_added);
            }
            let expected: Vec<&String> = last.iter().filter(|(_, is_in)| **is_in).map(|(address, _)| address).collect();
            prop_assert_eq!(membership.workers.keys().collect::<Vec<_>>(), expected);
        }
    }
}
