//! What every page has around it.

/// What every page has around it.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The name of the page.
    pub title: String,
    /// Which part of the page's menu it belongs to.
    pub part: &'static str,
    /// Where the objects are, in words.
    pub place: String,
    /// The namespace; empty for all.
    pub namespace: String,
    /// What links to lists end with, so that they stay in the same place.
    pub scope: String,
    /// The address of live changes; empty where there are none.
    pub live: String,
    /// What could not be read, and why.
    pub notes: Vec<String>,
    /// What forms have, to be known as ours. A secret.
    pub form_token: String,
    /// Whether something may be changed.
    pub writes: bool,
}
