//! `RoleBinding` and `ClusterRoleBinding`.

use serde_json::{Value, json};

use super::{Extent, GROUP};
use crate::{
    field::{FieldError, Path},
    meta::ObjectMeta,
    object::{Column, Kind},
    rbac::{ClusterRoleBinding, RoleBinding, RoleRef, Subject},
    table,
    validation::names,
};

const USER: &str = "User";
const GROUP_KIND: &str = "Group";
const SERVICE_ACCOUNT: &str = "ServiceAccount";

/// What both kinds consist of.
struct Binding<'a> {
    meta: &'a ObjectMeta,
    role: &'a RoleRef,
    subjects: &'a [Subject],
    extent: Extent,
}

impl<'a> From<&'a RoleBinding> for Binding<'a> {
    fn from(binding: &'a RoleBinding) -> Self {
        let subjects = binding.subjects.as_deref().unwrap_or_default();
        Self { meta: &binding.metadata, role: &binding.role_ref, subjects, extent: Extent::Namespace }
    }
}

impl<'a> From<&'a ClusterRoleBinding> for Binding<'a> {
    fn from(binding: &'a ClusterRoleBinding) -> Self {
        let subjects = binding.subjects.as_deref().unwrap_or_default();
        Self { meta: &binding.metadata, role: &binding.role_ref, subjects, extent: Extent::Cluster }
    }
}

/// The columns of a kind; upstream's descriptions name it.
macro_rules! columns {
    ($kind:literal, $role:literal) => {
        &[
            Column::NAME,
            Column::text("Role", $role),
            Column::AGE,
            Column::text("Users", concat!("Users in the ", $kind)).wide(),
            Column::text("Groups", concat!("Groups in the ", $kind)).wide(),
            Column::text("ServiceAccounts", concat!("ServiceAccounts in the ", $kind)).wide(),
        ]
    };
}

impl Kind for RoleBinding {
    const COLUMNS: &'static [Column] = columns!(
        "roleBinding",
        "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error. This field is immutable."
    );

    fn set_defaults(&mut self) {
        set_defaults(&mut self.role_ref, self.subjects.as_deref_mut());
    }

    fn validate(&self) -> Vec<FieldError> {
        Binding::from(self).validate()
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        validate_update(&self.role_ref, &old.role_ref)
    }

    fn cells(&self) -> Vec<Value> {
        Binding::from(self).cells()
    }
}

impl Kind for ClusterRoleBinding {
    const COLUMNS: &'static [Column] = columns!(
        "clusterRoleBinding",
        "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error. This field is immutable."
    );

    fn set_defaults(&mut self) {
        set_defaults(&mut self.role_ref, self.subjects.as_deref_mut());
    }

    fn validate(&self) -> Vec<FieldError> {
        Binding::from(self).validate()
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        validate_update(&self.role_ref, &old.role_ref)
    }

    fn cells(&self) -> Vec<Value> {
        Binding::from(self).cells()
    }
}

fn set_defaults(role: &mut RoleRef, subjects: Option<&mut [Subject]>) {
    let absent = |group: &Option<String>| group.as_ref().is_none_or(String::is_empty);
    if absent(&role.api_group) {
        role.api_group = Some(GROUP.to_owned());
    }
    let people = subjects.into_iter().flatten().filter(|subject| matches!(&*subject.kind, USER | GROUP_KIND));
    for subject in people.filter(|subject| absent(&subject.api_group)) {
        subject.api_group = Some(GROUP.to_owned());
    }
}

fn validate_update(new: &RoleRef, old: &RoleRef) -> Vec<FieldError> {
    // Upstream shows its internal type, whose fields have Go's names.
    let shown = || json!({"APIGroup": new.api_group, "Kind": new.kind, "Name": new.name});
    let changed = (new != old).then(|| FieldError::invalid(&Path::new("roleRef"), shown(), "cannot change roleRef"));
    changed.into_iter().collect()
}

impl Binding<'_> {
    fn validate(&self) -> Vec<FieldError> {
        let mut errors = validate_role(self.role, self.extent);
        let path = Path::new("subjects");
        for (index, subject) in self.subjects.iter().enumerate() {
            errors.extend(validate_subject(&path.index(index), subject, self.extent));
        }
        errors
    }

    fn cells(&self) -> Vec<Value> {
        let named = |kind: &str, name: fn(&Subject) -> String| -> Value {
            let names: Vec<String> = self.subjects.iter().filter(|subject| subject.kind == kind).map(name).collect();
            names.join(", ").into()
        };
        let account =
            |subject: &Subject| format!("{}/{}", subject.namespace.as_deref().unwrap_or_default(), subject.name);
        vec![
            self.meta.name.clone().into(),
            format!("{}/{}", self.role.kind, self.role.name).into(),
            table::age(self.meta.creation_timestamp.as_ref()).into(),
            named(USER, |subject| subject.name.clone()),
            named(GROUP_KIND, |subject| subject.name.clone()),
            named(SERVICE_ACCOUNT, account),
        ]
    }
}

fn validate_role(role: &RoleRef, extent: Extent) -> Vec<FieldError> {
    let path = Path::new("roleRef");
    let kinds: &[&str] = match extent {
        Extent::Namespace => &["Role", "ClusterRole"],
        Extent::Cluster => &["ClusterRole"],
    };
    let mut errors = validate_group(&path, role.api_group.as_deref(), GROUP);
    if !kinds.contains(&role.kind.as_str()) {
        errors.push(FieldError::not_supported(&path.child("kind"), role.kind.as_str(), kinds));
    }
    let name_path = path.child("name");
    if role.name.is_empty() {
        errors.push(FieldError::required(&name_path, ""));
    }
    let wrong = names::path_segment(&role.name).into_iter().filter(|_| !role.name.is_empty());
    errors.extend(wrong.map(|error| FieldError::invalid(&name_path, role.name.as_str(), error)));
    errors
}

fn validate_group(path: &Path, group: Option<&str>, expected: &str) -> Vec<FieldError> {
    let group = group.unwrap_or_default();
    let wrong = (group != expected).then(|| FieldError::not_supported(&path.child("apiGroup"), group, &[expected]));
    wrong.into_iter().collect()
}

fn validate_subject(path: &Path, subject: &Subject, extent: Extent) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (name_path, name) = (path.child("name"), subject.name.as_str());
    if name.is_empty() {
        errors.push(FieldError::required(&name_path, ""));
    }
    match subject.kind.as_str() {
        SERVICE_ACCOUNT => {
            let wrong = names::dns1123_subdomain(name).into_iter().filter(|_| !name.is_empty());
            errors.extend(wrong.map(|error| FieldError::invalid(&name_path, name, error)));
            errors.extend(validate_group(path, subject.api_group.as_deref(), ""));
            if extent == Extent::Cluster && subject.namespace.as_ref().is_none_or(String::is_empty) {
                errors.push(FieldError::required(&path.child("namespace"), ""));
            }
        }
        USER | GROUP_KIND => errors.extend(validate_group(path, subject.api_group.as_deref(), GROUP)),
        kind => {
            let kinds = &[SERVICE_ACCOUNT, USER, GROUP_KIND];
            errors.push(FieldError::not_supported(&path.child("kind"), kind, kinds));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make<T: Kind>(value: Value) -> T {
        let mut object: T = serde_json::from_value(value).unwrap();
        object.set_defaults();
        object
    }

    fn errors<T: Kind>(value: Value) -> Vec<String> {
        make::<T>(value).validate().iter().map(ToString::to_string).collect()
    }

    fn binding(role: &str, subjects: Value) -> Value {
        json!({"roleRef": {"kind": role, "name": "r"}, "subjects": subjects})
    }

    #[test]
    fn groups_are_filled_in() {
        let subjects = json!([{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]);
        let made: RoleBinding = make(binding("Role", subjects));
        assert_eq!(made.role_ref.api_group.as_deref(), Some(GROUP));
        let groups: Vec<_> = made.subjects.iter().flatten().map(|subject| subject.api_group.as_deref()).collect();
        assert_eq!(groups, [Some(GROUP), None]);
        assert!(made.validate().is_empty());
    }

    #[test]
    fn roles_and_subjects_are_checked() {
        assert_eq!(
            errors::<ClusterRoleBinding>(binding(
                "Role",
                json!([
                    {"kind": "ServiceAccount", "name": "s"},
                    {"kind": "User", "name": "", "apiGroup": "x"},
                    {"kind": "Robot", "name": "r"},
                    {"kind": "ServiceAccount", "name": "S", "namespace": "n", "apiGroup": "x"},
                ])
            ))
            .iter()
            .map(|error| error.split(": a lowercase").next().unwrap())
            .collect::<Vec<_>>(),
            [
                r#"roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole""#,
                "subjects[0].namespace: Required value",
                "subjects[1].name: Required value",
                r#"subjects[1].apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io""#,
                r#"subjects[2].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User""#,
                r#"subjects[3].name: Invalid value: "S""#,
                r#"subjects[3].apiGroup: Unsupported value: "x": supported values: """#,
            ]
        );
        let role = json!({"roleRef": {"kind": "Role", "name": "a/b", "apiGroup": "x"}});
        assert_eq!(
            errors::<RoleBinding>(role),
            [
                r#"roleRef.apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io""#,
                r#"roleRef.name: Invalid value: "a/b": may not contain '/'"#,
            ]
        );
    }

    #[test]
    fn the_role_stays() {
        let (old, new): (RoleBinding, RoleBinding) =
            (make(binding("Role", json!([]))), make(binding("ClusterRole", json!([]))));
        let errors: Vec<String> = new.validate_update(&old).iter().map(ToString::to_string).collect();
        let shown = r#"{"APIGroup":"rbac.authorization.k8s.io","Kind":"ClusterRole","Name":"r"}"#;
        assert_eq!(errors, [format!("roleRef: Invalid value: {shown}: cannot change roleRef")]);
        assert!(old.validate_update(&old).is_empty());
    }

    #[test]
    fn subjects_are_shown_by_kind() {
        let subjects = json!([
            {"kind": "User", "name": "u"}, {"kind": "User", "name": "v"}, {"kind": "Group", "name": "g"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
        ]);
        let cells = make::<ClusterRoleBinding>(binding("ClusterRole", subjects)).cells();
        assert_eq!((&cells[1], &cells[3..]), (&json!("ClusterRole/r"), &[json!("u, v"), json!("g"), json!("n/s")][..]));
    }
}
