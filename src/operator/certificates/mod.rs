//! Certificates of clusters whose issuer is the operator. [`crate::plan::tls`] judges them and says when they are
//! renewed; here they are made.

pub mod issue;
