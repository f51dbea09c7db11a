//! The way to the place in an object that is being looked at. It costs nothing until something is said there.

use crate::plan::field::{FieldPath, Step};

/// A way from the root of an object, as a chain of steps back to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way<'a> {
    /// The object itself.
    Root,
    /// Into a field of an object, or a key of a map.
    Field(&'a Way<'a>, &'a str),
    /// Into an item of a list, counted from 0.
    Item(&'a Way<'a>, usize),
}

impl Way<'_> {
    /// The way into a field of what is here.
    pub fn field<'a>(&'a self, name: &'a str) -> Way<'a> {
        Way::Field(self, name)
    }

    /// The way into an item of what is here.
    pub fn item(&self, index: usize) -> Way<'_> {
        Way::Item(self, index)
    }

    /// The path as findings have it.
    pub fn path(&self) -> FieldPath {
        match self {
            Self::Root => FieldPath::default(),
            Self::Field(before, name) => before.path().field(name),
            Self::Item(before, index) => before.path().join(Step::Item(*index)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_written_as_a_path() {
        let spec = Way::Root.field("spec");
        let clocks = spec.field("clocks");
        let clock = clocks.item(1);
        assert_eq!(clock.field("cron").path().to_string(), "spec.clocks[1].cron");
    }
}
