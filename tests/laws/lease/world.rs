//! The world of the model: an API server with one Lease, processes with clocks, and requests on their way.
//!
//! Time goes in ticks. Within a tick everything happens in any order; a tick passes when no process has
//! anything left to do, but for those that are stopped. A request is carried out and answered at once, unless
//! it is slow: then it arrives at any time, or never, and so does its answer.

use std::rc::Rc;
use std::time::Duration;

use daskflow::plan::lease::{Asked, Candidate, Decision, ObservedLease, Timing};

use super::rules::{Event, Fault, Mishap, Planted, Rules, Troubles};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// What a clock shows in the beginning.
const BEGIN: Duration = Duration::from_secs(1000);

#[derive(Clone, Copy, PartialEq)]
pub(super) struct Lease {
    pub(super) version: u64,
    pub(super) holder: Option<usize>,
    pub(super) mark: i64,
}

#[derive(Clone, Copy)]
pub(super) enum Message {
    Read,
    Write {
        over: Option<u64>,
        holder: Option<usize>,
        mark: i64,
    },
    Seen(Option<Lease>),
    Written(Lease),
    Refused,
    /// Nothing comes of it any more.
    Lost,
}

/// A request that is slow, or lost and still waited for.
#[derive(Clone)]
pub(super) struct Flight {
    pub(super) who: usize,
    /// None: nobody waits for the answer.
    pub(super) asked: Option<Asked>,
    pub(super) message: Message,
    /// In ticks, where the rules have a limit for it.
    pub(super) age: u8,
}

impl Flight {
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.message, Message::Lost)
    }
}

/// What becomes of a process.
#[derive(Clone)]
pub(super) enum Course {
    Runs,
    /// It does this before it looks at anything.
    Intends(Decision),
    /// None: it decides when it goes on.
    Stopped(Option<Decision>),
    Ended,
}

#[derive(Clone)]
pub(super) struct Process {
    pub(super) candidate: Candidate,
    pub(super) clock: Duration,
    pub(super) course: Course,
}

impl Process {
    fn new(who: usize, timing: Timing, clock: Duration) -> Self {
        Self { candidate: Candidate::new(NAMES[who], timing), clock, course: Course::Runs }
    }

    /// Whether it may write now, or would, if it went on.
    fn leads(&self) -> bool {
        self.candidate.leads_until().is_some_and(|until| self.clock < until)
    }

    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.course, Course::Stopped(_))
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.course, Course::Ended)
    }
}

/// A state of the model.
#[derive(Clone)]
pub struct World {
    pub(super) lease: Option<Lease>,
    /// A copy of a state shares those that it does not change.
    pub(super) processes: Vec<Rc<Process>>,
    pub(super) flights: Vec<Flight>,
    /// Numbers versions and marks.
    writes: u64,
    /// Troubles that may still come.
    pub(super) left: u8,
}

impl World {
    /// There is no Lease, and all processes have just started; or the first one leads.
    pub fn new(rules: &Rules) -> Result<Self, Fault> {
        let start = |who| Rc::new(Process::new(who, rules.timing, BEGIN));
        let processes = (0..rules.clocks.len()).map(start).collect();
        let mut world = Self { lease: None, processes, flights: vec![], writes: 0, left: 0 };
        match rules.troubles {
            Troubles::Any(in_all) => world.left = in_all,
            Troubles::LateBy(_, mishap) => {
                while world.is_busy(0, rules) {
                    world = world.after(Event::Acts(0), rules)?;
                }
                world.left = u8::from(mishap != Mishap::Nothing);
            }
        }
        Ok(world)
    }

    /// Who leads, by its own clock.
    pub fn leader(&self) -> Option<usize> {
        self.processes.iter().position(|process| process.leads())
    }

    /// A process to be changed, in this state alone.
    fn changed(&mut self, who: usize) -> &mut Process {
        Rc::make_mut(&mut self.processes[who])
    }

    /// The state after this event.
    pub fn after(&self, event: Event, rules: &Rules) -> Result<Self, Fault> {
        let mut world = self.clone();
        match event {
            Event::Acts(who) => {
                if world.act(who, rules)? {
                    let index = world.flights.len() - 1;
                    world.arrive(index, rules)?;
                    world.answer(index, rules);
                }
            }
            Event::AsksSlowly(who) => _ = world.act(who, rules)?,
            Event::StopsBefore(who) => world.changed(who).course = Course::Stopped(None),
            Event::StopsAfter(who) => {
                let process = world.changed(who);
                process.course = Course::Stopped(Some(process.candidate.decide(process.clock)));
            }
            Event::GoesOn(who) => world.go_on(who),
            Event::Arrives(index) => world.arrive(index, rules)?,
            Event::ArrivesTwice(index) => {
                world.arrive(index, rules)?;
                world.flights[index].message = Message::Refused;
            }
            Event::IsAnswered(index) => world.answer(index, rules),
            Event::GetsLost(index) => {
                let flight = &mut world.flights[index];
                (flight.message, flight.age) = (Message::Lost, 0);
            }
            Event::Breaks(index) => world.give_up(index),
            Event::Dies(who) => world.begin_anew(who, rules),
            Event::Ends(who) => {
                world.begin_anew(who, rules);
                world.changed(who).course = Course::Ended;
            }
            Event::Retires(who) => {
                let process = world.changed(who);
                process.candidate.stop(process.clock);
            }
            Event::Touched => {
                world.writes += 1;
                world.lease = world.lease.map(|lease| Lease { version: world.writes, ..lease });
            }
            Event::Passes => world.pass(rules),
        }
        world.left -= u8::from(match rules.troubles {
            Troubles::Any(_) => event.is_trouble(),
            Troubles::LateBy(..) => matches!(event, Event::GetsLost(_) | Event::ArrivesTwice(_)),
        });
        world.forget(rules);
        let leaders = world.processes.iter().filter(|process| process.leads()).count();
        if leaders > 1 { Err(Fault::TwoLead) } else { Ok(world) }
    }

    fn pass(&mut self, rules: &Rules) {
        for (process, rate) in self.processes.iter_mut().zip(&rules.clocks) {
            Rc::make_mut(process).clock += *rate;
        }
        if let Troubles::LateBy(..) = rules.troubles {
            let late = self.flights.iter_mut().filter(|flight| !flight.is_lost());
            late.for_each(|flight| flight.age += 1);
        }
    }

    fn go_on(&mut self, who: usize) {
        let process = self.changed(who);
        process.course = match &process.course {
            Course::Stopped(Some(decision)) => Course::Intends(decision.clone()),
            _ => Course::Runs,
        };
    }

    fn begin_anew(&mut self, who: usize, rules: &Rules) {
        *self.changed(who) = Process::new(who, rules.timing, self.processes[who].clock);
        self.flights.iter_mut().filter(|flight| flight.who == who).for_each(|flight| flight.asked = None);
    }

    /// A process gives up what it has waited for long enough, and does what it decides. Whether it has asked
    /// for something: that is the last flight.
    fn act(&mut self, who: usize, rules: &Rules) -> Result<bool, Fault> {
        for index in 0..self.flights.len() {
            if self.is_over(&self.flights[index], who, rules) {
                self.give_up(index);
            }
        }
        let process = Rc::make_mut(&mut self.processes[who]);
        let (now, candidate) = (process.clock, &mut process.candidate);
        let decision = match std::mem::replace(&mut process.course, Course::Runs) {
            Course::Intends(decision) => decision,
            _ => candidate.decide(now),
        };
        let holder = (decision != Decision::Release).then_some(who);
        let (asked, message) = match decision {
            Decision::Wait(_) => return Ok(false),
            Decision::Lost(loss) if matches!(rules.troubles, Troubles::LateBy(..)) => {
                return Err(Fault::Lost(loss));
            }
            Decision::Lost(_) | Decision::Stop => {
                self.begin_anew(who, rules);
                return Ok(false);
            }
            Decision::Read => (candidate.reads(now), Message::Read),
            Decision::Create | Decision::Acquire | Decision::Renew | Decision::Release => {
                self.writes += 1;
                let mark = i64::try_from(self.writes).unwrap();
                let over = candidate.rests_on().map(|version| version.parse().unwrap());
                (candidate.writes(mark, now), Message::Write { over, holder, mark })
            }
        };
        self.flights.push(Flight { who, asked: Some(asked), message, age: 0 });
        Ok(true)
    }

    /// A request arrives and is carried out.
    fn arrive(&mut self, index: usize, rules: &Rules) -> Result<(), Fault> {
        self.flights[index].message = match self.flights[index].message {
            Message::Write { over, holder, mark } => {
                let is_over_it = self.lease.map(|lease| lease.version) == over;
                if is_over_it || rules.planted == Planted::NoVersion {
                    Message::Written(self.write(holder, mark)?)
                } else {
                    Message::Refused
                }
            }
            _ => Message::Seen(self.lease),
        };
        Ok(())
    }

    fn write(&mut self, holder: Option<usize>, mark: i64) -> Result<Lease, Fault> {
        let leader = self.leader();
        if holder.is_some() && leader.is_some() && leader != holder {
            return Err(Fault::TwoLead);
        }
        self.writes += 1;
        let lease = Lease { version: self.writes, holder, mark };
        self.lease = Some(lease);
        Ok(lease)
    }

    /// The process is answered.
    fn answer(&mut self, index: usize, rules: &Rules) {
        let Flight { who, asked: Some(asked), message, .. } = self.flights.remove(index) else { return };
        let process = self.changed(who);
        let (at, candidate) = (process.clock, &mut process.candidate);
        let timing = *candidate.timing();
        match message {
            Message::Seen(Some(lease))
                if lease.holder == Some(who) && rules.planted == Planted::TrustsItsName =>
            {
                _ = candidate.wrote(&asked, observed(lease, timing), at);
            }
            Message::Seen(lease) => {
                _ = candidate.saw(&asked, lease.map(|lease| observed(lease, timing)), at, 1.0);
            }
            Message::Written(lease) if rules.planted == Planted::CountsFromAnswer => {
                let asked = candidate.writes(lease.mark, at);
                _ = candidate.wrote(&asked, observed(lease, timing), at);
            }
            Message::Written(lease) => _ = candidate.wrote(&asked, observed(lease, timing), at),
            Message::Refused => candidate.conflicted(&asked, at),
            Message::Read | Message::Write { .. } | Message::Lost => {}
        }
    }

    /// The process learns that its request has failed, or waits for it no longer.
    fn give_up(&mut self, index: usize) {
        let flight = &mut self.flights[index];
        let process = Rc::make_mut(&mut self.processes[flight.who]);
        if let Some(asked) = flight.asked.take() {
            process.candidate.failed(&asked, process.clock, 1.0);
        }
    }

    /// Forgets what nothing can come of any more.
    fn forget(&mut self, rules: &Rules) {
        let (version, processes) = (self.lease.map(|lease| lease.version), &self.processes);
        self.flights.retain(|flight| {
            let (candidate, now) = (&processes[flight.who].candidate, processes[flight.who].clock);
            let Some(asked) = &flight.asked else {
                let is_over = |over| over == version || rules.planted == Planted::NoVersion;
                return matches!(flight.message, Message::Write { over, .. } if is_over(over));
            };
            let prospect = candidate.prospect(asked, now);
            let shows_its_write = |lease: Lease| {
                lease.holder == Some(flight.who) && candidate.worth_of(lease.mark, now).is_some()
            };
            let may_be_news = match flight.message {
                Message::Lost => false,
                Message::Seen(lease) => !prospect.is_outdated() || lease.is_some_and(shows_its_write),
                _ => true,
            };
            may_be_news || !prospect.may_fail()
        });
    }
}

fn observed(lease: Lease, timing: Timing) -> ObservedLease {
    ObservedLease {
        version: lease.version.to_string(),
        holder: lease.holder.map(|holder| NAMES[holder]).unwrap_or_default().to_owned(),
        duration: Some(timing.lease),
        transitions: 0,
        mark: Some(lease.mark),
    }
}
