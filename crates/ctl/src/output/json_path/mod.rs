//! kubectl's JSONPath templates: text with expressions in braces
//! (<https://kubernetes.io/docs/reference/kubectl/jsonpath/>).

mod evaluate;
mod parse;

use serde_json::Value;

use super::{Missing, go};

/// A template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    nodes: Vec<Node>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// Printed as it is.
    Text(String),
    /// What is found is printed, with spaces between.
    Path(Path),
    /// Printed for each value that is found.
    Range(Path, Vec<Node>),
    /// Ends a range that was not begun.
    End,
}

/// Steps from the current value on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Path(Vec<Step>);

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    /// All values of an object or a list.
    All,
    /// The value and everything inside of it.
    Everything,
    Slice(Slice),
    Filter(Filter),
    /// What each of several paths finds.
    Union(Vec<Path>),
    /// A value that is written in the template.
    Literal(Value),
    /// A word that means nothing.
    Unknown(String),
}

/// Elements of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    from: Option<i64>,
    /// `Some(None)`: as far as the list goes.
    to: Option<Option<i64>>,
    step: Option<i64>,
}

/// Which elements of a list are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    left: Path,
    /// None where something only has to be there.
    right: Option<(Comparison, Path)>,
}

/// How values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// kubectl's words.
const UNEXPECTED: &str =
    "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'";

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is none, in kubectl's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), nodes: parse::template(text)? })
    }

    /// Reads one path as it is written in columns: `{.a}`, `{a}`, `.a` or `a`.
    ///
    /// # Errors
    /// When it is none, in kubectl's words.
    pub fn relaxed(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('{').map_or(Some(text), |inner| inner.strip_suffix('}'));
        let inner = inner.filter(|inner| !inner.is_empty() && !inner.contains(['{', '}']));
        let inner = inner.ok_or(UNEXPECTED)?;
        let dot = if inner.starts_with(['.', '[', '$', '@']) { "" } else { "." };
        Self::parse(&format!("{{{dot}{inner}}}"))
    }

    /// Fills it in.
    ///
    /// # Errors
    /// When something is missing that must not be, or cannot be compared; in kubectl's words.
    pub fn print(&self, object: &Value, missing: Missing) -> Result<String, String> {
        let mut out = String::new();
        self.each(object, missing, &mut |found| {
            let texts: Vec<String> = found.iter().map(|value| go::json_path(value)).collect();
            out.push_str(&texts.join(" "));
        })?;
        Ok(out)
    }

    /// What each part of it finds.
    ///
    /// # Errors
    /// As [`Self::print`].
    pub fn parts(&self, object: &Value, missing: Missing) -> Result<Vec<Vec<Value>>, String> {
        let mut parts = Vec::new();
        self.each(object, missing, &mut |found| parts.push(found.iter().map(|value| (*value).clone()).collect()))?;
        Ok(parts)
    }

    fn each(&self, object: &Value, missing: Missing, write: &mut impl FnMut(&[&Value])) -> Result<(), String> {
        evaluate::print(&self.nodes, object, missing, write).map_err(|why| {
            format!(
                "error executing jsonpath {:?}: Error executing template: {why}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{}\n\tobject given to jsonpath engine was:\n\t\t{}\n\n",
                self.text, self.text, go::syntax(object)
            )
        })
    }
}

#[cfg(test)]
mod tests;
