//! Counts as Kubernetes keeps them in a status: 32 bits with a sign.

/// The count, or the largest that a status can hold.
pub(super) fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
