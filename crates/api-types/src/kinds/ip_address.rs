//! `networking.k8s.io/v1.IPAddress`.

use serde_json::Value;

use crate::{
    field::{FieldError, Path},
    networking::{IPAddress, ParentReference},
    object::{Column, Kind},
    table,
    validation::{meta::immutable, names},
};

impl Kind for IPAddress {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "ParentRef",
            "parentRef references the resource that an IPAddress is attached to. An IPAddress must reference a parent object.",
        ),
        Column::AGE,
    ];

    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("spec").child("parentRef");
        let parent = &self.spec.parent_ref;
        if *parent == ParentReference::default() {
            return vec![FieldError::required(&path, "")];
        }
        let mut errors = names::check_optional(names::dns1123_subdomain, &path.child("group"), parent.group.as_deref());
        errors.extend(names::required_name(names::path_segment, &path.child("resource"), &parent.resource));
        errors.extend(names::required_name(names::path_segment, &path.child("name"), &parent.name));
        let namespace = parent.namespace.as_deref();
        errors.extend(names::check_optional(names::path_segment, &path.child("namespace"), namespace));
        errors
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        let path = Path::new("spec").child("parentRef");
        immutable(&path, &self.spec.parent_ref, &old.spec.parent_ref).into_iter().collect()
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            parent(&self.spec.parent_ref).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn parent(parent: &ParentReference) -> String {
    if *parent == ParentReference::default() {
        return table::NONE.to_owned();
    }
    let group = parent.group.as_deref().filter(|group| !group.is_empty());
    let resource = group.map_or_else(|| parent.resource.clone(), |group| format!("{}.{group}", parent.resource));
    let namespace = parent.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let place = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
    format!("{}/{place}{}", resource.to_lowercase(), parent.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_belongs_to_somebody() {
        let full = json!({"resource": "services", "namespace": "a", "name": "b"});
        let cases = [
            (full, vec![], "services/a/b"),
            (json!({}), vec!["spec.parentRef: Required value"], "<none>"),
            (
                json!({"group": "A", "resource": "", "name": "x/y"}),
                vec![
                    "spec.parentRef.group: Invalid value",
                    "spec.parentRef.resource: Required value",
                    r#"spec.parentRef.name: Invalid value: "x/y": may not contain '/'"#,
                ],
                ".a/x/y",
            ),
        ];
        for (parent, expected, shown) in cases {
            let address: IPAddress = serde_json::from_value(json!({"spec": {"parentRef": parent}})).unwrap();
            let errors: Vec<String> = address.validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors.len(), expected.len(), "{errors:?}");
            assert!(errors.iter().zip(expected).all(|(error, expected)| error.starts_with(expected)), "{errors:?}");
            assert_eq!(address.cells()[1], json!(shown));
        }
    }
}
