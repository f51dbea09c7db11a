//! An error in words.

/// An error with all that caused it, in one line. Some print their cause as well, and kube's the whole Status
/// of the API server after that: of each only its own words are taken.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let words = error.to_string();
        let cause = next.map(ToString::to_string).filter(|cause| !cause.is_empty());
        let own = cause.and_then(|cause| words.split_once(&cause)).map_or(words.as_str(), |(own, _)| own);
        let own = own.trim_end_matches([':', ' ']);
        let between = if text.is_empty() || own.is_empty() { "" } else { ": " };
        text.push_str(between);
        text.push_str(own);
    }
    text
}
