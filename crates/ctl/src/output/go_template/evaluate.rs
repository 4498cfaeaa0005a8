//! Filling templates in.

use serde_json::Value;

use super::{Command, Node, Operand, Pipeline, functions};
use crate::output::{Missing, go};

/// What is printed for what is not there.
const NO_VALUE: &str = "<no value>";

/// How a list of nodes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// Fills a template in.
pub(super) fn print(nodes: &[Node], object: &Value, missing: Missing) -> Result<String, String> {
    let mut state = State { variables: vec![(String::new(), object.clone())], out: String::new(), missing };
    state.nodes(nodes, object)?;
    Ok(state.out)
}

struct State {
    /// The newest last.
    variables: Vec<(String, Value)>,
    out: String,
    missing: Missing,
}

impl State {
    fn nodes(&mut self, nodes: &[Node], current: &Value) -> Result<Flow, String> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::On
                }
                Node::Pipeline(pipeline) => {
                    let value = self.pipeline(pipeline, current)?;
                    if pipeline.variables.is_empty() {
                        self.out.push_str(&printed(&value));
                    }
                    Flow::On
                }
                Node::If(condition, then, otherwise) => {
                    let known = self.variables.len();
                    let branch = if is_true(&self.pipeline(condition, current)?) { then } else { otherwise };
                    let flow = self.nodes(branch, current)?;
                    self.variables.truncate(known);
                    flow
                }
                Node::With(with, then, otherwise) => {
                    let known = self.variables.len();
                    let value = self.pipeline(with, current)?;
                    let flow = if is_true(&value) { self.nodes(then, &value) } else { self.nodes(otherwise, current) }?;
                    self.variables.truncate(known);
                    flow
                }
                Node::Range(over, each, otherwise) => self.range(over, each, otherwise, current)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn range(&mut self, over: &Pipeline, each: &[Node], otherwise: &[Node], current: &Value) -> Result<Flow, String> {
        let known = self.variables.len();
        let silent = Pipeline { variables: Vec::new(), ..over.clone() };
        let elements = match self.pipeline(&silent, current)? {
            Value::Array(items) => items.into_iter().enumerate().map(|(at, item)| (Value::from(at), item)).collect(),
            Value::Object(members) => members.into_iter().map(|(name, value)| (Value::from(name), value)).collect(),
            Value::Null => Vec::new(),
            Value::Number(number) => {
                let count = number.as_u64().filter(|count| *count <= functions::MOST as u64);
                let count = count.ok_or_else(|| format!("range can't iterate over {number}"))?;
                (0..count).map(|at| (Value::from(at), Value::from(at))).collect()
            }
            other => return Err(format!("range can't iterate over {}", go::printed(&other))),
        };
        if elements.is_empty() {
            return self.nodes(otherwise, current);
        }
        for (key, element) in elements {
            match over.variables.as_slice() {
                [] => {}
                [only] => self.set(only, element.clone(), over.declares),
                [first, second, ..] => {
                    self.set(first, key, over.declares);
                    self.set(second, element.clone(), over.declares);
                }
            }
            let flow = self.nodes(each, &element)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, current: &Value) -> Result<Value, String> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, current, value)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipeline.variables {
            self.set(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    fn set(&mut self, name: &str, value: Value, declares: bool) {
        let known = self.variables.iter_mut().rev().find(|(known, _)| known == name).filter(|_| !declares);
        match known {
            Some((_, known)) => *known = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn command(&mut self, command: &Command, current: &Value, last: Option<Value>) -> Result<Value, String> {
        let Some((first, arguments)) = command.0.split_first() else { return Ok(Value::Null) };
        let Operand::Function(name) = first else {
            if arguments.is_empty() && last.is_none() {
                return self.operand(first, current);
            }
            return Err("can't give argument to non-function".to_owned());
        };
        // These two look at their arguments only as far as they have to.
        if let Some(stops_at) = functions::stops_at(name) {
            let mut value = Value::Null;
            for argument in arguments {
                value = self.operand(argument, current)?;
                if is_true(&value) == stops_at {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.operand(argument, current)?);
        }
        values.extend(last);
        functions::call(name, &values).map_err(|why| format!("error calling {name}: {why}"))
    }

    fn operand(&mut self, operand: &Operand, current: &Value) -> Result<Value, String> {
        Ok(match operand {
            Operand::Current => current.clone(),
            Operand::Literal(value) => value.clone(),
            Operand::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                known.map(|(_, value)| value.clone()).unwrap_or_default()
            }
            Operand::Function(_) => self.command(&Command(vec![operand.clone()]), current, None)?,
            Operand::Inner(pipeline) => self.pipeline(pipeline, current)?,
            Operand::Fields(of, names) => {
                let whole = match &**of {
                    Operand::Current => None,
                    other => Some(self.operand(other, current)?),
                };
                let found = field(whole.as_ref().unwrap_or(current), names, self.missing)?;
                found.cloned().unwrap_or_default()
            }
        })
    }
}

fn field<'v>(of: &'v Value, names: &[String], missing: Missing) -> Result<Option<&'v Value>, String> {
    let mut found = of;
    for name in names {
        match found {
            Value::Object(members) => match members.get(name) {
                Some(value) => found = value,
                None if missing == Missing::Refused => return Err(format!("map has no entry for key {name:?}")),
                None => return Ok(None),
            },
            Value::Null => return Ok(None),
            other => return Err(format!("can't evaluate field {name} in type {}", go::kind(other))),
        }
    }
    Ok(Some(found))
}

/// Whether a value counts as true: what is not empty and not zero.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

fn printed(value: &Value) -> String {
    if value.is_null() { NO_VALUE.to_owned() } else { go::printed(value) }
}
