//! Times as people say them: `12 s`, `2 m ago`, `in 3 h`.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A time between two instants, in the largest unit of which there are at least two; none of it is negative.
pub fn span(from: Timestamp, to: Timestamp) -> String {
    long(to.duration_since(from).as_secs())
}

/// The same of a number of seconds.
pub fn long(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (unit, word) = match seconds {
        seconds if seconds < 2 * MINUTE => (1, "s"),
        seconds if seconds < 2 * HOUR => (MINUTE, "m"),
        seconds if seconds < 2 * DAY => (HOUR, "h"),
        _ => (DAY, "d"),
    };
    format!("{} {word}", seconds / unit)
}

/// How long ago something was.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(then, now))
}

/// When something will be, with the time until then: `2026-12-01T02:00:00Z (in 3 h)`.
pub fn ahead(then: Timestamp, now: Timestamp) -> String {
    if then <= now {
        return format!("{then} (now)");
    }
    format!("{then} (in {})", span(now, then))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_span_is_in_the_largest_unit_of_which_there_are_two() {
        let then = Timestamp::UNIX_EPOCH;
        for (seconds, words) in [
            (-5, "0 s"),
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 m"),
            (2 * HOUR - 1, "119 m"),
            (2 * HOUR, "2 h"),
            (2 * DAY - 1, "47 h"),
            (9 * DAY, "9 d"),
        ] {
            assert_eq!(span(then, then + SignedDuration::from_secs(seconds)), words);
        }
        let later = then + SignedDuration::from_secs(300);
        assert_eq!(
            (ago(then, later), ahead(then, later)),
            ("5 m ago".into(), "1970-01-01T00:00:00Z (now)".into())
        );
        assert_eq!(ahead(later, then), "1970-01-01T00:05:00Z (in 5 m)");
    }
}
