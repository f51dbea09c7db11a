//! The world in which the laws hold: an API server with one Lease, processes, and requests on their way.

use std::time::Duration;

use proptest::prelude::*;

use crate::plan::lease::{Asked, Candidate, Decision, ObservedLease, Timing};

/// Steps of real time.
pub(super) const STEP: Duration = Duration::from_millis(50);
/// How long a history is.
const END: Duration = Duration::from_secs(150);
/// From here on nothing goes wrong any more.
const CALM: Duration = Duration::from_secs(110);

/// What goes wrong, from when, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) who: usize,
    pub(super) from: Duration,
    pub(super) lasts: Duration,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    /// The process is stopped; its clock runs on.
    Stopped,
    /// Requests get lost on their way.
    Unsent,
    /// Requests are carried out, and the answers get lost.
    Unanswered,
    /// Requests arrive late by the half of the time, and answers by as much.
    Slow,
    /// Requests arrive at once, and answers late by all of the time.
    SlowToAnswer,
    /// Something on the way sends each request twice, and hands on the second answer.
    Doubled,
    /// The process is dead, and then there is a new one with the same identity.
    Dead,
    /// It gives the Lease up, and begins anew as a candidate.
    Releases,
    /// Somebody else writes the Lease, without a change that matters.
    Touched,
}

#[derive(Clone, Debug)]
pub(super) struct ServerLease {
    version: u64,
    holder: String,
    pub(super) transitions: i32,
    mark: i64,
}

#[derive(Clone, Debug)]
enum Request {
    Read,
    Write { version: Option<u64>, lease: ServerLease },
}

#[derive(Clone, Debug)]
enum Answer {
    Read(Option<ObservedLease>),
    Written(ObservedLease),
    Conflict,
}

/// A request on its way. It arrives even when nobody waits for its answer any more.
struct Flight {
    who: usize,
    life: u32,
    asked: Asked,
    arrives: Duration,
    answers: Option<Duration>,
    request: Request,
    answer: Option<Answer>,
}

pub(super) struct Process {
    candidate: Candidate,
    life: u32,
    /// Its clock shows this at real time 0, and runs this much too fast.
    offset: Duration,
    rate: f64,
    /// What it waits for.
    calls: Vec<Asked>,
    /// Until then it does nothing.
    busy_until: Duration,
}

impl Process {
    fn clock(&self, now: Duration) -> Duration {
        self.offset + now.mul_f64(self.rate)
    }

    /// Whether it may write now, or would, if it went on.
    pub(super) fn leads(&self, now: Duration) -> bool {
        self.candidate.leads_until().is_some_and(|until| self.clock(now) < until)
    }
}

pub(super) struct World {
    timing: Timing,
    troubles: Vec<Trouble>,
    done: Vec<bool>,
    pub(super) processes: Vec<Process>,
    pub(super) lease: Option<ServerLease>,
    versions: u64,
    /// How late each request and its answer are, over and over; none: not at all.
    pub(super) late: Vec<(Duration, Duration)>,
    /// How long a process does something else after each turn, over and over; none: never.
    pub(super) pauses: Vec<Duration>,
    turns: usize,
    /// How often it was asked for something.
    asked: usize,
    flights: Vec<Flight>,
    /// How often somebody began to lead, and how often a leader ended.
    pub(super) changes: usize,
    pub(super) losses: usize,
    /// How often a write was refused.
    pub(super) conflicts: usize,
}

impl World {
    pub(super) fn new(timing: Timing, rates: &[f64], troubles: Vec<Trouble>) -> Self {
        let processes = rates.iter().enumerate().map(|(index, rate)| Process {
            candidate: Candidate::new(format!("candidate-{index}"), timing),
            life: 0,
            offset: Duration::from_secs(1000 * (index as u64 + 1)),
            rate: *rate,
            calls: Vec::new(),
            busy_until: Duration::ZERO,
        });
        let processes = processes.collect();
        let done = vec![false; troubles.len()];
        Self {
            timing,
            troubles,
            done,
            processes,
            lease: None,
            versions: 0,
            late: vec![],
            pauses: vec![],
            turns: 0,
            asked: 0,
            flights: vec![],
            changes: 0,
            losses: 0,
            conflicts: 0,
        }
    }

    fn suffers(&self, who: usize, now: Duration, what: What) -> Option<Duration> {
        let mut troubles = self.troubles.iter();
        let is_it = |it: &&Trouble| {
            it.who == who && it.what == what && now >= it.from && now < it.from + it.lasts && now < CALM
        };
        troubles.find(is_it).map(|it| it.lasts)
    }

    /// Lives through it all; the answer is who led in the end.
    pub(super) fn live(&mut self) -> Result<usize, TestCaseError> {
        let mut now = Duration::ZERO;
        while now < END {
            self.trouble(now);
            self.arrive(now)?;
            for who in 0..self.processes.len() {
                self.turn(who, now);
            }
            let leaders: Vec<_> =
                (0..self.processes.len()).filter(|who| self.processes[*who].leads(now)).collect();
            prop_assert!(leaders.len() <= 1, "{leaders:?} lead at {now:?}");
            let most = self.processes.iter().map(|process| process.calls.len()).max();
            prop_assert!(most < Some(10), "{most:?} requests are under way at {now:?}");
            now += STEP;
        }
        let leader = (0..self.processes.len()).find(|who| self.processes[*who].leads(now));
        leader.ok_or_else(|| TestCaseError::fail("no candidate leads in the end"))
    }

    /// What happens once.
    pub(super) fn trouble(&mut self, now: Duration) {
        for index in 0..self.troubles.len() {
            let Trouble { who, from, what, .. } = self.troubles[index].clone();
            if self.done[index] || now < from {
                continue;
            }
            self.done[index] = true;
            match what {
                What::Touched => {
                    self.versions += 1;
                    let version = self.versions;
                    self.lease.iter_mut().for_each(|lease| lease.version = version);
                }
                What::Dead => self.begin_anew(who),
                What::Releases => {
                    let process = &mut self.processes[who];
                    process.candidate.stop(process.clock(now));
                }
                _ => {}
            }
        }
    }

    /// Another process takes its place.
    fn begin_anew(&mut self, who: usize) {
        let process = &mut self.processes[who];
        process.candidate = Candidate::new(process.candidate.identity(), self.timing);
        process.life += 1;
        process.calls.clear();
    }

    fn send(&mut self, who: usize, now: Duration, asked: Asked, request: Request) {
        self.asked += 1;
        let (there, back) = if let Some(lasts) = self.suffers(who, now, What::Slow) {
            (lasts / 2, lasts / 2)
        } else if let Some(lasts) = self.suffers(who, now, What::SlowToAnswer) {
            (STEP, lasts)
        } else if self.late.is_empty() {
            (STEP, STEP)
        } else {
            self.late[self.asked % self.late.len()]
        };
        let answers = self.suffers(who, now, What::Unanswered).is_none().then_some(now + there + back);
        if self.suffers(who, now, What::Unsent).is_some() {
            return;
        }
        let life = self.processes[who].life;
        let arrives = now + there;
        if self.suffers(who, now, What::Doubled).is_some() {
            let (asked, request) = (asked.clone(), request.clone());
            self.flights.push(Flight { who, life, asked, arrives, answers: None, request, answer: None });
        }
        self.flights.push(Flight { who, life, asked, arrives, answers, request, answer: None });
    }

    /// Requests arrive, and answers.
    pub(super) fn arrive(&mut self, now: Duration) -> Result<(), TestCaseError> {
        let mut flights = std::mem::take(&mut self.flights);
        for flight in &mut flights {
            if flight.answer.is_none() && flight.arrives <= now {
                flight.answer = Some(self.carry_out(flight, now)?);
            }
        }
        let (arrived, open): (Vec<_>, Vec<_>) = flights
            .into_iter()
            .partition(|flight| flight.answer.is_some() && flight.answers.is_none_or(|at| at <= now));
        self.flights = open;
        for flight in arrived.into_iter().filter(|flight| flight.answers.is_some()) {
            // A process that was stopped finds the answer when it goes on.
            let is_busy = now < self.processes[flight.who].busy_until;
            if is_busy || self.suffers(flight.who, now, What::Stopped).is_some() {
                self.flights.push(flight);
            } else {
                self.answer(flight, now);
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, flight: &Flight, now: Duration) -> Result<Answer, TestCaseError> {
        let Request::Write { version, lease } = &flight.request else {
            return Ok(Answer::Read(self.lease.as_ref().map(|lease| self.observed(lease))));
        };
        if self.lease.as_ref().map(|lease| lease.version) != *version {
            self.conflicts += 1;
            return Ok(Answer::Conflict);
        }
        let before = self.lease.as_ref().map(|lease| lease.holder.clone()).unwrap_or_default();
        let holder = &lease.holder;
        if before != *holder && !holder.is_empty() {
            self.changes += 1;
            for (who, process) in self.processes.iter().enumerate() {
                let other = process.candidate.identity() != holder;
                prop_assert!(
                    !(other && process.leads(now)),
                    "{holder} takes the Lease at {now:?} while {who} leads"
                );
            }
        }
        self.versions += 1;
        let lease = ServerLease { version: self.versions, ..lease.clone() };
        let answer = Answer::Written(self.observed(&lease));
        self.lease = Some(lease);
        Ok(answer)
    }

    fn observed(&self, lease: &ServerLease) -> ObservedLease {
        ObservedLease {
            version: lease.version.to_string(),
            holder: lease.holder.clone(),
            duration: Some(self.timing.lease),
            transitions: lease.transitions,
            mark: Some(lease.mark),
        }
    }

    fn answer(&mut self, flight: Flight, now: Duration) {
        let process = &mut self.processes[flight.who];
        let at = process.clock(now);
        // As with a timeout in tokio: an answer that is there counts, even if the time is over when it is
        // looked at.
        let waits = process.life == flight.life && process.calls.contains(&flight.asked);
        if !waits {
            return;
        }
        process.calls.retain(|call| *call != flight.asked);
        let (candidate, asked) = (&mut process.candidate, &flight.asked);
        match flight.answer {
            Some(Answer::Read(lease)) => _ = candidate.saw(asked, lease, at, 1.0),
            Some(Answer::Written(lease)) => _ = candidate.wrote(asked, lease, at),
            Some(Answer::Conflict) | None => candidate.conflicted(asked, at),
        }
    }

    /// A process does what it decides, if it can.
    pub(super) fn turn(&mut self, who: usize, now: Duration) {
        if self.suffers(who, now, What::Stopped).is_some() || self.suffers(who, now, What::Dead).is_some() {
            return;
        }
        let (timing, mark) = (self.timing, i64::try_from(self.asked).unwrap());
        let process = &mut self.processes[who];
        if now < process.busy_until {
            return;
        }
        if !self.pauses.is_empty() {
            self.turns += 1;
            process.busy_until = now + self.pauses[self.turns % self.pauses.len()];
        }
        let at = process.clock(now);
        let candidate = &mut process.candidate;
        let is_over = |call: &mut Asked| at >= call.sent() + timing.renew_deadline;
        for call in process.calls.extract_if(.., is_over) {
            candidate.failed(&call, at, 1.0);
        }
        let decision = candidate.decide(at);
        let holder = if decision == Decision::Release { "" } else { candidate.identity() };
        let lease =
            ServerLease { version: 0, holder: holder.to_owned(), transitions: candidate.transitions(), mark };
        let version = candidate.rests_on().and_then(|version| version.parse().ok());
        let (asked, request) = match decision {
            Decision::Wait(_) => return,
            // The process ends, and kubelet starts the next one.
            Decision::Lost(_) | Decision::Stop => {
                self.losses += usize::from(decision != Decision::Stop);
                return self.begin_anew(who);
            }
            Decision::Read => (candidate.reads(at), Request::Read),
            Decision::Create | Decision::Acquire | Decision::Renew | Decision::Release => {
                (candidate.writes(mark, at), Request::Write { version, lease })
            }
        };
        process.calls.push(asked.clone());
        self.send(who, now, asked, request);
    }
}
