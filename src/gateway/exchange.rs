//! One request and its answer, over one connection.

use std::time::Duration;

use http::Request;
use http::header::{self, HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::call::Call;
use super::error::Error;
use super::hidden::Hidden;
use super::message;

/// The longest answer: a list of some 1,500 clusters, each with a certificate and a key.
const BODY_BYTES_MAX: usize = 8 << 20;
/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Where a call goes, and in whose name.
#[derive(Clone)]
pub struct Place<'a> {
    /// What stands before the path of each call.
    pub prefix: &'a str,
    /// Host and port as the `Host` header has them.
    pub authority: &'a str,
    /// The whole `Authorization` header.
    pub authorization: &'a str,
    /// What is shown of it nowhere.
    pub hidden: &'a Hidden,
}

/// What came.
#[derive(Debug)]
pub struct Answer {
    /// The body of an answer that says yes.
    pub body: Vec<u8>,
    /// What time it is at the gateway, to the second, where it says so.
    pub date: Option<Timestamp>,
}

/// Makes one call over `stream`, within `limit`.
///
/// # Errors
/// As [`Error`] has them; [`Error::is_certain`] says whether nothing came of the call.
pub async fn exchange<S>(stream: S, place: &Place<'_>, call: &Call, limit: Duration) -> Result<Answer, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let request = request(place, call)?;
    timeout(limit, answered(stream, request, place.hidden)).await.unwrap_or(Err(Error::Late { limit }))
}

fn request(place: &Place<'_>, call: &Call) -> Result<Request<Full<Bytes>>, Error> {
    let mut authorization = HeaderValue::from_str(place.authorization).map_err(|_| {
        Error::Unwritable("the user, password or token has a line break or a letter that no header has")
    })?;
    authorization.set_sensitive(true);
    let body = call.body.as_ref().map(ToString::to_string).unwrap_or_default();
    Request::builder()
        .method(call.method.clone())
        .uri(format!("{}{}", place.prefix, call.path))
        .header(header::HOST, place.authority)
        .header(header::AUTHORIZATION, authorization)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("daskflow/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Full::from(body))
        .map_err(|_| Error::Unwritable("the address has what no request may have"))
}

async fn answered<S>(stream: S, request: Request<Full<Bytes>>, hidden: &Hidden) -> Result<Answer, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    let opened = builder.max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(Error::Cut)?;
    let _driving = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(Error::Cut)?;
    let (head, body) = response.into_parts();
    if head.status.is_redirection() {
        let to =
            head.headers.get(header::LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned());
        return Err(Error::Redirected { to: hidden.shown(&to.unwrap_or_default()) });
    }
    let body = whole(body).await?;
    if !head.status.is_success() {
        return Err(Error::Refused { status: head.status.as_u16(), words: message::words(&body, hidden) });
    }
    Ok(Answer { body, date: date(&head.headers) })
}

async fn whole(body: Incoming) -> Result<Vec<u8>, Error> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::TooLong { limit: BODY_BYTES_MAX }),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => Error::Cut(*error),
            Err(_) => Error::NotUnderstood("it breaks off"),
        }),
    }
}

/// The `Date` of an answer, as RFC 9110 has it.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests;
