//! `$(NAME)` in commands, arguments and values, as the kubelet expands it:
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>

/// Puts the values of variables in the place of `$(NAME)`. Names that are not known stay as they are, and two
/// dollars are one.
pub fn expand(text: &str, variables: &[(String, String)]) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|name| name.split_once(')')) {
            // The last one of a name counts.
            match variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_expanded_and_dollars_halved() {
        let variables = [("A", "1"), ("B", "$(A)")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (text, wanted) in [
            ("plain", "plain"),
            ("$(A)-$(B)", "1-$(A)"),
            ("$(C)", "$(C)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)$", "$1$"),
            ("$A $(A", "$A $(A"),
            ("é$(A)é", "é1é"),
        ] {
            assert_eq!(expand(text, &variables), wanted, "{text}");
        }
    }
}
