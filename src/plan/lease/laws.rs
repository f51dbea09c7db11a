//! Histories of candidates, requests that are late, lost or answered by nobody, processes that are stopped or killed,
//! and clocks that run at different rates: never may two lead.
//!
//! Wall clocks do not occur: no decision gets to see one.

use proptest::prelude::*;

use super::*;

/// Steps of real time.
const STEP: Duration = Duration::from_millis(50);
/// How long a history is.
const END: Duration = Duration::from_secs(150);
/// From here on nothing goes wrong any more.
const CALM: Duration = Duration::from_secs(110);

/// Deadline and duration of the Lease so close that the rule alone, and no room between them, keeps two from leading.
/// Clocks drift by a hundredth each way, which is a quarter of a second in 12.
const TIGHT: Timing = Timing {
    lease: Duration::from_secs(12),
    renew_deadline: Duration::from_millis(11_500),
    renew_interval: Duration::from_secs(3),
    retry: Duration::from_secs(1),
    request: Duration::from_secs(2),
};

/// What goes wrong, from when, and for how long.
#[derive(Clone, Debug)]
struct Trouble {
    who: usize,
    from: Duration,
    lasts: Duration,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// The process is stopped; its clock runs on.
    Stopped,
    /// Requests get lost on their way.
    Unsent,
    /// Requests are carried out, and the answers get lost.
    Unanswered,
    /// Requests arrive late by the half of the time, and answers by as much.
    Slow,
    /// The process is dead, and then there is a new one with the same identity.
    Dead,
    /// It gives the Lease up, and begins anew as a candidate.
    Releases,
    /// Somebody else writes the Lease, without a change that matters.
    Touched,
}

#[derive(Clone, Debug)]
struct ServerLease {
    version: u64,
    holder: String,
    transitions: i32,
}

#[derive(Clone, Debug)]
enum Request {
    Read,
    Write { version: Option<u64>, holder: String, transitions: i32 },
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
    number: u64,
    arrives: Duration,
    answers: Option<Duration>,
    request: Request,
    answer: Option<Answer>,
}

/// What a process waits for.
struct Call {
    number: u64,
    sent: Duration,
    gives_up: Duration,
}

struct Process {
    candidate: Candidate,
    life: u32,
    /// Its clock shows this at real time 0, and runs this much too fast.
    offset: Duration,
    rate: f64,
    call: Option<Call>,
}

impl Process {
    fn clock(&self, now: Duration) -> Duration {
        self.offset + now.mul_f64(self.rate)
    }

    /// Whether it may write now, or would, if it went on.
    fn leads(&self, now: Duration) -> bool {
        self.candidate.leads_until().is_some_and(|until| self.clock(now) < until)
    }
}

struct World {
    timing: Timing,
    troubles: Vec<Trouble>,
    done: Vec<bool>,
    processes: Vec<Process>,
    lease: Option<ServerLease>,
    versions: u64,
    calls: u64,
    flights: Vec<Flight>,
    /// How often somebody began to lead.
    changes: usize,
}

impl World {
    fn new(timing: Timing, rates: &[f64], troubles: Vec<Trouble>) -> Self {
        let processes = rates.iter().enumerate().map(|(index, rate)| Process {
            candidate: Candidate::new(format!("candidate-{index}"), timing),
            life: 0,
            offset: Duration::from_secs(1000 * (index as u64 + 1)),
            rate: *rate,
            call: None,
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
            calls: 0,
            flights: vec![],
            changes: 0,
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
    fn live(&mut self) -> Result<usize, TestCaseError> {
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
            now += STEP;
        }
        let leader = (0..self.processes.len()).find(|who| self.processes[*who].leads(now));
        leader.ok_or_else(|| TestCaseError::fail("nobody leads in the end"))
    }

    /// What happens once.
    fn trouble(&mut self, now: Duration) {
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
                What::Releases if self.processes[who].candidate.holds() => {
                    // The order of the operator: first no more writes, then the release.
                    let candidate = &mut self.processes[who].candidate;
                    candidate.stopped();
                    let version = candidate.seen.as_ref().and_then(|seen| seen.lease.version.parse().ok());
                    let transitions = candidate.transitions();
                    self.send(who, now, Request::Write { version, holder: String::new(), transitions });
                    self.begin_anew(who);
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
        process.call = None;
    }

    fn send(&mut self, who: usize, now: Duration, request: Request) {
        self.calls += 1;
        let late = self.suffers(who, now, What::Slow).map_or(STEP, |lasts| lasts / 2);
        let answers = self.suffers(who, now, What::Unanswered).is_none().then_some(now + late * 2);
        if self.suffers(who, now, What::Unsent).is_none() {
            let (life, number) = (self.processes[who].life, self.calls);
            self.flights.push(Flight {
                who,
                life,
                number,
                arrives: now + late,
                answers,
                request,
                answer: None,
            });
        }
    }

    /// Requests arrive, and answers.
    fn arrive(&mut self, now: Duration) -> Result<(), TestCaseError> {
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
            // A stopped process finds the answer when it goes on, unless its call is over by then.
            if self.suffers(flight.who, now, What::Stopped).is_some() {
                self.flights.push(flight);
            } else {
                self.answer(flight, now);
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, flight: &Flight, now: Duration) -> Result<Answer, TestCaseError> {
        let Request::Write { version, holder, transitions } = &flight.request else {
            return Ok(Answer::Read(self.lease.as_ref().map(|lease| self.observed(lease))));
        };
        if self.lease.as_ref().map(|lease| lease.version) != *version {
            return Ok(Answer::Conflict);
        }
        let before = self.lease.as_ref().map(|lease| lease.holder.clone()).unwrap_or_default();
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
        let lease = ServerLease { version: self.versions, holder: holder.clone(), transitions: *transitions };
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
        }
    }

    fn answer(&mut self, flight: Flight, now: Duration) {
        let process = &mut self.processes[flight.who];
        let at = process.clock(now);
        let waits = |call: &Call| call.number == flight.number && process.life == flight.life;
        // As with a timeout in tokio: an answer that is there counts, even if the time is over when it is looked at.
        let Some(call) = process.call.take_if(|call| waits(call)) else { return };
        match flight.answer {
            Some(Answer::Read(lease)) => process.candidate.saw(lease, at, 1.0),
            Some(Answer::Written(lease)) => process.candidate.wrote(lease, call.sent, at),
            Some(Answer::Conflict) | None => process.candidate.conflicted(at),
        }
    }

    /// A process does what it decides, if it can.
    fn turn(&mut self, who: usize, now: Duration) {
        if self.suffers(who, now, What::Stopped).is_some() || self.suffers(who, now, What::Dead).is_some() {
            return;
        }
        let process = &mut self.processes[who];
        let at = process.clock(now);
        if let Some(call) = &process.call {
            if at < call.gives_up {
                return;
            }
            process.call = None;
            process.candidate.failed(at, 1.0);
        }
        let candidate = &process.candidate;
        let version = candidate.seen.as_ref().and_then(|seen| seen.lease.version.parse().ok());
        let write = |version| Request::Write {
            version,
            holder: candidate.identity().to_owned(),
            transitions: candidate.transitions(),
        };
        let request = match candidate.decide(at) {
            Decision::Wait(_) => return,
            // The process ends, and kubelet starts the next one.
            Decision::Lost(_) => return self.begin_anew(who),
            Decision::Read => Request::Read,
            Decision::Create => write(None),
            Decision::Acquire | Decision::Renew => write(version),
        };
        let gives_up = at + self.timing.request;
        process.call = Some(Call { number: self.calls + 1, sent: at, gives_up });
        self.send(who, now, request);
    }
}

fn troubles(candidates: usize) -> impl Strategy<Value = Vec<Trouble>> {
    let what = prop_oneof![
        3 => Just(What::Stopped),
        2 => Just(What::Unsent),
        2 => Just(What::Unanswered),
        2 => Just(What::Slow),
        1 => Just(What::Dead),
        1 => Just(What::Releases),
        1 => Just(What::Touched),
    ];
    let trouble =
        (0..candidates, 0_u64..100_000, 50_u64..40_000, what).prop_map(|(who, from, lasts, what)| Trouble {
            who,
            from: Duration::from_millis(from),
            lasts: Duration::from_millis(lasts),
            what,
        });
    prop::collection::vec(trouble, 0..12)
}

fn worlds() -> impl Strategy<Value = (Vec<f64>, Vec<Trouble>, bool)> {
    (2_usize..=3)
        .prop_flat_map(|count| (prop::collection::vec(0.99..1.01, count), troubles(count), any::<bool>()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_lead_and_somebody_does_in_the_end((rates, troubles, tight) in worlds()) {
        let timing = if tight { TIGHT } else { Timing::of_seconds(Timing::LEASE_S) };
        World::new(timing, &rates, troubles).live()?;
    }
}

#[test]
fn without_trouble_the_first_leader_stays() {
    let mut world = World::new(TIGHT, &[1.0, 1.0, 1.0], vec![]);
    world.live().unwrap();
    assert_eq!(world.changes, 1);
    assert_eq!(world.lease.unwrap().transitions, 0);
}

#[test]
fn a_leader_that_is_stopped_is_replaced_in_time() {
    for moment in 0..60 {
        let from = Duration::from_secs(20) + STEP * moment;
        let leader = World::new(TIGHT, &[1.0, 1.0], vec![]).live().unwrap();
        let stop = Trouble { who: leader, from, lasts: Duration::from_secs(60), what: What::Stopped };
        let mut world = World::new(Timing::of_seconds(Timing::LEASE_S), &[1.0, 1.0], vec![stop]);
        let mut now = Duration::ZERO;
        while now < from + Duration::from_secs(15) {
            world.trouble(now);
            world.arrive(now).unwrap();
            (0..2).for_each(|who| world.turn(who, now));
            now += STEP;
        }
        assert!(world.processes[1 - leader].leads(now), "stopped at {from:?}");
        assert_eq!(world.lease.unwrap().transitions, 1);
    }
}
