//! What a request asks for, and what all pages of it have around them.

use super::door::Visit;
use super::page::frame::Frame;
use super::page::listing::Wanted;
use super::problem::Problem;
use super::query::Query;
use super::site::Site;
use super::watches::Scope;
use crate::api::object_name::{is_namespace_name, no_namespace};

/// The longest search that is made.
const SEARCH_MAX: usize = 200;

/// A request that was admitted.
pub(super) struct Asked<'a> {
    pub site: &'a Site,
    pub visit: &'a Visit,
    pub query: &'a Query,
}

impl Asked<'_> {
    /// The scope of a list: what the address names, else what the page was started with.
    ///
    /// # Errors
    /// It names what can be no namespace.
    pub fn scope(&self) -> Result<Scope, Problem> {
        match self.query.get("namespace").map(str::trim) {
            None => Ok(self.site.options.scope.clone()),
            Some("") => Ok(Scope::All),
            Some(name) if is_namespace_name(name) => Ok(Scope::Namespace(name.to_owned())),
            Some(name) => {
                let shown: String = name.chars().take(SEARCH_MAX).collect();
                Err(Problem::new(400, format!("{}; or nothing, for all namespaces", no_namespace(&shown))))
            }
        }
    }

    /// The same for what is around the words that something was not done.
    pub fn scope_or_usual(&self) -> Scope {
        self.scope().unwrap_or_else(|_| self.site.options.scope.clone())
    }

    /// The scope that the lists have to which the page of an object leads.
    pub fn scope_around(&self, namespace: &str) -> Scope {
        let usual = &self.site.options.scope;
        if usual.has(namespace) { usual.clone() } else { Scope::Namespace(namespace.to_owned()) }
    }

    /// What is around a page with lists of this scope.
    pub fn frame(&self, title: &str, part: &'static str, scope: &Scope) -> Frame {
        let namespace = match scope {
            Scope::Namespace(name) => name.as_str(),
            Scope::All => "",
        };
        Frame {
            title: title.to_owned(),
            part,
            place: scope.place(),
            namespace: namespace.to_owned(),
            scope: format!("?namespace={namespace}"),
            live: String::new(),
            notes: Vec::new(),
            form_token: self.visit.form_token.clone(),
            writes: !self.site.options.read_only,
        }
    }

    /// What is asked of a list of this scope.
    pub fn wanted(&self, scope: &Scope) -> Wanted {
        let namespace = match scope {
            Scope::Namespace(name) => name.as_str(),
            Scope::All => "",
        };
        let text = |name: &str| -> String {
            self.query.text(name).unwrap_or_default().chars().take(SEARCH_MAX).collect()
        };
        let (search, state, flow) = (text("q"), text("state"), text("flow"));
        let query = Query::default().with("q", &search).with("state", &state).with("flow", &flow).address();
        let rest = query.strip_prefix('?').map(|rest| format!("&{rest}")).unwrap_or_default();
        Wanted {
            search,
            state,
            flow,
            page: self.query.text("page").and_then(|page| page.parse().ok()).unwrap_or(1),
            address: format!("?namespace={namespace}{rest}"),
        }
    }

    /// Whether the answer is for a program.
    pub fn is_json(&self) -> bool {
        self.query.get("format") == Some("json")
    }
}
