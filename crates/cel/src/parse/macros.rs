//! Calls that stand for something else: `has`, loops over lists and maps, `cel.bind`, and those of optional values.

use std::sync::Arc;

use super::{Syntax, build::Build};
use crate::ast::{Expr, Fold, Kind, Literal, operator};

/// The variable in which loops gather their result. Nobody can write it.
const RESULT: &str = "@result";
/// The variable that keeps what `optMap` is called on.
const SUBJECT: &str = "@subject";
/// Of loops that are none.
const UNUSED: &str = "#unused";

/// Where something is wrong, and what.
type Wrong = (u32, String);

/// A call, or what it stands for.
pub(super) fn expand(
    build: &mut Build,
    syntax: Syntax,
    at: u32,
    function: &str,
    target: Option<Expr>,
    args: Vec<Expr>,
) -> Result<Expr, Wrong> {
    let namespace = target.as_ref().and_then(Expr::qualified_name);
    let kind = match (&target, namespace.as_deref(), function, args.len()) {
        (None, _, "has", 1) => return has(build, at, args),
        (Some(_), Some("cel"), "bind", 3) if syntax.bindings => return bind(build, at, args),
        (None, ..) => None,
        (Some(_), _, name, count) => Loop::of(name, count),
    };
    match (target, kind, function) {
        (Some(range), Some(kind), _) => fold(build, at, kind, range, args),
        (Some(target), None, "optMap" | "optFlatMap") if args.len() == 2 => {
            optional_map(build, at, function, target, args)
        }
        (Some(target), None, _) => Ok(build.method(at, target, function, args)),
        (None, ..) => Ok(build.call(at, function, args)),
    }
}

fn has(build: &mut Build, at: u32, mut args: Vec<Expr>) -> Result<Expr, Wrong> {
    let place = args.first().map_or(at, |argument| argument.at);
    match args.pop().map(|argument| argument.kind) {
        Some(Kind::Select { operand, field, test: false }) => {
            Ok(build.expr(at, Kind::Select { operand, field, test: true }))
        }
        _ => Err((place, "invalid argument to has() macro".to_owned())),
    }
}

/// A loop over nothing, in which a variable has a value.
fn bind(build: &mut Build, at: u32, args: Vec<Expr>) -> Result<Expr, Wrong> {
    let [name, value, body] = exactly(args, at)?;
    let Kind::Ident(variable) = &name.kind else {
        return Err((name.at, "cel.bind() variable names must be simple identifiers".to_owned()));
    };
    Ok(bound(build, at, variable, value, body))
}

fn bound(build: &mut Build, at: u32, variable: &Arc<str>, value: Expr, body: Expr) -> Expr {
    let fold = Fold {
        range: build.expr(at, Kind::List(Vec::new())),
        first: UNUSED.into(),
        second: None,
        accumulator: variable.clone(),
        init: value,
        condition: build.literal(at, Literal::Bool(false)),
        step: build.ident(at, variable),
        result: body,
    };
    build.expr(at, Kind::Fold(Box::new(fold)))
}

/// `target.optMap(x, f(x))`: the target is evaluated once, which in cel-go it is not.
fn optional_map(build: &mut Build, at: u32, function: &str, target: Expr, args: Vec<Expr>) -> Result<Expr, Wrong> {
    let [name, body] = exactly(args, at)?;
    let Kind::Ident(variable) = &name.kind else {
        return Err((name.at, format!("{function}() variable name must be a simple identifier")));
    };
    let subject: Arc<str> = SUBJECT.into();
    let inside = build.ident(at, &subject);
    let value = build.method(at, inside, "value", Vec::new());
    let mapped = bound(build, at, variable, value, body);
    let present = if function == "optMap" { build.call(at, "optional.of", vec![mapped]) } else { mapped };
    let absent = build.call(at, "optional.none", Vec::new());
    let tested = build.ident(at, &subject);
    let condition = build.method(at, tested, "hasValue", Vec::new());
    let choice = build.call(at, operator::CONDITIONAL, vec![condition, present, absent]);
    Ok(bound(build, at, &subject, target, choice))
}

fn exactly<const N: usize>(args: Vec<Expr>, at: u32) -> Result<[Expr; N], Wrong> {
    args.try_into().map_err(|_| (at, "wrong number of arguments".to_owned()))
}

/// What a loop is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loop {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformMap,
    TransformEntry,
}

/// Names of macros, how many variables they have, and how many expressions at least and at most.
const LOOPS: [(&str, Loop, usize, usize, usize); 13] = [
    ("all", Loop::All, 1, 1, 1),
    ("exists", Loop::Exists, 1, 1, 1),
    ("exists_one", Loop::ExistsOne, 1, 1, 1),
    ("existsOne", Loop::ExistsOne, 1, 1, 1),
    ("map", Loop::Map, 1, 1, 2),
    ("filter", Loop::Filter, 1, 1, 1),
    ("all", Loop::All, 2, 1, 1),
    ("exists", Loop::Exists, 2, 1, 1),
    ("exists_one", Loop::ExistsOne, 2, 1, 1),
    ("existsOne", Loop::ExistsOne, 2, 1, 1),
    ("transformList", Loop::Map, 2, 1, 2),
    ("transformMap", Loop::TransformMap, 2, 1, 2),
    ("transformMapEntry", Loop::TransformEntry, 2, 1, 2),
];

impl Loop {
    /// And the number of variables.
    fn of(name: &str, count: usize) -> Option<(Self, usize)> {
        let fits = |(macro_name, _, variables, least, most): &&(&str, Self, usize, usize, usize)| {
            *macro_name == name && (variables + least..=variables + most).contains(&count)
        };
        LOOPS.iter().find(fits).map(|(_, kind, variables, ..)| (*kind, *variables))
    }
}

fn variable(expr: &Expr) -> Result<Arc<str>, Wrong> {
    match &expr.kind {
        Kind::Ident(name) if !name.starts_with('.') => Ok(name.clone()),
        Kind::Ident(_) => Err((expr.at, "argument must be a simple name".to_owned())),
        _ => Err((expr.at, "argument must be a simple name".to_owned())),
    }
}

fn fold(
    build: &mut Build,
    at: u32,
    (kind, variables): (Loop, usize),
    range: Expr,
    args: Vec<Expr>,
) -> Result<Expr, Wrong> {
    let mut args = args.into_iter();
    let mut names = Vec::new();
    for name in args.by_ref().take(variables) {
        names.push(variable(&name)?);
        if names.len() == 2 && names[0] == names[1] {
            return Err((name.at, format!("duplicate variable name: {}", names[0])));
        }
    }
    let (one, two) = (args.next(), args.next());
    let (condition, value) = if two.is_some() { (one, two) } else { (None, one) };
    let (Some(value), Some(first)) = (value, names.first().cloned()) else {
        return Err((at, "wrong number of arguments".to_owned()));
    };
    let accumulator: Arc<str> = RESULT.into();
    let body = Body { build, at, accumulator: accumulator.clone() }.of(kind, &first, condition, value);
    let second = names.get(1).cloned();
    let Gathered { init, condition, step, result } = body;
    let fold = Fold { range, first, second, accumulator, init, condition, step, result };
    Ok(build.expr(at, Kind::Fold(Box::new(fold))))
}

/// What a loop does with its accumulator.
struct Gathered {
    init: Expr,
    condition: Expr,
    step: Expr,
    result: Expr,
}

struct Body<'a> {
    build: &'a mut Build,
    at: u32,
    accumulator: Arc<str>,
}

impl Body<'_> {
    fn of(mut self, kind: Loop, element: &Arc<str>, condition: Option<Expr>, value: Expr) -> Gathered {
        match kind {
            Loop::All => self.quantifier(true, operator::AND, value),
            Loop::Exists => self.quantifier(false, operator::OR, value),
            Loop::ExistsOne => self.one(value),
            Loop::Map => {
                let step = self.append(value);
                self.gather(Kind::List(Vec::new()), condition, step)
            }
            Loop::Filter => {
                let element = self.build.ident(self.at, element);
                let step = self.append(element);
                self.gather(Kind::List(Vec::new()), Some(value), step)
            }
            Loop::TransformMap => {
                let key = self.build.ident(self.at, element);
                let step = self.insert(vec![key, value]);
                self.gather(Kind::Map(Vec::new()), condition, step)
            }
            Loop::TransformEntry => {
                let step = self.insert(vec![value]);
                self.gather(Kind::Map(Vec::new()), condition, step)
            }
        }
    }

    fn own(&mut self) -> Expr {
        self.build.ident(self.at, &self.accumulator)
    }

    fn append(&mut self, value: Expr) -> Expr {
        let list = self.build.expr(self.at, Kind::List(vec![(value, false)]));
        let own = self.own();
        self.build.call(self.at, operator::ADD, vec![own, list])
    }

    fn insert(&mut self, entry: Vec<Expr>) -> Expr {
        let mut args = vec![self.own()];
        args.extend(entry);
        self.build.call(self.at, operator::INSERT, args)
    }

    fn gather(&mut self, empty: Kind, condition: Option<Expr>, step: Expr) -> Gathered {
        let step = match condition {
            Some(condition) => self.build.step_if(self.at, condition, step, &self.accumulator),
            None => step,
        };
        Gathered {
            init: self.build.expr(self.at, empty),
            condition: self.build.literal(self.at, Literal::Bool(true)),
            step,
            result: self.own(),
        }
    }

    /// Ends as soon as the result is certain.
    fn quantifier(&mut self, start: bool, function: &str, value: Expr) -> Gathered {
        let own = self.own();
        let going_on = if start { own } else { self.build.call(self.at, operator::NOT, vec![own]) };
        let own = self.own();
        Gathered {
            init: self.build.literal(self.at, Literal::Bool(start)),
            condition: self.build.call(self.at, operator::NOT_STRICTLY_FALSE, vec![going_on]),
            step: self.build.call(self.at, function, vec![own, value]),
            result: self.own(),
        }
    }

    /// Counts.
    fn one(&mut self, value: Expr) -> Gathered {
        let one = self.build.literal(self.at, Literal::Int(1));
        let own = self.own();
        let more = self.build.call(self.at, operator::ADD, vec![own, one]);
        let own = self.own();
        let one = self.build.literal(self.at, Literal::Int(1));
        Gathered {
            init: self.build.literal(self.at, Literal::Int(0)),
            condition: self.build.literal(self.at, Literal::Bool(true)),
            step: self.build.step_if(self.at, value, more, &self.accumulator),
            result: self.build.call(self.at, operator::EQUALS, vec![own, one]),
        }
    }
}
