//! What an expression costs at least and at most, before it is evaluated: cel-go's estimate with Kubernetes' functions.

mod call;
mod range;

use std::{collections::HashMap, sync::Arc};

pub use range::Range;

use crate::{
    ast::{Entry, Expr, Fold, Kind, Literal},
    cost,
    env::Checked,
    types::Type,
};

/// How large the values of variables are.
pub trait Sizes {
    /// The number of characters or elements of what is at a path: a variable, then names of fields, `@items`, `@keys`,
    /// `@values` and `@indices`.
    fn size(&self, path: &[Arc<str>]) -> Option<Range>;
}

/// Of nothing is known how large it is.
impl Sizes for () {
    fn size(&self, _: &[Arc<str>]) -> Option<Range> {
        None
    }
}

/// What an expression costs.
pub(crate) fn estimate(checked: &Checked, sizes: &dyn Sizes) -> Range {
    let mut estimator = Estimator { types: &checked.types, sizes, scopes: Vec::new(), known: HashMap::new() };
    estimator.cost(&checked.expr)
}

/// A variable of a loop.
struct Local {
    name: Arc<str>,
    /// Where its value comes from.
    path: Vec<Arc<str>>,
    size: Option<Range>,
    entries: Option<Entries>,
}

/// The sizes of a list's or map's elements.
#[derive(Clone, Copy)]
struct Entries {
    key: Range,
    value: Range,
}

/// What was found out about an expression.
#[derive(Clone, Default)]
struct Known {
    path: Vec<Arc<str>>,
    size: Option<Range>,
    entries: Option<Entries>,
}

struct Estimator<'a> {
    types: &'a [Type],
    sizes: &'a dyn Sizes,
    scopes: Vec<Local>,
    /// By the number of an expression.
    known: HashMap<u32, Known>,
}

impl Estimator<'_> {
    fn type_of(&self, expr: &Expr) -> Type {
        self.types.get(expr.id as usize).cloned().unwrap_or(Type::Dyn)
    }

    fn note(&mut self, expr: &Expr) -> &mut Known {
        self.known.entry(expr.id).or_default()
    }

    fn cost(&mut self, expr: &Expr) -> Range {
        match &expr.kind {
            Kind::Literal(_) => Range::ZERO,
            Kind::Ident(name) => {
                let local = self.scopes.iter().rev().find(|local| local.name == *name);
                let own = || vec![Arc::from(name.trim_start_matches('.'))];
                let path = local.map_or_else(own, |local| local.path.clone());
                self.note(expr).path = path;
                Range::ONE
            }
            Kind::Select { operand, field, test } => {
                let inner = self.cost(operand);
                if *test {
                    return inner;
                }
                self.extend_path(expr, operand, field);
                let counted = matches!(self.type_of(operand), Type::Map(..) | Type::Object(_));
                if counted { inner.plus(Range::ONE) } else { inner }
            }
            Kind::Call { function, target, args } => self.call(expr, function, target.as_deref(), args),
            Kind::List(elements) => {
                let elements: Vec<&Expr> = elements.iter().map(|(element, _)| element).collect();
                let inner = self.sum(&elements);
                let value = self.union_of_sizes(&elements);
                self.note(expr).entries = Some(Entries { key: Range::ONE, value });
                inner.plus(Range::exactly(cost::LIST))
            }
            Kind::Map(entries) => {
                let keys: Vec<&Expr> = entries.iter().map(|Entry { key, .. }| key).collect();
                let values: Vec<&Expr> = entries.iter().map(|Entry { value, .. }| value).collect();
                let inner = self.sum(&keys).plus(self.sum(&values));
                let entries = Entries { key: self.union_of_sizes(&keys), value: self.union_of_sizes(&values) };
                self.note(expr).entries = Some(entries);
                inner.plus(Range::exactly(cost::MAP))
            }
            Kind::Struct { fields, .. } => {
                let values: Vec<&Expr> = fields.iter().map(|field| &field.value).collect();
                self.sum(&values).plus(Range::exactly(cost::OBJECT))
            }
            Kind::Fold(fold) if is_binding(fold) => self.binding(expr, fold),
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn sum(&mut self, exprs: &[&Expr]) -> Range {
        exprs.iter().fold(Range::ZERO, |sum, expr| sum.plus(self.cost(expr)))
    }

    fn union_of_sizes(&self, exprs: &[&Expr]) -> Range {
        let sizes = exprs.iter().map(|expr| self.size(expr).unwrap_or(Range::UNKNOWN));
        sizes.reduce(Range::union).unwrap_or(Range::ZERO)
    }

    fn path(&self, expr: &Expr) -> Vec<Arc<str>> {
        self.known.get(&expr.id).map(|known| known.path.clone()).unwrap_or_default()
    }

    fn extend_path(&mut self, expr: &Expr, operand: &Expr, step: &str) {
        let mut path = self.path(operand);
        if !path.is_empty() {
            path.push(step.into());
        }
        self.note(expr).path = path;
    }

    /// How large the value of an expression is, if that is known.
    fn size(&self, expr: &Expr) -> Option<Range> {
        let known = self.known.get(&expr.id);
        if let Some(size) = known.and_then(|known| known.size) {
            return Some(size);
        }
        let written = match &expr.kind {
            Kind::Literal(Literal::String(text)) => Some(text.chars().count()),
            Kind::Literal(Literal::Bytes(bytes)) => Some(bytes.len()),
            Kind::Literal(_) => Some(1),
            Kind::List(elements) => Some(elements.len()),
            Kind::Map(entries) => Some(entries.len()),
            _ => None,
        };
        if let Some(size) = written {
            return Some(Range::exactly(size as u64));
        }
        let path = known.map(|known| known.path.as_slice()).filter(|path| !path.is_empty());
        path.and_then(|path| self.sizes.size(path))
            .or_else(|| is_scalar(&self.type_of(expr)).then_some(Range::ONE))
            .or_else(|| self.local(expr)?.size)
    }

    fn entries(&self, expr: &Expr) -> Option<Entries> {
        let known = self.known.get(&expr.id).and_then(|known| known.entries);
        known.or_else(|| self.local(expr)?.entries)
    }

    fn local(&self, expr: &Expr) -> Option<&Local> {
        let Kind::Ident(name) = &expr.kind else { return None };
        self.scopes.iter().rev().find(|local| local.name == *name)
    }

    fn push(&mut self, name: &Arc<str>, value: &Expr) {
        let (path, size, entries) = (self.path(value), self.size(value), self.entries(value));
        self.scopes.push(Local { name: name.clone(), path, size, entries });
    }

    /// `cel.bind`
    fn binding(&mut self, expr: &Expr, fold: &Fold) -> Range {
        let before = self.cost(&fold.range).plus(self.cost(&fold.init));
        let outside = self.scopes.len();
        self.push(&fold.accumulator, &fold.init);
        let result = self.cost(&fold.result);
        let (size, entries) = (self.size(&fold.result), self.entries(&fold.result));
        self.scopes.truncate(outside);
        let known = self.note(expr);
        (known.size, known.entries) = (size, entries);
        before.plus(result)
    }

    fn fold(&mut self, expr: &Expr, fold: &Fold) -> Range {
        let before = self.cost(&fold.range).plus(self.cost(&fold.init));
        let outside = self.scopes.len();
        self.push(&fold.accumulator, &fold.init);
        let inside = self.scopes.len();
        self.push_elements(fold);
        let turn = self.cost(&fold.condition).plus(self.cost(&fold.step));
        self.scopes.truncate(inside);
        let result = self.cost(&fold.result);
        self.scopes.truncate(outside);
        let count = self.size(&fold.range).unwrap_or(Range::UNKNOWN);
        let gathered = matches!(fold.init.kind, Kind::List(_) | Kind::Map(_));
        let (size, entries) =
            if gathered { (Some(count), self.entries(&fold.step)) } else { (self.size(&fold.init), None) };
        let known = self.note(expr);
        (known.size, known.entries) = (size, entries);
        before.plus(result).plus(count.times(turn))
    }

    /// The variables of a loop.
    fn push_elements(&mut self, fold: &Fold) {
        let entries = self.entries(&fold.range);
        let list = matches!(self.type_of(&fold.range), Type::List(_));
        let (keys, values) = if list { ("@indices", "@items") } else { ("@keys", "@values") };
        let single = if list { (values, entries.map(|own| own.value)) } else { (keys, entries.map(|own| own.key)) };
        let variables = match &fold.second {
            None => vec![(&fold.first, single)],
            Some(second) => vec![
                (&fold.first, (keys, entries.map(|own| own.key))),
                (second, (values, entries.map(|own| own.value))),
            ],
        };
        for (name, (step, size)) in variables {
            let mut path = self.path(&fold.range);
            if !path.is_empty() {
                path.push(step.into());
            }
            self.scopes.push(Local { name: name.clone(), path, size, entries: None });
        }
    }
}

/// Whether it is no loop at all, but a variable that is given a value.
fn is_binding(fold: &Fold) -> bool {
    let nothing = matches!(&fold.range.kind, Kind::List(elements) if elements.is_empty());
    nothing && matches!(fold.condition.kind, Kind::Literal(Literal::Bool(false)))
}

/// Whether all values are of one size.
fn is_scalar(of: &Type) -> bool {
    match of {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        of => of.inside_optional().is_some_and(is_scalar),
    }
}
