//! Reading an object by its name.

use std::fmt::Debug;

use kube::Api;
use serde::de::DeserializeOwned;

/// The longest name of an object: a DNS subdomain, RFC 1123.
const NAME_BYTES_MAX: usize = 253;

/// The object of this name, if there is one. The name may be one that somebody wrote into a spec: what no
/// object can be called is not asked for, because kube makes the name a part of the request's path as it is,
/// and `a/b` would read a subresource, with the rights of the operator.
///
/// # Errors
/// As [`Api::get_opt`].
#[allow(clippy::disallowed_methods, reason = "here names are looked at first")]
pub(super) async fn by_name<K>(api: &Api<K>, name: &str) -> kube::Result<Option<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    if is_name(name) { api.get_opt(name).await } else { Ok(None) }
}

/// Whether an object can be called so: letters, digits, `-` and `.`, neither of them at an end. Names of some
/// of Kubernetes' own kinds may have other characters; the operator reads none of them.
fn is_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(is_end)
        && name.ends_with(is_end)
        && name.chars().all(is_inner)
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use rstest::rstest;

    use super::*;
    use crate::operator::testing;

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
    #[case("ä", false)]
    fn only_names_of_objects_are_names(#[case] name: &str, #[case] is: bool) {
        assert_eq!(is_name(name), is);
        assert!(!is_name(&"a".repeat(254)));
    }

    #[tokio::test]
    async fn what_is_no_name_is_not_asked_for() {
        let (context, server, _wakes) = testing::context(0);
        let (asked, _serving) =
            testing::serve(server, |_| (200, serde_json::json!({"metadata": {"name": "x"}})));
        let api: Api<Secret> = Api::namespaced(context.client.clone(), "mine");
        assert!(by_name(&api, "../../other/secrets/theirs").await.unwrap().is_none());
        assert!(by_name(&api, "a?watch=true").await.unwrap().is_none());
        assert_eq!(asked.all(), Vec::<String>::new());
        assert!(by_name(&api, "there").await.unwrap().is_some());
        assert_eq!(asked.all().len(), 1);
    }
}
