//! Who starts what: the Job of a run that has gone or has ended is asked for by nobody who could know it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long after it was read a run may be taken to be as it was: a look is given up after a minute.
const LOOK: Duration = Duration::from_secs(60);

/// When each operator has last read, from the API itself, that a run was there and had not ended.
#[derive(Default)]
pub struct Starts {
    read: BTreeMap<(String, String), Instant>,
}

impl Starts {
    /// `who` has read the run of this uid, which was there and had not ended.
    pub fn has_read(&mut self, who: &str, uid: &str) {
        self.read.insert((who.to_owned(), uid.to_owned()), Instant::now());
    }

    /// Whether `who` may take the run of this uid to be as it was.
    pub fn may_rest_on(&self, who: &str, uid: &str) -> bool {
        let read = self.read.get(&(who.to_owned(), uid.to_owned()));
        read.is_some_and(|read| read.elapsed() <= LOOK)
    }
}
