//! By which connection a request for the Lease goes.

use std::sync::Arc;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

/// The ways to the Lease. Each is a client of its own and has one request at a time, as long as there are
/// enough of them.
///
/// With one client for all requests, the connection of an answered renewal would go to the request that has
/// waited longest for one: the look beside it, whose own connection may be as late as answers are. The next
/// renewal would wait for that.
pub(in crate::operator) struct Ways([Way; Ways::COUNT]);

struct Way {
    api: Api<Lease>,
    /// Whoever has a copy of it goes by this way.
    used: InUse,
}

/// A way is in use while its request has this.
pub(super) type InUse = Arc<()>;

impl Ways {
    /// For a write, the look beside it, and that beside the next write, which may be sent before the first
    /// look is answered.
    pub(in crate::operator) const COUNT: usize = 3;

    /// By these clients. They must not be behind the guard, and must try nothing again by themselves.
    pub(in crate::operator) fn new(clients: [Api<Lease>; Self::COUNT]) -> Self {
        Self(clients.map(|api| Way { api, used: Arc::default() }))
    }

    /// The first that is not in use: it has the connection that was used last. When all are, the last one:
    /// its client opens another connection.
    pub(super) fn next(&self) -> (Api<Lease>, InUse) {
        let Self([ways @ .., last]) = self;
        let way = ways.iter().find(|way| Arc::strong_count(&way.used) == 1).unwrap_or(last);
        (way.api.clone(), way.used.clone())
    }
}
