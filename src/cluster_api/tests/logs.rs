//! Logs of containers, and what a user may do.

use std::sync::Arc;

use futures::{AsyncReadExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SelfSubjectRulesReview,
};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{api, object, pods, refusal};
use crate::cluster_api::{Log, LogLine, LogRequest, LogSource};

/// Says how many lines there are, and two more to come.
pub(super) struct Counting;

fn line(second: i64, text: String) -> LogLine {
    let at = Timestamp::from_second(super::START).unwrap() - SignedDuration::from_secs(10 - second);
    LogLine { at, text: text.into_bytes() }
}

impl LogSource for Counting {
    fn log(&self, request: &LogRequest) -> Option<Log> {
        if request.container == "waits" || request.previous && request.container != "main" {
            return None;
        }
        let word = if request.previous { "before" } else { "line" };
        let there = (1..=3).map(|number| line(number, format!("{word} {number} of {}", request.container)));
        let then = (4..=5).map(|number| line(number, format!("{word} {number}")));
        Some(Log { there: there.collect(), then: stream::iter(then.collect::<Vec<_>>()).boxed() })
    }
}

pub(super) fn pod() -> Pod {
    let container = |name: &str| json!({"name": name, "image": "dask:1"});
    object(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [container("main"), container("side"), container("waits")]},
    }))
}

#[tokio::test(start_paused = true)]
async fn logs_are_those_of_the_source() {
    let api = api();
    let pods = pods(&api);
    pods.create(&PostParams::default(), &pod()).await.unwrap();
    let of = |container: &str| LogParams { container: Some(container.to_owned()), ..LogParams::default() };
    assert_eq!(refusal(pods.logs("p", &of("main")).await).0, 501);
    api.set_log_source(Arc::new(Counting));
    assert_eq!(
        pods.logs("p", &of("main")).await.unwrap(),
        "line 1 of main\nline 2 of main\nline 3 of main\n"
    );
    let tail = LogParams { tail_lines: Some(1), timestamps: true, ..of("side") };
    assert_eq!(pods.logs("p", &tail).await.unwrap(), "2027-01-15T07:59:53Z line 3 of side\n");
    let since = LogParams { since_seconds: Some(8), ..of("side") };
    assert_eq!(pods.logs("p", &since).await.unwrap(), "line 2 of side\nline 3 of side\n");
    let limit = LogParams { limit_bytes: Some(18), ..of("main") };
    assert_eq!(pods.logs("p", &limit).await.unwrap(), "line 1 of main\nlin");
    let previous = |container: &str| LogParams { previous: true, tail_lines: Some(1), ..of(container) };
    assert_eq!(pods.logs("p", &previous("main")).await.unwrap(), "before 3 of main\n");
    let follow = LogParams { follow: true, tail_lines: Some(0), ..of("main") };
    let mut text = String::new();
    pods.log_stream("p", &follow).await.unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "line 4\nline 5\n");
    for (params, message) in [
        (
            LogParams::default(),
            "a container name must be specified for pod p, choose one of: [main side waits]",
        ),
        (of("other"), "container other is not valid for pod p"),
        (of("waits"), "container \"waits\" in pod \"p\" is waiting to start: ContainerCreating"),
        (previous("side"), "previous terminated container \"side\" in pod \"p\" not found"),
    ] {
        let (code, _, said) = refusal(pods.logs("p", &params).await);
        assert_eq!((code, said.as_str()), (400, message));
    }
}

#[tokio::test]
async fn its_user_may_do_everything() {
    let api = api();
    let reviews: Api<SelfSubjectAccessReview> = Api::all(api.client());
    let asked = ResourceAttributes { verb: Some("delete".to_owned()), ..ResourceAttributes::default() };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(asked), ..Default::default() };
    let review = SelfSubjectAccessReview { spec: spec.clone(), ..Default::default() };
    let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
    assert_eq!((answer.status.unwrap().allowed, answer.spec), (true, spec));
    let rules: Api<SelfSubjectRulesReview> = Api::all(api.client());
    let answer = rules.create(&PostParams::default(), &SelfSubjectRulesReview::default()).await.unwrap();
    assert_eq!(answer.name_any(), "");
    assert_eq!(answer.status.unwrap().resource_rules[0].verbs, ["*"]);
    assert_eq!(refusal(reviews.list(&ListParams::default()).await.map(drop)).0, 405);
}
