//! Links to where logs are kept longer than pods.

use super::visitor::Visitor;
use crate::client::stage::furnished;

#[tokio::test]
async fn a_run_leads_to_where_its_log_is_kept() {
    let stage = furnished().await;
    let visitor = Visitor::with(stage.cluster.clone(), |options| {
        let link = "https://logs.example/?q=${namespace}/${run}&from=${startedAtEpoch}&to=${finishedAtEpoch}";
        options.links.logs = Some(link.to_owned());
    })
    .await;
    let (succeeded, failed) = ("nightly-report-20251006t000000", "nightly-report-20251007t000000");
    let (from, to) = (stage.ago(8 * 3600 + 1800), stage.ago(8 * 3600 + 1700));
    let kept = format!(
        "href=\"https://logs.example/?q=default/{succeeded}&#38;from={}&#38;to={}\" rel=\"noreferrer noopener\"",
        from.as_millisecond(),
        to.as_millisecond()
    );
    // Its pod is deleted: the link stands beside the log, and in its place.
    let page = visitor.page(&format!("/runs/default/{succeeded}")).await.text;
    assert_eq!(page.matches(&kept).count(), 2, "{kept}: {page}");
    assert!(page.contains("Its pods are deleted."), "{page}");
    for there in [failed, "nightly-report-now-8kfpz", "nightly-report-now-w4c2d"] {
        let page = visitor.page(&format!("/runs/default/{there}")).await.text;
        assert_eq!(page.matches("href=\"https://logs.example/").count(), 1, "{there}: {page}");
        assert!(!page.contains("Its pods are deleted."), "{there}: {page}");
    }
    let plain = Visitor::new(stage.cluster.clone()).await;
    let page = plain.page(&format!("/runs/default/{succeeded}")).await.text;
    assert!(!page.contains("Its pods are deleted.") && !page.contains("Where logs are kept"), "{page}");
}
