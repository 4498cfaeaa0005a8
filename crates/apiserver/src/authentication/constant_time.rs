//! Comparing secrets.

use sha2::{Digest, Sha256};

/// Whether two secrets are the same. How long that takes does not tell where they differ: their hashes are compared.
#[must_use]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (Sha256::digest(one), Sha256::digest(other));
    one.iter().zip(other.iter()).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}
