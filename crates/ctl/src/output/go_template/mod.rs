//! Go's templates (<https://pkg.go.dev/text/template>), as far as people write them for kubectl: everything but templates
//! within templates (`define`, `template`, `block`).

mod evaluate;
mod functions;
mod lex;
mod parse;

use serde_json::Value;

use super::Missing;

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    nodes: Vec<Node>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Text(String),
    /// What comes of it is printed, unless it only sets a variable.
    Pipeline(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
    Break,
    Continue,
}

/// Commands, each of which is given what the one before made, as its last argument.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pipeline {
    /// Variables that are set.
    variables: Vec<String>,
    /// Whether they are new.
    declares: bool,
    commands: Vec<Command>,
}

/// A function or a value, and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command(Vec<Operand>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    /// `.`
    Current,
    Literal(Value),
    /// `$name`; `$` itself is nameless.
    Variable(String),
    Function(String),
    Inner(Box<Pipeline>),
    /// Fields of another operand.
    Fields(Box<Operand>, Vec<String>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is none, in kubectl's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let nodes = lex::items(text).and_then(|items| parse::template(&items));
        let nodes = nodes.map_err(|why| format!("error parsing template {text}, template: output:{why}"))?;
        Ok(Self { text: text.to_owned(), nodes })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// When a function cannot do what it is asked for, or something is missing that must not be.
    pub fn print(&self, object: &Value, missing: Missing) -> Result<String, String> {
        let filled = evaluate::print(&self.nodes, object, missing);
        filled.map_err(|why| format!("error executing template {:?}: template: output: {why}", self.text))
    }
}

#[cfg(test)]
mod tests;
