//! Uids and the ends of generated names: as random as they look, and the same for the same seed.

/// Gives one after the other.
#[derive(Clone, Debug)]
pub(super) struct Names {
    state: u64,
    number: u64,
}

/// The characters of generated names: no vowels, so that no words come about (as in Kubernetes'
/// `rand.String`).
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Names {
    /// Names of this seed, and numbers from 1 on.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, number: 0 }
    }

    /// The same, whose next number comes after this one.
    pub fn after(seed: u64, number: u64) -> Self {
        Self { number, ..Self::new(seed) }
    }

    /// The next number of a sequence that is not random.
    pub fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A uid in the form of RFC 4122, version 4.
    pub fn uid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }

    /// Five characters.
    pub fn suffix(&mut self) -> String {
        let count = LETTERS.len() as u64;
        let mut bits = self.next();
        let mut text = String::new();
        for _ in 0..5 {
            let place = usize::try_from(bits % count).unwrap_or_default();
            text.extend(LETTERS.get(place).map(|letter| char::from(*letter)));
            bits /= count;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_differ_and_follow_from_the_seed() {
        let of = |seed| {
            let mut names = Names::new(seed);
            (0..1000).map(|_| names.uid()).collect::<Vec<_>>()
        };
        assert_eq!(of(1), of(1));
        assert_eq!(of(1).into_iter().chain(of(2)).collect::<BTreeSet<_>>().len(), 2000);
        assert!(of(3).iter().all(|uid| uid.len() == 36 && uid.split('-').count() == 5));
        let mut names = Names::new(1);
        let ends: BTreeSet<String> = (0..100).map(|_| names.suffix()).collect();
        assert!(ends.len() > 95 && ends.iter().all(|end| end.len() == 5), "{ends:?}");
    }
}
