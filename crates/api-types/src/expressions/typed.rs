//! Types of objects on the wire as expressions know them.

use std::collections::BTreeSet;

use cel::{Env, ObjectType, Type};

use crate::schema::{self, Field, Kind, Label};

/// Declares a type of objects and those of which it consists.
pub(super) fn declare(mut env: Env, schema: &schema::Type) -> (Env, Type) {
    let mut open = vec![schema];
    let mut declared = BTreeSet::new();
    while let Some(schema) = open.pop() {
        let name = schema.full_name();
        if !schema.is_message() || !declared.insert(name.clone()) {
            continue;
        }
        let members = schema.members();
        open.extend(members.iter().filter_map(|(field, _)| field.message()));
        let fields = members.iter().map(|(field, _)| (&*field.name, of_field(field)));
        env = env.object(&name, ObjectType::new(fields));
    }
    (env, of_schema(schema))
}

/// What is not known may be anything.
fn of_schema(schema: &schema::Type) -> Type {
    if schema.is_message() { Type::object(&schema.full_name()) } else { Type::Dyn }
}

fn of_field(field: &Field) -> Type {
    let one = match field.kind {
        Kind::String => Type::String,
        Kind::Bool => Type::Bool,
        Kind::Int32 | Kind::Int64 => Type::Int,
        Kind::Double => Type::Double,
        Kind::Bytes => Type::Bytes,
        Kind::Strings => Type::list(Type::String),
        Kind::Time | Kind::MicroTime => Type::Timestamp,
        Kind::Message(_) => field.message().map_or(Type::Dyn, of_schema),
        _ => Type::Dyn,
    };
    match field.label {
        Label::One => one,
        Label::List => Type::list(one),
        Label::Map => Type::map(Type::String, one),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        expressions::{Admission, Optional},
        schema,
    };

    #[test]
    fn fields_of_objects_are_known() {
        let deployment = schema::of("apps", "v1", "Deployment");
        let map = schema::of("", "v1", "ConfigMap");
        let own = Admission::new(&[Optional::Params]).typed(deployment, Some(map));
        for good in [
            "object.spec.replicas > 1 && object.metadata.name == params.data['x']",
            "object.spec.template.spec.containers.all(c, c.image.startsWith('a') && c.resources.limits['cpu'] == '1')",
            "object.metadata.?labels['a'].orValue('') == 'b' && object.kind == 'Deployment'",
            "oldObject == null || oldObject.spec.paused",
        ] {
            own.condition(good).unwrap();
        }
        for (text, words) in [
            ("object.replicas > 1", "undefined field 'replicas'"),
            ("object.spec.replicas == 'a'", "found no matching overload for '_==_'"),
            ("params.datum == 1", "undefined field 'datum'"),
        ] {
            let error = own.condition(text).map(|_| ()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
