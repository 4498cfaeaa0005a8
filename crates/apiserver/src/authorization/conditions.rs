//! Under which conditions, expressions about a `SubjectAccessReview`, a webhook is asked.

use std::collections::HashSet;

use anyhow::{bail, ensure};
use api_types::{
    expressions::{self, Meter, Numbers, Program, Value as Evaluated},
    selector::{field, label},
};
use component::auth::{Attributes, Target};
use serde_json::{Map, Value, json};

/// The most conditions that a webhook may have.
const MOST: usize = 64;

/// All of them have to hold.
#[derive(Default)]
pub struct Conditions(Vec<(String, Program)>);

impl Conditions {
    /// Compiles expressions.
    ///
    /// # Errors
    /// The first that is wrong, in upstream's words.
    pub fn compile<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> anyhow::Result<Self> {
        let count = texts.len();
        ensure!(count <= MOST, "matchConditions: Too many: {count}: must have at most {MOST} items");
        let mut seen = HashSet::new();
        let mut conditions = Vec::new();
        for (index, text) in texts.enumerate() {
            let path = format!("matchConditions[{index}].expression");
            ensure!(!text.trim().is_empty(), "{path}: Required value");
            ensure!(seen.insert(text), "{path}: Duplicate value: {text:?}");
            match expressions::review(text) {
                Ok(program) => conditions.push((text.to_owned(), program)),
                Err(why) => bail!("{path}: Invalid value: {text:?}: {why}"),
            }
        }
        Ok(Self(conditions))
    }

    /// Whether the webhook is to be asked. One that does not hold decides, whatever is wrong with others.
    ///
    /// # Errors
    /// What went wrong.
    pub fn hold(&self, attributes: &Attributes<'_>) -> Result<bool, String> {
        if self.0.is_empty() {
            return Ok(true);
        }
        let request = request(attributes);
        let mut errors = Vec::new();
        for (text, program) in &self.0 {
            let variables = [("request", Evaluated::from_json(&request, Numbers::Natural))];
            match program.evaluate(&variables, &Meter::new(expressions::CALL_COST)) {
                Ok(Evaluated::Bool(true)) => {}
                Ok(_) => return Ok(false),
                Err(error) => {
                    errors.push(format!("cel evaluation error: expression '{text}' resulted in error: {error}"));
                }
            }
        }
        match errors.len() {
            0 => Ok(true),
            1 => Err(errors.remove(0)),
            _ => Err(format!("[{}]", errors.join(", "))),
        }
    }
}

/// What expressions see: also texts that are empty.
fn request(attributes: &Attributes<'_>) -> Value {
    let user = attributes.user;
    let mut request = json!({"user": user.name, "groups": user.groups, "uid": user.uid, "extra": user.extra});
    match &attributes.target {
        Target::Path(path) => request["nonResourceAttributes"] = json!({"path": path, "verb": attributes.verb}),
        Target::Resource(place) => {
            request["resourceAttributes"] = json!({
                "namespace": place.namespace, "verb": attributes.verb, "group": place.group, "version": place.version,
                "resource": place.resource, "subresource": place.subresource, "name": place.name,
            });
            let selectors = [
                ("fieldSelector", by_fields(&place.field_selector), &place.field_selector),
                ("labelSelector", by_labels(&place.label_selector), &place.label_selector),
            ];
            for (name, requirements, raw) in selectors.into_iter().filter(|(.., raw)| !raw.is_empty()) {
                let selector = match requirements {
                    Some(requirements) => Map::from_iter([("requirements".to_owned(), Value::Array(requirements))]),
                    None => Map::from_iter([("rawSelector".to_owned(), Value::from(&**raw))]),
                };
                request["resourceAttributes"][name] = Value::Object(selector);
            }
        }
    }
    request
}

fn by_fields(text: &str) -> Option<Vec<Value>> {
    let selector: field::Selector = text.parse().ok()?;
    let requirement = |term: &field::Term| {
        let operator = if term.operator == field::Operator::Equals { "In" } else { "NotIn" };
        json!({"key": term.field, "operator": operator, "values": [term.value]})
    };
    Some(selector.terms().iter().map(requirement).collect())
}

fn by_labels(text: &str) -> Option<Vec<Value>> {
    use label::Operator;
    let selector: label::Selector = text.parse().ok()?;
    let requirement = |own: &label::Requirement| {
        let operator = match own.operator() {
            Operator::Equals | Operator::DoubleEquals | Operator::In => "In",
            Operator::NotEquals | Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        Some(json!({"key": own.key(), "operator": operator, "values": own.values()}))
    };
    selector.requirements().iter().map(requirement).collect()
}

#[cfg(test)]
mod tests {
    use component::auth::{ResourceAttributes, User};

    use super::*;

    fn holds(texts: &[&str], target: Target<'_>) -> Result<bool, String> {
        let user = User::authenticated("ann", "7", vec!["dev".into()]);
        let attributes = Attributes { user: &user, verb: "list".into(), target };
        let conditions = Conditions::compile(texts.iter().copied()).map_err(|error| error.to_string())?;
        conditions.hold(&attributes)
    }

    #[test]
    fn conditions_see_what_is_asked() {
        let pods = || {
            Target::Resource(ResourceAttributes {
                resource: "pods".into(),
                label_selector: "a=b,c".into(),
                field_selector: "spec.nodeName=n".into(),
                ..ResourceAttributes::default()
            })
        };
        for (texts, expected) in [
            (&[][..], Ok(true)),
            (&["request.resourceAttributes.resource == 'pods' && 'dev' in request.groups"], Ok(true)),
            (&["has(request.nonResourceAttributes)"], Ok(false)),
            (&["request.resourceAttributes.name == '' && request.uid == '7' && request.extra.size() == 0"], Ok(true)),
            (
                &[
                    "request.resourceAttributes.labelSelector.requirements.exists(r, r.key == 'c' && r.operator == 'Exists')",
                ],
                Ok(true),
            ),
            (&["request.resourceAttributes.?fieldSelector.requirements[0].values.orValue([]) == ['n']"], Ok(true)),
            (&["request.nonResourceAttributes.path == ''", "request.user != 'ann'"], Ok(false)),
        ] {
            assert_eq!(holds(texts, pods()), expected, "{texts:?}");
        }
        let error = holds(&["request.nonResourceAttributes.path == ''"], pods()).unwrap_err();
        let text = "request.nonResourceAttributes.path == ''";
        let expected = "no such key: nonResourceAttributes";
        assert_eq!(error, format!("cel evaluation error: expression '{text}' resulted in error: {expected}"));
        assert_eq!(holds(&["request.nonResourceAttributes.path == '/a'"], Target::Path("/a".into())), Ok(true));
    }

    #[test]
    fn conditions_are_checked() {
        for (texts, words) in [
            (&[" "][..], "matchConditions[0].expression: Required value"),
            (&["true", "true"], "matchConditions[1].expression: Duplicate value: \"true\""),
            (&["request.user"], "must evaluate to bool but got string"),
            (&["request.color == ''"], "compilation failed: ERROR: <input>:1:8: undefined field 'color'"),
        ] {
            let error = Conditions::compile(texts.iter().copied()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
