//! `networking.k8s.io/v1.Ingress`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    core::TypedLocalObjectReference,
    field::{FieldError, Path},
    networking::{
        HTTPIngressPath, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec, IngressTLS,
    },
    object::{Column, Kind},
    table,
    validation::{address, names},
};

/// How the class was told before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const NOT_IN_PATHS: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const NOT_AT_THE_END: [&str; 2] = ["/..", "/."];

impl Kind for Ingress {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text("Class", "The name of the IngressClass resource that should be used for additional configuration"),
        Column::text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
        Column::text("Address", "Address is a list containing ingress points for the load-balancer"),
        Column::text("Ports", "Ports of TLS configurations that open"),
        Column::AGE,
    ];

    fn validate(&self) -> Vec<FieldError> {
        let mut errors = spec(self.spec.as_ref(), None);
        let annotations = self.metadata.annotations.iter().flatten();
        let annotated = annotations.filter(|(key, _)| *key == CLASS_ANNOTATION).map(|(_, value)| value).next();
        let class = self.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_ref());
        if let (Some(annotated), Some(_)) = (annotated.filter(|value| Some(*value) != class), class) {
            let detail = "must match `ingressClassName` when both are specified";
            let path = Path::new("annotations").child(CLASS_ANNOTATION);
            errors.push(FieldError::invalid(&path, annotated.as_str(), detail));
        }
        errors
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        spec(self.spec.as_ref(), old.spec.as_ref())
    }

    fn validate_status_update(&self, old: &Self) -> Vec<FieldError> {
        let points = |ingress: &Self| {
            let balancer = ingress.status.clone().and_then(|status| status.load_balancer);
            balancer.and_then(|balancer| balancer.ingress).unwrap_or_default()
        };
        let before = points(old);
        let kept: address::Kept<'_> = before.iter().filter_map(|point| point.ip.as_deref()).collect();
        let path = Path::new("status").child("loadBalancer").child("ingress");
        let mut errors = Vec::new();
        for (i, point) in points(self).iter().enumerate() {
            let path = path.index(i);
            if let Some(ip) = point.ip.as_deref().filter(|ip| !ip.is_empty()) {
                errors.extend(address::unless_kept(address::lenient, &path.child("ip"), ip, &kept));
            }
            let host_path = path.child("hostname");
            errors.extend(names::check_optional(names::dns1123_subdomain, &host_path, point.hostname.as_deref()));
            errors.extend(address::no_address(&host_path, point.hostname.as_deref().unwrap_or_default()));
        }
        errors
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.as_ref();
        let tls = spec.and_then(|spec| spec.tls.as_ref()).is_some_and(|tls| !tls.is_empty());
        vec![
            self.metadata.name.clone().into(),
            spec.and_then(|spec| spec.ingress_class_name.clone()).unwrap_or_else(|| table::NONE.to_owned()).into(),
            hosts(spec.and_then(|spec| spec.rules.as_deref()).unwrap_or_default()).into(),
            addresses(self).into(),
            if tls { "80, 443" } else { "80" }.into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn hosts(rules: &[IngressRule]) -> String {
    let named = rules.iter().filter_map(|rule| rule.host.clone()).filter(|host| !host.is_empty());
    let named: Vec<String> = named.take(3).collect();
    let count = if named.len() < 3 { named.len() } else { rules.len() };
    table::at_most_three(&named, count, "*")
}

fn addresses(ingress: &Ingress) -> String {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let points = balancer.iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let all: BTreeSet<String> =
        points.filter_map(|point| given(&point.ip).or_else(|| given(&point.hostname))).collect();
    all.into_iter().collect::<Vec<_>>().join(",")
}

/// What an update may leave as it is, because it was so before.
#[derive(Clone, Copy, Default)]
struct Kept {
    secret_names: bool,
    wildcard_rules: bool,
}

impl Kept {
    fn of(old: &IngressSpec) -> Self {
        let wrong_name = |tls: &IngressTLS| !secret_name(&Path::default(), tls).is_empty();
        let wrong_rule = |rule: &IngressRule| {
            rule.host.as_ref().is_some_and(|host| host.contains('*')) && !paths(&Path::default(), rule).is_empty()
        };
        Self {
            secret_names: old.tls.iter().flatten().any(wrong_name),
            wildcard_rules: old.rules.iter().flatten().any(wrong_rule),
        }
    }
}

fn spec(spec: Option<&IngressSpec>, old: Option<&IngressSpec>) -> Vec<FieldError> {
    let (default, path) = (IngressSpec::default(), Path::new("spec"));
    let spec = spec.unwrap_or(&default);
    let kept = old.map(Kept::of).unwrap_or_default();
    let rules = spec.rules.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    if rules.is_empty() && spec.default_backend.is_none() {
        let value = spec.rules.as_ref().map_or(Value::Null, |_| Value::Array(Vec::new()));
        errors.push(FieldError::invalid(&path, value, "either `defaultBackend` or `rules` must be specified"));
    }
    if let Some(default) = &spec.default_backend {
        errors.extend(backend(&path.child("defaultBackend"), default));
    }
    for (i, own) in rules.iter().enumerate() {
        errors.extend(rule(&path.child("rules").index(i), own, kept));
    }
    for (i, own) in spec.tls.iter().flatten().enumerate() {
        errors.extend(tls(&path.child("tls").index(i), own, kept));
    }
    if let Some(class) = &spec.ingress_class_name {
        errors.extend(names::check(names::dns1123_subdomain, &path.child("ingressClassName"), class));
    }
    errors
}

fn rule(path: &Path, rule: &IngressRule, kept: Kept) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let host = rule.host.as_deref().unwrap_or_default();
    if !host.is_empty() {
        let path = path.child("host");
        errors.extend(address::no_address(&path, host));
        errors.extend(names::check(host_rule(host), &path, host));
    }
    if !(host.contains('*') && kept.wildcard_rules) {
        errors.extend(paths(path, rule));
    }
    errors
}

fn host_rule(host: &str) -> names::Rule {
    if host.contains('*') { names::wildcard_subdomain } else { names::dns1123_subdomain }
}

fn tls(path: &Path, tls: &IngressTLS, kept: Kept) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, host) in tls.hosts.iter().flatten().enumerate() {
        errors.extend(names::check(host_rule(host), &path.child("hosts").index(i), host));
    }
    if !kept.secret_names {
        errors.extend(secret_name(path, tls));
    }
    errors
}

fn secret_name(path: &Path, tls: &IngressTLS) -> Vec<FieldError> {
    names::check_optional(names::dns1123_subdomain, &path.child("secretName"), tls.secret_name.as_deref())
}

fn paths(path: &Path, rule: &IngressRule) -> Vec<FieldError> {
    let Some(http) = &rule.http else { return Vec::new() };
    let path = path.child("http").child("paths");
    if http.paths.is_empty() {
        return vec![FieldError::required(&path, "")];
    }
    http.paths.iter().enumerate().flat_map(|(i, own)| http_path(&path.index(i), own)).collect()
}

fn http_path(path: &Path, own: &HTTPIngressPath) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let text = own.path.as_deref().unwrap_or_default();
    let mut wrong = |detail: String| errors.push(FieldError::invalid(&path.child("path"), text, detail));
    let absolute = text.starts_with('/');
    match own.path_type.as_str() {
        "" => return vec![FieldError::required(&path.child("pathType"), "pathType must be specified")],
        "Exact" | "Prefix" => {
            if !absolute {
                wrong("must be an absolute path".into());
            }
            for part in NOT_IN_PATHS.iter().filter(|part| text.contains(**part)) {
                wrong(format!("must not contain '{part}'"));
            }
            for end in NOT_AT_THE_END.iter().filter(|end| text.ends_with(**end)) {
                wrong(format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" => {
            if !text.is_empty() && !absolute {
                wrong("must be an absolute path".into());
            }
        }
        other => errors.push(FieldError::not_supported(&path.child("pathType"), other, &PATH_TYPES)),
    }
    errors.extend(backend(&path.child("backend"), &own.backend));
    errors
}

fn backend(path: &Path, backend: &IngressBackend) -> Vec<FieldError> {
    match (&backend.resource, &backend.service) {
        (Some(_), Some(_)) => {
            vec![FieldError::invalid(path, "", "cannot set both resource and service backends")]
        }
        (Some(resource), None) => resource_backend(&path.child("resource"), resource),
        (None, Some(service)) => service_backend(path, service),
        (None, None) => vec![FieldError::invalid(path, "", "resource or service backend is required")],
    }
}

fn service_backend(path: &Path, service: &IngressServiceBackend) -> Vec<FieldError> {
    let own = path.child("service");
    let mut errors = names::required_name(names::dns1123_label, &own.child("name"), &service.name);
    let port = service.port.clone().unwrap_or_default();
    let name = port.name.filter(|name| !name.is_empty());
    match (name, port.number.filter(|number| *number != 0)) {
        (Some(_), Some(_)) => errors.push(FieldError::invalid(path, "", "cannot set both port name & port number")),
        (Some(name), None) => errors.extend(names::check(names::port_name, &own.child("port").child("name"), &name)),
        (None, Some(number)) => {
            errors.extend(crate::validation::number::port(&own.child("port").child("number"), number));
        }
        (None, None) => errors.push(FieldError::required(path, "port name or number is required")),
    }
    errors
}

fn resource_backend(path: &Path, resource: &TypedLocalObjectReference) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(group) = &resource.api_group {
        errors.extend(names::check(names::dns1123_subdomain, &path.child("apiGroup"), group));
    }
    errors.extend(names::required_name(names::path_segment, &path.child("kind"), &resource.kind));
    errors.extend(names::required_name(names::path_segment, &path.child("name"), &resource.name));
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(spec: Value) -> Ingress {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn with_path(path: Value) -> Value {
        json!({"rules": [{"http": {"paths": [path]}}]})
    }

    #[test]
    fn mistakes_are_told() {
        let service = json!({"service": {"name": "a", "port": {"number": 80}}});
        let cases = [
            (json!({"defaultBackend": service}), vec![]),
            (json!({}), vec!["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
            (
                json!({"defaultBackend": {}}),
                vec![r#"spec.defaultBackend: Invalid value: "": resource or service backend is required"#],
            ),
            (
                json!({"defaultBackend": {"service": {"name": ""}}}),
                vec![
                    "spec.defaultBackend.service.name: Required value",
                    "spec.defaultBackend: Required value: port name or number is required",
                ],
            ),
            (
                json!({"rules": [{"host": "10.0.0.1"}, {"host": "a.*"}]}),
                vec![
                    r#"spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address"#,
                    r#"spec.rules[1].host: Invalid value: "a.*": a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
                ],
            ),
            (
                with_path(json!({"backend": service})),
                vec!["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"],
            ),
            (
                with_path(json!({"backend": service, "pathType": "Prefix", "path": "a//b/.."})),
                vec![
                    r#"spec.rules[0].http.paths[0].path: Invalid value: "a//b/..": must be an absolute path"#,
                    r#"spec.rules[0].http.paths[0].path: Invalid value: "a//b/..": must not contain '//'"#,
                    r#"spec.rules[0].http.paths[0].path: Invalid value: "a//b/..": cannot end with '/..'"#,
                ],
            ),
            (json!({"rules": [{"http": {"paths": []}}]}), vec!["spec.rules[0].http.paths: Required value"]),
        ];
        for (spec, expected) in cases {
            assert_eq!(texts(&ingress(spec).validate()), expected);
        }
    }

    #[test]
    fn what_was_wrong_before_may_stay() {
        let old = ingress(
            json!({"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}, "tls": [{"secretName": "A_"}]}),
        );
        assert_eq!(old.validate().len(), 1);
        assert_eq!(texts(&old.revalidate(&old)), Vec::<String>::new());
    }

    #[test]
    fn rows_show_hosts_and_addresses() {
        let mut shown = ingress(json!({
            "ingressClassName": "c", "tls": [{}],
            "rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}, {}],
        }));
        shown.status =
            serde_json::from_value(json!({"loadBalancer": {"ingress": [{"hostname": "z"}, {"ip": "10.0.0.1"}]}}))
                .unwrap();
        assert_eq!(
            shown.cells()[1..5],
            [json!("c"), json!("a,b,c + 2 more..."), json!("10.0.0.1,z"), json!("80, 443")]
        );
        assert_eq!(ingress(json!({})).cells()[1..5], [json!("<none>"), json!("*"), json!(""), json!("80")]);
    }
}
