//! The shapes that names, labels and keys must have, and upstream's words about them.
//!
//! Every rule returns what is wrong, an empty list when nothing is. The rules run on each write, so
//! they walk bytes; the regular expressions appear in messages only.

use crate::field::{FieldError, Path};

/// A rule for the value of one field.
pub type Rule = fn(&str) -> Vec<String>;

const LABEL_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FORMAT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const KEY_NAME_FORMAT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const HTTP_PATH_FORMAT: &str = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";

/// Longest DNS label (RFC 1123), label value and name part of a label key, in bytes.
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain (RFC 1123), in bytes.
pub const SUBDOMAIN_MAX: usize = 253;
/// Longest name of a signer, in bytes: a subdomain, and a subdomain and a label with a dot, with a slash between.
const SIGNER_NAME_MAX: usize = SUBDOMAIN_MAX + 1 + SUBDOMAIN_MAX + 1 + LABEL_MAX;

/// The errors that `rule` finds in the `value` of the field at `path`.
pub(crate) fn check(rule: Rule, path: &Path, value: &str) -> Vec<FieldError> {
    rule(value).into_iter().map(|error| FieldError::invalid(path, value, error)).collect()
}

/// The same for a value that may be absent or empty.
pub(crate) fn check_optional(rule: Rule, path: &Path, value: Option<&str>) -> Vec<FieldError> {
    value.filter(|value| !value.is_empty()).map(|value| check(rule, path, value)).unwrap_or_default()
}

/// An error unless `value` is one of `allowed`; an absent value is required.
pub(crate) fn one_of(path: &Path, value: Option<&str>, allowed: &[&str]) -> Option<FieldError> {
    match value.unwrap_or_default() {
        "" => Some(FieldError::required(path, "")),
        value if allowed.contains(&value) => None,
        value => Some(FieldError::not_supported(path, value, allowed)),
    }
}

/// An error unless `value` is absent, empty or one of `allowed`.
pub(crate) fn none_or_one_of(path: &Path, value: Option<&str>, allowed: &[&str]) -> Option<FieldError> {
    one_of(path, Some(value.filter(|value| !value.is_empty())?), allowed)
}

/// An error when a text is missing.
pub(crate) fn required(path: &Path, value: &str) -> Option<FieldError> {
    value.is_empty().then(|| FieldError::required(path, ""))
}

/// The errors that `rule` finds in a text that must be there.
pub(crate) fn required_name(rule: Rule, path: &Path, value: &str) -> Vec<FieldError> {
    if value.is_empty() { vec![FieldError::required(path, "")] } else { check(rule, path, value) }
}

/// `must be between …, inclusive`.
#[must_use]
pub fn between(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

fn with_examples(message: &str, format: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{format}')");
    }
    // Upstream's own spaces.
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{format}')", examples.join(" or "))
}

fn too_long(value: &str, max: usize, unit: &str) -> Option<String> {
    (value.len() > max).then(|| format!("must be no more than {max} {unit}"))
}

/// Whether `value` starts and ends with an `edge` byte and has only `inner` bytes between.
fn shaped(value: &str, edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    match value.as_bytes() {
        [] => false,
        [only] => edge(*only),
        [first, middle @ .., last] => edge(*first) && edge(*last) && middle.iter().all(|b| inner(*b)),
    }
}

const fn lower_alnum(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label_shaped(value: &str) -> bool {
    shaped(value, lower_alnum, |b| lower_alnum(b) || b == b'-')
}

fn is_key_name_shaped(value: &str) -> bool {
    shaped(value, |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn is_subdomain_shaped(value: &str) -> bool {
    value.split('.').all(is_label_shaped)
}

/// A label in DNS after RFC 1123, as names of namespaces and containers are.
#[must_use]
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut errors: Vec<String> = too_long(value, LABEL_MAX, "characters").into_iter().collect();
    if !is_label_shaped(value) {
        errors.push(if is_subdomain_shaped(value) {
            "must not contain dots".to_owned()
        } else {
            with_examples(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL_FORMAT,
                &["my-name", "123-abc"],
            )
        });
    }
    errors
}

/// A domain name after RFC 1123, as names of most objects are.
#[must_use]
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors: Vec<String> = too_long(value, SUBDOMAIN_MAX, "characters").into_iter().collect();
    if !is_subdomain_shaped(value) {
        errors.push(with_examples(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN_FORMAT,
            &["example.com"],
        ));
    }
    errors
}

/// A domain name whose first label is `*`.
#[must_use]
pub fn wildcard_subdomain(value: &str) -> Vec<String> {
    let mut errors: Vec<String> = too_long(value, SUBDOMAIN_MAX, "characters").into_iter().collect();
    if !value.strip_prefix("*.").is_some_and(is_subdomain_shaped) {
        errors.push(with_examples(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!("\\*\\.{SUBDOMAIN_FORMAT}"),
            &["*.example.com"],
        ));
    }
    errors
}

/// A domain, `/`, and something that may be the path of a URL; it has to be there.
pub(crate) fn domain_prefixed_path(path: &Path, value: &str) -> Vec<FieldError> {
    if value.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let Some((host, rest)) = value.split_once('/').filter(|(host, rest)| !host.is_empty() && !rest.is_empty()) else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![FieldError::invalid(path, value, detail)];
    };
    let mut errors = check(dns1123_subdomain, path, host);
    let good = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !rest.bytes().all(good) {
        let detail = with_examples("Invalid path", HTTP_PATH_FORMAT, &[]);
        errors.push(FieldError::invalid(path, rest, detail));
    }
    errors
}

/// A label in DNS after RFC 1035 (it starts with a letter), as names of services are.
#[must_use]
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut errors: Vec<String> = too_long(value, LABEL_MAX, "characters").into_iter().collect();
    if !is_label_shaped(value) || !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        errors.push(with_examples(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// The reason of a condition.
#[must_use]
pub fn condition_reason(value: &str) -> Vec<String> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b',' | b':');
    let last = value.bytes().last().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    let first = value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    if first && value.bytes().all(inner) && (last || value.len() == 1) {
        return Vec::new();
    }
    vec![with_examples(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}

/// A domain name of three labels or more, in one error.
pub(crate) fn fully_qualified(path: &Path, value: &str) -> Option<FieldError> {
    let errors = dns1123_subdomain(value);
    match value {
        "" => Some(FieldError::required(path, "")),
        value if !errors.is_empty() => Some(FieldError::invalid(path, value, errors.join(","))),
        value if value.split('.').count() < 3 => {
            let detail = "should be a domain with at least three segments separated by dots";
            Some(FieldError::invalid(path, value, detail))
        }
        _ => None,
    }
}

/// Whatever is there.
#[must_use]
pub fn any_name(_: &str) -> Vec<String> {
    Vec::new()
}

/// A signer of certificates: a domain of two labels or more, `/`, a name.
pub(crate) fn signer_name(path: &Path, value: &str) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = required(path, value).into_iter().collect();
    let Some((domain, name)) = value.split_once('/').filter(|(_, name)| !name.contains('/')) else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid(path, value, detail));
        return errors;
    };
    if domain.len() > SUBDOMAIN_MAX {
        errors.push(FieldError::too_long(path, SUBDOMAIN_MAX));
    }
    errors.extend(each_label(dns1123_label, path, domain));
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, domain, detail));
    }
    errors.extend(each_label(dns1123_subdomain, path, name));
    if value.len() > SIGNER_NAME_MAX {
        errors.push(FieldError::too_long(path, SIGNER_NAME_MAX));
    }
    errors
}

fn each_label(rule: Rule, path: &Path, value: &str) -> Vec<FieldError> {
    let wrong = value.split('.').flat_map(|label| rule(label).into_iter().map(move |error| (label, error)));
    wrong
        .map(|(label, error)| FieldError::invalid(path, value, format!("validating label {label:?}: {error}")))
        .collect()
}

/// A name that is safe as one segment of a URL's path; all that upstream asks of a few kinds.
#[must_use]
pub fn path_segment(value: &str) -> Vec<String> {
    if matches!(value, "." | "..") {
        return vec![format!("may not be '{value}'")];
    }
    ['/', '%'].iter().filter(|c| value.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// A label's key, an annotation's key or a finalizer: an optional domain, `/`, a name.
#[must_use]
pub fn qualified_name(value: &str) -> Vec<String> {
    const WORDS: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let format_error = || with_examples(WORDS, KEY_NAME_FORMAT, &["MyName", "my.name", "123-abc"]);
    let mut errors = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            errors.push(format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                format_error()
            ));
            return errors;
        }
        Some(("", name)) => {
            errors.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            errors.extend(dns1123_subdomain(prefix).into_iter().map(|error| format!("prefix part {error}")));
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    }
    errors.extend(too_long(name, LABEL_MAX, "bytes").map(|error| format!("name part {error}")));
    if !is_key_name_shaped(name) {
        errors.push(format!("name part {}", format_error()));
    }
    errors
}

/// A label's value.
#[must_use]
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors: Vec<String> = too_long(value, LABEL_MAX, "bytes").into_iter().collect();
    if !value.is_empty() && !is_key_name_shaped(value) {
        errors.push(with_examples(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({KEY_NAME_FORMAT})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// A key in a config map or a secret, usable as a file's name.
#[must_use]
pub fn config_key(value: &str) -> Vec<String> {
    let mut errors: Vec<String> = too_long(value, SUBDOMAIN_MAX, "characters").into_iter().collect();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if value.is_empty() || !value.bytes().all(good) {
        errors.push(with_examples(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match value {
        "." | ".." => errors.push(format!("must not be '{value}'")),
        _ if value.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// An environment variable's name: printable ASCII without `=`.
#[must_use]
pub fn env_var_name(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if value.bytes().all(|b| (b == b' ' || b.is_ascii_graphic()) && b != b'=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// A port's name after RFC 6335.
#[must_use]
pub fn port_name(value: &str) -> Vec<String> {
    let mut errors: Vec<String> = too_long(value, 15, "characters").into_iter().collect();
    if value.is_empty() || !value.bytes().all(|b| lower_alnum(b) || b == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// A port's number.
#[must_use]
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) { Vec::new() } else { vec![between(1, 65535)] }
}

/// A percentage such as `25%`.
#[must_use]
pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    vec![with_examples(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

/// A header's name in an HTTP request.
#[must_use]
pub fn http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec![with_examples(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// An IPv4 or IPv6 address.
#[must_use]
pub fn ip(value: &str) -> Vec<String> {
    match value.parse::<std::net::IpAddr>() {
        Ok(_) => Vec::new(),
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
    }
}

/// What a name may be while it is a prefix to which the server adds five characters: a trailing
/// hyphen is then no mistake.
#[must_use]
pub fn as_prefix(rule: Rule, prefix: &str) -> Vec<String> {
    match prefix.strip_suffix('-') {
        Some(stem) if !stem.is_empty() => rule(&format!("{stem}a")),
        _ => rule(prefix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_values_have_no_errors() {
        let long = "a".repeat(63);
        let cases: &[(Rule, &[&str])] = &[
            (dns1123_label, &["a", "a-b", "0", "1-a", &long]),
            (dns1123_subdomain, &["a.b", "a-1.b", "kube-root-ca.crt"]),
            (dns1035_label, &["a", "web-1"]),
            (qualified_name, &["a", "A_b.c", "example.com/Name", "kubernetes.io/metadata.name"]),
            (label_value, &["", "A_b", "1.2"]),
            (config_key, &["a", ".dockerconfigjson", "A_b-c.d"]),
            (env_var_name, &["PATH", "1A", "a b", "my.env"]),
            (port_name, &["http", "p-1"]),
            (percent, &["0%", "100%"]),
            (http_header_name, &["X-Probe"]),
            (ip, &["10.0.0.1", "fd00::1"]),
            (path_segment, &["system:node:a", "a b"]),
        ];
        for (rule, values) in cases {
            for value in *values {
                assert_eq!(rule(value), Vec::<String>::new(), "{value}");
            }
        }
    }

    #[test]
    fn bad_values_are_explained_in_upstreams_words() {
        let long = "a".repeat(64);
        let cases: &[(Rule, &str, &str)] = &[
            (
                dns1123_label,
                "A",
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ),
            (dns1123_label, "a.b", "must not contain dots"),
            (dns1123_label, &long, "must be no more than 63 characters"),
            (
                dns1123_subdomain,
                "a..b",
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ),
            (
                dns1035_label,
                "1a",
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ),
            (qualified_name, "/a", "prefix part must be non-empty"),
            (
                qualified_name,
                "a/b/c",
                "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
            ),
            (
                label_value,
                "a b",
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ),
            (config_key, "..", "must not be '..'"),
            (
                env_var_name,
                "a=b",
                "a valid environment variable name must consist only of printable ASCII characters other than '='",
            ),
            (port_name, "8080", "must contain at least one letter (a-z)"),
            (
                percent,
                "5",
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
            ),
            (ip, "300.0.0.1", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            (path_segment, "a/b", "may not contain '/'"),
        ];
        for (rule, value, message) in cases {
            assert_eq!(rule(value), [*message], "{value}");
        }
    }

    #[test]
    fn a_generated_names_prefix_may_end_with_a_hyphen() {
        assert!(as_prefix(dns1123_label, "web-").is_empty());
        assert!(!as_prefix(dns1123_label, "Web-").is_empty());
    }
}
