//! How long tests take: as they took, for whoever reads the output, and as they took before, so that the
//! longest begins first.

use std::time::Duration;

use super::figures::say;

/// What a whole run wrote. `run.sh` leaves the same of each run in `.build/e2e/times.txt`: copied here now
/// and then, it keeps the order good. Nothing else depends on it.
const BEFORE: &str = include_str!("../times.txt");
/// Seconds of a test of which nothing is known yet: among the longer ones.
const UNKNOWN_S: u32 = 60;

/// How many seconds a test took before.
pub fn expected_s(name: &str) -> u32 {
    let mut lines = BEFORE.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let known = lines.find_map(|words| match words[..] {
        [seconds, "s", test] if test == name => seconds.parse().ok(),
        _ => None,
    });
    known.unwrap_or(UNKNOWN_S)
}

/// Says how long a test took, for `run.sh` to collect.
pub fn took(name: &str, time: Duration) {
    say(&format!("time: {:4.0} s  {name}", time.as_secs_f64()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_counts_and_the_rest_is_taken_for_long() {
        let (seconds, name) = BEFORE.lines().next().unwrap().split_once(" s  ").unwrap();
        assert_eq!(expected_s(name), seconds.trim().parse::<u32>().unwrap());
        assert_eq!(expected_s("no_such_test"), UNKNOWN_S);
        let all = BEFORE.lines().filter(|line| !line.is_empty()).map(str::trim_start);
        assert!(all.clone().count() > 50, "few are known");
        assert!(all.into_iter().all(|line| line.split_once(" s  ").is_some()), "lines as run.sh writes them");
    }
}
