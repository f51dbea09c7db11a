//! Tokens, and how they are compared.

use std::fmt::Write;

use rustls::crypto::ring;
use sha2::{Digest, Sha256};

/// How many bytes of chance a token has.
const TOKEN_BYTES: usize = 32;

/// The machine has no randomness.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this machine gives no random numbers for a token")]
pub struct NoRandomness;

/// A new token, of the machine's own randomness.
pub(super) fn token() -> Result<String, NoRandomness> {
    let mut bytes = [0; TOKEN_BYTES];
    ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(hex(&bytes))
}

/// What a token is known by: to compare digests says nothing about the token, however long it takes.
pub(super) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// The token of the forms that are for whoever has this cookie. It does not give the cookie away.
pub(super) fn of_forms(cookie: &str) -> String {
    hex(&digest(&format!("form {cookie}")))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_forms_have_others_than_cookies() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert_eq!(one.len(), 2 * TOKEN_BYTES);
        assert!(one != other && of_forms(&one) != one && of_forms(&one) != of_forms(&other));
    }
}
