//! Watches are shared by the tabs of a user, and end after the last one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::many::Lists;
use super::visitor::Visitor;

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
