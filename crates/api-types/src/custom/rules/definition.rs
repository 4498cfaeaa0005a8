//! Rules and defaults when a definition is written: whether rules are understood, what they may cost, and whether defaults
//! are what the schema asks for.

use super::{
    super::{
        node::{Elements, Node, Others},
        validate,
    },
    Rule,
    evaluate::constant,
};
use crate::{
    apiextensions::{
        JSON, JSONSchemaProps, JSONSchemaPropsOrArray as Items, JSONSchemaPropsOrBool as OrBool, ValidationRule,
    },
    field::{FieldError, Path},
};

/// What a rule may cost at most, and all of a schema.
const RULE_COST: u64 = 10_000_000;
const SCHEMA_COST: u64 = 100_000_000;
/// So many of the dearest rules are named when all are too dear.
const NAMED: usize = 4;
/// Where an error belongs that is about rules.
const RULES: &str = "x-kubernetes-validations";

/// What is wrong with the rules of a schema that is right otherwise, and with its defaults.
pub(crate) fn check(path: &Path, schema: &JSONSchemaProps) -> Vec<FieldError> {
    let node = Node::new(schema);
    let mut walk = Walk { errors: Vec::new(), total: 0, dearest: Vec::new() };
    let place = Place { path, whole: true, cardinality: Some(1), uncorrelated: None };
    walk.node(&node, schema, place);
    if walk.total > SCHEMA_COST {
        for (_, path) in &walk.dearest {
            let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            walk.errors.push(FieldError::forbidden(path, detail));
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        walk.errors.push(FieldError::forbidden(path, too_dear(what, walk.total, SCHEMA_COST)));
    }
    walk.errors
}

struct Walk {
    errors: Vec<FieldError>,
    total: u64,
    dearest: Vec<(u64, Path)>,
}

/// Where in a schema the walk is.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p Path,
    whole: bool,
    /// How often there can be a value here, where that is bounded.
    cardinality: Option<u64>,
    /// The list around it whose elements are not known by keys.
    uncorrelated: Option<&'p Path>,
}

impl Walk {
    fn node(&mut self, node: &Node, schema: &JSONSchemaProps, place: Place<'_>) {
        for (name, own) in schema.properties.iter().flatten() {
            if let Some(inner) = node.property(name) {
                let path = place.path.child("properties").key(name);
                self.node(inner, own, Place { path: &path, whole: inner.flags.embedded, ..place });
            }
        }
        let checks = node.checks.as_deref();
        let times = |most: Option<i64>| Some(place.cardinality?.saturating_mul(u64::try_from(most?).unwrap_or(0)));
        if let (Others::Of(inner), Some(OrBool::Schema(own))) = (&node.others, &schema.additional_properties) {
            let path = place.path.child("additionalProperties");
            let cardinality = times(checks.and_then(|checks| checks.max_properties));
            self.node(inner, own, Place { path: &path, whole: inner.flags.embedded, cardinality, ..place });
        }
        if let (Some(inner), Some(Items::Schema(own))) = (&node.items, &schema.items) {
            let path = place.path.child("items");
            let cardinality = times(checks.and_then(|checks| checks.max_items));
            let keyed = matches!(node.elements, Elements::Keys(_));
            let uncorrelated = place.uncorrelated.or((!keyed).then_some(place.path));
            self.node(inner, own, Place { path: &path, whole: inner.flags.embedded, cardinality, uncorrelated });
        }
        self.default(node, schema, place);
        let rules = schema.x_kubernetes_validations.iter().flatten();
        let rules: Vec<&ValidationRule> = rules.collect();
        if !rules.is_empty() {
            self.rules(node, &rules, place);
        }
    }

    /// A default is whole: nothing is dropped of it, and it is what the schema asks for.
    fn default(&mut self, node: &Node, schema: &JSONSchemaProps, place: Place<'_>) {
        let (Some(JSON(sent)), Some(kept)) = (&schema.default, &node.default) else { return };
        let path = place.path.child("default");
        if *sent != **kept {
            self.errors.push(FieldError::invalid(&path, sent.clone(), "must not have unknown fields"));
        }
        let wrong = validate::constant(node, &path, kept);
        if wrong.is_empty() {
            self.errors.extend(constant(node, &path, kept));
        } else {
            self.errors.extend(wrong);
        }
    }

    fn rules(&mut self, node: &Node, rules: &[&ValidationRule], place: Place<'_>) {
        let declared = super::Declarations::new(node, place.whole);
        let often = declared.root.as_ref().map_or(1, super::types::Declared::cardinality);
        let times = place.cardinality.unwrap_or(often);
        for (index, source) in rules.iter().enumerate() {
            let path = place.path.child(RULES).index(index);
            let rule = Rule::new(source, node, &declared);
            self.rule(&path, source, &rule, (node, rule.cost.saturating_mul(times)), place);
        }
    }

    fn rule(
        &mut self,
        path: &Path,
        source: &ValidationRule,
        rule: &Rule,
        (node, cost): (&Node, u64),
        place: Place<'_>,
    ) {
        let own = path.child("rule");
        self.errors.extend(wrong_place(path, source, node));
        if cost > RULE_COST {
            self.errors.push(FieldError::forbidden(&own, too_dear("estimated rule cost", cost, RULE_COST)));
        }
        self.spend(cost, &own);
        if let Err(why) = &rule.program {
            self.errors.push(FieldError::invalid(&own, shown(source), why.clone()));
        }
        let message = path.child("messageExpression");
        match &rule.message {
            Some(Err(why)) => self.errors.push(FieldError::invalid(&message, shown(source), why.clone())),
            Some(Ok((_, cost))) => {
                if *cost > RULE_COST {
                    let why = too_dear("estimated messageExpression cost", *cost, RULE_COST);
                    self.errors.push(FieldError::forbidden(&message, why));
                }
                self.spend(*cost, &message);
            }
            None => {}
        }
        if !rule.is_transition
            && rule.program.is_ok()
            && let Some(optional) = source.optional_old_self
        {
            let path = path.child("optionalOldSelf");
            self.errors.push(FieldError::invalid(&path, optional, "may not be set if oldSelf is not used in rule"));
        }
        if let Some(list) = place.uncorrelated.filter(|_| rule.is_transition) {
            let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {list}");
            self.errors.push(FieldError::invalid(&own, source.rule.as_str(), why));
        }
    }

    fn spend(&mut self, cost: u64, path: &Path) {
        self.total = self.total.saturating_add(cost);
        let place = self.dearest.iter().position(|(other, _)| *other < cost).unwrap_or(self.dearest.len());
        self.dearest.insert(place, (cost, path.clone()));
        self.dearest.truncate(NAMED);
    }
}

/// What is wrong with where a rule tells its errors.
fn wrong_place(path: &Path, source: &ValidationRule, node: &Node) -> Option<FieldError> {
    let place = source.field_path.as_deref().filter(|place| !place.is_empty())?;
    let wrong = |detail: &str| Some(FieldError::invalid(&path.child("fieldPath"), place, detail));
    if place.trim().is_empty() {
        return wrong("fieldPath must be non-empty if specified");
    }
    if place.contains(['\n', '\r']) {
        return wrong("fieldPath must not contain line breaks");
    }
    field_path(place.trim(), node).err().and_then(|_| wrong("fieldPath must be a valid path"))
}

/// A rule as upstream's messages show it.
fn shown(rule: &ValidationRule) -> serde_json::Value {
    serde_json::json!({
        "Rule": rule.rule,
        "Message": rule.message.as_deref().unwrap_or_default(),
        "MessageExpression": rule.message_expression.as_deref().unwrap_or_default(),
        "Reason": rule.reason,
        "FieldPath": rule.field_path.as_deref().unwrap_or_default(),
        "OptionalOldSelf": rule.optional_old_self,
    })
}

fn too_dear(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = if factor > 100.0 {
        "more than 100x".to_owned()
    } else if factor < 1.5 {
        format!("{factor:.6}x")
    } else {
        format!("{factor:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

/// A path of fields and keys within a value, such as `.spec['a.b']`, as errors write it.
///
/// # Errors
/// Why it is none.
pub(in super::super) fn field_path(text: &str, node: &Node) -> Result<String, String> {
    let mut written = String::new();
    let (mut node, mut rest) = (Some(node), text);
    while !rest.is_empty() {
        let (name, after) = if let Some(after) = rest.strip_prefix("['") {
            let end = after.find("']").ok_or("unexpected end of JSON path")?;
            (after[..end].replace("\\'", "'").replace("\\\\", "\\"), &after[end + 2..])
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        } else {
            return Err(format!("expected [ or . but got: {rest}"));
        };
        let inside = node.ok_or("does not refer to a valid field")?;
        node = match (inside.property(&name), &inside.others) {
            (Some(property), _) => {
                let separator = if written.is_empty() { "" } else { "." };
                written.push_str(&format!("{separator}{name}"));
                Some(property)
            }
            (None, Others::Of(values)) if inside.properties().next().is_none() => {
                written.push_str(&format!("[{name}]"));
                Some(values)
            }
            _ => return Err("does not refer to a valid field".to_owned()),
        };
        rest = after;
    }
    if written.is_empty() { Err("unexpected end of JSON path".to_owned()) } else { Ok(written) }
}
