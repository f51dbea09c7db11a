//! Why a request is not answered with what it asks for.

use std::sync::Arc;

use crate::client::Error;

/// A status code, and words with what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub code: u16,
    pub words: String,
}

impl Problem {
    pub fn new(code: u16, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }

    /// That there is no such page.
    pub fn no_page() -> Self {
        Self::new(404, "there is no such page: the menu above leads to those that there are")
    }

    /// What it is called, at the top of the page.
    pub fn title(&self) -> &'static str {
        match self.code {
            400 => "This cannot be done so",
            401 => "Who are you?",
            403 => "Not allowed",
            404 => "Not found",
            408 => "This took too long",
            405 => "Not possible here",
            _ => "This did not work",
        }
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let code = match error {
            Error::NotFound { .. } | Error::Deleted { .. } => 404,
            Error::Forbidden { .. } => 403,
            Error::Unauthorized { .. } => 401,
            Error::Ambiguous { .. } | Error::Senseless(_) | Error::Refused { .. } => 400,
            Error::Unreachable { .. } | Error::NotInstalled | Error::Request { .. } => 502,
        };
        let words = match error {
            Error::Request { .. } => crate::causes::chain(error),
            other => other.to_string(),
        };
        Self { code, words }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

/// Of a watch: where the API server does not take that, the user has asked for nothing wrong.
impl From<Arc<Error>> for Problem {
    fn from(error: Arc<Error>) -> Self {
        let problem = Self::from(error.as_ref());
        let code = if matches!(*error, Error::Refused { .. }) { 502 } else { problem.code };
        Self { code, ..problem }
    }
}
