//! Expressions to programs: names become places, constants values, functions code.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ast::{Entry, Expr, Field, Fold, Kind, Literal, operator},
    env::{Checked, Env},
    evaluate::{Element, FoldPlan, Node, Pair, Program},
    types::Type,
    value::{Key, Map, Value},
};

/// The program of an expression.
pub(crate) fn plan(env: &Env, checked: &Checked) -> Program {
    let mut planner = Planner { env, scopes: Vec::new() };
    let root = planner.node(&checked.expr);
    let result = checked.types.get(checked.expr.id as usize).cloned().unwrap_or(Type::Dyn);
    Program { root, result }
}

struct Planner<'a> {
    env: &'a Env,
    /// Names of what is on the stack.
    scopes: Vec<Arc<str>>,
}

impl Planner<'_> {
    fn node(&mut self, expr: &Expr) -> Node {
        match &expr.kind {
            Kind::Literal(literal) => Node::Constant(value(literal)),
            Kind::Ident(name) => self.ident(name),
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { function, target, args } => self.call(function, target.as_deref(), args),
            Kind::List(elements) => {
                let elements: Vec<Element> = elements
                    .iter()
                    .map(|(element, optional)| Element { node: self.node(element), optional: *optional })
                    .collect();
                constant_list(&elements).unwrap_or(Node::List(elements))
            }
            Kind::Map(entries) => {
                let pairs = entries.iter().map(|entry| self.pair(entry)).collect::<Vec<_>>();
                constant_map(&pairs).unwrap_or(Node::Map(pairs))
            }
            Kind::Struct { name, fields } => {
                let field = |Field { name, value, optional, .. }: &Field| {
                    (name.clone(), Element { node: self.node(value), optional: *optional })
                };
                let fields = fields.iter().map(field).collect();
                Node::Object(name.clone(), fields)
            }
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn pair(&mut self, Entry { key, value, optional, .. }: &Entry) -> Pair {
        Pair { key: self.node(key), value: Element { node: self.node(value), optional: *optional } }
    }

    fn ident(&self, name: &Arc<str>) -> Node {
        if let Some(place) = self.scopes.iter().rposition(|scoped| scoped == name) {
            return Node::Local(place);
        }
        self.global(name).unwrap_or_else(|| Node::Variable(name.trim_start_matches('.').into()))
    }

    /// A variable of the environment, or a type.
    fn global(&self, name: &str) -> Option<Node> {
        self.env.candidates(name).into_iter().find_map(|candidate| {
            if let Some((name, _)) = self.env.variables.get_key_value(&*candidate) {
                return Some(Node::Variable(name.clone()));
            }
            self.env.type_named(&candidate).map(|of| Node::Constant(Value::Type(of)))
        })
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &Arc<str>, test: bool) -> Node {
        // Where types were not looked at, names with dots were not either.
        if let Some(name) = expr.qualified_name()
            && !self.scopes.iter().any(|scoped| Some(&**scoped) == name.split('.').next())
            && let Some(node) = self.global(&name)
        {
            return node;
        }
        let operand = Box::new(self.node(operand));
        let field = field.clone();
        if test { Node::Test { operand, field } } else { Node::Select { operand, field } }
    }

    fn call(&mut self, function: &str, target: Option<&Expr>, args: &[Expr]) -> Node {
        if let Some(name) = target.and_then(Expr::qualified_name)
            && let Some(full) = self.function(&format!("{name}.{function}"))
        {
            return self.plain(&full, None, args);
        }
        let full = self.function(function).unwrap_or_else(|| function.to_owned());
        self.special(&full, args).unwrap_or_else(|| self.plain(&full, target, args))
    }

    fn function(&self, name: &str) -> Option<String> {
        self.env.candidates(name).into_iter().find(|candidate| self.env.function(candidate).is_some())
    }

    /// Calls that do not evaluate all of their arguments.
    fn special(&mut self, function: &str, args: &[Expr]) -> Option<Node> {
        Some(match (function, args) {
            (operator::AND, [left, right]) => Node::And(Box::new((self.node(left), self.node(right)))),
            (operator::OR, [left, right]) => Node::Or(Box::new((self.node(left), self.node(right)))),
            (operator::NOT_STRICTLY_FALSE, [only]) => Node::NotStrictlyFalse(Box::new(self.node(only))),
            (operator::CONDITIONAL, [condition, then, otherwise]) => {
                Node::Conditional(Box::new((self.node(condition), self.node(then), self.node(otherwise))))
            }
            (operator::OPTIONAL_SELECT, [operand, field]) => match &field.kind {
                Kind::Literal(Literal::String(field)) => {
                    Node::OptionalSelect { operand: Box::new(self.node(operand)), field: field.clone() }
                }
                _ => return None,
            },
            _ => return None,
        })
    }

    fn plain(&mut self, function: &str, target: Option<&Expr>, args: &[Expr]) -> Node {
        let args: Vec<Node> = target.into_iter().chain(args).map(|arg| self.node(arg)).collect();
        match self.env.implementations(function) {
            Some((name, functions)) => {
                let pattern = match (name, args.get(1)) {
                    ("matches" | "find" | "findAll", Some(Node::Constant(Value::String(text)))) => {
                        crate::functions::pattern(text).ok()
                    }
                    _ => None,
                };
                Node::Call { name, functions: functions.iter().copied().collect(), args, pattern }
            }
            None => Node::Unknown,
        }
    }

    fn fold(&mut self, fold: &Fold) -> Node {
        let range = self.node(&fold.range);
        let init = self.node(&fold.init);
        let accumulator = self.scopes.len();
        self.scopes.push(fold.accumulator.clone());
        let inside = self.scopes.len();
        self.scopes.push(fold.first.clone());
        self.scopes.extend(fold.second.clone());
        let condition = self.node(&fold.condition);
        let step = gathering(self.node(&fold.step), accumulator);
        self.scopes.truncate(inside);
        let result = self.node(&fold.result);
        self.scopes.truncate(accumulator);
        let two = fold.second.is_some();
        Node::Fold(Box::new(FoldPlan { range, init, condition, step, result, two, accumulator }))
    }
}

/// Steps that add to their accumulator do so in place: it is theirs alone.
fn gathering(step: Node, accumulator: usize) -> Node {
    let own = |node: &Node| matches!(node, Node::Local(place) if *place == accumulator);
    match step {
        Node::Conditional(parts) => {
            let (condition, then, otherwise) = *parts;
            Node::Conditional(Box::new((condition, gathering(then, accumulator), otherwise)))
        }
        Node::Call { name: operator::ADD, args, functions, pattern } => match <[Node; 2]>::try_from(args) {
            Ok([left, Node::List(elements)]) if own(&left) => Node::Append(accumulator, elements),
            Ok(args) => Node::Call { name: operator::ADD, args: args.into(), functions, pattern },
            Err(args) => Node::Call { name: operator::ADD, args, functions, pattern },
        },
        Node::Call { name: operator::INSERT, mut args, .. } if args.first().is_some_and(own) => {
            args.remove(0);
            Node::Insert(accumulator, args)
        }
        other => other,
    }
}

fn value(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::string(text.clone()),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

/// A list that is always the same is made once.
fn constant_list(elements: &[Element]) -> Option<Node> {
    let constant = |element: &Element| match &element.node {
        Node::Constant(value) if !element.optional => Some(value.clone()),
        _ => None,
    };
    let values: Option<Vec<Value<'static>>> = elements.iter().map(constant).collect();
    values.filter(|values| !values.is_empty()).map(|values| Node::Constant(Value::list(values)))
}

fn constant_map(pairs: &[Pair]) -> Option<Node> {
    let mut values = BTreeMap::new();
    for pair in pairs {
        let (Node::Constant(key), Node::Constant(value), false) = (&pair.key, &pair.value.node, pair.value.optional)
        else {
            return None;
        };
        if values.insert(Key::of(key)?, value.clone()).is_some() {
            return None;
        }
    }
    (!values.is_empty()).then(|| Node::Constant(Value::Map(Map::Values(Arc::new(values)))))
}
