//! What rules make of an object.

use cel::{Error, Key, Meter, Text, Value, Variables};
use serde_json::{Map, Value as Json};

use super::{
    super::{
        lists::keys_of,
        node::{Elements, Node},
    },
    OLD_SELF, Rule, Rules, SELF,
    values::{entries, value},
};
use crate::{
    apiextensions::ValidationRule,
    expressions::CALL_COST,
    field::{FieldError, FieldErrorKind, Path},
};

/// What all rules of an object may cost, as upstream.
const BUDGET: u64 = 10_000_000;
/// The longest computed message, in bytes.
const MESSAGE_MAX: usize = 5 << 10;

/// An object, and what every object has.
#[derive(Clone, Copy)]
pub(in super::super) struct Whole<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    /// `name` and `generateName`.
    pub names: &'a Json,
    pub fields: &'a Map<String, Json>,
}

/// What is wrong with an object by the rules of its schema; `old` is what it was before.
pub(in super::super) fn object(node: &Node, whole: Whole<'_>, old: Option<Whole<'_>>) -> Vec<FieldError> {
    let mut walk = Walk { left: BUDGET, errors: Vec::new(), over: false };
    if node.ruled {
        walk.object(node, whole, old);
    }
    walk.errors
}

/// What is wrong with a value, such as a default, which was the same before.
pub(super) fn constant(node: &Node, path: &Path, value: &Json) -> Vec<FieldError> {
    let mut walk = Walk { left: BUDGET, errors: Vec::new(), over: false };
    walk.value(node, path, value, Old { value: Some(value), same: false });
    walk.errors
}

/// What was there before.
#[derive(Clone, Copy)]
struct Old<'a> {
    /// The value that is known to belong to the new one.
    value: Option<&'a Json>,
    /// Whether everything here is as it was: then it need not follow new rules.
    same: bool,
}

struct Walk {
    /// What may still be spent.
    left: u64,
    errors: Vec<FieldError>,
    /// Nothing further is evaluated.
    over: bool,
}

/// The value at which rules stand, and the one before.
struct Place<'p, 'a> {
    path: &'p Path,
    kind: &'static str,
    now: Value<'a>,
    before: Option<Value<'a>>,
    same: bool,
}

impl Walk {
    fn object(&mut self, node: &Node, whole: Whole<'_>, old: Option<Whole<'_>>) {
        let path = Path::default();
        let same = old.is_some_and(|old| old.fields == whole.fields && old.names == whole.names);
        if let Some(rules) = &node.rules {
            let before = old.map(|old| root(node, old));
            let place = Place { path: &path, kind: "object", now: root(node, whole), before, same };
            self.rules(rules, node, true, &place);
        }
        let before = |name: &str| Old { value: old.and_then(|old| old.fields.get(name)), same };
        self.members(node, &path, whole.fields, before);
    }

    fn value(&mut self, node: &Node, path: &Path, value: &Json, old: Old<'_>) {
        if self.over || value.is_null() || !node.ruled {
            return;
        }
        let same = old.same || old.value == Some(value);
        if let Some(rules) = &node.rules {
            let seen = |json| super::values::value(node, json);
            let before = old.value.filter(|old| !old.is_null()).map(seen);
            let kind = node.kind.map_or("", super::super::node::ValueKind::name);
            self.rules(rules, node, node.flags.embedded, &Place { path, kind, now: seen(value), before, same });
        }
        match value {
            Json::Object(members) => {
                let old = old.value.and_then(Json::as_object);
                self.members(node, path, members, |name| Old { value: old.and_then(|old| old.get(name)), same });
            }
            Json::Array(items) => self.items(node, path, items, Old { same, ..old }),
            _ => {}
        }
    }

    fn members<'a>(&mut self, node: &Node, path: &Path, members: &Map<String, Json>, old: impl Fn(&str) -> Old<'a>) {
        for (name, value) in members {
            let named = node.property(name);
            if let Some(inner) = named.or_else(|| node.member(name)).filter(|inner| inner.ruled) {
                let path = if named.is_some() { path.child(name) } else { path.key(name) };
                self.value(inner, &path, value, old(name));
            }
        }
    }

    fn items(&mut self, node: &Node, path: &Path, items: &[Json], old: Old<'_>) {
        let Some(element) = node.items.as_deref().filter(|element| element.ruled) else { return };
        let before = match &node.elements {
            Elements::Keys(keys) => {
                let items = old.value.and_then(Json::as_array).into_iter().flatten();
                items.map(|item| (keys_of(item, keys).to_string(), item)).collect()
            }
            Elements::Places | Elements::Set => std::collections::HashMap::new(),
        };
        for (index, item) in items.iter().enumerate() {
            let known = match &node.elements {
                Elements::Keys(keys) => before.get(&keys_of(item, keys).to_string()).copied(),
                Elements::Places | Elements::Set => None,
            };
            self.value(element, &path.index(index), item, Old { value: known, same: old.same });
        }
    }

    fn rules(&mut self, rules: &Rules, node: &Node, whole: bool, place: &Place<'_, '_>) {
        for (rule, source) in rules.compiled(node, whole).iter().zip(&rules.sources) {
            if self.over {
                return;
            }
            self.rule(rule, source, place);
        }
    }

    fn invalid(&mut self, place: &Place<'_, '_>, detail: impl Into<String>) {
        self.errors.push(FieldError::invalid(place.path, place.kind, detail));
    }

    fn rule(&mut self, rule: &Rule, source: &ValidationRule, place: &Place<'_, '_>) {
        let optional = source.optional_old_self == Some(true);
        let program = match &rule.program {
            Ok(program) => program,
            Err(why) => return self.invalid(place, format!("rule compile error: {why}")),
        };
        if rule.is_transition && place.before.is_none() && !optional {
            return;
        }
        let seen = Seen { place, optional };
        let meter = Meter::new(CALL_COST);
        let result = program.evaluate(&seen, &meter);
        if !self.pay(meter.cost()) {
            let out = "validation failed due to running out of cost budget, no further validation rules will be run";
            return self.invalid(place, out);
        }
        let text = told(source);
        match result {
            Ok(Value::Bool(true)) => {}
            Ok(_) => {
                let broken = self.broken(rule, source, place, &seen);
                if !place.same || rule.is_transition {
                    self.errors.push(broken);
                }
            }
            Err(error) if error.is_cancelled() => {
                self.over = true;
                self.invalid(place, format!("'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {text}"));
            }
            Err(error) if is_overload(&error) => {
                self.invalid(place, format!("'{error}': call arguments did not match a supported operator, function or macro signature for rule: {text}"));
            }
            Err(error) => self.invalid(place, format!("{error} evaluating rule: {text}")),
        }
    }

    /// Whether so much can be paid; what is more ends everything.
    fn pay(&mut self, cost: u64) -> bool {
        match self.left.checked_sub(cost) {
            Some(left) => self.left = left,
            None => self.over = true,
        }
        !self.over
    }

    fn broken(
        &mut self,
        rule: &Rule,
        source: &ValidationRule,
        place: &Place<'_, '_>,
        seen: &Seen<'_, '_>,
    ) -> FieldError {
        let computed = match &rule.message {
            Some(Ok((program, _))) => self.message(program, seen),
            _ => None,
        };
        let own = source.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
        let usual = || own.map_or_else(|| format!("failed rule: {}", told(source)), str::to_owned);
        let detail = computed.unwrap_or_else(usual);
        let path = rule.place.as_deref().map_or_else(|| place.path.clone(), |within| place.path.child(within));
        match source.reason.as_deref() {
            Some("FieldValueForbidden") => FieldError::forbidden(&path, detail),
            Some("FieldValueRequired") => FieldError::required(&path, detail),
            Some("FieldValueDuplicate") => FieldError::duplicate(&path, place.kind),
            _ => FieldError {
                kind: FieldErrorKind::Invalid,
                field: path.to_string(),
                value: Some(place.kind.into()),
                detail,
            },
        }
    }

    /// A computed message, if it is one that can be told.
    fn message(&mut self, program: &cel::Program, seen: &Seen<'_, '_>) -> Option<String> {
        let meter = Meter::new(CALL_COST);
        let result = program.evaluate(seen, &meter);
        self.pay(meter.cost());
        let Ok(Value::String(text)) = result else { return None };
        let text = text.trim();
        let good = !text.is_empty() && text.len() <= MESSAGE_MAX && !text.contains('\n');
        good.then(|| text.to_owned())
    }
}

/// The message or else the rule.
fn told(source: &ValidationRule) -> &str {
    let message = source.message.as_deref().unwrap_or_default();
    if message.is_empty() { source.rule.trim() } else { message.trim() }
}

fn is_overload(error: &Error) -> bool {
    error.to_string().starts_with("no such overload")
}

/// The variables of a rule.
struct Seen<'s, 'a> {
    place: &'s Place<'s, 'a>,
    optional: bool,
}

impl<'a> Variables<'a> for Seen<'_, 'a> {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        match name {
            SELF => Some(Ok(self.place.now.clone())),
            OLD_SELF if self.optional => Some(Ok(Value::Optional(self.place.before.clone().map(std::sync::Arc::new)))),
            OLD_SELF => self.place.before.clone().map(Ok),
            _ => None,
        }
    }
}

/// A whole object as rules see it.
fn root<'a>(node: &Node, whole: Whole<'a>) -> Value<'a> {
    let mut entries = entries(node, whole.fields);
    let key = |name: &'static str| Key::String(Text::Borrowed(name));
    let text = |text: &'a str| Value::String(Text::Borrowed(text));
    entries.insert(key("apiVersion"), text(whole.api_version));
    entries.insert(key("kind"), text(whole.kind));
    entries.insert(key("metadata"), value(&Node::plain(), whole.names));
    Value::Map(cel::Map::Values(std::sync::Arc::new(entries)))
}
