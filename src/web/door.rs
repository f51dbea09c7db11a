//! Who may come in, and whether a request is one of our own pages.
//!
//! On a person's machine: who has the address with its token, which opens once and becomes a cookie; only
//! under the names of loopback, so that no page of another site that resolves its name to this machine is
//! answered. In a cluster: who sends a bearer token, which the proxy before the page does; whether it is
//! worth anything says the API server.
//!
//! A request that changes something must come from a page of ours: by its `Origin`, and by a token in the
//! form that belongs to the cookie of the browser.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::query::Query;
use super::secret::{NoRandomness, digest, of_forms, token};
use super::users::{User, Users};
use crate::client::{Cluster, Error};

/// The name that the host had which a proxy was asked for.
const FORWARDED_HOST: &str = "x-forwarded-host";
/// Where a request comes from, as browsers say since 2023.
const FETCH_SITE: &str = "sec-fetch-site";
/// The parameter of the address that opens.
const TOKEN: &str = "token";

/// Who may come in.
#[derive(Debug)]
pub enum Door {
    /// The person whose machine it is.
    Loopback(Loopback),
    /// Whoever a proxy sends with a bearer token.
    Proxied(Users),
}

/// One who has come in.
pub(super) struct Visit {
    /// Who.
    pub user: Arc<User>,
    /// What forms on the pages have.
    pub form_token: String,
    /// A cookie that the browser is to keep.
    pub cookie: Option<String>,
}

/// What becomes of a request.
pub(super) enum Entry {
    /// It is answered.
    In(Visit),
    /// The browser gets a cookie, and asks again without the token in the address.
    Opened {
        /// The cookie.
        cookie: String,
        /// Where it asks.
        to: String,
    },
}

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this page is asked for under a name that is not its own: open it as 127.0.0.1, with its port")]
    Host,
    #[error("this request does not come from a page of daskflow: open the page itself, and try again there")]
    Origin,
    #[error(
        "this address opens with the token that daskflow printed when it started, once in one browser: start {again} for another one"
    )]
    Closed { again: &'static str },
    #[error(
        "this tab is of an earlier start of daskflow: take the new address from the terminal in which it runs. It opens once, in one browser: start {again} for another one"
    )]
    Earlier { again: &'static str },
    #[error(
        "there is no bearer token: this page shows what you may see, so the proxy before it must send `Authorization: Bearer` with a token of yours that the API server accepts"
    )]
    NoToken,
    #[error(transparent)]
    Client(#[from] Error),
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl Refusal {
    /// Its status code.
    pub fn code(&self) -> u16 {
        match self {
            Self::Host | Self::Origin => 403,
            Self::Closed { .. } | Self::Earlier { .. } | Self::NoToken => 401,
            Self::Client(_) | Self::Random(_) => 503,
        }
    }
}

/// A page for the person whose machine it is.
pub struct Loopback {
    address: SocketAddr,
    /// The token that opens, until it has.
    key: Mutex<Option<[u8; 32]>>,
    first: String,
    cookie: String,
    user: Arc<User>,
    /// What is started for another address.
    again: &'static str,
}

impl std::fmt::Debug for Loopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loopback").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Loopback {
    /// A page at this address, with the rights of this client.
    ///
    /// # Errors
    /// This machine gives no random numbers.
    pub fn new(cluster: Cluster, address: SocketAddr) -> Result<Self, NoRandomness> {
        let (first, cookie) = (token()?, token()?);
        let user = Arc::new(User::new(cluster));
        Ok(Self {
            address,
            key: Mutex::new(Some(digest(&first))),
            first,
            cookie,
            user,
            again: "`daskflow ui` again",
        })
    }

    /// The same of a page that another command serves: what is started for another address, in words.
    #[must_use]
    pub fn with_another_by(self, again: &'static str) -> Self {
        Self { again, ..self }
    }

    /// The address that opens the page, once. A secret.
    pub fn url(&self) -> String {
        format!("http://{}/?{TOKEN}={}", self.address, self.first)
    }

    pub(super) fn user(&self) -> &User {
        &self.user
    }

    /// Cookies are of a host, whatever the port: pages on other ports have their own.
    fn cookie_name(&self) -> String {
        format!("daskflow-{}", self.address.port())
    }

    fn admit(&self, parts: &Parts) -> Result<Entry, Refusal> {
        let port = self.address.port();
        // Not under localhost: cookies know no ports, and the dashboards that are brought to this machine,
        // which pods serve, are opened under that name.
        let own = format!("127.0.0.1:{port}");
        let host = text(&parts.headers, HOST.as_str()).filter(|host| *host == own).ok_or(Refusal::Host)?;
        if !is_read(&parts.method) && !is_of_host(&parts.headers, &[host]) {
            return Err(Refusal::Origin);
        }
        let name = self.cookie_name();
        let given = cookie(&parts.headers, &name);
        let known = given.is_some_and(|value| digest(value) == digest(&self.cookie));
        let query = Query::of(parts.uri.query().unwrap_or_default().as_bytes());
        if let Some(given) = query.get(TOKEN).filter(|_| parts.method == Method::GET)
            && (known || self.open(given))
        {
            // A path that begins with two slashes would be another host.
            let path = Some(parts.uri.path()).filter(|path| !path.starts_with("//") && !path.contains('\\'));
            let to = format!("{}{}", path.unwrap_or("/"), query.with(TOKEN, "").address());
            return Ok(Entry::Opened { cookie: set_cookie(&name, &self.cookie), to });
        }
        if !known {
            let again = self.again;
            return Err(if given.is_some() { Refusal::Earlier { again } } else { Refusal::Closed { again } });
        }
        let form_token = of_forms(&self.cookie);
        Ok(Entry::In(Visit { user: self.user.clone(), form_token, cookie: None }))
    }

    /// Uses the token up, if it is the one.
    fn open(&self, given: &str) -> bool {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = key.is_some_and(|key| key == digest(given));
        if fits {
            *key = None;
        }
        fits
    }
}

/// The cookie of pages behind a proxy: for forms only.
const FORMS: &str = "daskflow-forms";

fn admit_proxied(users: &Users, parts: &Parts) -> Result<Entry, Refusal> {
    let bearer = text(&parts.headers, AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    // The name of the scheme may be written in any case (RFC 9110, 11.1).
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let bearer = bearer.map(|(_, bearer)| bearer.trim()).filter(|bearer| !bearer.is_empty());
    let bearer = bearer.ok_or(Refusal::NoToken)?;
    let hosts = [HOST.as_str(), FORWARDED_HOST].map(|name| text(&parts.headers, name).unwrap_or_default());
    if !is_read(&parts.method) && !is_of_host(&parts.headers, &hosts) {
        return Err(Refusal::Origin);
    }
    let user = users.of(bearer)?;
    if let Some(known) = cookie(&parts.headers, FORMS) {
        return Ok(Entry::In(Visit { user, form_token: of_forms(known), cookie: None }));
    }
    let new = token()?;
    Ok(Entry::In(Visit { user, form_token: of_forms(&new), cookie: Some(set_cookie(FORMS, &new)) }))
}

impl Door {
    /// Whether a request is answered.
    pub(super) fn admit(&self, parts: &Parts) -> Result<Entry, Refusal> {
        match self {
            Self::Loopback(loopback) => loopback.admit(parts),
            Self::Proxied(users) => admit_proxied(users, parts),
        }
    }

    /// Forgets one whom the API server does not accept. A person's own machine has one only.
    pub(super) fn forget(&self, user: &Arc<User>) {
        if let Self::Proxied(users) = self {
            users.forget(user);
        }
    }

    /// Forgets what has not been looked at for a while.
    pub(super) fn sweep(&self) {
        match self {
            Self::Loopback(loopback) => loopback.user().watches.sweep(),
            Self::Proxied(users) => users.sweep(),
        }
    }
}

fn is_read(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// Whether a request comes from a page of one of these hosts, as the browser says.
fn is_of_host(headers: &HeaderMap, hosts: &[&str]) -> bool {
    let site = text(headers, FETCH_SITE);
    let origin = text(headers, ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
    let is_ours = origin.is_some_and(|(_, from)| !from.is_empty() && hosts.contains(&from));
    is_ours && site.is_none_or(|site| site == "same-origin")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The cookie of this name.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// Not for scripts, and not for what other sites ask for.
fn set_cookie(name: &str, value: &str) -> String {
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_form_of_another_site_is_known_by_its_origin() {
        let ours = ["page.example"];
        for (given, expected) in [
            (vec![("origin", "https://page.example")], true),
            (vec![("origin", "https://page.example"), ("sec-fetch-site", "same-origin")], true),
            (vec![("origin", "https://page.example"), ("sec-fetch-site", "same-site")], false),
            (vec![("origin", "https://other.example")], false),
            (vec![("origin", "https://page.example.other")], false),
            (vec![("origin", "null")], false),
            (vec![], false),
        ] {
            assert_eq!(is_of_host(&headers(&given), &ours), expected, "{given:?}");
        }
        // A host that was not sent is none.
        assert!(!is_of_host(&headers(&[("origin", "https://")]), &[""]));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let given = headers(&[("cookie", "a=1; daskflow-1=b; daskflow-12=c")]);
        assert_eq!(cookie(&given, "daskflow-12"), Some("c"));
        assert_eq!(cookie(&given, "daskflow"), None);
    }
}
