//! What is known of types that are not declared: which type each variable stands for, so far.

use std::{collections::HashMap, sync::Arc};

use crate::types::Type;

/// Types of variables. What was learnt can be forgotten, when a declaration turns out not to fit.
#[derive(Default)]
pub(super) struct Unifier {
    known: Vec<Option<Type>>,
    /// What was known before each change.
    changes: Vec<(u32, Option<Type>)>,
}

impl Unifier {
    /// A type of which nothing is known.
    pub(super) fn fresh(&mut self) -> Type {
        self.known.push(None);
        Type::Var(u32::try_from(self.known.len() - 1).unwrap_or(u32::MAX))
    }

    /// A declared type in which every parameter is a variable of its own.
    pub(super) fn instantiate(&mut self, of: &Type, names: &mut HashMap<Arc<str>, Type>) -> Type {
        match of {
            Type::Param(name) => names.entry(name.clone()).or_insert_with(|| self.fresh()).clone(),
            other => other.with(|of| self.instantiate(of, names)),
        }
    }

    /// The type with what is known of its variables; with `Dyn` for those of which nothing is known, if wanted.
    pub(super) fn settle(&self, of: &Type, finally: bool) -> Type {
        match of {
            Type::Var(number) => match self.get(*number) {
                Some(known) => self.settle(known, finally),
                None if finally => Type::Dyn,
                None => of.clone(),
            },
            Type::List(_) | Type::Map(..) | Type::Type(Some(_)) | Type::Opaque(..) => {
                of.with(|of| self.settle(of, finally))
            }
            other => other.clone(),
        }
    }

    fn get(&self, number: u32) -> Option<&Type> {
        self.known.get(number as usize)?.as_ref()
    }

    fn set(&mut self, number: u32, of: Type) {
        if let Some(known) = self.known.get_mut(number as usize) {
            self.changes.push((number, known.replace(of)));
        }
    }

    /// Whether a value of type `from` may be where `to` is wanted. What this tells of variables is kept if so.
    pub(super) fn assignable(&mut self, to: &Type, from: &Type) -> bool {
        self.assignable_all(&[(to, from)])
    }

    /// The same for several at once.
    pub(super) fn assignable_all(&mut self, pairs: &[(&Type, &Type)]) -> bool {
        let before = self.changes.len();
        let fits = pairs.iter().all(|(to, from)| self.fits(from, to));
        if !fits {
            for (number, was) in self.changes.drain(before..).rev() {
                if let Some(known) = self.known.get_mut(number as usize) {
                    *known = was;
                }
            }
        }
        fits
    }

    fn fits(&mut self, one: &Type, two: &Type) -> bool {
        if let Type::Var(number) = two {
            match self.substitute(one, *number) {
                Some(fits) => return fits,
                None if !matches!(one, Type::Var(_)) => return false,
                None => {}
            }
        }
        if let Type::Var(number) = one {
            return self.substitute(two, *number).unwrap_or(false);
        }
        match (one, two) {
            (one, two) if one.is_dyn() || two.is_dyn() => true,
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::List(one), Type::List(two)) => self.fits(one, two),
            (Type::Map(key, value), Type::Map(other, two)) => self.fits(key, other) && self.fits(value, two),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::Opaque(name, one), Type::Opaque(other, two)) => {
                name == other && one.len() == two.len() && one.iter().zip(two).all(|(one, two)| self.fits(one, two))
            }
            (one, two) => one == two,
        }
    }

    /// Whether a variable may stand for this type; `None` where it would be inside itself.
    fn substitute(&mut self, of: &Type, variable: u32) -> Option<bool> {
        if *of == Type::Var(variable) {
            return Some(true);
        }
        if let Some(known) = self.get(variable).cloned() {
            if !self.fits(of, &known) {
                return Some(false);
            }
            let wider = self.more_general(of.clone(), known.clone());
            if wider != known && !self.mentions(&wider, variable) {
                self.set(variable, wider);
            }
            return Some(true);
        }
        if self.mentions(of, variable) {
            return None;
        }
        self.set(variable, of.clone());
        Some(true)
    }

    fn mentions(&self, of: &Type, variable: u32) -> bool {
        match of {
            Type::Var(number) if *number == variable => true,
            Type::Var(number) => self.get(*number).is_some_and(|known| self.mentions(known, variable)),
            other => other.parameters().any(|of| self.mentions(of, variable)),
        }
    }

    /// The one that admits more.
    pub(super) fn more_general(&self, one: Type, two: Type) -> Type {
        if self.no_less_general(&one, &two) { one } else { two }
    }

    fn no_less_general(&self, one: &Type, two: &Type) -> bool {
        match (one, two) {
            (one, _) if one.is_dyn() || matches!(one, Type::Var(_)) => true,
            (_, two) if two.is_dyn() || matches!(two, Type::Var(_)) => false,
            (Type::Null, two) => *two == Type::Null,
            // What may be null is more than null.
            (_, Type::Null) => true,
            (Type::List(one), Type::List(two)) => self.no_less_general(one, two),
            (Type::Map(key, value), Type::Map(other, two)) => {
                self.no_less_general(key, other) && self.no_less_general(value, two)
            }
            (Type::Opaque(name, one), Type::Opaque(other, two)) => {
                name == other
                    && one.len() == two.len()
                    && one.iter().zip(two).all(|(one, two)| self.no_less_general(one, two))
            }
            (Type::Type(_), Type::Type(_)) => true,
            (one, two) => one == two,
        }
    }
}

/// Whether `null` may be where this is wanted.
fn nullable(of: &Type) -> bool {
    matches!(of, Type::Null | Type::Timestamp | Type::Duration | Type::Object(_) | Type::Opaque(..))
}
