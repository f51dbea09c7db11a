//! Who may come in, and what is no request of a page of ours.

use daskflow::web::{Door, router};
use http::Method;
use serde_json::json;

use super::visitor::{HOST, Visitor, ask, options, read, request};
use crate::client::stage::{RUNS, Stage, furnished};

#[tokio::test]
async fn the_address_opens_once_in_one_browser() {
    let (options, path) = options(Stage::empty().cluster);
    let router = router(options);
    let get = async |path: &str, cookie: &str| {
        let headers = [("host", HOST), ("cookie", cookie)];
        read(ask(&router, request(Method::GET, path, &headers, "")).await).await
    };
    for closed in ["/", "/?token=", "/?token=0123", "/runs/default/a", "/live", "/?format=json"] {
        let cookies = [
            ("", "opens with the token that daskflow printed"),
            ("daskflow-8480=of-an-earlier-start", "take the new address from the terminal"),
        ];
        for (cookie, said) in cookies {
            let answer = get(closed, cookie).await;
            assert_eq!(answer.code, 401, "{closed}");
            assert!(answer.text.contains(said), "{}", answer.text);
            assert!(answer.text.contains("start `daskflow ui` again for another one"), "{}", answer.text);
        }
    }
    // A program that only looks whether there is something uses nothing up.
    let head = request(Method::HEAD, &path, &[("host", HOST)], "");
    assert_eq!(read(ask(&router, head).await).await.code, 401);
    let opened = get(&path.replace("/?", "/runs?q=a&"), "").await;
    assert_eq!((opened.code, opened.header("location")), (303, "/runs?q=a"));
    let cookie = opened.header("set-cookie").to_owned();
    assert!(
        cookie.starts_with("daskflow-8480=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(get(&path, "").await.code, 401, "a second browser");
    assert_eq!(get(&path, cookie).await.code, 303, "the same one opens the address again");
    assert_eq!(get("/", cookie).await.code, 200);
    // Without a secret there is only what says nothing.
    for file in ["/style.css", "/page.js", "/icon.svg", "/healthz"] {
        let answer = get(file, "").await;
        assert_eq!((answer.code, answer.header("x-content-type-options")), (200, "nosniff"), "{file}");
    }
}

#[tokio::test]
async fn another_address_is_had_from_the_command_that_serves_the_page() {
    let (mut given, _) = options(Stage::empty().cluster);
    let Door::Loopback(loopback) = given.door else { panic!() };
    given.door = Door::Loopback(loopback.with_another_by("`daskflow ui --local`"));
    let answer = read(ask(&router(given), request(Method::GET, "/", &[("host", HOST)], "")).await).await;
    assert!(answer.text.contains("start `daskflow ui --local` for another one"), "{}", answer.text);
}

#[tokio::test]
async fn other_names_and_forms_of_other_sites_are_refused() {
    let stage = furnished().await;
    let visitor = Visitor::new(stage.cluster.clone()).await;
    let page = visitor.page("/flows/default/nightly-report").await.text;
    let token = page.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = format!("form={token}");
    let ours = ("origin", "http://127.0.0.1:8480");
    let path = "/flows/default/nightly-report/suspend";
    for (headers, form, why) in [
        (vec![], form.as_str(), "no origin"),
        (vec![("origin", "null")], &form, "a sandbox"),
        (vec![("origin", "http://127.0.0.1:8481")], &form, "another port"),
        (vec![("origin", "https://evil.example")], &form, "another site"),
        (vec![ours, ("sec-fetch-site", "cross-site")], &form, "another site, as the browser says"),
        (vec![ours], "", "no token"),
        (vec![ours], "form=0123", "another token"),
    ] {
        let answer = visitor.post(path, form, &headers).await;
        assert_eq!(answer.code, 403, "{why}: {}", answer.text);
    }
    let flow = "/apis/daskflow.dev/v1alpha1/namespaces/default/flows/nightly-report";
    assert_eq!(stage.get(flow).await["spec"]["suspend"], json!(false));
    assert_eq!(visitor.post(path, &form, &[ours]).await.code, 303);
    assert_eq!(stage.get(flow).await["spec"]["suspend"], json!(true));
    // A name of another site that is resolved to this machine.
    let (options, path) = options(stage.cluster.clone());
    let router = router(options);
    for host in [
        "evil.example:8480",
        "127.0.0.1",
        "127.0.0.1:8481",
        "localhost.evil.example:8480",
        "localhost:8480",
        "",
    ] {
        let answer = read(ask(&router, request(Method::GET, &path, &[("host", host)], "")).await).await;
        assert!(answer.code == 403 && answer.text.contains("under a name that is not its own"), "{host}");
    }
    let own = [("host", "127.0.0.1:8480")];
    let answer =
        read(ask(&router, request(Method::GET, &format!("//evil.example{path}"), &own, "")).await).await;
    assert_eq!((answer.code, answer.headers["location"].to_str().unwrap()), (303, "/"));
}

#[tokio::test]
async fn what_is_no_page_and_no_form_is_said() {
    let stage = furnished().await;
    let visitor = Visitor::with(stage.cluster.clone(), |options| options.read_only = true).await;
    for (path, code, said) in [
        ("/nothing", 404, "there is no such page"),
        ("/flows/default", 404, "there is no such page"),
        ("/flows/default/..%2f..", 404, "there is no such page"),
        ("/flows/default/other", 404, "there is no Flow called other in the namespace default"),
        ("/runs/default/other", 404, "there is no FlowRun called other"),
        (
            "/runs/default/nightly-report-20251005t000000",
            404,
            "is deleted: it was TimedOut: TimeoutExceeded, 60 m, ",
        ),
        ("/clusters/default/other", 404, "there is no DaskCluster called other"),
    ] {
        let answer = visitor.page(path).await;
        assert!(answer.code == code && answer.text.contains(said), "{path}: {} {}", answer.code, answer.text);
    }
    let refused = visitor.page("/runs/default/other?format=json").await;
    assert!(
        refused.code == 404 && refused.text.contains("\"message\": \"there is no FlowRun"),
        "{}",
        refused.text
    );
    // Whoever may only look has no form, and one that is made is refused.
    for path in ["/", "/flows/default/nightly-report", "/runs/default/nightly-report-now-8kfpz"] {
        let page = visitor.page(path).await.text;
        assert!(!page.contains("method=\"post\"") && page.contains("read-only"), "{path}: {page}");
    }
    let before = stage.get(RUNS).await["items"].as_array().unwrap().len();
    let form = daskflow_form(&visitor).await;
    let answer = visitor
        .post("/flows/default/nightly-report/run", &form, &[("origin", "http://127.0.0.1:8480")])
        .await;
    assert!(answer.code == 403 && answer.text.contains("was started with --read-only"), "{}", answer.text);
    assert_eq!(stage.get(RUNS).await["items"].as_array().unwrap().len(), before);
}

/// The token is on the one page of a cluster that has a form for its dashboard.
async fn daskflow_form(visitor: &Visitor) -> String {
    let page = visitor.page("/clusters/default/analytics").await.text;
    let token = page.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    format!("form={token}")
}
