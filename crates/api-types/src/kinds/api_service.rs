//! `apiregistration.k8s.io/v1.APIService`.

use serde_json::Value;

use crate::{
    apiregistration::{APIService, APIServiceSpec},
    field::{FieldError, Path},
    object::{Column, Kind},
    table,
    validation::names,
};

const CONDITION_STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const HIGHEST_GROUP: i32 = 20_000;
const HIGHEST_VERSION: i32 = 1000;

impl Kind for APIService {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Service", "The reference to the service that hosts this API endpoint."),
        Column::text("Available", "Whether this service is available."),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        if let Some(service) = self.spec.as_mut().and_then(|spec| spec.service.as_mut()) {
            service.port.get_or_insert(443);
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let default = APIServiceSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&default);
        let mut errors: Vec<FieldError> = name(self.metadata.name.as_deref(), spec).into_iter().collect();
        errors.extend(served(spec));
        errors.extend(if spec.service.is_some() { remote(spec) } else { local(spec) });
        errors
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let path = Path::new("status").child("conditions");
        let conditions = self.status.iter().flat_map(|status| status.conditions.iter().flatten()).enumerate();
        let wrong = conditions.filter(|(_, condition)| !CONDITION_STATUSES.contains(&condition.status.as_str()));
        let error = |i: usize, status: &str| {
            FieldError::not_supported(&path.index(i).child("status"), status, &CONDITION_STATUSES)
        };
        wrong.map(|(i, condition)| error(i, &condition.status)).collect()
    }

    fn cells(&self) -> Vec<Value> {
        let service = self.spec.as_ref().and_then(|spec| spec.service.as_ref()).map(|service| {
            let part = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{}/{}", part(&service.namespace), part(&service.name))
        });
        vec![
            self.metadata.name.clone().into(),
            service.unwrap_or_else(|| "Local".to_owned()).into(),
            available(self).into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn available(service: &APIService) -> String {
    let mut conditions = service.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let Some(condition) = conditions.find(|condition| condition.type_ == "Available") else {
        return "Unknown".to_owned();
    };
    let reason = condition.reason.as_deref().filter(|reason| !reason.is_empty() && condition.status != "True");
    reason.map_or_else(|| condition.status.clone(), |reason| format!("{} ({reason})", condition.status))
}

/// An API service is called after what it serves.
fn name(name: Option<&str>, spec: &APIServiceSpec) -> Option<FieldError> {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let required = format!("{}.{}", part(&spec.version), part(&spec.group));
    let name = name.filter(|name| !name.is_empty() && *name != required && names::path_segment(name).is_empty())?;
    let detail = format!("must be `spec.version+\".\"+spec.group`: {required:?}");
    Some(FieldError::invalid(&Path::new("metadata").child("name"), name, detail))
}

fn served(spec: &APIServiceSpec) -> Vec<FieldError> {
    let path = Path::new("spec");
    let (group, version) = (spec.group.as_deref().unwrap_or_default(), spec.version.as_deref().unwrap_or_default());
    let mut errors = Vec::new();
    if group.is_empty() && version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        errors.push(FieldError::required(&path.child("group"), detail));
    }
    errors.extend(names::check_optional(names::dns1123_subdomain, &path.child("group"), Some(group)));
    errors.extend(names::check(names::dns1035_label, &path.child("version"), version));
    let priorities = [
        ("groupPriorityMinimum", spec.group_priority_minimum, HIGHEST_GROUP),
        ("versionPriority", spec.version_priority, HIGHEST_VERSION),
    ];
    for (field, priority, highest) in priorities {
        if !(1..=highest).contains(&priority) {
            let detail = format!("must be positive and less than {highest}");
            errors.push(FieldError::invalid(&path.child(field), priority, detail));
        }
    }
    errors
}

/// Rules for what this server serves itself.
fn local(spec: &APIServiceSpec) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    if let Some(bundle) = spec.ca_bundle.as_ref().filter(|bundle| !bundle.0.is_empty()) {
        let value = format!("{} bytes", bundle.0.len());
        errors.push(FieldError::invalid(&path.child("caBundle"), value, "local APIServices may not have a caBundle"));
    }
    if spec.insecure_skip_tls_verify == Some(true) {
        let detail = "local APIServices may not have insecureSkipTLSVerify";
        errors.push(FieldError::invalid(&path.child("insecureSkipTLSVerify"), true, detail));
    }
    errors
}

/// Rules for what another server serves.
fn remote(spec: &APIServiceSpec) -> Vec<FieldError> {
    let path = Path::new("spec");
    let service = spec.service.clone().unwrap_or_default();
    let own = path.child("service");
    let mut errors = Vec::new();
    errors.extend(names::required(&own.child("namespace"), service.namespace.as_deref().unwrap_or_default()));
    errors.extend(names::required(&own.child("name"), service.name.as_deref().unwrap_or_default()));
    let port = service.port.unwrap_or_default();
    let wrong = names::port_number(port.into());
    if !wrong.is_empty() {
        let detail = format!("port is not valid: {}", wrong.join(", "));
        errors.push(FieldError::invalid(&own.child("port"), port, detail));
    }
    let bundle = spec.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty());
    if spec.insecure_skip_tls_verify == Some(true) && bundle {
        let detail = "may not be true if caBundle is present";
        errors.push(FieldError::invalid(&path.child("insecureSkipTLSVerify"), true, detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(name: &str, spec: Value) -> APIService {
        let mut all = json!({"version": "v1", "group": "a.b", "groupPriorityMinimum": 1000, "versionPriority": 15});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let mut service: APIService = serde_json::from_value(json!({"metadata": {"name": name}, "spec": all})).unwrap();
        service.set_defaults();
        service
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            ("v1.a.b", json!({}), vec![]),
            ("v1.", json!({"group": ""}), vec![]),
            (
                "x",
                json!({}),
                vec![r#"metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "v1.a.b""#],
            ),
            (
                "v2.",
                json!({"group": "", "version": "v2"}),
                vec!["spec.group: Required value: only v1 may have an empty group and it better be legacy kube"],
            ),
            (
                "v1.a.b",
                json!({"groupPriorityMinimum": 0, "versionPriority": 1001, "caBundle": "YQ=="}),
                vec![
                    "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
                    "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
                    r#"spec.caBundle: Invalid value: "1 bytes": local APIServices may not have a caBundle"#,
                ],
            ),
            (
                "v1.a.b",
                json!({"service": {"name": "s"}, "caBundle": "YQ==", "insecureSkipTLSVerify": true}),
                vec![
                    "spec.service.namespace: Required value",
                    "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
                ],
            ),
        ];
        for (name, spec, expected) in cases {
            let errors: Vec<String> = service(name, spec).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    #[test]
    fn rows_tell_who_serves_and_whether() {
        let mut shown = service("v1.a.b", json!({"service": {"namespace": "n", "name": "s"}}));
        assert_eq!(shown.cells()[1..3], [json!("n/s"), json!("Unknown")]);
        let condition = json!({"conditions": [{"type": "Available", "status": "False", "reason": "R"}]});
        shown.status = serde_json::from_value(condition).unwrap();
        assert_eq!(shown.cells()[2], json!("False (R)"));
        assert_eq!(service("v1.a.b", json!({})).cells()[1], json!("Local"));
    }
}
