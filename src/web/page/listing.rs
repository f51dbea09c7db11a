//! Lists that are searched and cut into pages by the server.

use serde::Serialize;

/// Which part of a list is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// How many there are that fit the search.
    pub total: usize,
    /// The number of this part, from 1.
    pub page: usize,
    /// How many parts there are.
    pub pages: usize,
    /// The text that is searched for.
    pub search: String,
    /// The state that is searched for.
    pub state: String,
    /// The Flow of which all are; empty for those of all Flows.
    pub flow: String,
    /// The address of the list with its search, to which the number of a part is added.
    #[serde(skip)]
    pub address: String,
}

impl Listing {
    /// The part that is wanted of this number of things.
    pub fn wanted(wanted: &Wanted, total: usize, size: usize) -> Self {
        let (search, state, flow) = (wanted.search.clone(), wanted.state.clone(), wanted.flow.clone());
        Self { search, state, flow, address: wanted.address.clone(), ..Self::of(total, size, wanted.page) }
    }

    /// Whether this state is searched for.
    pub fn is(&self, state: &str) -> bool {
        self.state == state
    }

    /// The part with this number, as far as there is one.
    fn of(total: usize, size: usize, page: usize) -> Self {
        let pages = total.div_ceil(size.max(1)).max(1);
        Self { total, page: page.clamp(1, pages), pages, ..Self::default() }
    }

    /// Those that are shown of all.
    pub fn part<T>(&self, all: Vec<T>, size: usize) -> Vec<T> {
        all.into_iter().skip((self.page - 1) * size).take(size).collect()
    }

    /// The number of the part before.
    pub fn previous(&self) -> Option<usize> {
        (self.page > 1).then(|| self.page - 1)
    }

    /// The number of the part after.
    pub fn next(&self) -> Option<usize> {
        (self.page < self.pages).then(|| self.page + 1)
    }
}

/// What is asked of a list.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A part of a name, a Flow or a reason; empty for all.
    pub search: String,
    /// A state; empty for all.
    pub state: String,
    /// The whole name of a Flow; empty for all.
    pub flow: String,
    /// The number of the part.
    pub page: usize,
    /// The address of the list with its search, without a part.
    pub address: String,
}

impl Wanted {
    /// Whether this is the Flow that is wanted.
    pub fn is_of(&self, flow: &str) -> bool {
        self.flow.is_empty() || self.flow == flow
    }

    /// Whether one of these texts has the text that is searched for, in any case.
    pub fn finds(&self, texts: &[&str]) -> bool {
        let search = self.search.to_lowercase();
        search.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(&search))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_beyond_the_end_is_the_last_one() {
        let all: Vec<usize> = (0..25).collect();
        let listing = Listing::of(25, 10, 9);
        assert_eq!((listing.page, listing.pages, listing.next(), listing.previous()), (3, 3, None, Some(2)));
        assert_eq!(listing.part(all, 10), [20, 21, 22, 23, 24]);
        let none = Listing::of(0, 10, 0);
        assert_eq!((none.page, none.pages, none.part(Vec::<u8>::new(), 10)), (1, 1, Vec::new()));
    }

    #[test]
    fn a_search_has_no_case() {
        let wanted = Wanted { search: "Etl".into(), ..Wanted::default() };
        assert!(wanted.finds(&["a", "my-etl"]) && !wanted.finds(&["etc"]));
    }
}
