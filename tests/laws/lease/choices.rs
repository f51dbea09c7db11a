//! What may happen in a state.

use daskflow::plan::lease::Decision;

use super::rules::{Event, Mishap, Planted, Rules, Troubles};
use super::world::{Course, Flight, Message, World};

impl World {
    /// What may happen now. First is what does where nothing goes wrong any more: stopped processes go on,
    /// slow requests arrive, and all that processes ask for is answered at once.
    pub fn events(&self, rules: &Rules) -> Vec<Event> {
        let mut events = Vec::new();
        for (who, process) in self.processes.iter().enumerate() {
            if process.is_stopped() {
                events.push(Event::GoesOn(who));
            }
        }
        for (index, flight) in self.flights.iter().enumerate() {
            let is_read = flight.asked.is_some() && matches!(self.processes[flight.who].course, Course::Runs);
            match flight.message {
                Message::Read | Message::Write { .. } => events.push(Event::Arrives(index)),
                Message::Seen(_) | Message::Written(_) | Message::Refused if is_read => {
                    events.push(Event::IsAnswered(index));
                }
                Message::Seen(_) | Message::Written(_) | Message::Refused | Message::Lost => {}
            }
        }
        let busy: Vec<_> = (0..self.processes.len()).filter(|who| self.is_busy(*who, rules)).collect();
        let mut may_pass = busy.is_empty();
        if let Troubles::LateBy(ticks, _) = rules.troubles {
            let ask = |who: &usize| if *who == 0 { Event::AsksSlowly(0) } else { Event::Acts(*who) };
            events.extend(busy.iter().map(ask));
            may_pass &= self.flights.iter().all(|flight| flight.age < ticks || flight.is_lost());
        } else {
            events.extend(busy.iter().map(|who| Event::Acts(*who)));
        }
        if may_pass {
            events.push(Event::Passes);
        }
        match rules.troubles {
            Troubles::Any(_) => {
                self.fates(&mut events);
                if self.left > 0 {
                    self.troubles(&busy, &mut events);
                }
            }
            Troubles::LateBy(_, mishap) if self.left > 0 => self.mishaps(mishap, &mut events),
            Troubles::LateBy(..) => {}
        }
        events
    }

    /// What else may become of the leader's requests, once.
    fn mishaps(&self, mishap: Mishap, events: &mut Vec<Event>) {
        for (index, flight) in self.flights.iter().enumerate() {
            match (mishap, flight.message) {
                (Mishap::Loss, Message::Read | Message::Write { .. } | Message::Written(_)) => {
                    events.push(Event::GetsLost(index));
                }
                (Mishap::Doubling, Message::Write { .. }) => events.push(Event::ArrivesTwice(index)),
                _ => {}
            }
        }
    }

    /// What else may become of requests that are slow.
    fn fates(&self, events: &mut Vec<Event>) {
        for (index, flight) in self.flights.iter().enumerate() {
            match flight.message {
                // A read that is not answered is the same, whether it arrives or not; so is a refusal.
                Message::Seen(_) | Message::Refused | Message::Lost => continue,
                Message::Write { .. } => events.push(Event::ArrivesTwice(index)),
                Message::Read | Message::Written(_) => {}
            }
            events.push(Event::GetsLost(index));
            if flight.asked.is_some() && !self.processes[flight.who].is_stopped() {
                events.push(Event::Breaks(index));
            }
        }
    }

    /// What may begin to go wrong. A process is stopped where it would do something: before, it makes no
    /// difference.
    fn troubles(&self, busy: &[usize], events: &mut Vec<Event>) {
        for who in busy {
            let process = &self.processes[*who];
            if let Course::Intends(_) = process.course {
                events.push(Event::AsksSlowly(*who));
                continue;
            }
            events.push(Event::StopsBefore(*who));
            match process.candidate.decide(process.clock) {
                Decision::Wait(_) | Decision::Stop | Decision::Lost(_) => {}
                // To read later is the same, whenever that was decided.
                Decision::Read => events.push(Event::AsksSlowly(*who)),
                _ => events.extend([Event::AsksSlowly(*who), Event::StopsAfter(*who)]),
            }
        }
        let living = self.processes.iter().filter(|process| !process.has_ended()).count();
        for (who, process) in self.processes.iter().enumerate().filter(|(_, process)| !process.has_ended()) {
            events.push(Event::Dies(who));
            if living > 1 {
                events.push(Event::Ends(who));
            }
            if !process.candidate.stops() {
                events.push(Event::Retires(who));
            }
        }
        events.extend(self.lease.map(|_| Event::Touched));
    }

    /// Whether a process has anything to do before time goes on.
    pub(super) fn is_busy(&self, who: usize, rules: &Rules) -> bool {
        let process = &self.processes[who];
        match process.course {
            Course::Stopped(_) | Course::Ended => false,
            Course::Intends(_) => true,
            Course::Runs if rules.planted == Planted::Waits && self.waits(who) => false,
            Course::Runs => {
                self.flights.iter().any(|flight| self.is_over(flight, who, rules))
                    || !matches!(process.candidate.decide(process.clock), Decision::Wait(_))
            }
        }
    }

    fn waits(&self, who: usize) -> bool {
        self.flights.iter().any(|flight| flight.who == who && flight.asked.is_some())
    }

    /// Whether this process gives up this request now.
    pub(super) fn is_over(&self, flight: &Flight, who: usize, rules: &Rules) -> bool {
        let limit = match rules.planted {
            Planted::Waits => return false,
            Planted::GivesUp => rules.timing.patience,
            _ => rules.timing.renew_deadline,
        };
        let asked = flight.asked.as_ref().filter(|_| flight.who == who);
        asked.is_some_and(|asked| self.processes[who].clock >= asked.sent() + limit)
    }
}
