//! What an object can be called.

/// The longest name of an object, in bytes.
const BYTES_MAX: usize = 253;
/// The longest name of a namespace.
const LABEL_BYTES_MAX: usize = 63;

/// Whether an object of a kind of ours can be called so: a DNS subdomain, RFC 1123. Names of some of
/// Kubernetes' own kinds may have other characters.
pub fn is_object_name(name: &str) -> bool {
    name.len() <= BYTES_MAX && name.split('.').all(is_label)
}

/// Whether a namespace can be called so: a DNS label, RFC 1123.
pub fn is_namespace_name(name: &str) -> bool {
    name.len() <= LABEL_BYTES_MAX && is_label(name)
}

/// What is said of a name that no namespace can have.
pub fn no_namespace(name: &str) -> String {
    format!(
        "{name:?} is no name of a namespace: write at most {LABEL_BYTES_MAX} lower-case letters, digits and '-', \
         with a letter or a digit at both ends"
    )
}

fn is_label(label: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_inner = |c: char| is_outer(c) || c == '-';
    label.starts_with(is_outer) && label.ends_with(is_outer) && label.chars().all(is_inner)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("there", true)]
    #[case("a.b-c.1", true)]
    #[case("0", true)]
    #[case("", false)]
    #[case(".", false)]
    #[case("..", false)]
    #[case("a..b", false)]
    #[case("a/b", false)]
    #[case("../../other/secrets/theirs", false)]
    #[case("a?watch=true", false)]
    #[case("a%2fb", false)]
    #[case("A", false)]
    #[case("a b", false)]
    #[case("-a", false)]
    #[case("a-.b", false)]
    #[case("ä", false)]
    fn only_names_of_objects_are_names(#[case] name: &str, #[case] is: bool) {
        assert_eq!(is_object_name(name), is);
        assert!(!is_object_name(&"a".repeat(254)));
    }

    #[rstest]
    #[case("team-1", true)]
    #[case("1", true)]
    #[case("Team", false)]
    #[case("Bad_NS", false)]
    #[case("a.b", false)]
    #[case("-a", false)]
    #[case("", false)]
    fn only_names_of_namespaces_are_theirs(#[case] name: &str, #[case] is: bool) {
        assert_eq!(is_namespace_name(name), is);
        assert!(is_namespace_name(&"a".repeat(63)) && !is_namespace_name(&"a".repeat(64)));
    }
}
