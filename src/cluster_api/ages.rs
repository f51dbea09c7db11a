//! Ages as people read them.

use jiff::Timestamp;
use serde_json::Value;

/// How long ago an instant was, as `kubectl` shows it.
pub(super) fn age(instant: &Value, now: Timestamp) -> String {
    match instant.as_str().map(str::parse::<Timestamp>) {
        None => "<unknown>".to_owned(),
        Some(Err(_)) => "<invalid>".to_owned(),
        Some(Ok(instant)) => human(now.duration_since(instant).as_secs()),
    }
}

/// So many seconds in at most two units, as Kubernetes' `HumanDuration` has them.
pub(super) fn human(seconds: i64) -> String {
    let two = |first: i64, unit: char, second: i64, smaller: char| {
        if second == 0 { format!("{first}{unit}") } else { format!("{first}{unit}{second}{smaller}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => two(days, 'd', hours % 24, 'h'),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, expected) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3600, "60m"),
            (4 * 3600 + 60, "4h1m"),
            (47 * 3600, "47h"),
            (49 * 3600, "2d1h"),
            (100 * 86400, "100d"),
            (1000 * 86400, "2y270d"),
            (4000 * 86400, "10y"),
        ] {
            assert_eq!(human(seconds), expected, "{seconds}");
        }
    }
}
