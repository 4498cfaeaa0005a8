//! What the program is called: people install it as `kubectl`, too.

use std::{path::Path, sync::OnceLock};

use crate::error::Error;

/// The name by which it was started, `kubectl` or `ctl`, for texts that tell what to type.
#[must_use]
pub fn name() -> &'static str {
    static NAME: OnceLock<&'static str> = OnceLock::new();
    NAME.get_or_init(|| {
        let path = std::env::args_os().next().unwrap_or_default();
        let stem = Path::new(&path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if stem.starts_with("kubectl") { "kubectl" } else { "ctl" }
    })
}

/// A mistake on the command line, with a word on where help is; `command` is such as `create deployment`.
pub fn misused(message: impl std::fmt::Display, command: &str) -> Error {
    Error::usage(format!("{message}\nSee '{} {command} -h' for help and examples", name()))
}

/// The one name that a command takes.
///
/// # Errors
/// When there is none, or more than one.
pub fn one_name<'a>(names: &'a [String], command: &str) -> Result<&'a str, Error> {
    match names {
        [name] => Ok(name),
        _ => Err(misused(format!("exactly one NAME is required, got {}", names.len()), command)),
    }
}

/// The value of a flag that cannot be left out.
///
/// # Errors
/// When it is.
pub fn required<'a>(flag: &str, value: Option<&'a str>) -> Result<&'a str, Error> {
    value.ok_or_else(|| Error::usage(format!("required flag(s) \"{flag}\" not set")))
}
