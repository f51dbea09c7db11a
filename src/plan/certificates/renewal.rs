//! When a certificate is renewed.

use jiff::{SignedDuration, Timestamp};

/// When a certificate is to be renewed: at two thirds of its life, as cert-manager does by default. One third
/// is left for what stands in the way, and for the runs that are under way.
///
/// A certificate that ends before it begins is to be renewed at its beginning.
pub fn renew_at(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let life = not_after.duration_since(not_before).max(SignedDuration::ZERO);
    // Divided first, so that the longest life there is does not overflow.
    not_before.saturating_add(life / 3 * 2).unwrap_or(not_after)
}
