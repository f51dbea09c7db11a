//! Which known word was meant.

/// The word of `known` that is nearest to `word`, if it is near enough to have been meant.
pub fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word of three letters has nothing in common with most that differ in two.
    let limit = if word.chars().count() < 5 { 1 } else { 2 };
    let distances = known.into_iter().map(|other| (distance(word, other), other));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, other)| other)
}

/// How many characters must be typed, left out, replaced or exchanged with their neighbour to make one word
/// of the other, capitals aside.
fn distance(one: &str, other: &str) -> usize {
    strsim::osa_distance(&one.to_lowercase(), &other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_recognised() {
        let known = ["schedule", "spec", "cluster", "concurrency", "startAt", "env"];
        for (word, meant) in [
            ("schedul", Some("schedule")),
            ("shcedule", Some("schedule")),
            ("startat", Some("startAt")),
            ("specs", Some("spec")),
            ("enw", Some("env")),
            ("nev", Some("env")),
            ("every", None),
            ("", None),
        ] {
            assert_eq!(similar(word, known), meant, "{word}");
        }
    }
}
