//! For the tests.

pub(crate) mod foreign;
