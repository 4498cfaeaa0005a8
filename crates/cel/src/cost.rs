//! What an evaluation has cost, and what it may.

use std::cell::Cell;

use crate::value::{Error, Value};

/// Units of cost for a character: strings are traversed ten times as fast as anything else is done.
pub(crate) const CHARACTER: f64 = 0.1;
/// And for a character of a regular expression.
pub(crate) const PATTERN: f64 = 0.25;
/// Making a list.
pub(crate) const LIST: u64 = 10;
/// Making a map.
pub(crate) const MAP: u64 = 30;
/// Making an object.
pub(crate) const OBJECT: u64 = 40;

/// Elements and characters that an evaluation may make or compare beyond what its cost tells: cel-go's costs take it that
/// joining lists and comparing nested ones cost nothing.
const WORK: u64 = 8 << 20;

/// Counts the cost of an evaluation in cel-go's units, and ends it when it is more than it may be.
///
/// Apart from that it counts *work*: elements and characters that are made or compared. Costs are estimates, of which some
/// are too low; work is what bounds time and memory.
#[derive(Debug)]
pub struct Meter {
    cost: Cell<u64>,
    limit: u64,
    work: Cell<u64>,
}

impl Meter {
    /// With so much to spend.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { cost: Cell::new(0), limit, work: Cell::new(0) }
    }

    /// What was spent.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.cost.get()
    }

    /// Spends some.
    ///
    /// # Errors
    /// When it is more than is left.
    pub fn spend(&self, cost: u64) -> Result<(), Error> {
        self.cost.set(self.cost.get().saturating_add(cost));
        if self.cost.get() > self.limit { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Whether so much is left, without spending it yet.
    pub(crate) fn afford(&self, cost: u64) -> Result<(), Error> {
        if self.cost.get().saturating_add(cost) > self.limit { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Tells of elements or characters that are about to be made or compared.
    ///
    /// # Errors
    /// When they are more than may be.
    pub fn work(&self, amount: u64) -> Result<(), Error> {
        self.work.set(self.work.get().saturating_add(amount));
        if self.work.get() > WORK { Err(Error::cancelled()) } else { Ok(()) }
    }
}

/// So many characters.
pub(crate) fn traversal(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

/// What a call cost, by its name and what it was called with, as cel-go and Kubernetes count it.
pub(crate) fn of_call(function: &str, args: &[Value<'_>], result: &Value<'_>) -> u64 {
    let size = |index: usize| args.get(index).map_or(0, Value::size);
    let text = |index: usize| args.get(index).is_some_and(|value| matches!(value, Value::String(_) | Value::Bytes(_)));
    match function {
        // Two authorization checks an expression, and no more.
        "check" => 350_000,
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => elements(args.first()),
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver"
        | "jsonpatch.escapeKey"
        | "strings.quote"
        | "startsWith"
        | "endsWith" => {
            // What a string starts or ends with is looked for, not the string.
            traversal(size(0), CHARACTER)
        }
        "bytes" | "string"
            if text(0)
                && !matches!((function, &args[0]), ("string", Value::String(_)) | ("bytes", Value::Bytes(_))) =>
        {
            traversal(size(0), CHARACTER)
        }
        "format" if args.len() == 2 => traversal(size(0), CHARACTER),
        "ip" if text(0) => traversal(size(0), CHARACTER),
        "replace" | "split" | "ip.isCanonical" => traversal(size(0), 2.0 * CHARACTER),
        "join" => traversal(result.size(), 2.0 * CHARACTER),
        "find" | "findAll" | "matches" => regex(size(0), size(1)),
        "contains" if text(0) => traversal(size(0), CHARACTER) * traversal(size(1), CHARACTER),
        "containsIP" => traversal(2 * size(0), CHARACTER) + if text(1) { traversal(size(1), CHARACTER) } else { 0 },
        "containsCIDR" => {
            let parsed = if text(1) { traversal(size(1), CHARACTER) } else { 0 };
            traversal(2 * size(0), CHARACTER) + traversal(size(0), CHARACTER) + 1 + parsed
        }
        "validate" => traversal(size(1), CHARACTER),
        "sets.contains" | "sets.intersects" | "sets.equivalent" => size(0).saturating_mul(size(1)).max(1),
        "@in" if matches!(args.get(1), Some(Value::List(_))) => size(1),
        "_==_" | "_!=_" => traversal(size(0).min(size(1)), CHARACTER),
        "_<_" | "_<=_" | "_>_" | "_>=_" if text(0) => traversal(size(0).min(size(1)), CHARACTER),
        "_+_" if text(0) => traversal(size(0).saturating_add(size(1)), CHARACTER),
        _ => 1,
    }
}

/// A list whose elements are looked at, or a text.
fn elements(value: Option<&Value<'_>>) -> u64 {
    match value {
        Some(Value::List(list)) => list
            .iter()
            .map(|element| match element {
                Value::String(_) | Value::Bytes(_) => 1 + traversal(element.size(), CHARACTER),
                _ => 1,
            })
            .sum(),
        Some(text @ Value::String(_)) => traversal(text.size(), CHARACTER),
        _ => 1,
    }
}

/// A regular expression is looked for in a text. One more than the text has, because also an empty one costs.
pub(crate) fn regex(text: u64, pattern: u64) -> u64 {
    traversal(text.saturating_add(1), CHARACTER).saturating_mul(traversal(pattern, PATTERN))
}
