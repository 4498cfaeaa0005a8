//! What the server does to `metadata`, the same for all kinds.

use std::collections::HashSet;

use api_types::{
    jiff::Timestamp,
    meta::{ObjectMeta, Time},
};
use rand::Rng;

/// The longest name that a generated suffix leaves room for, in bytes: upstream's.
const GENERATED_BASE_MAX: usize = 58;
const SUFFIX_LENGTH: usize = 5;
/// No vowels and no digits that look like letters, so that no words arise.
const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A name made from `generateName`.
#[must_use]
pub fn generate_name(base: &str) -> String {
    let mut end = base.len().min(GENERATED_BASE_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut random = rand::rng();
    let mut name = base[..end].to_owned();
    name.extend((0..SUFFIX_LENGTH).map(|_| char::from(SUFFIX_ALPHABET[random.random_range(0..SUFFIX_ALPHABET.len())])));
    name
}

/// Sets what only the server may set on a new object, and clears what a client may not.
pub fn stamp_new(meta: &mut ObjectMeta, now: Timestamp) {
    meta.uid = Some(uuid::Uuid::new_v4().to_string());
    meta.creation_timestamp = Some(Time(now));
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.self_link = None;
    meta.resource_version = None;
}

/// Owners that are named once more are left out; answers their uids.
pub fn drop_duplicate_owners(meta: &mut ObjectMeta) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut dropped = Vec::new();
    if let Some(owners) = &mut meta.owner_references {
        owners.retain(|owner| {
            let first = seen.insert(owner.uid.clone());
            if !first {
                dropped.push(owner.uid.clone());
            }
            first
        });
    }
    dropped
}

/// Keeps what a client may leave out of an update, and what it may not change at all.
pub fn carry_over(new: &mut ObjectMeta, old: &ObjectMeta) {
    keep(&mut new.uid, old.uid.as_ref());
    // Neither can be changed, whatever is sent.
    replace(&mut new.creation_timestamp, old.creation_timestamp.as_ref());
    replace(&mut new.deletion_timestamp, old.deletion_timestamp.as_ref());
    keep(&mut new.deletion_grace_period_seconds, old.deletion_grace_period_seconds.as_ref());
    keep(&mut new.name, old.name.as_ref());
    keep(&mut new.namespace, old.namespace.as_ref());
    new.resource_version.clone_from(&old.resource_version);
    new.generation = old.generation;
    new.self_link = None;
}

/// Keeps all but the managed fields, where a write to the status must not touch them.
pub fn keep_all(new: &mut ObjectMeta, old: &ObjectMeta) {
    let managed = new.managed_fields.take();
    new.clone_from(old);
    new.managed_fields = managed;
}

fn keep<T: Clone>(new: &mut Option<T>, old: Option<&T>) {
    if new.is_none() {
        *new = old.cloned();
    }
}

fn replace<T: Clone>(new: &mut Option<T>, old: Option<&T>) {
    if old.is_some() {
        *new = old.cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_long_enough_and_never_too_long() {
        assert_eq!(generate_name("web-").len(), 9);
        assert_eq!(generate_name(&"a".repeat(100)).len(), 63);
        assert_ne!(generate_name("web-"), generate_name("web-"));
    }
}
