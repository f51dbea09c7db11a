//! What the probes of the operator are answered with.

use super::caches::Watched;
use super::pulse::Pulse;
use super::undecodable::Register;
use crate::daemon::heartbeats::SILENCE_MAX;
use crate::daemon::http::Answer;

/// Alive while all loops turn.
pub(super) fn alive(pulse: &Pulse) -> Answer {
    match pulse.heartbeats.stalled() {
        None => Ok("ok".to_owned()),
        Some((name, silence)) => Err(format!("nothing was heard of {name} for {} s", silence.as_secs())),
    }
}

/// Whether it is ready, and why not. Objects that cannot be read make nothing unready, and are named in
/// either case.
pub(super) fn ready(pulse: &Pulse, watched: &Watched, undecodable: &Register) -> Answer {
    let answer = readiness(pulse, watched);
    let names = undecodable.names();
    if names.is_empty() {
        return answer;
    }
    let name = |text: String| format!("{text}; objects that cannot be read, and are left alone: {names}");
    answer.map(name).map_err(name)
}

/// Ready when the caches are full, and the API server has lately reported who leads: an operator that leads,
/// or could take over at once.
fn readiness(pulse: &Pulse, watched: &Watched) -> Answer {
    if pulse.is_stopping() {
        return Err("stopping".to_owned());
    }
    if !pulse.is_ready() {
        return Err(pulse.obstacle().unwrap_or_else(|| filling(&watched.refusals())));
    }
    if pulse.claim.is_current() {
        return Ok("ok: leader".to_owned());
    }
    match pulse.claim.holder(SILENCE_MAX) {
        None => Err("the API server has not reported who leads".to_owned()),
        Some(holder) if holder.is_empty() => Ok("ok: standby, no operator leads".to_owned()),
        Some(holder) => Ok(format!("ok: standby, {holder} leads")),
    }
}

fn filling(refused: &str) -> String {
    if refused.is_empty() {
        return "the caches are being filled".to_owned();
    }
    format!("the caches are being filled; the API server refuses to list {refused}: rights are missing")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::operator::leader::{self, Claim};

    /// Of an operator that watches all namespaces for two kinds.
    fn parts(claim: Arc<Claim>, stop: CancellationToken) -> Parts {
        Parts {
            pulse: Pulse::new(claim, stop),
            watched: Watched::new(&[], 2),
            undecodable: Register::default(),
        }
    }

    struct Parts {
        pulse: Pulse,
        watched: Watched,
        undecodable: Register,
    }

    fn probe(parts: &Parts) -> Answer {
        ready(&parts.pulse, &parts.watched, &parts.undecodable)
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_is_stuck_fails_the_liveness_probe() {
        let parts = parts(Arc::new(Claim::forever()), CancellationToken::new());
        parts.pulse.heartbeats.beat(leader::HEARTBEAT);
        assert_eq!(alive(&parts.pulse), Ok("ok".into()));
        advance(Duration::from_secs(61)).await;
        assert_eq!(alive(&parts.pulse), Err("nothing was heard of the Lease for 61 s".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_tells_the_truth() {
        let (claim, stop) = (Arc::new(Claim::new()), CancellationToken::new());
        let parts = parts(claim.clone(), stop.clone());
        assert_eq!(probe(&parts), Err("the caches are being filled".into()));
        parts.watched.refused(0, "Job");
        let refused = "the caches are being filled; the API server refuses to list Job: rights are missing";
        assert_eq!(probe(&parts), Err(refused.into()));
        parts.pulse.caches_are_ready();
        assert_eq!(probe(&parts), Err("the API server has not reported who leads".into()));
        claim.learn("other");
        assert_eq!(probe(&parts), Ok("ok: standby, other leads".into()));
        claim.learn("");
        assert_eq!(probe(&parts), Ok("ok: standby, no operator leads".into()));
        claim.extend(claim.now() + Duration::from_secs(8));
        assert_eq!(probe(&parts), Ok("ok: leader".into()));
        advance(Duration::from_secs(61)).await;
        assert_eq!(probe(&parts), Err("the API server has not reported who leads".into()));
        claim.learn("other");
        stop.cancel();
        assert_eq!(probe(&parts), Err("stopping".into()));
    }
}
