//! Watches, by themselves and through kube's watcher and reflector.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use serde_json::json;
use tokio::time::timeout;

use super::{api, create, pods};

/// A watch event in two words.
fn words(event: &WatchEvent<Pod>) -> String {
    match event {
        WatchEvent::Added(pod) => format!("added {}", pod.name_any()),
        WatchEvent::Modified(pod) => format!("modified {}", pod.name_any()),
        WatchEvent::Deleted(pod) => format!("deleted {}", pod.name_any()),
        WatchEvent::Bookmark(_) => "bookmark".to_owned(),
        WatchEvent::Error(status) => format!("error {}", status.code),
    }
}

async fn next<T>(events: &mut (impl Stream<Item = T> + Unpin)) -> T {
    timeout(Duration::from_secs(5), events.next()).await.expect("no event").expect("the end")
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_told_from_a_version_on() {
    let api = api();
    create(&api, &["a"]).await;
    let from = api.version().to_string();
    create(&api, &["b"]).await;
    let params = WatchParams::default().labels("app=b").timeout(200);
    let mut events = pin!(pods(&api).watch(&params, &from).await.unwrap().map_ok(|event| words(&event)));
    assert_eq!(next(&mut events).await.unwrap(), "added b");
    create(&api, &["c"]).await;
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"x": "y"}}}));
    pods(&api).patch("b", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), "modified b");
    // It leaves the selection, and comes back.
    for (label, told) in [("other", "deleted b"), ("b", "added b")] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"app": label}}}));
        pods(&api).patch("b", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(next(&mut events).await.unwrap(), told);
    }
    pods(&api).delete("b", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap(), "deleted b");
    // Three minutes of silence, with a word each minute, and one at the end.
    let rest: Vec<String> = events.try_collect().await.unwrap();
    assert_eq!(rest, ["bookmark"; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_after_a_day() {
    let api = api();
    let path = format!("/api/v1/namespaces/default/pods?watch=true&timeoutSeconds={}", u64::MAX);
    let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
    let began = tokio::time::Instant::now();
    let answer = tower::ServiceExt::oneshot(api, request).await.unwrap();
    assert_eq!(axum::body::to_bytes(answer.into_body(), 1).await.unwrap().len(), 0);
    assert_eq!(began.elapsed().as_secs(), 24 * 3600);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_is_refused_in_the_stream() {
    let api = api();
    let from = api.version().to_string();
    create(&api, &["a"]).await;
    api.compact();
    let events = pods(&api).watch(&WatchParams::default(), &from).await.unwrap();
    let told: Vec<String> = events.map_ok(|event| words(&event)).try_collect().await.unwrap();
    assert_eq!(told, ["error 410"]);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_follows_over_broken_watches_and_forgotten_versions() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let api = api();
        create(&api, &["a"]).await;
        let (reader, writer) = reflector::store();
        let events = watcher(pods(&api), config).default_backoff().reflect(writer);
        let following = tokio::spawn(events.for_each(|_| async {}));
        reader.wait_until_ready().await.unwrap();
        let names = || {
            let mut names: Vec<String> = reader.state().iter().map(|pod| pod.name_any()).collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["a"]);
        create(&api, &["b"]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(names(), ["a", "b"]);
        api.break_watches();
        pods(&api).delete("a", &DeleteParams::default()).await.unwrap();
        api.compact();
        create(&api, &["c"]).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(names(), ["b", "c"]);
        following.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_version_begins_with_what_is_there() {
    let api = api();
    create(&api, &["a", "b"]).await;
    let mut events =
        pin!(pods(&api).watch(&WatchParams::default(), "0").await.unwrap().map_ok(|event| words(&event)));
    assert_eq!(next(&mut events).await.unwrap(), "added a");
    assert_eq!(next(&mut events).await.unwrap(), "added b");
    let metadata = pods(&api).watch_metadata(&WatchParams::default(), "0").await.unwrap();
    let mut metadata = pin!(metadata);
    assert!(matches!(next(&mut metadata).await.unwrap(), WatchEvent::Added(one) if one.name_any() == "a"));
}
