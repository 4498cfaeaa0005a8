//! Expressions in Kubernetes' objects and configuration files (CEL): what they may speak of in each place, and what is
//! said when they are wrong.

mod admission;
mod device;
mod named_format;
mod quantity;
mod review;
mod token;
mod typed;

use std::sync::LazyLock;

pub use admission::{Admission, Optional};
pub use cel::Type;
pub use cel::{Authorize, Decision, Error as EvaluationError, Meter, Numbers, Program, Question, Value, Variables};
use cel::{Env, libraries};
pub use device::{device, is_affordable, selects};
pub use review::review;
pub use token::{claims, user};

use crate::field::{FieldError, Path};

/// What one evaluation may cost at most, as upstream.
pub const CALL_COST: u64 = 1_000_000;

/// What Kubernetes 1.36 has in every expression: its libraries, and no variables.
pub(crate) static BASE: LazyLock<Env> = LazyLock::new(|| {
    [
        libraries::OPTIONAL,
        libraries::URL,
        libraries::REGEX,
        libraries::LISTS,
        libraries::STRINGS,
        libraries::SETS,
        libraries::IP,
        libraries::CIDR,
        libraries::SEMVER,
        libraries::TWO_VARIABLES,
        libraries::AUTHORIZER,
        quantity::QUANTITY,
        named_format::FORMAT,
    ]
    .into_iter()
    .fold(Env::default(), Env::library)
});

/// Fields, each with its type in CEL's text.
fn fields(fields: &[(&str, &str)]) -> cel::ObjectType {
    cel::ObjectType::new(fields.iter().map(|(name, of)| (*name, Type::parse(of))))
}

/// A program whose result is of one of these types.
///
/// # Errors
/// Why there is none, in upstream's words.
fn compile(env: &Env, text: &str, results: &[Type], mismatch: fn(&str, &Type) -> String) -> Result<Program, String> {
    let program = env.compile(text).map_err(|issues| format!("compilation failed: {issues}"))?;
    checked(program, results, mismatch)
}

fn checked(program: Program, results: &[Type], mismatch: fn(&str, &Type) -> String) -> Result<Program, String> {
    let found = program.result_type();
    if results.is_empty() || results.contains(found) {
        return Ok(program);
    }
    let wanted = match results {
        [only] => only.declared(),
        several => {
            format!("one of [{}]", several.iter().map(Type::declared).collect::<Vec<_>>().join(" "))
        }
    };
    Err(mismatch(&wanted, found))
}

/// What most places say of a result of the wrong type.
fn but_got(wanted: &str, found: &Type) -> String {
    format!("must evaluate to {wanted} but got {}", found.declared())
}

/// An error of validation, if an expression is wrong.
pub(crate) fn check(path: &Path, text: &str, compiled: Result<Program, String>) -> Option<FieldError> {
    compiled.err().map(|why| FieldError::invalid(path, text, why))
}
