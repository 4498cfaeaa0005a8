//! How somebody is called over HTTPS: by a URL, or as a service.

use super::names;
use crate::field::{FieldError, Path};

const FORM: &str = "; desired format: https://host[/path]";

/// The parts of a URL that rules are about.
struct Url<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    query: &'a str,
    fragment: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Self {
        let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (scheme, rest) = rest.split_once(':').unwrap_or(("", rest));
        let authority = rest.strip_prefix("//").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        Self { scheme, user, host, query, fragment }
    }
}

/// What is wrong with the URL of a webhook.
pub(crate) fn url(path: &Path, url: &str) -> Vec<FieldError> {
    let strange = url.bytes().any(|byte| byte.is_ascii_control() || byte == b' ');
    if strange {
        return vec![FieldError::required(path, format!("url must be a valid URL: parse {url:?}: invalid URL{FORM}"))];
    }
    let parts = Url::parse(url);
    let mut errors = Vec::new();
    let mut wrong = |value: &str, detail: String| errors.push(FieldError::invalid(path, value, detail));
    if parts.scheme != "https" {
        wrong(parts.scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if parts.host.is_empty() {
        wrong("", format!("host must be specified{FORM}"));
    }
    if let Some(user) = parts.user {
        wrong(user, "user information is not permitted in the URL".into());
    }
    if !parts.fragment.is_empty() {
        wrong(parts.fragment, "fragments are not permitted in the URL".into());
    }
    if !parts.query.is_empty() {
        wrong(parts.query, "query parameters are not permitted in the URL".into());
    }
    errors
}

/// A service, and where in it.
pub(crate) struct Service<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub path: Option<&'a str>,
    pub port: i32,
}

/// What is wrong with the service of a webhook.
pub(crate) fn service(path: &Path, service: &Service<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if service.name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "service name is required"));
    }
    if service.namespace.is_empty() {
        errors.push(FieldError::required(&path.child("namespace"), "service namespace is required"));
    }
    let port = names::port_number(service.port.into());
    if !port.is_empty() {
        let detail = format!("port is not valid: {}", port.join(","));
        errors.push(FieldError::invalid(&path.child("port"), service.port, detail));
    }
    errors.extend(url_path(&path.child("path"), service.path.unwrap_or_default()));
    errors
}

fn url_path(path: &Path, value: &str) -> Vec<FieldError> {
    let wrong = |detail: String| FieldError::invalid(path, value, detail);
    match value {
        "" | "/" => return Vec::new(),
        "//" => return vec![wrong("segment[0] may not be empty".into())],
        _ => {}
    }
    let mut errors = Vec::new();
    if !value.starts_with('/') {
        errors.push(wrong("must start with a '/'".into()));
    }
    // As upstream: the first character is passed over, whatever it is.
    let rest: &str = value.char_indices().nth(1).map_or("", |(at, _)| &value[at..]);
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            errors.push(wrong(format!("segment[{i}] may not be empty")));
        } else {
            let failures = names::dns1123_subdomain(step).into_iter();
            errors.extend(failures.map(|failure| wrong(format!("segment[{i}]: {failure}"))));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(|error| error.to_string().split("; desired").next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn urls() {
        let cases = [
            ("https://example.com/a", vec![]),
            ("http://example.com", vec![r#"u: Invalid value: "http": 'https' is the only allowed URL scheme"#]),
            ("https://", vec![r#"u: Invalid value: "": host must be specified"#]),
            (
                "https://me@example.com?a=b#c",
                vec![
                    r#"u: Invalid value: "me": user information is not permitted in the URL"#,
                    r#"u: Invalid value: "c": fragments are not permitted in the URL"#,
                    r#"u: Invalid value: "a=b": query parameters are not permitted in the URL"#,
                ],
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(texts(url(&Path::new("u"), value)), expected);
        }
    }

    #[test]
    fn services() {
        let full = Service { namespace: "a", name: "b", path: Some("/x//"), port: 0 };
        assert_eq!(
            texts(service(&Path::new("s"), &full)),
            [
                "s.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
                r#"s.path: Invalid value: "/x//": segment[1] may not be empty"#,
            ]
        );
        let empty = Service { namespace: "", name: "", path: None, port: 443 };
        assert_eq!(
            texts(service(&Path::new("s"), &empty)),
            [
                "s.name: Required value: service name is required",
                "s.namespace: Required value: service namespace is required"
            ]
        );
    }
}
