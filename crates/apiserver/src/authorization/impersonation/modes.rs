//! The constrained modes: each for one sort of users.

use std::{borrow::Cow, collections::BTreeMap};

use api_types::validation::names;
use component::auth::{User, user};

/// A constrained mode.
pub(super) struct Mode {
    /// Its name, which is part of its verbs.
    pub(super) name: &'static str,
    /// Whether it is meant for such a user (the first) and such a requestor (the second).
    pub(super) applies: fn(&User, &User) -> bool,
    /// The requestor as authorizers are to see it.
    pub(super) seen_as: fn(&User) -> Cow<'_, User>,
    /// Whether the right must be to any node, not only to the one that is wanted.
    pub(super) any_name: bool,
}

/// In the order in which they are tried.
pub(super) const CONSTRAINED: &[Mode] = &[
    // An agent acts as the node that it runs on.
    Mode { name: "associated-node", applies: associated_node, seen_as: without_extra, any_name: true },
    Mode { name: "arbitrary-node", applies: any_node, seen_as: unchanged, any_name: false },
    Mode { name: "serviceaccount", applies: service_account, seen_as: unchanged, any_name: false },
    // Everybody who is neither node nor service account.
    Mode { name: "user-info", applies: other_user, seen_as: unchanged, any_name: false },
];

impl Mode {
    /// The verb for becoming somebody.
    pub(super) fn verb(&self) -> String {
        format!("impersonate:{}", self.name)
    }
}

/// The extra of a service account's token that names the node of its pod.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// Stands for the extras of a requestor whose values do not matter.
const NODE_KEYS: &str = "authentication.kubernetes.io/associated-node-keys";

fn associated_node(wanted: &User, requestor: &User) -> bool {
    let own = requestor.extra.get(NODE_NAME).map(Vec::as_slice);
    let node = user::node(&wanted.name);
    let associated = matches!((own, node), (Some([own]), Some(node)) if own == node);
    name_only(wanted) && associated && user::service_account(&requestor.name).is_some()
}

fn any_node(wanted: &User, _: &User) -> bool {
    name_only(wanted) && user::node(&wanted.name).is_some()
}

fn service_account(wanted: &User, _: &User) -> bool {
    name_only(wanted) && user::service_account(&wanted.name).is_some()
}

fn other_user(wanted: &User, _: &User) -> bool {
    user::node(&wanted.name).is_none() && user::service_account(&wanted.name).is_none()
}

fn name_only(wanted: &User) -> bool {
    wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty()
}

fn unchanged(requestor: &User) -> Cow<'_, User> {
    Cow::Borrowed(requestor)
}

/// The right does not depend on which pod on which node asks.
fn without_extra(requestor: &User) -> Cow<'_, User> {
    let keys = requestor.extra.keys().cloned().collect();
    Cow::Owned(User { extra: BTreeMap::from([(NODE_KEYS.to_owned(), keys)]), ..requestor.clone() })
}

/// What is wrong with extras that somebody wants, if anything is.
pub(super) fn bad_extra(extra: &BTreeMap<String, Vec<String>>) -> Option<String> {
    extra.iter().find_map(|(key, values)| {
        if key.is_empty() {
            return Some("impersonating the empty string key in extra is not allowed".to_owned());
        }
        if let Some(why) = bad_path(key) {
            return Some(format!(
                "impersonating an invalid key in extra is not allowed: extra.key: Invalid value: {key:?}: {why}"
            ));
        }
        if key.to_lowercase() != *key {
            return Some(format!("impersonating a non-lowercase key in extra is not allowed: {key:?}"));
        }
        if values.is_empty() {
            return Some("impersonating empty values in extra is not allowed".to_owned());
        }
        let empty = values.iter().any(String::is_empty);
        empty.then(|| "impersonating the empty string value in extra is not allowed".to_owned())
    })
}

/// What is wrong with a path below a domain.
fn bad_path(key: &str) -> Option<String> {
    match key.split_once('/') {
        Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
            let good = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(c);
            let bad = (!path.chars().all(good)).then(|| "Invalid path".to_owned());
            names::dns1123_subdomain(domain).into_iter().next().or(bad)
        }
        _ => Some("must be a domain-prefixed path (such as \"acme.io/foo\")".to_owned()),
    }
}
