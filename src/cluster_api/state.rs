//! What is kept of an API, and what its clones share.

use std::sync::Mutex;

use jiff::Timestamp;
use tokio::sync::watch as channel;

use super::names::Names;
use super::store::Store;

/// Gives the present moment.
pub(super) type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// How far the store is, and how many times all watches were broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) version: u64,
    pub(super) broken: u64,
}

/// What is kept.
pub(super) struct State {
    pub(super) store: Store,
    pub(super) names: Names,
}

/// What the clones of an API share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) news: channel::Sender<News>,
    pub(super) clock: Clock,
}
