//! Which of a function's declarations a call means.

use std::{collections::HashMap, sync::Arc};

use super::Checker;
use crate::{
    ast::{Expr, Kind, Literal, operator},
    types::Type,
};

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &mut Expr) -> Type {
        self.namespaced(expr);
        let at = expr.at;
        let Kind::Call { function, target, args } = &mut expr.kind else { return Type::Error };
        if &**function == operator::OPTIONAL_SELECT {
            return self.optional_select(at, args);
        }
        let member = target.is_some();
        let types: Vec<Type> =
            target.as_deref_mut().into_iter().chain(args.iter_mut()).map(|arg| self.expr(arg)).collect();
        let name = if member { Some(function.to_string()) } else { self.function_named(function) };
        let Some(name) = name.filter(|name| self.env.function(name).is_some()) else {
            let container = &self.env.container;
            self.reporter.report(at, format!("undeclared reference to '{function}' (in container '{container}')"));
            return Type::Error;
        };
        *function = name.as_str().into();
        self.resolve(at, &name, member, &types)
    }

    /// `math.least(1)` is no call on a variable `math`, if there is a function of this name.
    fn namespaced(&self, expr: &mut Expr) {
        let Kind::Call { function, target, args } = &mut expr.kind else { return };
        let Some(name) = target.as_deref().and_then(Expr::qualified_name) else { return };
        if self.shadowed(&name) {
            return;
        }
        if let Some(full) = self.function_named(&format!("{name}.{function}")) {
            let args = std::mem::take(args);
            expr.kind = Kind::Call { function: full.into(), target: None, args };
        }
    }

    fn function_named(&self, name: &str) -> Option<String> {
        self.env.candidates(name).into_iter().find(|candidate| self.env.function(candidate).is_some())
    }

    fn resolve(&mut self, at: u32, name: &str, member: bool, types: &[Type]) -> Type {
        let overloads = self.env.function(name).map(|declared| declared.overloads.clone()).unwrap_or_default();
        let mut result: Option<Type> = None;
        for overload in
            overloads.iter().filter(|overload| overload.member == member && overload.params.len() == types.len())
        {
            let mut names = HashMap::new();
            let params: Vec<Type> =
                overload.params.iter().map(|param| self.unifier.instantiate(param, &mut names)).collect();
            let of = self.unifier.instantiate(&overload.result, &mut names);
            let pairs: Vec<(&Type, &Type)> = params.iter().zip(types).collect();
            if !self.unifier.assignable_all(&pairs) {
                continue;
            }
            let of = self.unifier.settle(&of, false);
            result = Some(match result {
                None => of,
                Some(before) if before == of || before.is_dyn() => before,
                Some(_) => Type::Dyn,
            });
        }
        result.unwrap_or_else(|| {
            let types: Vec<Type> = types.iter().map(|of| self.unifier.settle(of, false)).collect();
            self.reporter.report(at, mismatch(name, member, &types));
            Type::Error
        })
    }

    fn optional_select(&mut self, at: u32, args: &mut [Expr]) -> Type {
        let [operand, field] = args else { return Type::Error };
        let of = self.expr(operand);
        self.expr(field);
        let Kind::Literal(Literal::String(name)) = &field.kind else {
            self.reporter.report(at, "unsupported optional field selection");
            return Type::Error;
        };
        let name: Arc<str> = name.clone();
        let found = self.field(at, &of, &name);
        if found.inside_optional().is_some() { found } else { Type::optional(found) }
    }
}

/// `found no matching overload for 'f' applied to 'string.(int)'`
fn mismatch(name: &str, member: bool, types: &[Type]) -> String {
    let (target, args) = if member { types.split_at(1.min(types.len())) } else { (&types[..0], types) };
    let target: String = target.iter().map(|of| format!("{of}.")).collect();
    let args: Vec<String> = args.iter().map(Type::to_string).collect();
    format!("found no matching overload for '{name}' applied to '{target}({})'", args.join(", "))
}
