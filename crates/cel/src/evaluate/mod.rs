//! Programs to values.

mod fold;

use std::{
    borrow::Borrow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    sync::Arc,
};

pub(crate) use fold::FoldPlan;
use smallvec::SmallVec;

use crate::{
    Meter, cost,
    functions::{Call, Function, Pattern},
    types::Type,
    value::{Error, Key, Map, Object, Value},
};

/// An expression that was understood and can be evaluated.
#[derive(Debug)]
pub struct Program {
    pub(crate) root: Node,
    pub(crate) result: Type,
}

impl Program {
    /// The type of what it results in.
    #[must_use]
    pub fn result_type(&self) -> &Type {
        &self.result
    }

    /// Whether it speaks of this field of a variable by its name: `variable.field`, `has(variable.field)`,
    /// `variable.?field`.
    #[must_use]
    pub fn selects(&self, variable: &str, field: &str) -> bool {
        self.root.selects(variable, field)
    }

    /// Whether it speaks of a variable.
    #[must_use]
    pub fn mentions(&self, variable: &str) -> bool {
        self.root.mentions(variable)
    }

    /// The fields of a variable of which it speaks by their names, as [`Program::selects`] sees them.
    #[must_use]
    pub fn selected(&self, variable: &str) -> BTreeSet<Arc<str>> {
        let mut fields = BTreeSet::new();
        let mut nodes = vec![&self.root];
        while let Some(node) = nodes.pop() {
            fields.extend(node.selected(variable).cloned());
            nodes.extend(node.children());
        }
        fields
    }

    /// Its value.
    ///
    /// # Errors
    /// When there is none, or it costs more than the meter allows.
    pub fn evaluate<'a>(&self, variables: &dyn Variables<'a>, meter: &Meter) -> Result<Value<'a>, Error> {
        let mut evaluation = Evaluation { variables, meter, locals: Vec::new(), patterns: RefCell::default() };
        evaluation.node(&self.root)
    }
}

/// Where variables of an expression have their values from.
pub trait Variables<'a> {
    /// The value of a variable, possibly computed just now; `None` if it has none.
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>>;

    /// The value of a field of a variable, where each field has a value of its own; `None` where the variable is a value
    /// that has the field or not.
    fn field(&self, variable: &str, field: &str) -> Option<Result<Value<'a>, Error>> {
        let _ = (variable, field);
        None
    }
}

impl<'a, K: Borrow<str> + Eq + Hash> Variables<'a> for HashMap<K, Value<'a>> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        HashMap::get(self, name).cloned().map(Ok)
    }
}

impl<'a, const N: usize> Variables<'a> for [(&str, Value<'a>); N] {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| Ok(value.clone()))
    }
}

/// One step of a program.
#[derive(Debug)]
pub(crate) enum Node {
    Constant(Value<'static>),
    /// A place on the stack.
    Local(usize),
    Variable(Arc<str>),
    Select {
        operand: Box<Node>,
        field: Arc<str>,
    },
    /// Whether a field is there.
    Test {
        operand: Box<Node>,
        field: Arc<str>,
    },
    OptionalSelect {
        operand: Box<Node>,
        field: Arc<str>,
    },
    Call {
        name: &'static str,
        functions: SmallVec<[Function; 1]>,
        args: Vec<Node>,
        pattern: Option<Pattern>,
    },
    /// A call of a function that is not there.
    Unknown,
    And(Box<(Node, Node)>),
    Or(Box<(Node, Node)>),
    Conditional(Box<(Node, Node, Node)>),
    NotStrictlyFalse(Box<Node>),
    List(Vec<Element>),
    Map(Vec<Pair>),
    Object(Arc<str>, Vec<(Arc<str>, Element)>),
    Fold(Box<FoldPlan>),
    /// Adds elements to the list in this place of the stack, and is the list.
    Append(usize, Vec<Element>),
    /// Adds a key and its value, or a map of them, to the map in this place.
    Insert(usize, Vec<Node>),
}

impl Node {
    fn selects(&self, variable: &str, field: &str) -> bool {
        let selected = self.selected(variable).is_some_and(|own| &**own == field);
        selected || self.children().into_iter().any(|node| node.selects(variable, field))
    }

    fn mentions(&self, variable: &str) -> bool {
        matches!(self, Self::Variable(name) if &**name == variable)
            || self.children().into_iter().any(|node| node.mentions(variable))
    }

    /// The field of a variable that it is.
    fn selected(&self, variable: &str) -> Option<&Arc<str>> {
        match self {
            Self::Select { operand, field }
            | Self::Test { operand, field }
            | Self::OptionalSelect { operand, field } => {
                matches!(&**operand, Self::Variable(name) if &**name == variable).then_some(field)
            }
            _ => None,
        }
    }

    fn children(&self) -> Vec<&Self> {
        match self {
            Self::Constant(_) | Self::Local(_) | Self::Variable(_) | Self::Unknown => Vec::new(),
            Self::Select { operand, .. } | Self::Test { operand, .. } | Self::OptionalSelect { operand, .. } => {
                vec![operand]
            }
            Self::NotStrictlyFalse(inner) => vec![inner],
            Self::Call { args, .. } | Self::Insert(_, args) => args.iter().collect(),
            Self::And(both) | Self::Or(both) => vec![&both.0, &both.1],
            Self::Conditional(parts) => vec![&parts.0, &parts.1, &parts.2],
            Self::List(elements) | Self::Append(_, elements) => elements.iter().map(|element| &element.node).collect(),
            Self::Map(pairs) => pairs.iter().flat_map(|pair| [&pair.key, &pair.value.node]).collect(),
            Self::Object(_, fields) => fields.iter().map(|(_, element)| &element.node).collect(),
            Self::Fold(fold) => vec![&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result],
        }
    }
}

/// What may be left out when it is absent.
#[derive(Debug)]
pub(crate) struct Element {
    pub node: Node,
    pub optional: bool,
}

#[derive(Debug)]
pub(crate) struct Pair {
    pub key: Node,
    pub value: Element,
}

/// One evaluation of a program.
struct Evaluation<'e, 'a> {
    variables: &'e dyn Variables<'a>,
    meter: &'e Meter,
    /// Variables of loops.
    locals: Vec<Result<Value<'a>, Error>>,
    /// Regular expressions that were computed.
    patterns: RefCell<HashMap<String, Pattern>>,
}

type Evaluated<'a> = Result<Value<'a>, Error>;

impl<'a> Evaluation<'_, 'a> {
    fn node(&mut self, node: &Node) -> Evaluated<'a> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Local(place) => {
                self.meter.spend(1)?;
                self.locals.get(*place).cloned().unwrap_or_else(|| Err(Error::no_overload()))
            }
            Node::Variable(name) => {
                self.meter.spend(1)?;
                self.variables.get(name).unwrap_or_else(|| Err(Error::new(format!("no such attribute(s): {name}"))))
            }
            Node::Select { operand, field } => {
                if let Some(value) = self.own_field(operand, field) {
                    self.meter.spend(2)?;
                    return value;
                }
                let operand = self.node(operand)?;
                self.meter.spend(1)?;
                match operand.field(field)? {
                    Some(value) => Ok(value),
                    None => Err(Error::no_key(field)),
                }
            }
            Node::Test { operand, field } => {
                if self.own_field(operand, field).is_some() {
                    self.meter.spend(1)?;
                    return Ok(Value::Bool(true));
                }
                let found = match self.node(operand)? {
                    Value::Optional(None) => None,
                    Value::Optional(Some(inside)) => inside.field(field)?,
                    operand => operand.field(field)?,
                };
                Ok(Value::Bool(found.is_some()))
            }
            Node::OptionalSelect { operand, field } => {
                if let Some(value) = self.own_field(operand, field) {
                    self.meter.spend(2)?;
                    return value.map(Value::some);
                }
                let operand = self.node(operand)?;
                self.meter.spend(1)?;
                Ok(match operand.field(field)? {
                    Some(optional @ Value::Optional(_)) => optional,
                    found => Value::Optional(found.map(Arc::new)),
                })
            }
            Node::Call { name, functions, args, pattern } => self.call(name, functions, args, pattern.as_ref()),
            Node::Unknown => Err(Error::no_overload()),
            Node::And(both) => self.logical(both, false),
            Node::Or(both) => self.logical(both, true),
            Node::Conditional(parts) => match self.node(&parts.0)? {
                Value::Bool(true) => self.node(&parts.1),
                Value::Bool(false) => self.node(&parts.2),
                _ => Err(Error::no_overload()),
            },
            Node::NotStrictlyFalse(inner) => self.not_strictly_false(inner),
            Node::List(elements) => {
                let values = self.elements(elements, Vec::with_capacity(elements.len()))?;
                self.meter.spend(cost::LIST)?;
                Ok(Value::list(values))
            }
            Node::Map(pairs) => self.map(pairs),
            Node::Object(name, fields) => self.object(name, fields),
            Node::Fold(fold) => self.fold(fold),
            Node::Append(place, elements) => self.append(*place, elements),
            Node::Insert(place, args) => self.insert(*place, args),
        }
    }

    /// The value of a variable's field that has one of its own.
    fn own_field(&self, operand: &Node, field: &str) -> Option<Evaluated<'a>> {
        match operand {
            Node::Variable(name) => self.variables.field(name, field),
            _ => None,
        }
    }

    fn call(
        &mut self,
        name: &'static str,
        functions: &[Function],
        args: &[Node],
        pattern: Option<&Pattern>,
    ) -> Evaluated<'a> {
        let mut values: SmallVec<[Value<'a>; 3]> = SmallVec::with_capacity(args.len());
        for arg in args {
            values.push(self.node(arg)?);
        }
        let call = Call { meter: self.meter, name, pattern, patterns: &self.patterns };
        let mut result = Err(Error::no_overload());
        for function in functions {
            result = function(&call, &values);
            if !matches!(&result, Err(error) if error.is_no_overload()) {
                break;
            }
        }
        let result = result?;
        self.meter.spend(cost::of_call(name, &values, &result))?;
        Ok(result)
    }

    /// `&&` and `||`: certain as soon as one side is `certain`, whatever is wrong with the other.
    fn logical(&mut self, (left, right): &(Node, Node), certain: bool) -> Evaluated<'a> {
        let left = self.node(left);
        match left {
            Ok(Value::Bool(value)) if value == certain => return left,
            Err(error) if error.is_cancelled() => return Err(error),
            _ => {}
        }
        let right = self.node(right);
        match (left, right) {
            (_, Ok(Value::Bool(value))) if value == certain => Ok(Value::Bool(certain)),
            (_, Err(error)) if error.is_cancelled() => Err(error),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!certain)),
            _ => Err(Error::no_overload()),
        }
    }

    fn not_strictly_false(&mut self, inner: &Node) -> Evaluated<'a> {
        let value = self.node(inner);
        self.meter.spend(1)?;
        match value {
            Err(error) if error.is_cancelled() => Err(error),
            Ok(Value::Bool(false)) => Ok(Value::Bool(false)),
            _ => Ok(Value::Bool(true)),
        }
    }

    /// The value, if it is not left out.
    fn element(&mut self, element: &Element) -> Result<Option<Value<'a>>, Error> {
        match (self.node(&element.node)?, element.optional) {
            (value, false) => Ok(Some(value)),
            (Value::Optional(value), true) => Ok(value.map(|value| (*value).clone())),
            _ => Err(Error::no_overload()),
        }
    }

    fn elements(&mut self, elements: &[Element], mut values: Vec<Value<'a>>) -> Result<Vec<Value<'a>>, Error> {
        for element in elements {
            values.extend(self.element(element)?);
        }
        Ok(values)
    }

    fn map(&mut self, pairs: &[Pair]) -> Evaluated<'a> {
        let mut values = BTreeMap::new();
        for pair in pairs {
            let key = self.node(&pair.key)?;
            let value = self.element(&pair.value)?;
            let key = Key::of(&key).ok_or_else(|| Error::new("unsupported key type"))?;
            if values.contains_key(&key) {
                return Err(Error::new(format!("insert failed: key {key} already exists")));
            }
            if let Some(value) = value {
                values.insert(key, value);
            }
        }
        self.meter.spend(cost::MAP)?;
        Ok(Value::Map(Map::Values(Arc::new(values))))
    }

    fn object(&mut self, name: &Arc<str>, fields: &[(Arc<str>, Element)]) -> Evaluated<'a> {
        let mut values = BTreeMap::new();
        for (field, element) in fields {
            if let Some(value) = self.element(element)? {
                values.insert(field.clone(), value);
            }
        }
        self.meter.spend(cost::OBJECT)?;
        Ok(Value::Object(Arc::new(Object { name: name.clone(), fields: values })))
    }
}
