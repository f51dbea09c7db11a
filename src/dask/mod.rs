//! Speaks to a Dask scheduler, natively: what an operator must ask and tell, without any Python.
//!
//! It is a client of the scheduler's own RPC: who the workers are ([`Scheduler::identity`],
//! [`MembershipStream`]), how many there should be ([`Scheduler::adaptive_target`]), which may go
//! ([`Scheduler::closing_order`]), the orderly leave of those ([`Scheduler::retire_workers`]), and whether
//! there is anything to do at all ([`Scheduler::activity`], [`Scheduler::is_idle`]).
//!
//! It is *not* a Dask client: it submits no work and reads no results, because those are pickles. Parts of a
//! message that are pickled or in Dask's own formats are skipped unread. It knows nothing of Kubernetes.
//!
//! The layers, from the bytes up: [`frame`] (pure) cuts a stream into messages, [`message`] (pure) gives them
//! meaning, [`connection`] reads and writes one stream under a deadline, [`connector`] opens it, through
//! [`tls`] where the address says so, [`rpc`] and [`subscribe`] hold the two conversations a scheduler has
//! with us, and [`scaling`] puts questions together for who sizes a cluster.
//!
//! Invariants:
//!
//! - One codec serves distributed 2021.3.1 to 2026.8.0 (framing measured on 2021.6.0 and later). An older
//!   peer, or one that is not Dask at all, is told from the first eight bytes and never waited for.
//! - Every wait has a limit, and every length is checked before memory is taken for it.
//! - What all messages that are being read take together is bounded too ([`budget`]).
//! - A scheduler has one conversation at a time on a connection, and numbers nothing. So a connection whose
//!   last answer did not come, or came in a shape not understood, is never used again: it answers
//!   [`Error::Closed`] at once, and the caller connects anew.
//! - An unknown operation is answered with nil by every scheduler, not with an error. So operations that
//!   appeared later than the oldest version are asked for only where the version has them.
pub mod address;
mod budget;
pub mod connection;
pub mod connector;
pub mod error;
pub mod frame;
mod lenient;
pub mod message;
mod reach;
pub mod rpc;
mod running;
pub mod scaling;
mod state;
pub mod subscribe;
pub mod tls;
mod trust;
pub mod version;

pub use address::{Address, AddressError, Scheme};
pub use budget::Budget;
pub use connector::Connector;
pub use error::Error;
pub use message::{Identity, Retirement, SubscribeEvent, Totals, Versions, WorkerInfo, WorkerName};
pub use reach::Reach;
pub use rpc::Scheduler;
pub use scaling::Activity;
pub use subscribe::{Membership, MembershipStream};
pub use tls::{Credentials, CredentialsError};
pub use version::Version;
