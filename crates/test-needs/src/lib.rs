//! What a test needs of the machine: root, Docker, a network namespace, a program. And what it need not think of itself
//! ([`fuzz`]).
//!
//! A machine that lacks it skips the test, and the test says so. Where [`REQUIRE_ALL`] is set, as `hack/test` does
//! after it has provided everything, the test fails instead: nothing passes there without having been tested.

pub mod fuzz;

use std::fmt::Display;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

/// With this variable in the environment, nothing may be skipped.
pub const REQUIRE_ALL: &str = "FERROKUBE_REQUIRE_ALL";

/// Gives what the machine has. `None` is a reason to return: it has been told.
///
/// # Panics
/// When the machine lacks it and [`REQUIRE_ALL`] is set.
pub fn need<T>(what: &str, found: Result<T, impl Display>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) => {
            assert!(std::env::var_os(REQUIRE_ALL).is_none(), "{what} is needed here: {why}");
            say(&format!("skipped, since it needs {what}: {why}\n"));
            None
        }
    }
}

/// Not by way of `eprintln!`, which is kept from the terminal when a test passes. (cargo-nextest shows it with
/// `--success-output=immediate`.)
fn say(text: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    // Where nobody listens, nobody misses it.
    let _ = std::io::stderr().write_all(format!("{name}: {text}").as_bytes());
}

/// Whether the test runs as root. If not, there is a reason to return: it has been told.
///
/// # Panics
/// When it does not and [`REQUIRE_ALL`] is set.
#[must_use]
pub fn root() -> bool {
    let own = std::fs::metadata("/proc/self").map_err(|error| error.to_string());
    let root = own.and_then(|own| if own.uid() == 0 { Ok(()) } else { Err(format!("the user is {}", own.uid())) });
    need("root", root).is_some()
}
