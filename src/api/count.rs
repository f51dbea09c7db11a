//! Counts that users write: whole numbers that are never below a least one.
//!
//! The API server keeps a number of 32 bits with a sign, and limits it to the range of its field. What an
//! older CRD may have let through is read as the nearest that makes sense, once, when its object is decoded:
//! a planner is given a value, and chooses no default of its own.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A count that is `LEAST` or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count<const LEAST: u32 = 0>(u32);

impl<const LEAST: u32> Count<LEAST> {
    /// This many, or the least where that is more.
    pub const fn new(count: u32) -> Self {
        Self(if count < LEAST { LEAST } else { count })
    }

    /// The count.
    pub fn get(self) -> u32 {
        self.0
    }

    /// The count, as what is compared with the lengths of lists.
    pub fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Default for Count {
    fn default() -> Self {
        Self(0)
    }
}

impl<const LEAST: u32> From<u32> for Count<LEAST> {
    fn from(count: u32) -> Self {
        Self::new(count)
    }
}

impl<const LEAST: u32> fmt::Display for Count<LEAST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const LEAST: u32> Serialize for Count<LEAST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de, const LEAST: u32> Deserialize<'de> for Count<LEAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = i32::deserialize(deserializer)?;
        Ok(u32::try_from(count).unwrap_or(0).into())
    }
}

impl<const LEAST: u32> JsonSchema for Count<LEAST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        i32::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_once_and_never_below_its_least() {
        let read = |text| serde_json::from_str::<Count<1>>(text).ok().map(Count::get);
        assert_eq!([read("3"), read("0"), read("-2")], [Some(3), Some(1), Some(1)]);
        assert_eq!(read("3000000000"), None, "more than the API server keeps");
        assert_eq!(read("1.5"), None);
        assert_eq!(serde_json::to_string(&Count::<1>::from(7)).unwrap(), "7");
        assert_eq!((Count::<1>::from(0).size(), Count::default().size()), (1, 0));
    }
}
