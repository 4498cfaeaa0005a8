//! Rules in CEL that schemas bring along (`x-kubernetes-validations`): what they may speak of, what they cost, and what
//! they make of an object.

mod definition;
mod evaluate;
mod types;
mod values;

use std::sync::{Arc, LazyLock, OnceLock};

use cel::{Env, Program, Range, Sizes, Type};

use self::types::Declared;
use super::node::Node;
use crate::{apiextensions::ValidationRule, expressions::BASE};

pub(crate) use definition::check;
pub(super) use definition::field_path;
pub(super) use evaluate::{Whole, object};
pub(super) use values::is_plain;

/// The name of the type of the value at which a rule stands.
const SELF_TYPE: &str = "selfType";
const SELF: &str = "self";
const OLD_SELF: &str = "oldSelf";

/// The rules of one place in a schema; compiled when they are first needed.
#[derive(Debug)]
pub(super) struct Rules {
    sources: Box<[ValidationRule]>,
    compiled: OnceLock<Box<[Rule]>>,
}

/// A rule that was understood, or why not.
#[derive(Debug)]
struct Rule {
    program: Result<Program, String>,
    /// What it costs at most.
    cost: u64,
    /// What computes the words, and what that costs at most.
    message: Option<Result<(Program, u64), String>>,
    /// Whether it compares with what was there before.
    is_transition: bool,
    /// Where the error is told, within the value.
    place: Option<String>,
}

impl Rules {
    /// `None` where there are none.
    pub fn new(sources: Option<&Vec<ValidationRule>>) -> Option<Self> {
        let sources = sources.filter(|sources| !sources.is_empty())?;
        Some(Self { sources: sources.as_slice().into(), compiled: OnceLock::new() })
    }

    fn compiled(&self, node: &Node, whole: bool) -> &[Rule] {
        self.compiled.get_or_init(|| {
            let declared = Declarations::new(node, whole);
            self.sources.iter().map(|source| Rule::new(source, node, &declared)).collect()
        })
    }
}

/// What rules at a place may speak of.
struct Declarations {
    /// Of the value; `None` where rules cannot speak of it.
    root: Option<Declared>,
    env: Env,
}

/// Without any types of objects.
static PLAIN: LazyLock<Env> = LazyLock::new(|| BASE.clone());

impl Declarations {
    fn new(node: &Node, whole: bool) -> Self {
        let mut objects = Vec::new();
        let root = types::declare(node, whole, SELF_TYPE, &mut objects);
        let env = objects.into_iter().fold(PLAIN.clone(), |env, (name, of)| env.object(&name, of));
        Self { root, env }
    }
}

impl Sizes for Declared {
    fn size(&self, path: &[Arc<str>]) -> Option<Range> {
        let within = path.iter().skip(1).try_fold(self, |of, step| of.step(step))?;
        Some(Range::at_most(within.most))
    }
}

impl Rule {
    fn new(source: &ValidationRule, node: &Node, declared: &Declarations) -> Self {
        let optional = source.optional_old_self == Some(true);
        let text = source.rule.trim();
        let place = source.field_path.as_deref().and_then(|path| field_path(path.trim(), node).ok());
        let mut rule = Self { program: Err(String::new()), cost: 0, message: None, is_transition: false, place };
        let Some(root) = &declared.root else {
            rule.program = Err("rule declared on schema that does not support validation rules".to_owned());
            return rule;
        };
        let old = if optional { Type::optional(root.of.clone()) } else { root.of.clone() };
        let env = declared.env.clone().variable(SELF, root.of.clone()).variable(OLD_SELF, old);
        match compile(&env, text, root, &Type::Bool, "cel expression must evaluate to a bool") {
            Ok((program, cost)) => {
                rule.is_transition = program.mentions(OLD_SELF);
                (rule.program, rule.cost) = (Ok(program), cost);
            }
            Err(why) => rule.program = Err(why),
        }
        let message = source.message_expression.as_deref().filter(|text| !text.is_empty());
        rule.message = message.map(|text| {
            let mismatch = "messageExpression must evaluate to a string";
            compile(&env, text, root, &Type::String, mismatch).map_err(|why| match why.strip_prefix("compilation") {
                Some(rest) => format!("messageExpression compilation{rest}"),
                None => why,
            })
        });
        rule
    }
}

/// A program, and what it costs at most.
fn compile(env: &Env, text: &str, sizes: &Declared, result: &Type, mismatch: &str) -> Result<(Program, u64), String> {
    let compiled = env.compile_estimated(text, sizes).map_err(|issues| format!("compilation failed: {issues}"))?;
    let (program, Range { max, .. }) = compiled;
    if program.result_type() == result { Ok((program, max)) } else { Err(mismatch.to_owned()) }
}
