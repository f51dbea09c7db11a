//! Dask schedulers in this process, over Dask's own protocol: what an operator speaks to that the laws drive.
//!
//! [`Schedulers`] are all that listen in one world, by address; an operator reaches them by
//! [`Schedulers::connector`]. What one of them knows is a [`SchedulerState`], which a test reads and changes
//! at will: whoever has subscribed hears of its workers then. A [`Door`] and [`Fault`]s make it refuse, be
//! slow and lie. What was asked of workers is recorded as [`Order`]s.
//!
//! Nothing here is a thread, a socket or a random number. Time is tokio's, and so may be paused. Only
//! `tcp://` is spoken.

mod answers;
mod conversation;
mod faults;
mod state;
mod tests;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use daskflow::dask::connection::Stream;
use daskflow::dask::connector::Opening;
use daskflow::dask::{Address, Budget, Connector, Error, Scheme};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use faults::{Door, Fault, Operation};
pub use state::{SchedulerState, Spares, Worker};

use faults::Faults;

/// The bytes that one side may write before the other reads.
const PIPE_BYTES: usize = 64 << 10;

/// All schedulers of one world. A clone is the same.
#[derive(Clone)]
pub struct Schedulers {
    places: Arc<Mutex<Places>>,
    /// Whenever something may have changed.
    changes: watch::Sender<u64>,
    began: Instant,
}

/// What was asked of workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// When, after the beginning of the world.
    pub at: Duration,
    /// `host:port` of the scheduler, and the identity of the start of it.
    pub place: String,
    pub id: String,
    pub wish: Wish,
    /// The names that were given.
    pub names: Vec<String>,
}

/// What is to become of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// They are to go.
    Retire,
    /// They are to get no more tasks.
    Close,
    /// Whoever is idle is to go: what a retirement without names means to every scheduler.
    RetireTheIdle,
}

#[derive(Default)]
struct Places {
    by_address: BTreeMap<String, Place>,
    orders: Vec<Order>,
    starts: u64,
    conversations: u64,
}

/// One address.
#[derive(Default)]
struct Place {
    door: Door,
    faults: Faults,
    /// Lets what is slow or late come at once.
    hurry: Arc<Notify>,
    asked: BTreeMap<Operation, usize>,
    running: Option<Running>,
}

/// A scheduler that runs.
struct Running {
    state: SchedulerState,
    /// When it ends.
    ended: CancellationToken,
    /// When all connections of now end.
    hung_up: CancellationToken,
    /// The conversation that is sent the membership.
    subscriber: Option<u64>,
    /// As often as there are connections, and once more.
    open: Arc<()>,
}

impl Schedulers {
    pub fn new() -> Self {
        Self { places: Arc::default(), changes: watch::Sender::new(0), began: Instant::now() }
    }

    /// The way to them, for an operator or a client.
    pub fn connector(&self) -> Connector {
        let this = self.clone();
        let dial = move |address: &Address| -> Opening {
            let (this, address) = (this.clone(), address.clone());
            Box::pin(async move { this.open(&address).await })
        };
        Connector::by(dial, &Budget::default())
    }

    /// A scheduler starts at this address, `host` or `host:port`, without workers. One that ran there has
    /// ended. Gives its identity.
    pub fn start(&self, address: &str) -> String {
        let mut places = self.lock();
        places.starts += 1;
        let id = format!("Scheduler-{}", places.starts);
        let ended = CancellationToken::new();
        let running = Running {
            state: SchedulerState::new(id.clone()),
            hung_up: ended.child_token(),
            ended,
            subscriber: None,
            open: Arc::default(),
        };
        places.place(address).run(Some(running));
        drop(places);
        self.changed();
        id
    }

    /// The scheduler of this address ends, and what it knew with it. Connections to there are refused.
    pub fn stop(&self, address: &str) {
        self.lock().place(address).run(None);
        self.changed();
    }

    /// What the scheduler of this address knows; nothing where none runs.
    pub fn at(&self, address: &str) -> Option<SchedulerState> {
        self.lock().place(address).running.as_ref().map(|running| running.state.clone())
    }

    /// Changes what the scheduler of this address knows; nothing comes of it where none runs. Whoever has
    /// subscribed is told what has become of the workers.
    pub fn change<R>(&self, address: &str, change: impl FnOnce(&mut SchedulerState) -> R) -> Option<R> {
        let answer = self.lock().place(address).running.as_mut().map(|running| change(&mut running.state));
        self.changed();
        answer
    }

    /// Whenever something may have changed in one of them, as by a retirement.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What becomes of connections to this address from now on, whoever runs there.
    pub fn door(&self, address: &str, door: Door) {
        self.lock().place(address).door = door;
    }

    /// Makes answers to this operation go wrong from now on, whoever runs at this address. None: no more.
    pub fn fault(&self, address: &str, operation: Operation, fault: impl Into<Option<Fault>>) {
        let mut places = self.lock();
        let lasting = &mut places.place(address).faults.lasting;
        match fault.into() {
            Some(fault) => lasting.insert(operation, fault),
            None => lasting.remove(&operation),
        };
    }

    /// Makes all answers and messages go wrong from now on, as those of a scheduler whose loop stands still.
    pub fn fault_all(&self, address: &str, fault: Fault) {
        let mut places = self.lock();
        let all = Operation::all().chain([Operation::Event]).map(|operation| (operation, fault));
        places.place(address).faults.lasting = all.collect();
    }

    /// Makes the next answer to this operation go wrong.
    pub fn fault_once(&self, address: &str, operation: Operation, fault: Fault) {
        self.lock().place(address).faults.once.push_back((operation, fault));
    }

    /// Nothing goes wrong from now on at this address: no fault is left, and its door is open.
    pub fn mend(&self, address: &str) {
        let mut places = self.lock();
        let place = places.place(address);
        (place.door, place.faults) = (Door::Open, Faults::default());
        place.hurry.notify_waiters();
    }

    /// What is slow or late at this address comes now.
    pub fn hurry(&self, address: &str) {
        self.lock().place(address).hurry.notify_waiters();
    }

    /// All connections to the scheduler of this address break. What it is doing goes on.
    pub fn hang_up(&self, address: &str) {
        if let Some(running) = &mut self.lock().place(address).running {
            running.hung_up.cancel();
            running.hung_up = running.ended.child_token();
        }
    }

    /// What was asked of workers so far, in order.
    pub fn orders(&self) -> Vec<Order> {
        self.lock().orders.clone()
    }

    /// How often the schedulers of this address were asked for an operation; of [`Operation::Event`], how
    /// many messages subscribers were to be sent.
    pub fn asked(&self, address: &str, operation: Operation) -> usize {
        self.lock().place(address).asked.get(&operation).copied().unwrap_or(0)
    }

    /// How many connections the scheduler of this address has.
    pub fn connections(&self, address: &str) -> usize {
        let mut places = self.lock();
        places.place(address).running.as_ref().map_or(0, |running| Arc::strong_count(&running.open) - 1)
    }

    async fn open(&self, address: &Address) -> Result<Box<dyn Stream>, Error> {
        let refused = || Error::Unreachable(ErrorKind::ConnectionRefused.into());
        let place = format!("{}:{}", address.host(), address.port());
        let door = self.lock().place(&place).door;
        match door {
            Door::Refuses => return Err(refused()),
            Door::Drops => std::future::pending().await,
            Door::Late(wait) => sleep(wait).await,
            Door::Open | Door::Mute | Door::Stranger => {}
        }
        if address.scheme() == Scheme::Tls {
            return Err(refused());
        }
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let conversation = self.conversation(&place, theirs).ok_or_else(refused)?;
        tokio::spawn(conversation.hold(door));
        Ok(Box::new(ours))
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap()
    }
}

impl Places {
    fn place(&mut self, address: &str) -> &mut Place {
        let key = if address.contains(':') { address.to_owned() } else { format!("{address}:8786") };
        self.by_address.entry(key).or_default()
    }
}

impl Place {
    fn run(&mut self, running: Option<Running>) {
        if let Some(before) = std::mem::replace(&mut self.running, running) {
            before.ended.cancel();
        }
    }
}
