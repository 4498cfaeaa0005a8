//! Makes expressions, each with a number of its own.

use std::sync::Arc;

use crate::ast::{Entry, Expr, Field, Fold, Kind, Literal, operator};

/// Counts expressions.
#[derive(Default)]
pub(super) struct Build {
    next: u32,
}

impl Build {
    pub(super) fn expr(&mut self, at: u32, kind: Kind) -> Expr {
        let id = self.next;
        self.next += 1;
        let height = height(&kind).saturating_add(1);
        Expr { id, at, height, kind }
    }

    pub(super) fn literal(&mut self, at: u32, value: Literal) -> Expr {
        self.expr(at, Kind::Literal(value))
    }

    pub(super) fn ident(&mut self, at: u32, name: &Arc<str>) -> Expr {
        self.expr(at, Kind::Ident(name.clone()))
    }

    pub(super) fn call(&mut self, at: u32, function: &str, args: Vec<Expr>) -> Expr {
        self.expr(at, Kind::Call { function: function.into(), target: None, args })
    }

    pub(super) fn method(&mut self, at: u32, target: Expr, function: &str, args: Vec<Expr>) -> Expr {
        self.expr(at, Kind::Call { function: function.into(), target: Some(Box::new(target)), args })
    }

    /// The terms with the function between each two of them, the middle one outermost. `None` without terms.
    pub(super) fn balanced(&mut self, function: &str, terms: &mut [Option<Expr>], places: &[u32]) -> Option<Expr> {
        if places.is_empty() {
            return terms.first_mut()?.take();
        }
        let middle = places.len() / 2;
        let (left, right) = terms.split_at_mut(middle + 1);
        let left = self.balanced(function, left, &places[..middle])?;
        let right = self.balanced(function, right, &places[middle + 1..])?;
        Some(self.call(places[middle], function, vec![left, right]))
    }

    /// `condition ? step : accumulator`
    pub(super) fn step_if(&mut self, at: u32, condition: Expr, step: Expr, accumulator: &Arc<str>) -> Expr {
        let otherwise = self.ident(at, accumulator);
        self.call(at, operator::CONDITIONAL, vec![condition, step, otherwise])
    }
}

fn height(kind: &Kind) -> u16 {
    let highest = |heights: &mut dyn Iterator<Item = &Expr>| heights.map(|expr| expr.height).max().unwrap_or(0);
    match kind {
        Kind::Literal(_) | Kind::Ident(_) => 0,
        Kind::Select { operand, .. } => operand.height,
        Kind::Call { target, args, .. } => highest(&mut target.as_deref().into_iter().chain(args)),
        Kind::List(elements) => highest(&mut elements.iter().map(|(element, _)| element)),
        Kind::Map(entries) => highest(&mut entries.iter().flat_map(|Entry { key, value, .. }| [key, value])),
        Kind::Struct { fields, .. } => highest(&mut fields.iter().map(|Field { value, .. }| value)),
        Kind::Fold(fold) => {
            let Fold { range, init, condition, step, result, .. } = &**fold;
            highest(&mut [range, init, condition, step, result].into_iter())
        }
    }
}
