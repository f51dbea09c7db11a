//! Live pages in a real browser: how many connections they have, and that they outlive a server that is away.
//!
//! It takes ten seconds. Without a browser it is left out, as the rest of [`super::browser`].

use serde_json::json;

use super::browser::{Tab, page, program};
use crate::client::stage::{furnished, runner};

/// Counts the streams of a page, and spoils the next ones or the next pages where a test says so.
const COUNTS: &str = "
window.streams = []; window.spoilt = 0; window.pages = 0;
const Real = window.EventSource;
window.EventSource = class extends Real {
  constructor(address) {
    super(window.spoilt > 0 ? '/healthz' : address);
    window.spoilt -= 1;
    window.streams.push(this);
  }
};
const real = window.fetch;
window.fetch = (...all) => {
  if (window.pages <= 0) return real(...all);
  window.pages -= 1;
  return Promise.resolve(new Response('', {status: 503}));
};
window.open_streams = () => window.streams.filter((one) => one.readyState != Real.CLOSED).length;
window.hide = (hidden) => {
  Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
  document.dispatchEvent(new Event('visibilitychange'));
};
";

#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_has_two_streams_and_outlives_an_outage() {
    let Some(program) = program() else { return };
    let stage = furnished().await;
    let name = "nightly-report-now-w4c2d";
    let running = |message: &str| {
        json!({
            "phase": "Running", "reason": "RunnerRunning", "attempt": 1, "startedAt": stage.now, "message": message,
        })
    };
    // It runs, and has written nothing yet.
    stage.put(0, runner(name, 1, "Running")).await;
    let pod = format!("{name}-1");
    let _more = stage.logs.more(&pod);
    stage.set_run(name, &running("step 0")).await;
    let (base, url, _server) = page(&stage).await;
    let mut tab = Tab::open(&program).await;
    tab.ask("Page.addScriptToEvaluateOnNewDocument", json!({"source": COUNTS})).await;
    tab.go(&url).await;
    tab.go(&format!("{base}/runs/default/{name}")).await;
    tab.until("window.open_streams() == 2").await;
    tab.eval("window.mark = 'the same page'").await;
    for step in 1..4 {
        let message = format!("step {step}");
        stage.set_run(name, &running(&message)).await;
        tab.until(&format!("document.querySelector('#head').innerText.includes('{message}')")).await;
        assert_eq!(
            tab.eval("[window.streams.length, window.open_streams()]").await,
            json!([2, 2]),
            "{message}"
        );
    }
    // A tab that is not seen has none, and is up to date once it is seen.
    tab.eval("window.hide(true)").await;
    assert_eq!(tab.eval("window.open_streams()").await, json!(0));
    stage.set_run(name, &running("unseen")).await;
    tab.eval("window.hide(false)").await;
    tab.until("document.querySelector('#head').innerText.includes('unseen')").await;
    tab.until("window.open_streams() == 2").await;
    // Answers that are none: the page stays, and is live again.
    tab.eval("window.hide(true); window.spoilt = 2; window.pages = 1; window.hide(false)").await;
    tab.until("document.querySelector('#news').innerText.includes('No longer live')").await;
    assert!(tab.eval("document.querySelector('#head').innerText").await.as_str().unwrap().contains("unseen"));
    tab.until("window.spoilt <= 0 && window.pages <= 0 && window.open_streams() == 2").await;
    stage.set_run(name, &running("back")).await;
    tab.until("document.querySelector('#head').innerText.includes('back')").await;
    tab.until("document.querySelector('#news').innerText == ''").await;
    stage.logs.write(&pod, stage.now, "a line at last");
    tab.until("document.querySelector('#lines').innerText.includes('a line at last')").await;
    assert_eq!(tab.eval("window.mark").await, json!("the same page"));
}
