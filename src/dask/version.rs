//! The release of a scheduler, as a calendar version that can be compared.
//!
//! It is not a full Python version: what follows the three numbers (`+3.gabc`, `rc1`) is dropped, because no
//! rule here depends on it.
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::str::FromStr;

/// A calendar version of `distributed`: year, month, release of the month. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The year, such as 2026.
    pub year: u32,
    /// The month, from 1 to 12 in releases.
    pub month: u32,
    /// The number of the release in its month, from 0.
    pub release: u32,
}

/// `check_idle` answers the truth from here on; two releases before it had the op and nearly always said
/// "not idle" (measured on 2023.3.2 and 2023.4.1).
pub const CHECK_IDLE_SINCE: Version = Version::new(2023, 4, 1);

/// `check_idle` looks anew by itself from here on, four times a second; before, only when it is asked
/// (source).
pub const CHECK_IDLE_BY_ITSELF_SINCE: Version = Version::new(2024, 1, 0);

/// `dump_state` leaves out what it is told to from here on. One release before, 200 tasks cost 2.5 MB and 350
/// ms of the scheduler's time whatever was excluded (measured).
pub const DUMP_STATE_SINCE: Version = Version::new(2022, 2, 1);

/// A worker is closed to new tasks from here on ([`Retirement::closing`](super::Retirement::closing)).
/// Schedulers obey from 2022.2.0 on (measured), but not before this release do they leave workers within a
/// P2P shuffle out of those that may close, and tasks of the shuffle that are bound to a closed worker never
/// begin. Heartbeats tell what a worker runs since 2022.10.2 (source). Up to 2022.8.1 a closed worker still
/// counts as idle, so that it may be given what it steals (source).
pub const CLOSES_TO_TASKS_SINCE: Version = Version::new(2024, 4, 2);

/// `identity` takes `n_workers` and tells totals from here on; earlier ones refuse the argument (source).
pub const TOTALS_SINCE: Version = Version::new(2025, 4, 0);

/// The text is no version: it does not begin with a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a calendar version such as 2026.8.0")]
pub struct VersionError {
    /// The beginning of the text.
    pub text: String,
}

impl Version {
    /// The version of these three numbers.
    pub const fn new(year: u32, month: u32, release: u32) -> Self {
        Self { year, month, release }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `2026.8.0`, `2022.02.0`, `2022.2`, `2024.1.0+3.gabc`: numbers that are not there count as 0.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let refused = || VersionError { text: text.chars().take(40).collect() };
        let mut parts = text.trim().split('.');
        let year = parts.next().and_then(leading_number).ok_or_else(refused)?;
        let month = parts.next().and_then(leading_number).unwrap_or(0);
        let release = parts.next().and_then(leading_number).unwrap_or(0);
        Ok(Self { year, month, release })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.year, self.month, self.release)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The number that a part of a version begins with.
fn leading_number(part: &str) -> Option<u32> {
    let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    part.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn calendar_versions_are_read_as_numbers() {
        let cases = [
            ("2026.8.0", (2026, 8, 0)),
            ("2022.02.0", (2022, 2, 0)),
            ("2021.06.0", (2021, 6, 0)),
            ("2022.2", (2022, 2, 0)),
            ("2024.1.0+12.gdeadbee", (2024, 1, 0)),
            ("2024.1.1rc2", (2024, 1, 1)),
            (" 2.30.1 ", (2, 30, 1)),
        ];
        for (text, (year, month, release)) in cases {
            assert_eq!(text.parse(), Ok(Version::new(year, month, release)), "{text}");
        }
        for text in ["", "unknown", "v2024.1.0", ".2", "99999999999.1"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn order_is_by_year_then_month_then_release() {
        let mut versions = ["2023.10.0", "2023.4.1", "2022.12.1", "2023.4.0", "2023.9.0"]
            .map(|text| text.parse::<Version>().unwrap());
        versions.sort_unstable();
        let sorted = versions.map(|version| version.to_string());
        assert_eq!(sorted, ["2022.12.1", "2023.4.0", "2023.4.1", "2023.9.0", "2023.10.0"]);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(year: u32, month: u32, release: u32) {
            let version = Version::new(year, month, release);
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = text.parse::<Version>();
        }
    }
}
