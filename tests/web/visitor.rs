//! A browser that has opened the page of a person's own machine.

use axum::Router;
use axum::body::{Body, to_bytes};
use daskflow::client::Cluster;
use daskflow::daemon::clock::Clock;
use daskflow::web::{Door, Links, Loopback, Options, Scope, router};
use http::{HeaderMap, Method, Request, Response};
use serde_json::Value;
use tower::ServiceExt;

/// The address of the page.
pub const HOST: &str = "127.0.0.1:8480";

/// What is answered.
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Whether it is a page that says that nothing is read yet.
    pub fn is_opening(&self) -> bool {
        self.text.contains("Reading what there is in")
    }
}

/// One browser.
pub struct Visitor {
    router: Router,
    cookie: String,
}

/// The options of a page of one's own machine, and the address that opens it.
pub fn options(cluster: Cluster) -> (Options, String) {
    let scope = Scope::Namespace(cluster.namespace.clone());
    let loopback = Loopback::new(cluster, HOST.parse().unwrap()).unwrap();
    let url = loopback.url();
    let options = Options {
        door: Door::Loopback(loopback),
        scope,
        read_only: false,
        links: Links::default(),
        clock: Clock::of_machine(),
    };
    (options, url.strip_prefix(&format!("http://{HOST}")).unwrap().to_owned())
}

/// A request as it is.
pub async fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

/// The whole answer.
pub async fn read(response: Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Answer { code: head.status.as_u16(), headers: head.headers, text }
}

/// A request with these headers.
pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::from(body.to_owned())).unwrap()
}

impl Visitor {
    /// Opens a page of a cluster.
    pub async fn new(cluster: Cluster) -> Self {
        Self::with(cluster, |_| {}).await
    }

    /// The same with other options.
    pub async fn with(cluster: Cluster, change: impl FnOnce(&mut Options)) -> Self {
        let (mut options, path) = options(cluster);
        change(&mut options);
        let router = router(options);
        let opened = read(ask(&router, request(Method::GET, &path, &[("host", HOST)], "")).await).await;
        assert_eq!((opened.code, opened.header("location")), (303, "/"));
        let cookie = opened.header("set-cookie").split(';').next().unwrap().to_owned();
        Self { router, cookie }
    }

    /// The answer, whose body may have no end.
    pub async fn open(&self, path: &str) -> Response<Body> {
        let headers = [("host", HOST), ("cookie", self.cookie.as_str())];
        ask(&self.router, request(Method::GET, path, &headers, "")).await
    }

    /// What is answered.
    pub async fn get(&self, path: &str) -> Answer {
        read(self.open(path).await).await
    }

    /// The page, once its objects are read.
    pub async fn page(&self, path: &str) -> Answer {
        loop {
            let answer = self.get(path).await;
            if !answer.is_opening() {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The page's objects.
    pub async fn json(&self, path: &str) -> Value {
        let mark = if path.contains('?') { '&' } else { '?' };
        let answer = self.page(&format!("{path}{mark}format=json")).await;
        assert_eq!(answer.header("content-type"), "application/json", "{path}: {}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    /// Sends a form from a page.
    pub async fn send(&self, path: &str, form: &str) -> Answer {
        let page = self.page("/").await.text;
        let token = page.split("name=\"form\" value=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
        self.post(
            path,
            &format!("form={}&{form}", token.unwrap_or_default()),
            &[("origin", "http://127.0.0.1:8480")],
        )
        .await
    }

    /// A form as it is.
    pub async fn post(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let own = [("host", HOST), ("cookie", self.cookie.as_str())];
        read(ask(&self.router, request(Method::POST, path, &[&own, headers].concat(), form)).await).await
    }
}
