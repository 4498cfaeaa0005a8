//! The API server as a user of itself.

use super::WriteOptions;
use crate::request::{User, user::MASTERS};

/// The API server itself, as managed fields name it.
const MANAGER: &str = "kube-apiserver";

/// The API server as a user of itself.
#[must_use]
pub fn loopback_user() -> User {
    User::authenticated("system:apiserver", "", vec![MASTERS.into()])
}

/// Options of the API server's own writes.
#[must_use]
pub fn own_options() -> WriteOptions {
    WriteOptions { field_manager: MANAGER.into(), ..WriteOptions::default() }
}
