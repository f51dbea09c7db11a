//! Who looks at the page: each with a client of their own, and watches that no other user sees.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::secret::digest;
use super::watches::{KEPT, Watches};
use crate::client::{Cluster, Error};

/// How many users are known at the same time.
const USERS_MAX: usize = 200;
/// How many more there are whose tokens the API server has not accepted yet, so that no guesses drive out a
/// user.
const STRANGERS_MAX: usize = 50;
/// How many connections with live changes or logs a user has at the same time.
const LIVE_MAX: usize = 60;

/// One who looks.
pub(super) struct User {
    /// Requests with their rights, and the namespace where none is named.
    pub cluster: Cluster,
    /// What is watched for them.
    pub watches: Watches,
    /// Places for connections that stay.
    pub live: Arc<Semaphore>,
    /// Whether the API server has accepted a request of theirs, once it was looked.
    accepted: AtomicBool,
}

impl User {
    /// One with this client.
    pub fn new(cluster: Cluster) -> Self {
        let (watches, live) = (Watches::new(cluster.clone()), Arc::new(Semaphore::new(LIVE_MAX)));
        Self { cluster, watches, live, accepted: AtomicBool::new(false) }
    }

    /// Whether the API server has accepted a request of theirs.
    fn is_accepted(&self) -> bool {
        if !self.accepted.load(Ordering::Relaxed) && self.watches.are_accepted() {
            self.accepted.store(true, Ordering::Relaxed);
        }
        self.accepted.load(Ordering::Relaxed)
    }
}

/// Makes the client of the user who has a token. It must send that token and no other.
pub type Clients = Box<dyn Fn(&str) -> Result<Cluster, Error> + Send + Sync>;

/// The users of a page that many look at, by their tokens.
pub struct Users {
    clients: Clients,
    known: Mutex<Known>,
}

/// Users by their tokens, and when each was last there.
type Known = HashMap<[u8; 32], (Arc<User>, Instant)>;

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

impl Users {
    /// None yet.
    pub fn new(clients: Clients) -> Self {
        Self { clients, known: Mutex::default() }
    }

    /// The user with this token. A token that is replaced makes a new one, with watches of its own.
    pub(super) fn of(&self, token: &str) -> Result<Arc<User>, Error> {
        let key = digest(token);
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((user, used)) = known.get_mut(&key) {
            *used = now;
            return Ok(user.clone());
        }
        let user = Arc::new(User::new((self.clients)(token)?));
        keep(&mut known, |user| !user.is_accepted(), STRANGERS_MAX - 1);
        known.insert(key, (user.clone(), now));
        keep(&mut known, User::is_accepted, USERS_MAX);
        Ok(user)
    }

    /// Forgets one whom the API server does not accept.
    pub(super) fn forget(&self, user: &Arc<User>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (one, _)| !Arc::ptr_eq(one, user));
    }

    /// Forgets what has not been looked at for a while.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (user, used)| {
            user.watches.sweep();
            // An open tab has an Arc of a watch.
            user.watches.are_used() || now.duration_since(*used) < KEPT
        });
    }

    /// How many users are known.
    pub fn count(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Keeps at most so many of these: whoever has not been there for longest goes.
fn keep(known: &mut Known, is_one: impl Fn(&User) -> bool, most: usize) {
    let ones = known.iter().filter(|(_, (user, _))| is_one(user));
    let mut ones: Vec<(Instant, [u8; 32])> = ones.map(|(key, (_, used))| (*used, *key)).collect();
    ones.sort_unstable();
    for (_, key) in ones.iter().take(ones.len().saturating_sub(most)) {
        known.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use kube::Client;
    use kube::client::Body;

    use super::*;

    fn users() -> Users {
        Users::new(Box::new(|_| {
            let service = tower::service_fn(|_: http::Request<Body>| {
                std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
            });
            Ok(Cluster { client: Client::new(service, "a"), namespace: "a".to_owned() })
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn each_token_has_its_own_and_is_forgotten_a_minute_after() {
        let users = users();
        let one = users.of("one").unwrap();
        assert!(Arc::ptr_eq(&one, &users.of("one").unwrap()));
        assert!(!Arc::ptr_eq(&one, &users.of("two").unwrap()));
        tokio::time::advance(KEPT / 2).await;
        users.of("two").unwrap();
        tokio::time::advance(KEPT / 2).await;
        users.sweep();
        assert_eq!(users.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_drive_out_each_other_and_no_user() {
        let users = users();
        let of = async |token: &str| {
            tokio::time::advance(std::time::Duration::from_millis(1)).await;
            users.of(token).unwrap()
        };
        let accepted = async |token: &str| of(token).await.accepted.store(true, Ordering::Relaxed);
        for number in 0..USERS_MAX {
            accepted(&number.to_string()).await;
        }
        let (first, second) = (of("0").await, of("a guess").await);
        for number in 0..STRANGERS_MAX {
            of(&format!("guess {number}")).await;
        }
        assert_eq!(users.count(), USERS_MAX + STRANGERS_MAX);
        assert!(Arc::ptr_eq(&first, &of("0").await), "a user stays");
        assert!(!Arc::ptr_eq(&second, &of("a guess").await), "the oldest guess is forgotten");
        // One more user: the one who was not there for longest goes.
        accepted("one more").await;
        of("and a look").await;
        assert_eq!(users.count(), USERS_MAX + STRANGERS_MAX);
        assert!(Arc::ptr_eq(&first, &of("0").await));
        assert!(!of("1").await.is_accepted(), "forgotten, and new again");
    }

    #[tokio::test]
    async fn who_is_refused_is_forgotten() {
        let users = users();
        let (one, other) = (users.of("one").unwrap(), users.of("other").unwrap());
        users.forget(&one);
        assert_eq!(users.count(), 1);
        assert!(Arc::ptr_eq(&other, &users.of("other").unwrap()));
    }
}
