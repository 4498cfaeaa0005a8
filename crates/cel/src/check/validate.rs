//! What Kubernetes' environment demands of an expression beyond its types: literals that are read when it is evaluated
//! are read once before, and elements of one list have one type.

use super::Reporter;
use crate::{
    ast::{Entry, Expr, Field, Fold, Kind, Literal},
    env::Env,
    types::Type,
    value::{parse_duration, parse_timestamp},
};

/// In its arguments lists may be mixed.
const FORMAT: &str = "format";

/// Reports what is wrong with an expression whose types are known.
pub(super) fn validate(env: &Env, expr: &Expr, types: &[Type], reporter: &mut Reporter<'_>) {
    let mut validator = Validator { types, mixed: env.mixed, reporter };
    validator.visit(expr);
}

struct Validator<'v, 'r> {
    types: &'v [Type],
    /// Whether lists may be mixed here.
    mixed: bool,
    reporter: &'v mut Reporter<'r>,
}

impl Validator<'_, '_> {
    fn visit(&mut self, expr: &Expr) {
        let outside = self.mixed;
        match &expr.kind {
            Kind::Call { function, target, args } => {
                self.literal(function, target.is_some(), args);
                self.mixed |= &**function == FORMAT;
            }
            Kind::List(elements) if !self.mixed => self.list(elements),
            Kind::Map(entries) if !self.mixed => self.map(entries),
            _ => {}
        }
        for inner in children(expr) {
            self.visit(inner);
        }
        self.mixed = outside;
    }

    fn literal(&mut self, function: &str, member: bool, args: &[Expr]) {
        let Some(argument) = args.first() else { return };
        let Kind::Literal(Literal::String(text)) = &argument.kind else { return };
        let wrong = match (function, member) {
            ("duration", false) => parse_duration(text).is_err(),
            ("timestamp", false) => parse_timestamp(text).is_err(),
            ("matches", _) => crate::functions::invalid_pattern(text),
            _ => false,
        };
        if wrong {
            self.reporter.report(argument.at, format!("invalid {function} argument"));
        }
    }

    fn of(&self, expr: &Expr, optional: bool) -> Type {
        let of = self.types.get(expr.id as usize).cloned().unwrap_or(Type::Dyn);
        of.inside_optional().filter(|_| optional).cloned().unwrap_or(of)
    }

    fn list(&mut self, elements: &[(Expr, bool)]) {
        let mut elements = elements.iter().map(|(element, optional)| (element.at, self.of(element, *optional)));
        let Some((_, first)) = elements.next() else { return };
        if let Some((at, of)) = elements.find(|(_, of)| *of != first) {
            self.mismatch(at, &first, &of);
        }
    }

    fn map(&mut self, entries: &[Entry]) {
        let mut entries = entries.iter();
        let Some(first) = entries.next() else { return };
        let (keys, values) = (self.of(&first.key, false), self.of(&first.value, first.optional));
        for Entry { key, value, optional } in entries {
            for (expected, found, at) in
                [(&keys, self.of(key, false), key.at), (&values, self.of(value, *optional), value.at)]
            {
                if *expected != found {
                    self.mismatch(at, expected, &found);
                }
            }
        }
    }

    fn mismatch(&mut self, at: u32, expected: &Type, found: &Type) {
        self.reporter.report(at, format!("expected type '{expected}' but found '{found}'"));
    }
}

/// What an expression is made of.
fn children(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        Kind::Literal(_) | Kind::Ident(_) => Vec::new(),
        Kind::Select { operand, .. } => vec![operand],
        Kind::Call { target, args, .. } => target.as_deref().into_iter().chain(args).collect(),
        Kind::List(elements) => elements.iter().map(|(element, _)| element).collect(),
        Kind::Map(entries) => entries.iter().flat_map(|Entry { key, value, .. }| [key, value]).collect(),
        Kind::Struct { fields, .. } => fields.iter().map(|Field { value, .. }| value).collect(),
        Kind::Fold(fold) => {
            let Fold { range, init, condition, step, result, .. } = &**fold;
            vec![range, init, condition, step, result]
        }
    }
}
