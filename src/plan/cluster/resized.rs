//! The words of an event about a group whose size the autoscaler changed. Whoever shows events reads the
//! sizes from them; nothing is decided by that.

use std::fmt;
use std::str::FromStr;

/// A change of a group's size, as the event with the reason `WorkersScaled` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resized {
    /// The group's name.
    pub group: String,
    /// How many workers it had to have.
    pub before: usize,
    /// How many it has to have since.
    pub after: usize,
}

impl fmt::Display for Resized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the group {} goes from {} to {} workers", self.group, self.before, self.after)
    }
}

/// That a text is not of such an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherText;

impl FromStr for Resized {
    type Err = OtherText;

    fn from_str(text: &str) -> Result<Self, OtherText> {
        let sizes = text.strip_prefix("the group ").and_then(|rest| rest.strip_suffix(" workers"));
        let (group, sizes) = sizes.and_then(|rest| rest.rsplit_once(" goes from ")).ok_or(OtherText)?;
        let (before, after) = sizes.split_once(" to ").ok_or(OtherText)?;
        let size = |text: &str| text.parse().map_err(|_| OtherText);
        Ok(Self { group: group.to_owned(), before: size(before)?, after: size(after)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_what_is_written() {
        let gpu = Resized { group: "gpu".into(), before: 0, after: 12 };
        assert_eq!(gpu.to_string().parse(), Ok(gpu));
        for other in ["", "the group a goes from 1 to workers", "3 worker pods of the group a are created"] {
            assert_eq!(other.parse::<Resized>(), Err(OtherText), "{other}");
        }
    }
}
