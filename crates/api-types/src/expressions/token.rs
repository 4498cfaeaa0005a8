//! Expressions about the claims of tokens, and about the users that they make.

use std::sync::LazyLock;

use cel::{Env, Program, Type};

use super::{BASE, compile, fields};

static CLAIMS: LazyLock<Env> = LazyLock::new(|| BASE.clone().variable("claims", Type::map(Type::String, Type::Any)));

static USER: LazyLock<Env> = LazyLock::new(|| {
    let user = fields(&[
        ("username", "string"),
        ("uid", "string"),
        ("groups", "list(string)"),
        ("extra", "map(string, list(string))"),
    ]);
    BASE.clone().object("kubernetes.UserInfo", user).variable("user", Type::object("kubernetes.UserInfo"))
});

fn must(wanted: &str, _: &Type) -> String {
    format!("must evaluate to {wanted}")
}

/// An expression about `claims`, whose result has one of these types; any if there are none.
///
/// # Errors
/// Why it cannot be one, in upstream's words.
pub fn claims(text: &str, results: &[Type]) -> Result<Program, String> {
    compile(&CLAIMS, text, results, must)
}

/// A rule for `user`.
///
/// # Errors
/// Why it cannot be one, in upstream's words.
pub fn user(text: &str) -> Result<Program, String> {
    compile(&USER, text, &[Type::Bool], must)
}
