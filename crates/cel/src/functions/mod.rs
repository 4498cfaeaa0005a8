//! Functions: their declarations, as text in tables, and what they do.

mod arithmetic;
mod authorizer;
mod conversion;
mod extra;
mod format;
mod lists;
mod network;
mod operators;
mod optional;
mod regex;
mod semver;
mod sets;
mod strings;
mod time;
mod url;

pub use authorizer::{Authorize, Decision, Question};
use std::{cell::RefCell, collections::HashMap, sync::Arc};

pub use regex::Regexp;
pub(crate) use regex::{Pattern, invalid_pattern, pattern};

use crate::{
    Meter,
    types::{Type, arguments},
    value::{Error, Value},
};

/// Libraries of functions.
pub mod libraries {
    pub use super::conversion::STANDARD;
    pub use super::{
        authorizer::AUTHORIZER,
        extra::{JSON_PATCH, TWO_VARIABLES},
        lists::LISTS,
        network::{CIDR, IP},
        operators::OPERATORS,
        optional::OPTIONAL,
        regex::REGEX,
        semver::SEMVER,
        sets::SETS,
        strings::{REVERSE, STRINGS},
        time::STANDARD_TIME,
        url::URL,
    };
}

/// What a function is called with besides its arguments.
pub struct Call<'c> {
    /// Counts what it does. A function that makes or compares much asks first.
    pub meter: &'c Meter,
    /// The name by which it is called.
    pub name: &'static str,
    /// The regular expression, where it is always the same.
    pub(crate) pattern: Option<&'c Pattern>,
    /// Those that were computed.
    pub(crate) patterns: &'c RefCell<HashMap<String, Pattern>>,
}

/// What a function does. The first argument is what it is called on, if it is called on something.
pub type Function = for<'a> fn(&Call<'_>, &[Value<'a>]) -> Result<Value<'a>, Error>;

/// A function: its name, what it does, and what it may be called with.
#[derive(Clone, Copy)]
pub struct Row {
    /// Possibly with a namespace.
    pub name: &'static str,
    /// What it does, whichever declaration fits.
    pub function: Function,
    /// `(string, int) -> bool`, and with what it is called on in front: `string.(int) -> bool`.
    pub declarations: &'static [&'static str],
}

/// Functions that belong together.
#[derive(Clone, Copy)]
pub struct Library(pub &'static [Row]);

/// What a function may be called with.
#[derive(Clone, Debug)]
pub(crate) struct Overload {
    /// Whether it is called on its first argument.
    pub member: bool,
    pub params: Vec<Type>,
    pub result: Type,
}

/// All that is declared of a function.
#[derive(Clone, Default)]
pub(crate) struct Declared {
    /// One of each library that declares it. The first one that takes the arguments is meant.
    pub functions: Vec<Function>,
    pub overloads: Vec<Arc<Overload>>,
}

impl Declared {
    pub(crate) fn declare(&mut self, row: &Row) {
        self.functions.push(row.function);
        self.overloads.extend(row.declarations.iter().map(|text| Arc::new(Overload::parse(text))));
    }
}

impl Overload {
    fn parse(text: &str) -> Self {
        let (called, result) = text.split_once(" -> ").unwrap_or((text, "dyn"));
        let open = if called.starts_with('(') { Some(0) } else { called.find(".(").map(|dot| dot + 1) };
        let (target, args) = called.split_at(open.unwrap_or(called.len()));
        let target = target.strip_suffix('.').filter(|target| !target.is_empty()).map(Type::parse);
        let args = args.strip_prefix('(').and_then(|args| args.strip_suffix(')')).unwrap_or_default();
        let member = target.is_some();
        let params = target.into_iter().chain(arguments(args).into_iter().map(Type::parse)).collect();
        Self { member, params, result: Type::parse(result) }
    }
}

/// What is called is none of what is declared.
fn no_overload<'a>() -> Result<Value<'a>, Error> {
    Err(Error::no_overload())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read() {
        let overload = Overload::parse("list(A).(string, map(A, B)) -> optional(B)");
        assert!(overload.member);
        let params: Vec<String> = overload.params.iter().map(Type::to_string).collect();
        assert_eq!(params, ["list(A)", "string", "map(A, B)"]);
        assert_eq!(overload.result.to_string(), "optional_type(B)");
        assert!(!Overload::parse("() -> int").member);
    }
}
