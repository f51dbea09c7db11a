//! Which known word was meant.

/// The word of `known` that is nearest to `word`, if it is near enough to have been meant.
pub fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A word of three letters has nothing in common with most that differ in two.
    let limit = if word.chars().count() < 5 { 1 } else { 2 };
    let distances = known.into_iter().map(|other| (distance(word, other), other));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, other)| other)
}

/// How many characters must be typed, left out or replaced to make one word of the other (Levenshtein),
/// capitals aside.
fn distance(one: &str, other: &str) -> usize {
    let target: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=target.len()).collect();
    for (line, letter) in one.to_lowercase().chars().enumerate() {
        let mut next = vec![line + 1];
        let mut left = line + 1;
        for (above, wanted) in row.windows(2).zip(&target) {
            let [corner, up] = above else { continue };
            left = (corner + usize::from(letter != *wanted)).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
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
            ("every", None),
            ("", None),
        ] {
            assert_eq!(similar(word, known), meant, "{word}");
        }
    }
}
