//! What a mutating policy does to an object.

use api_types::{
    Resource, admissionregistration,
    expressions::{Admission, Meter, Value},
};
use serde_json::{Map, Value as Json};

use crate::{
    admission::dynamic::{Budget, Composition, Expression, Scope, Version},
    managed_fields::lay_over,
    patch::{Patch, PatchError},
};

/// So much work it may be to write down what an expression makes.
const WRITING: u64 = 1_000_000;
/// The type of an apply configuration, and of its parts.
const OBJECT: &str = "Object";

/// One change.
pub(super) struct Mutation {
    form: Form,
    expression: Expression,
}

/// All that a policy does, in its order.
pub(super) struct Mutations {
    pub(super) all: Vec<Mutation>,
    /// Whether it is done again when others change the object after it.
    pub(super) reinvoked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Apply,
    Patch,
}

impl Mutation {
    pub(super) fn compile(
        own: &admissionregistration::Mutation,
        composition: &Composition,
        admission: &Admission,
    ) -> Self {
        let apply = own.apply_configuration.as_ref().and_then(|own| own.expression.as_deref());
        let patch = own.json_patch.as_ref().and_then(|own| own.expression.as_deref());
        let (form, text, program) = if own.patch_type == "JSONPatch" {
            let text = patch.unwrap_or_default();
            (Form::Patch, text, admission.json_patch(text))
        } else {
            let text = apply.unwrap_or_default();
            (Form::Apply, text, admission.apply_configuration(text))
        };
        Self { form, expression: composition.expression(text, program) }
    }

    /// What the object becomes; `None` when it stays as it is.
    ///
    /// # Errors
    /// Why the policy cannot change it.
    pub(super) async fn change(
        &self,
        scope: &Scope<'_>,
        version: &Version,
        row: &Resource,
    ) -> Result<Option<Json>, String> {
        let mut budget = Budget::new(Budget::POLICY);
        let value = scope.evaluate(&self.expression, &mut budget).await.map_err(|error| error.to_string())??;
        match self.form {
            Form::Apply => apply(&value, version, row).map(Some),
            Form::Patch => patch(&value, version, row),
        }
    }
}

fn apply(value: &Value<'_>, version: &Version, row: &Resource) -> Result<Json, String> {
    check_names(value, OBJECT)?;
    let mut configuration = written(value)?;
    let live = version.tree();
    if let Json::Object(members) = &mut configuration {
        for name in ["apiVersion", "kind"] {
            members.insert(name.to_owned(), live[name].clone());
        }
    }
    let laid = lay_over(live.clone(), configuration, version.schema(row));
    laid.map_err(|why| format!("error applying patch: {why}"))
}

fn patch(value: &Value<'_>, version: &Version, row: &Resource) -> Result<Option<Json>, String> {
    let Value::List(list) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let operations: Vec<Json> = list.iter().map(|own| operation(&own)).collect::<Result<_, _>>()?;
    let told = |error: PatchError| format!("JSON Patch: {error}");
    let patch = Patch::json(Json::from(operations).to_string().as_bytes()).map_err(told)?;
    match patch.apply(version.tree().clone(), version.schema(row)) {
        Ok(patched) => Ok(Some(patched)),
        // What is tested for is not there: nothing is to be done.
        Err(PatchError::Test(_)) => Ok(None),
        Err(error) => Err(told(error)),
    }
}

/// One operation, as a JSON patch has it.
fn operation(value: &Value<'_>) -> Result<Json, String> {
    let Value::Object(own) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch".to_owned());
    };
    let mut operation = Map::new();
    for (name, value) in &own.fields {
        if &**name == "value" && matches!(value, Value::Object(_)) {
            let Value::Object(part) = value else { continue };
            check_names(value, &part.name)?;
        }
        if !(&**name == "from" && value.as_str().is_some_and(str::is_empty)) {
            operation.insert(name.to_string(), written(value)?);
        }
    }
    Ok(Json::Object(operation))
}

fn written(value: &Value<'_>) -> Result<Json, String> {
    let told = |error| format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {error}");
    value.to_json(&Meter::new(WRITING)).map_err(told)
}

/// Sees that the type of each part is called as where it stands.
fn check_names(value: &Value<'_>, expected: &str) -> Result<(), String> {
    match value {
        Value::Object(own) => {
            if &*own.name != expected {
                return Err(format!(
                    "type mismatch: unexpected type name {:?}, expected {expected:?}, which matches field name path from root Object type",
                    own.name
                ));
            }
            own.fields.iter().try_for_each(|(name, inner)| check_names(inner, &format!("{expected}.{name}")))
        }
        Value::List(list) => list.iter().try_for_each(|element| check_names(&element, expected)),
        _ => Ok(()),
    }
}
