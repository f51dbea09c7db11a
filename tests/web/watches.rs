//! Watches are shared by the tabs of a user, and end after the last one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::many::Lists;
use super::visitor::Visitor;
use crate::client::stage::furnished;

#[tokio::test(start_paused = true)]
async fn tabs_share_their_watches_which_end_a_minute_after_the_last() {
    let lists = Lists::default();
    let visitor = Visitor::new(lists.cluster()).await;
    let counts = || (lists.asked.load(Ordering::Relaxed), lists.watches.load(Ordering::Relaxed));
    for path in ["/", "/runs", "/clusters", "/attention", "/"] {
        visitor.page(path).await;
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(), (4, 4), "one list and one watch of each kind");
    // A tab that is open keeps them.
    let tab = visitor.open("/live?namespace=default&seen=0").await;
    sleep(Duration::from_secs(200)).await;
    assert_eq!(counts(), (4, 4));
    drop(tab);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(counts().1, 4);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(counts(), (4, 0), "the last tab was closed 80 s ago");
    visitor.page("/").await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(), (8, 4));
    // All namespaces have those of each.
    visitor.page("/?namespace=").await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(), (12, 8));
    visitor.page("/?namespace=other").await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(counts(), (12, 8));
}

#[tokio::test]
async fn a_namespace_shows_its_own_objects_while_all_are_watched() {
    let visitor = Visitor::new(furnished().await.cluster).await;
    for (list, objects) in [("/", "flows"), ("/runs", "runs"), ("/clusters", "clusters")] {
        for (namespace, has_some) in [("", true), ("elsewhere", false), ("default", true)] {
            let page = visitor.json(&format!("{list}?namespace={namespace}")).await;
            let some = page[objects].as_array().is_some_and(|some| !some.is_empty());
            assert_eq!(some, has_some, "{list} of {namespace:?}: {page}");
        }
    }
    let page = visitor.page("/?namespace=elsewhere").await.text;
    assert!(!page.contains("nightly-report"), "{page}");
}

#[tokio::test]
async fn what_can_be_no_namespace_is_refused() {
    let visitor = Visitor::new(furnished().await.cluster).await;
    for path in ["/?namespace=Team", "/runs?namespace=a.b", "/live?namespace=Team&seen=0"] {
        let refused = visitor.get(path).await;
        let words = "is no name of a namespace: write at most 63 lower-case letters";
        assert!(refused.code == 400 && refused.text.contains(words), "{path}: {}", refused.text);
    }
}
