//! Who looks at the page: each with a client of their own, and watches that no other user sees.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::secret::digest;
use super::watches::{KEPT, Watches};
use crate::client::{Cluster, Error};

/// How many users are known at the same time.
const USERS_MAX: usize = 200;

/// One who looks.
pub(super) struct User {
    /// Requests with their rights, and the namespace where none is named.
    pub cluster: Cluster,
    /// What is watched for them.
    pub watches: Watches,
}

impl User {
    /// One with this client.
    pub fn new(cluster: Cluster) -> Self {
        Self { watches: Watches::new(cluster.clone()), cluster }
    }
}

/// Makes the client of the user who has a token. It must send that token and no other.
pub type Clients = Box<dyn Fn(&str) -> Result<Cluster, Error> + Send + Sync>;

/// The users of a page that many look at, by their tokens.
pub struct Users {
    clients: Clients,
    known: Mutex<HashMap<[u8; 32], (Arc<User>, Instant)>>,
}

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
        if known.len() >= USERS_MAX {
            return Err(Error::Senseless(format!(
                "{USERS_MAX} users look at this page already: try again in a minute"
            )));
        }
        let user = Arc::new(User::new((self.clients)(token)?));
        known.insert(key, (user.clone(), now));
        Ok(user)
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

    #[tokio::test]
    async fn there_is_a_most_of_them() {
        let users = users();
        for number in 0..USERS_MAX {
            users.of(&number.to_string()).unwrap();
        }
        let refused = users.of("one more").err().unwrap().to_string();
        assert!(refused.contains("200 users look at this page already"), "{refused}");
        assert!(users.of("0").is_ok());
    }
}
