//! `apps/v1.ControllerRevision`.

use serde_json::Value;

use crate::{
    apps::ControllerRevision,
    field::{FieldError, Path},
    object::{Column, Kind},
    table,
    validation::{meta::immutable, number},
};

impl Kind for ControllerRevision {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Controller", "Controller of the object"),
        Column::text("Revision", "Revision indicates the revision of the state represented by Data."),
        Column::AGE,
    ];

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.data.as_ref().is_none_or(|data| data.0.is_null()) {
            errors.push(FieldError::required(&Path::new("data"), "data is mandatory"));
        }
        errors.extend(number::non_negative(&Path::new("revision"), self.revision));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        immutable(&Path::new("data"), &self.data, &old.data).into_iter().collect()
    }

    fn cells(&self) -> Vec<Value> {
        let owners = self.metadata.owner_references.iter().flatten();
        let controller = owners.clone().find(|owner| owner.controller == Some(true)).map(|owner| {
            let kind = owner.kind.to_lowercase();
            match owner.api_version.split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", owner.name),
                None => format!("{kind}/{}", owner.name),
            }
        });
        vec![
            self.metadata.name.clone().into(),
            controller.unwrap_or_else(|| table::NONE.to_owned()).into(),
            self.revision.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn data_is_there_and_stays() {
        let revision = |data: Value| -> ControllerRevision {
            serde_json::from_value(json!({"data": data, "revision": 1})).unwrap()
        };
        assert_eq!(revision(Value::Null).validate()[0].to_string(), "data: Required value: data is mandatory");
        let errors = revision(json!({"a": 1})).validate_update(&revision(json!({"a": 2})));
        assert_eq!(errors[0].to_string(), r#"data: Invalid value: {"a":1}: field is immutable"#);
    }
}
