//! One connection of a scheduler: the handshake, then questions and answers, or the messages of a
//! subscription.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use daskflow::dask::frame::{self, Decoder, Limits};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::answers::{self, Detail};
use super::{Door, Fault, Operation, Order, Running, SchedulerState, Schedulers, Wish};

/// What is no message: its first eight bytes are no length of anything.
const GARBAGE: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";

/// Workers that do not exist.
const STRANGERS: [(&str, &str); 2] =
    [("stranger-1", "tcp://192.0.2.1:40001"), ("stranger-2", "tcp://192.0.2.2:40001")];

/// How many bytes are read at once.
const READ_BYTES: usize = 1024;

/// Either side has hung up.
pub(super) struct HungUp;

type Spoken<T> = Result<T, HungUp>;

/// One side of a connection. It hangs up when it is dropped.
pub(super) struct Conversation {
    schedulers: Schedulers,
    place: String,
    /// The start of the scheduler that it is with.
    id: String,
    number: u64,
    /// Nothing once the connection has ended.
    stream: Option<DuplexStream>,
    decoder: Decoder,
    messages: VecDeque<Value>,
    /// The scheduler ends, and with it what it is doing.
    ended: CancellationToken,
    /// The connection ends. What the scheduler is doing goes on.
    hung_up: CancellationToken,
    hurry: Arc<Notify>,
    _open: Arc<()>,
}

impl Schedulers {
    /// A conversation with who runs there.
    pub(super) fn conversation(&self, place: &str, stream: DuplexStream) -> Option<Conversation> {
        let mut places = self.lock();
        places.conversations += 1;
        let number = places.conversations;
        let at = places.place(place);
        let running = at.running.as_ref()?;
        Some(Conversation {
            schedulers: self.clone(),
            place: place.to_owned(),
            id: running.state.id.clone(),
            number,
            stream: Some(stream),
            decoder: Decoder::new(Limits::default()),
            messages: VecDeque::new(),
            ended: running.ended.clone(),
            hung_up: running.hung_up.clone(),
            hurry: at.hurry.clone(),
            _open: running.open.clone(),
        })
    }
}

impl Conversation {
    /// Speaks until either side hangs up.
    pub(super) async fn hold(mut self, door: Door) {
        let Err(HungUp) = match door {
            Door::Mute => self.stay_silent().await,
            Door::Stranger => self.say_garbage().await,
            _ => self.speak().await,
        };
    }

    async fn speak(&mut self) -> Spoken<Infallible> {
        self.send(&json!({"compression": null, "python": [3, 11, 7], "pickle-protocol": 5})).await?;
        let greeting = self.read().await?;
        if greeting.get("pickle-protocol").is_none() {
            // Measured: it answers nothing from now on.
            return self.stay_silent().await;
        }
        loop {
            let request = self.read().await?;
            let operation = Operation::of(request.get("op").and_then(Value::as_str).ok_or(HungUp)?);
            let fault = self.next_fault(operation);
            let reply = match self.undone(fault).await? {
                Some(reply) => reply,
                None if operation == Operation::Subscribe => return self.tell_members(fault).await,
                None => self.carry_out((operation, &request), fault).await?,
            };
            self.reply(&reply, fault).await?;
        }
    }

    /// The answer of a scheduler that does nothing: it fails, or lacks the operation, or sends nonsense.
    /// None: it does what it is asked for.
    async fn undone(&mut self, fault: Option<Fault>) -> Spoken<Option<Value>> {
        match fault {
            Some(Fault::Fails) => Ok(Some(answers::failure("RuntimeError('a fault of the scheduler')"))),
            Some(Fault::Lacks) => Ok(Some(Value::Null)),
            Some(Fault::Nonsense) => Ok(Some(json!("nonsense"))),
            Some(Fault::HangsUp) => Err(HungUp),
            Some(Fault::Never) => self.stay_silent().await,
            Some(Fault::Garbage) => self.say_garbage().await,
            _ => Ok(None),
        }
    }

    /// Does what is asked for, and gives the answer.
    async fn carry_out(
        &mut self,
        (operation, request): (Operation, &Value),
        fault: Option<Fault>,
    ) -> Spoken<Value> {
        if operation == Operation::RetireWorkers {
            return self.retire(request, fault).await;
        }
        if let Some(Fault::Slow(wait)) = fault {
            self.wait(wait).await?;
        }
        if operation == Operation::Terminate {
            self.schedulers.stop(&self.place);
            return Err(HungUp);
        }
        let elapsed_s = self.schedulers.began.elapsed().as_secs_f64();
        self.with(|running| answers::answer(&lied(&running.state, fault), (operation, request), elapsed_s))
    }

    /// Lets workers go or closes them to new tasks, and gives those of which that is so.
    async fn retire(&mut self, request: &Value, fault: Option<Fault>) -> Spoken<Value> {
        let (wish, mut names) = self.ordered(request)?;
        match fault {
            Some(Fault::RetiresNone) => return Ok(json!({})),
            Some(Fault::RetiresInWords) => {
                return self.with(|running| answers::infos(&running.state, &names, Detail::Subscription));
            }
            Some(Fault::RetiresOthers) => {
                let workers = self.with(|running| running.state.registered())?;
                let others = workers.into_iter().filter(|name| !names.contains(name));
                names = others.take(names.len()).collect();
            }
            _ => {}
        }
        self.change(|running| running.state.begin_to_retire(&names))?;
        if let Some(Fault::Slow(wait)) = fault {
            self.wait(wait).await?;
        }
        self.change(|running| {
            // They are told of as they were before they went.
            let before = running.state.clone();
            let mut done = match wish {
                Wish::Close => running.state.close(&names),
                Wish::Retire | Wish::RetireTheIdle => running.state.retire(&names),
            };
            done.extend(STRANGERS.map(|(name, _)| name.to_owned()));
            answers::infos(&lied(&before, fault), &done, Detail::Subscription)
        })
    }

    /// Records what is asked of workers, and gives of which.
    fn ordered(&self, request: &Value) -> Spoken<(Wish, Vec<String>)> {
        let given = request.get("names").and_then(Value::as_array);
        let stays = |member: &str| request.get(member) == Some(&json!(false));
        let wish = match given {
            None => Wish::RetireTheIdle,
            Some(_) if stays("close_workers") && stays("remove") => Wish::Close,
            Some(_) => Wish::Retire,
        };
        let texts = |names: &Vec<Value>| names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let names: Vec<String> = given.map(texts).unwrap_or_default();
        let (place, id) = (self.place.clone(), self.id.clone());
        let order = Order { at: self.schedulers.began.elapsed(), place, id, wish, names: names.clone() };
        self.schedulers.lock().orders.push(order);
        if wish != Wish::RetireTheIdle {
            return Ok((wish, names));
        }
        let is_idle = |(name, worker): (&String, &super::Worker)| (worker.tasks == 0).then(|| name.clone());
        let idle = self.with(|running| running.state.workers.iter().filter_map(is_idle).collect())?;
        Ok((wish, idle))
    }

    /// Takes the place of whoever has subscribed before, and sends the membership, and then what becomes of
    /// it.
    async fn tell_members(&mut self, fault: Option<Fault>) -> Spoken<Infallible> {
        if let Some(Fault::Slow(wait)) = fault {
            self.wait(wait).await?;
        }
        let (number, mut changes) = (self.number, self.schedulers.changes());
        let (first, mut told) = self.with(|running| {
            running.subscriber = Some(number);
            let state = lied(&running.state, fault);
            (answers::identity(&state, Detail::Subscription), members(&state))
        })?;
        self.reply(&first, fault).await?;
        loop {
            while self.news(&told, None)?.is_empty() {
                self.until_changed(&mut changes).await?;
            }
            let fault = self.next_fault(Operation::Event);
            if fault == Some(Fault::Never) {
                // This message is lost, and the others come.
                told = self.with(|running| members(&running.state))?;
                continue;
            }
            if let Some(reply) = self.undone(fault).await? {
                self.send(&reply).await?;
                told = self.with(|running| members(&running.state))?;
                continue;
            }
            if let Some(Fault::Slow(wait)) = fault {
                self.wait(wait).await?;
            }
            let news = self.news(&told, fault)?;
            told = self.with(|running| members(&lied(&running.state, fault)))?;
            if news.is_empty() {
                // The lie is what was told already, and stands until something else changes.
                self.until_changed(&mut changes).await?;
                continue;
            }
            self.reply(&json!(news), fault).await?;
        }
    }

    /// What a subscriber that was told this is to be told now; nothing once another has subscribed.
    fn news(&self, told: &BTreeMap<String, String>, fault: Option<Fault>) -> Spoken<Vec<Value>> {
        self.with(|running| {
            if running.subscriber != Some(self.number) {
                return Vec::new();
            }
            let state = lied(&running.state, fault);
            let now = members(&state);
            let gone = told.iter().filter(|(address, name)| now.get(*address) != Some(*name));
            let come = now.iter().filter(|(address, name)| told.get(*address) != Some(*name));
            let removals = gone.map(|(address, _)| json!(["remove", address]));
            let additions = come.map(
                |(_, name)| json!(["add", {"workers": answers::infos(&state, [name], Detail::Subscription)}]),
            );
            removals.chain(additions).collect()
        })
    }

    /// Waits until something may have changed. Whoever has subscribed says nothing any more; what it says all
    /// the same is passed over.
    async fn until_changed(&mut self, changes: &mut watch::Receiver<u64>) -> Spoken<()> {
        loop {
            tokio::select! {
                biased;
                read = self.read() => read.map(|_| ())?,
                news = changes.changed() => return news.map_err(|_| HungUp),
            }
        }
    }

    /// Waits so long, or until it is hurried. Nothing comes of it when the scheduler ends meanwhile; it goes
    /// on when only the connection does.
    async fn wait(&mut self, wait: Duration) -> Spoken<()> {
        let mut passed = std::pin::pin!(sleep(wait));
        loop {
            tokio::select! {
                biased;
                () = self.ended.cancelled() => return Err(HungUp),
                () = self.hurry.notified() => return Ok(()),
                () = &mut passed => return Ok(()),
                () = self.hung_up.cancelled(), if self.stream.is_some() => self.stream = None,
            }
        }
    }

    /// Takes in what is said until the other side hangs up.
    async fn stay_silent<T>(&mut self) -> Spoken<T> {
        loop {
            self.read().await?;
        }
    }

    async fn say_garbage<T>(&mut self) -> Spoken<T> {
        self.write(GARBAGE).await?;
        self.stay_silent().await
    }

    /// Sends an answer, as far as it comes to its end.
    async fn reply(&mut self, reply: &Value, fault: Option<Fault>) -> Spoken<()> {
        match fault {
            Some(Fault::Lost) => return Err(HungUp),
            Some(Fault::Cut) => {
                let bytes = framed(reply);
                self.write(&bytes[..bytes.len() / 2]).await?;
                return Err(HungUp);
            }
            Some(Fault::Late(wait)) => self.wait(wait).await?,
            _ => {}
        }
        self.send(reply).await
    }

    async fn send(&mut self, message: &Value) -> Spoken<()> {
        self.write(&framed(message)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Spoken<()> {
        let stream = self.stream.as_mut().ok_or(HungUp)?;
        tokio::select! {
            biased;
            () = self.hung_up.cancelled() => Err(HungUp),
            written = stream.write_all(bytes) => written.map_err(|_| HungUp),
        }
    }

    /// The next message. May be dropped without loss.
    async fn read(&mut self) -> Spoken<Value> {
        let mut chunk = [0; READ_BYTES];
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Ok(message);
            }
            let stream = self.stream.as_mut().ok_or(HungUp)?;
            let count = tokio::select! {
                biased;
                () = self.hung_up.cancelled() => return Err(HungUp),
                read = stream.read(&mut chunk) => read.map_err(|_| HungUp)?,
            };
            if count == 0 {
                return Err(HungUp);
            }
            let mut input = &chunk[..count];
            while let Some(message) = self.decoder.decode(&mut input).map_err(|_| HungUp)? {
                self.messages.push_back(rmp_serde::from_slice(&message.payload).map_err(|_| HungUp)?);
            }
        }
    }

    /// What goes wrong with the next answer.
    fn next_fault(&self, operation: Operation) -> Option<Fault> {
        let mut places = self.schedulers.lock();
        let place = places.place(&self.place);
        *place.asked.entry(operation).or_default() += 1;
        place.faults.next(operation)
    }

    /// Reads what the scheduler knows, for as long as it is the one that was spoken to.
    fn with<R>(&self, read: impl FnOnce(&mut Running) -> R) -> Spoken<R> {
        let mut places = self.schedulers.lock();
        let running = places.place(&self.place).running.as_mut();
        running.filter(|running| running.state.id == self.id).map(read).ok_or(HungUp)
    }

    /// Changes what it knows, and lets that be known.
    fn change<R>(&self, change: impl FnOnce(&mut Running) -> R) -> Spoken<R> {
        let answer = self.with(change);
        self.schedulers.changed();
        answer
    }
}

/// The names of the workers by address.
fn members(state: &SchedulerState) -> BTreeMap<String, String> {
    state.workers.iter().map(|(name, worker)| (worker.address.clone(), name.clone())).collect()
}

/// What a scheduler with this fault makes of what it knows.
fn lied(state: &SchedulerState, fault: Option<Fault>) -> Cow<'_, SchedulerState> {
    let mut lie = Cow::Borrowed(state);
    match fault {
        Some(Fault::NamesNone) => lie.to_mut().workers.clear(),
        Some(Fault::NamesStrangers) => {
            for (name, address) in STRANGERS {
                lie.to_mut().register(name, address);
            }
        }
        _ => {}
    }
    lie
}

fn framed(message: &Value) -> Vec<u8> {
    frame::encode(&rmp_serde::to_vec_named(message).unwrap())
}
