//! The types of an expression, and which variables and functions its names mean: cel-go's algorithm and words.

mod call;
mod unify;
mod validate;

use std::sync::Arc;

use unify::Unifier;

use crate::{
    ast::{Entry, Expr, Field, Fold, Kind, Literal},
    env::{Checked, Env},
    issues::{Issues, Reporter},
    types::Type,
};

/// The expression with its types, and with names that are resolved.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn check(env: &Env, text: &str, mut expr: Expr) -> Result<Checked, Issues> {
    let reporter = Reporter::new(text);
    let mut checker = Checker { env, reporter, unifier: Unifier::default(), scopes: Vec::new(), types: Vec::new() };
    checker.expr(&mut expr);
    let Checker { mut reporter, unifier, types, .. } = checker;
    let types: Vec<Type> = types.iter().map(|of| unifier.settle(of, true)).collect();
    std::mem::replace(&mut reporter, Reporter::new(text)).finish()?;
    validate::validate(env, &expr, &types, &mut reporter);
    reporter.finish()?;
    Ok(Checked { expr, types })
}

pub(super) struct Checker<'a> {
    env: &'a Env,
    reporter: Reporter<'a>,
    unifier: Unifier,
    /// Variables of loops, the innermost last.
    scopes: Vec<(Arc<str>, Type)>,
    /// By the number of an expression.
    types: Vec<Type>,
}

impl Checker<'_> {
    /// The type of the expression, which is noted.
    fn expr(&mut self, expr: &mut Expr) -> Type {
        let of = self.kind(expr);
        let index = expr.id as usize;
        if self.types.len() <= index {
            self.types.resize(index + 1, Type::Dyn);
        }
        self.types[index] = of.clone();
        of
    }

    fn kind(&mut self, expr: &mut Expr) -> Type {
        match &mut expr.kind {
            Kind::Literal(literal) => of_literal(literal),
            Kind::Ident(name) => {
                let name = name.clone();
                self.ident(expr, &name)
            }
            Kind::Select { .. } => self.select(expr),
            Kind::Call { .. } => self.call(expr),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => {
                let (at, name) = (expr.at, name.clone());
                match self.object_type(at, &name) {
                    Ok((full, of)) => {
                        self.fields(&full, fields);
                        if let Kind::Struct { name, .. } = &mut expr.kind {
                            *name = full;
                        }
                        of
                    }
                    Err(()) => {
                        self.fields("", fields);
                        Type::Error
                    }
                }
            }
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn ident(&mut self, expr: &mut Expr, name: &str) -> Type {
        if let Some((full, of)) = self.lookup(name) {
            expr.kind = Kind::Ident(full);
            return of;
        }
        let container = &self.env.container;
        self.reporter.report(expr.at, format!("undeclared reference to '{name}' (in container '{container}')"));
        Type::Error
    }

    /// What a name means: a variable of a loop, or with a dot in front a variable of the environment or a type.
    fn lookup(&self, name: &str) -> Option<(Arc<str>, Type)> {
        if let Some((name, of)) = self.scopes.iter().rev().find(|(scoped, _)| &**scoped == name) {
            return Some((name.clone(), of.clone()));
        }
        self.env.candidates(name).into_iter().find_map(|candidate| {
            let of = match self.env.variables.get(&*candidate) {
                Some(of) => of.clone(),
                None => Type::Type(Some(Arc::new(self.env.type_named(&candidate)?))),
            };
            Some((format!(".{candidate}").into(), of))
        })
    }

    fn select(&mut self, expr: &mut Expr) -> Type {
        if let Some(name) = expr.qualified_name()
            && !self.shadowed(&name)
            && let Some((full, of)) = self.lookup(&name)
        {
            expr.kind = Kind::Ident(full);
            return of;
        }
        let Kind::Select { operand, field, test } = &mut expr.kind else { return Type::Error };
        let of = self.expr(operand);
        let found = self.field(expr.at, &of, &field.clone());
        if *test { Type::Bool } else { found }
    }

    /// Whether the first of several names is a variable of a loop, which hides variables whose names have dots.
    fn shadowed(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or(name);
        self.scopes.iter().any(|(scoped, _)| &**scoped == first)
    }

    /// The type of a field of what has this type.
    fn field(&mut self, at: u32, operand: &Type, field: &str) -> Type {
        let operand = self.unifier.settle(operand, false);
        if let Some(inside) = operand.inside_optional() {
            let of = self.field(at, &inside.clone(), field);
            return Type::optional(of);
        }
        match &operand {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(name) => match self.env.field(name, field) {
                Some(of) => of,
                None => {
                    self.reporter.report(at, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            Type::Var(_) => {
                self.unifier.assignable(&Type::Dyn, &operand);
                Type::Dyn
            }
            Type::Dyn | Type::Any => Type::Dyn,
            Type::Error => Type::Error,
            other => {
                self.reporter.report(at, format!("type '{other}' does not support field selection"));
                Type::Error
            }
        }
    }

    fn list(&mut self, elements: &mut [(Expr, bool)]) -> Type {
        let mut joined = None;
        for (element, optional) in elements {
            let mut of = self.expr(element);
            if *optional {
                of = self.unwrapped(element.at, &of);
            }
            joined = Some(self.join(joined, of));
        }
        Type::list(joined.unwrap_or_else(|| self.unifier.fresh()))
    }

    /// What is inside an optional type; a mistake otherwise.
    fn unwrapped(&mut self, at: u32, of: &Type) -> Type {
        let of = self.unifier.settle(of, false);
        match of.inside_optional() {
            Some(inside) => inside.clone(),
            None if of.is_dyn() => of,
            None => {
                let expected = Type::optional(of.clone());
                self.reporter.report(at, format!("expected type '{expected}' but found '{of}'"));
                of
            }
        }
    }

    /// The type of elements of which some have one type and another has the other.
    fn join(&mut self, before: Option<Type>, now: Type) -> Type {
        match before {
            None => now,
            Some(before) if self.unifier.assignable(&before, &now) => self.unifier.more_general(before, now),
            Some(_) => Type::Dyn,
        }
    }

    fn map(&mut self, entries: &mut [Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for Entry { key, value, optional, .. } in entries {
            let of = self.expr(key);
            // No list or map can be a key when it comes to evaluating. As a type it would double with every nesting.
            let of = if matches!(of, Type::List(_) | Type::Map(..)) { Type::Dyn } else { of };
            keys = Some(self.join(keys, of));
            let mut of = self.expr(value);
            if *optional {
                of = self.unwrapped(value.at, &of);
            }
            values = Some(self.join(values, of));
        }
        match (keys, values) {
            (Some(key), Some(value)) => Type::map(key, value),
            _ => Type::map(self.unifier.fresh(), self.unifier.fresh()),
        }
    }

    fn object_type(&mut self, at: u32, name: &str) -> Result<(Arc<str>, Type), ()> {
        let container = self.env.container.clone();
        match self.lookup(name) {
            Some((full, Type::Type(Some(of)))) if matches!(*of, Type::Object(_)) => {
                Ok((full.trim_start_matches('.').into(), (*of).clone()))
            }
            Some((_, Type::Type(Some(_)))) => {
                self.reporter.report(at, format!("'{name}' is not a message type"));
                Err(())
            }
            Some(_) => {
                self.reporter.report(at, format!("'{name}' is not a type"));
                Err(())
            }
            None => {
                self.reporter.report(at, format!("undeclared reference to '{name}' (in container '{container}')"));
                Err(())
            }
        }
    }

    fn fields(&mut self, of: &str, fields: &mut [Field]) {
        for Field { at, name, value, optional } in fields {
            let mut found = self.expr(value);
            if *optional {
                found = self.unwrapped(value.at, &found);
            }
            if of.is_empty() {
                continue;
            }
            let expected = self.field(*at, &Type::object(of), name);
            if !self.unifier.assignable(&expected, &found) {
                let (expected, found) = (self.unifier.settle(&expected, false), self.unifier.settle(&found, false));
                let message = format!("expected type of field '{name}' is '{expected}' but provided type is '{found}'");
                self.reporter.report(*at, message);
            }
        }
    }

    fn fold(&mut self, fold: &mut Fold) -> Type {
        let range = self.expr(&mut fold.range);
        let accumulator = self.expr(&mut fold.init);
        let (first, second) = self.elements(fold, &range);
        let outside = self.scopes.len();
        self.scopes.push((fold.accumulator.clone(), accumulator.clone()));
        let inside = self.scopes.len();
        self.scopes.push((fold.first.clone(), first));
        if let (Some(name), Some(of)) = (&fold.second, second) {
            self.scopes.push((name.clone(), of));
        }
        let condition = self.expr(&mut fold.condition);
        self.expect(fold.condition.at, &Type::Bool, &condition);
        let step = self.expr(&mut fold.step);
        self.expect(fold.step.at, &accumulator, &step);
        self.scopes.truncate(inside);
        let result = self.expr(&mut fold.result);
        self.scopes.truncate(outside);
        self.unifier.settle(&result, false)
    }

    /// The types of a loop's variables.
    fn elements(&mut self, fold: &Fold, range: &Type) -> (Type, Option<Type>) {
        let range = self.unifier.settle(range, false);
        let two = fold.second.is_some();
        match &range {
            Type::List(element) if two => (Type::Int, Some((**element).clone())),
            Type::List(element) => ((**element).clone(), None),
            Type::Map(key, value) => ((**key).clone(), two.then(|| (**value).clone())),
            of => {
                if !of.is_dyn() && !matches!(of, Type::Var(_)) {
                    let message = format!(
                        "expression of type '{of}' cannot be range of a comprehension (must be list, map, or dynamic)"
                    );
                    self.reporter.report(fold.range.at, message);
                    return (Type::Error, two.then_some(Type::Error));
                }
                self.unifier.assignable(&Type::Dyn, of);
                (Type::Dyn, two.then_some(Type::Dyn))
            }
        }
    }

    fn expect(&mut self, at: u32, expected: &Type, found: &Type) {
        if !self.unifier.assignable(expected, found) {
            let (expected, found) = (self.unifier.settle(expected, false), self.unifier.settle(found, false));
            self.reporter.report(at, format!("expected type '{expected}' but found '{found}'"));
        }
    }
}

fn of_literal(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}
