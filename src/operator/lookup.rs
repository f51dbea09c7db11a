//! Reading an object by its name.

use std::fmt::Debug;

use kube::Api;
use serde::de::DeserializeOwned;

use crate::api::object_name::is_object_name;

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
    if is_object_name(name) { api.get_opt(name).await } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;
    use crate::operator::testing;

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
