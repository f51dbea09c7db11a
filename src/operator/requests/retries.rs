//! A request that the API server had no time for is made again, as kube's own client does; here, so that
//! others go in the meantime, and so that the answer that counts as a refusal is seen. What may have been
//! done is not asked for again blindly: whoever asked looks first.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Method, Request, Response};
use kube::client::Body;
use tokio::time::Instant;

/// For how long a request is tried after its first refusal. Whoever asked tries later, with pauses that grow.
const FOR: Duration = Duration::from_secs(30);
/// The first pause, where the API server names none.
const FIRST: Duration = Duration::from_millis(100);
/// The longest of those.
const LONGEST: Duration = Duration::from_secs(5);

/// The pauses of one request.
pub(super) struct Retries {
    until: Instant,
    next: Duration,
}

impl Retries {
    pub(super) fn begin() -> Self {
        Self { until: Instant::now() + FOR, next: FIRST }
    }

    /// How long to wait before the next try: at least as long as the API server wishes. None: it is given up.
    /// `jitter`: a part between nothing and all, by chance.
    pub(super) fn pause(&mut self, wish: Option<Duration>, jitter: f64) -> Option<Duration> {
        let own = self.next.mul_f64(0.5 + 0.5 * jitter);
        self.next = (self.next * 2).min(LONGEST);
        let pause = own.max(wish.unwrap_or_default());
        (Instant::now().checked_add(pause)? < self.until).then_some(pause)
    }
}

/// Whether a request that was answered so was not carried out, or changes nothing more when it is carried out
/// twice. A creation that was given up in the middle (504, or 503 from something in between) may have been.
pub(super) fn may_be_made_again<B>(method: &Method, answer: &Response<B>) -> bool {
    *method != Method::POST
        || answer.status() == 429
        || (answer.status() == 503 && retry_after(answer).is_some())
}

/// How long the API server wishes to be left alone. It writes whole seconds.
pub(super) fn retry_after<B>(answer: &Response<B>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The same request once more. None: its body can be read only once.
pub(super) fn copy_of(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    Some(copy)
}
