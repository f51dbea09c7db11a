//! Lists: selectors, pages, and other forms.

use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::{api, create, pods, refusal};
use crate::api::Flow;

#[tokio::test(start_paused = true)]
async fn lists_are_selected() {
    let api = api();
    create(&api, &["a", "b", "c"]).await;
    let names = async |params: ListParams| -> Vec<String> {
        pods(&api).list(&params).await.unwrap().iter().map(ResourceExt::name_any).collect()
    };
    assert_eq!(names(ListParams::default()).await, ["a", "b", "c"]);
    assert_eq!(names(ListParams::default().labels("app in (a,c)")).await, ["a", "c"]);
    assert_eq!(
        names(ListParams::default().fields("metadata.name!=a,status.phase=Pending")).await,
        ["b", "c"]
    );
    let metadata = pods(&api).list_metadata(&ListParams::default().labels("app=b")).await.unwrap();
    assert_eq!(metadata.items[0].name_any(), "b");
    let flows: Api<Flow> = Api::all(api.client());
    assert!(flows.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(refusal(flows.list(&ListParams::default().fields("spec.image=x")).await).0, 400);
}

#[tokio::test(start_paused = true)]
async fn pages_are_of_one_version_until_it_is_too_old() {
    let api = api();
    create(&api, &["a", "b", "c", "d"]).await;
    let first = pods(&api).list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(2));
    let next = first.metadata.continue_.clone().unwrap();
    pods(&api).delete("c", &kube::api::DeleteParams::default()).await.unwrap();
    create(&api, &["e"]).await;
    let second = pods(&api).list(&ListParams::default().continue_token(&next)).await.unwrap();
    let names: Vec<String> = second.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["c", "d"]);
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(second.metadata.continue_, None);
    api.compact();
    let (code, reason, _) = refusal(pods(&api).list(&ListParams::default().continue_token(&next)).await);
    assert_eq!((code, reason.as_str()), (410, "Expired"));
    assert_eq!(refusal(pods(&api).list(&ListParams::default().continue_token("odd")).await).0, 400);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_before_and_one_of_the_future() {
    let api = api();
    create(&api, &["a"]).await;
    let before = api.version().to_string();
    create(&api, &["b"]).await;
    let exact = ListParams::default().at(&before).matching(kube::api::VersionMatch::Exact);
    assert_eq!(pods(&api).list(&exact).await.unwrap().items.len(), 1);
    let late = ListParams::default().at("100000").matching(kube::api::VersionMatch::NotOlderThan);
    let (code, reason, message) = refusal(pods(&api).list(&late).await);
    assert_eq!((code, reason.as_str()), (504, "Timeout"));
    assert!(message.starts_with("Too large resource version"), "{message}");
}
