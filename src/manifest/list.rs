//! Lists of objects, as `kubectl get -o yaml` and an API server print them.

use serde_json::Value;

use super::yaml::{Content, Entry, Node};

/// The objects of a list; none where this is no list.
///
/// One of a single kind (`DaskClusterList`) says of all its objects what they are: they are given the words.
pub(super) fn items(list: &Node) -> Option<Vec<Node>> {
    let kind = list.word("kind")?.strip_suffix("List")?;
    let Content::List(items) = &list.get("items")?.value.content else { return None };
    let mut items = items.clone();
    if !kind.is_empty() {
        let version = list.word("apiVersion").unwrap_or_default();
        for item in &mut items {
            let line = item.line;
            let missing = [("kind", kind), ("apiVersion", version)];
            let missing = missing.into_iter().filter(|(field, _)| item.get(field).is_none());
            let missing: Vec<Entry> = missing.map(|(field, word)| entry(field, word, line)).collect();
            if let Content::Map(entries) = &mut item.content {
                entries.extend(missing);
            }
        }
    }
    Some(items)
}

fn entry(field: &str, word: &str, line: usize) -> Entry {
    Entry {
        key: field.to_owned(),
        line,
        value: Node { line, content: Content::Scalar(Value::String(word.to_owned())) },
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;

    #[test]
    fn the_objects_of_a_list_of_one_kind_are_of_that_kind() {
        let of = |kind: &str, item: &str| {
            let text = format!(
                "apiVersion: daskflow.dev/v1alpha1\nkind: {kind}\nitems:\n- metadata: {{name: a}}\n{item}"
            );
            let checked = check(&text);
            (checked.manifests.len(), checked.others, checked.faults.len())
        };
        assert_eq!(of("DaskClusterList", ""), (1, 0, 0));
        assert_eq!(
            of("DaskClusterList", "  kind: Secret\n  apiVersion: v1\n"),
            (0, 1, 0),
            "its own words count"
        );
        assert_eq!(of("List", ""), (0, 0, 2), "nothing says what it is");
    }
}
