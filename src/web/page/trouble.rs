//! What is shown where there is nothing to show: why not, or that it is not read yet.

use askama::Template;

use super::frame::Frame;

/// Why something was not done, with what to do.
#[derive(Template)]
#[template(path = "trouble.html")]
pub struct Trouble {
    /// Around it.
    pub frame: Frame,
    /// The status code.
    pub code: u16,
    /// Why.
    pub words: String,
    /// Whether it is asked for again by itself, as it may pass by itself.
    pub again: bool,
}

/// What is shown while objects are read for the first time.
#[derive(Template)]
#[template(path = "opening.html")]
pub struct Opening {
    /// Around it.
    pub frame: Frame,
}
