//! What calls cost.

use super::{Entries, Estimator, Range};
use crate::{
    ast::{Expr, operator},
    cost::{CHARACTER, PATTERN},
    types::Type,
};

/// A call's cost without that of its arguments, and the size of its result.
struct Estimate {
    cost: Range,
    size: Option<Range>,
}

fn only(cost: Range) -> Estimate {
    Estimate { cost, size: None }
}

fn sized(cost: Range, size: Range) -> Estimate {
    Estimate { cost, size: Some(size) }
}

impl Estimator<'_> {
    pub(super) fn call(&mut self, expr: &Expr, function: &str, target: Option<&Expr>, args: &[Expr]) -> Range {
        if let (operator::AND | operator::OR, [left, right]) = (function, args) {
            let (left, right) = (self.cost(left), self.cost(right));
            return Range { min: left.min, max: left.plus(right).max };
        }
        if let (operator::CONDITIONAL, [condition, then, otherwise]) = (function, args) {
            return self.conditional(expr, condition, then, otherwise);
        }
        let refs: Vec<&Expr> = args.iter().collect();
        let before = self.sum(&refs).plus(target.map_or(Range::ZERO, |target| self.cost(target)));
        if let ("dyn", [argument]) = (function, args) {
            let (size, entries) = (self.size(argument), self.entries(argument));
            let known = self.note(expr);
            (known.size, known.entries) = (size, entries);
            return before.plus(Range::ONE);
        }
        if let (operator::INDEX, [from, _]) = (function, args) {
            let size = self.entries(from).map(|entries| entries.value);
            match self.type_of(from) {
                Type::List(_) => self.extend_path(expr, from, "@items"),
                Type::Map(..) => self.extend_path(expr, from, "@values"),
                _ => {}
            }
            self.note(expr).size = size;
            return before.plus(Range::ONE);
        }
        let found = match target {
            Some(target) => self.method(function, target, args),
            None => self.function(function, args),
        };
        let Estimate { cost, size } = found.unwrap_or_else(|| only(Range::ONE));
        if size.is_some() {
            self.note(expr).size = size;
        }
        if let (operator::ADD, [left, right]) = (function, args)
            && let (Some(one), Some(two)) = (self.entries(left), self.entries(right))
        {
            let entries = Entries { key: one.key.union(two.key), value: one.value.union(two.value) };
            self.note(expr).entries = Some(entries);
        }
        before.plus(cost)
    }

    fn conditional(&mut self, expr: &Expr, condition: &Expr, then: &Expr, otherwise: &Expr) -> Range {
        let condition = self.cost(condition);
        let choice = self.cost(then).union(self.cost(otherwise));
        let size = self.sure(then).union(self.sure(otherwise));
        let entries = self.entries(then).zip(self.entries(otherwise));
        let entries =
            entries.map(|(one, two)| Entries { key: one.key.union(two.key), value: one.value.union(two.value) });
        let known = self.note(expr);
        (known.size, known.entries) = (Some(size), entries);
        condition.plus(choice)
    }

    /// The size of what may have any.
    fn sure(&self, expr: &Expr) -> Range {
        self.size(expr).unwrap_or(Range::UNKNOWN)
    }

    fn function(&self, function: &str, args: &[Expr]) -> Option<Estimate> {
        let size = |index: usize| args.get(index).map_or(Range::UNKNOWN, |arg| self.sure(arg));
        let of = |index: usize| args.get(index).map_or(Type::Dyn, |arg| self.type_of(arg));
        let smaller = |factor: f64| {
            let max = size(0).max.min(size(1).max);
            Range { min: u64::from(max > 0), max }.each(factor)
        };
        let text = |of: Type| matches!(of, Type::String | Type::Bytes);
        Some(match function {
            "_==_" | "_!=_" => only(smaller(CHARACTER)),
            "_<_" | "_<=_" | "_>_" | "_>=_" if text(of(0)) && text(of(1)) => only(smaller(CHARACTER)),
            "_<_" | "_<=_" | "_>_" | "_>=_" if might_be_text(&of(0)) && might_be_text(&of(1)) => {
                only(smaller(CHARACTER).union(Range::ONE))
            }
            operator::ADD => {
                let sum = size(0).plus(size(1));
                match of(0) {
                    Type::List(_) => sized(Range::ONE, sum),
                    left if text(left.clone()) || text(of(1)) => sized(sum.each(CHARACTER), sum),
                    left if left.is_dyn() && of(1).is_dyn() => sized(sum.each(CHARACTER).union(Range::ONE), sum),
                    _ => only(Range::ONE),
                }
            }
            operator::IN => match of(1) {
                Type::List(_) => only(size(1)),
                other if other.is_dyn() => only(size(1).union(Range::ONE)),
                _ => only(Range::ONE),
            },
            "bytes" if of(0) == Type::String => {
                sized(size(0).each(CHARACTER), Range { min: size(0).min, max: size(0).max.saturating_mul(4) })
            }
            "string" if of(0) == Type::Bytes => {
                sized(size(0).each(CHARACTER), Range { min: size(0).min / 4, max: size(0).max })
            }
            "strings.quote" => {
                let most = size(0).max.saturating_mul(2).saturating_add(2);
                sized(size(0).each(CHARACTER), Range { min: size(0).min.saturating_add(2), max: most })
            }
            "url" => only(size(0).each(CHARACTER)),
            "sets.contains" | "sets.intersects" | "sets.equivalent" => only(size(0).times(size(1)).plus(Range::ONE)),
            _ => return None,
        })
    }

    fn method(&self, function: &str, target: &Expr, args: &[Expr]) -> Option<Estimate> {
        let own = self.sure(target);
        let size = |index: usize| args.get(index).map_or(Range::UNKNOWN, |arg| self.sure(arg));
        Some(match function {
            "check" => only(Range::exactly(350_000)),
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => match self.type_of(target) {
                Type::List(element) => only(own.times(self.element(target, &element))),
                _ => only(own.each(CHARACTER)),
            },
            "lowerAscii" | "upperAscii" | "substring" | "trim" => sized(own.each(CHARACTER), own),
            "replace" => sized(own.each(2.0 * CHARACTER), replaced(own, size(0), size(1))),
            "split" => sized(own.each(2.0 * CHARACTER), Range::at_most(own.max)),
            "join" => {
                let separators = Range { min: own.min.saturating_sub(1), max: own.max.saturating_sub(1) };
                let between = args.first().map_or(Range::ZERO, |_| size(0).times(separators));
                let elements = self.entries(target).map_or(Range::UNKNOWN, |entries| entries.value);
                let whole = own.times(elements).plus(between);
                sized(whole.each(CHARACTER), whole)
            }
            "find" | "findAll" => {
                let cost = own.plus(Range::ONE).each(CHARACTER).times(size(0).each(PATTERN));
                sized(cost, Range::at_most(own.max))
            }
            "matches" => only(own.plus(Range::ONE).each(CHARACTER).times(size(0).each(PATTERN))),
            "contains" => only(own.each(CHARACTER).times(size(0).each(CHARACTER))),
            "startsWith" | "endsWith" => only(size(0).each(CHARACTER)),
            "format" => only(own.each(CHARACTER)),
            "containsIP" | "containsCIDR" => {
                let address = Range { min: 4, max: 16 };
                let compared = address.plus(address).each(CHARACTER);
                let masked =
                    if function == "containsCIDR" { address.each(CHARACTER).plus(Range::ONE) } else { Range::ZERO };
                let text = args.first().is_some_and(|arg| self.type_of(arg) == Type::String);
                let read = if text { size(0).each(CHARACTER) } else { Range::ZERO };
                only(compared.plus(masked).plus(read))
            }
            _ => return None,
        })
    }

    /// What looking at an element of a list costs.
    fn element(&self, list: &Expr, element: &Type) -> Range {
        if !matches!(element, Type::String | Type::Bytes) {
            return Range::ONE;
        }
        let mut path = self.path(list);
        path.push("@items".into());
        let size = Some(path).filter(|path| path.len() > 1).and_then(|path| self.sizes.size(&path));
        Range::ONE.plus(size.unwrap_or(Range::UNKNOWN).each(CHARACTER))
    }
}

fn might_be_text(of: &Type) -> bool {
    of.is_dyn() || matches!(of, Type::String | Type::Bytes)
}

/// The size of a text in which something is replaced, from the fewest and shortest to the most and longest.
fn replaced(text: Range, old: Range, new: Range) -> Range {
    let max = match (old.min, new.max) {
        // Around every character.
        (0, new) => text.max.saturating_add(1).saturating_mul(new).saturating_add(text.max),
        (old, new) if new <= old => text.max,
        (old, new) => text.max.div_ceil(old).saturating_mul(new),
    };
    let min = match (old.max, new.min) {
        (0, new) => text.min.saturating_add(1).saturating_mul(new).saturating_add(text.min),
        (old, new) if old <= new => text.min,
        (old, new) => text.min.div_ceil(old).saturating_mul(new),
    };
    Range { min, max }
}
