//! The options of a connection as an object, which is what admission reviews of it.

use api_types::{GroupResource, StatusError, field};
use serde_json::{Value, json};

use crate::{catalogue::Request, handlers::selection, request::Query};

/// How an option is written.
enum Form {
    Flag,
    Number,
    Numbers,
    Text,
    Texts,
    Time,
    /// Not in the query: what follows the subresource in the path.
    RestOfPath,
}

use Form::{Flag, Number, Numbers, RestOfPath, Text, Texts, Time};

const PROXY: &[(&str, Form)] = &[("path", RestOfPath)];

/// Kinds of options, each with its fields.
static KINDS: &[(&str, &[(&str, Form)])] = &[
    ("NodeProxyOptions", PROXY),
    ("PodAttachOptions", &[("container", Text), ("stderr", Flag), ("stdin", Flag), ("stdout", Flag), ("tty", Flag)]),
    (
        "PodExecOptions",
        &[("command", Texts), ("container", Text), ("stderr", Flag), ("stdin", Flag), ("stdout", Flag), ("tty", Flag)],
    ),
    (
        "PodLogOptions",
        &[
            ("container", Text),
            ("follow", Flag),
            ("insecureSkipTLSVerifyBackend", Flag),
            ("limitBytes", Number),
            ("previous", Flag),
            ("sinceSeconds", Number),
            ("sinceTime", Time),
            ("stream", Text),
            ("tailLines", Number),
            ("timestamps", Flag),
        ],
    ),
    ("PodPortForwardOptions", &[("ports", Numbers)]),
    ("PodProxyOptions", PROXY),
    ("ServiceProxyOptions", PROXY),
];

/// The options of this kind in a request. `rest` is what follows the subresource in its path.
///
/// # Errors
/// 400 when a number or a time is none.
pub(super) fn of(kind: &str, query: &Query, rest: &str) -> Result<Value, StatusError> {
    let mut options = json!({"kind": kind, "apiVersion": "v1"});
    let fields = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, fields)| *fields).unwrap_or_default();
    for (name, form) in fields {
        let value = match form {
            RestOfPath if rest.is_empty() => continue,
            RestOfPath => rest.into(),
            _ if !query.contains(name) => continue,
            Flag => query.flag(name).into(),
            Number => selection::integer(query, name)?.into(),
            Numbers => query.all(name).map(selection::number).collect::<Result<Vec<_>, _>>()?.into(),
            Text => query.get(name).into(),
            Texts => query.all(name).collect::<Vec<_>>().into(),
            Time => time(query.get(name))?.into(),
        };
        options[*name] = value;
    }
    Ok(options)
}

/// A time is passed on as it was written, once it is known to be one.
fn time(text: Option<&str>) -> Result<Option<&str>, StatusError> {
    let Some(text) = text else { return Ok(None) };
    let layout = "2006-01-02T15:04:05Z07:00";
    let no_time = |_| {
        let text = format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\"");
        StatusError::bad_request(text)
    };
    text.parse::<jiff::Timestamp>().map(|_| Some(text)).map_err(no_time)
}

/// What can be said against options of logs before anything else is known.
///
/// # Errors
/// 422 that names every fault.
pub(super) fn validate_log(pod: &str, options: &Value) -> Result<(), StatusError> {
    let mut faults = Vec::new();
    let path = field::Path::new;
    let number = |name: &str| options[name].as_i64();
    if let Some(lines) = number("tailLines").filter(|lines| *lines < 0) {
        faults.push(field::FieldError::invalid(&path("tailLines"), lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes) = number("limitBytes").filter(|bytes| *bytes < 1) {
        faults.push(field::FieldError::invalid(&path("limitBytes"), bytes, "must be greater than 0"));
    }
    match (number("sinceSeconds"), options["sinceTime"].as_str()) {
        (Some(_), Some(_)) => faults.push(field::FieldError::forbidden(
            &path(""),
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        )),
        (Some(seconds), None) if seconds < 1 => {
            faults.push(field::FieldError::invalid(&path("sinceSeconds"), seconds, "must be greater than 0"));
        }
        _ => {}
    }
    if let Some(stream) = options["stream"].as_str() {
        const STREAMS: [&str; 3] = ["All", "Stderr", "Stdout"];
        if !STREAMS.contains(&stream) {
            faults.push(field::FieldError::not_supported(&path("stream"), stream, &STREAMS));
        }
        if stream != "All" && number("tailLines").is_some() {
            let why = "`tailLines` and specific `stream` are mutually exclusive for now";
            faults.push(field::FieldError::forbidden(&path(""), why));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(StatusError::invalid(GroupResource::new("", "PodLogOptions"), pod, &faults))
}

/// A connection cannot be tried.
///
/// # Errors
/// 400 when the request wants that.
pub(super) fn refuse_dry_run(request: &Request) -> Result<(), StatusError> {
    if request.query.contains("dryRun") {
        return Err(StatusError::bad_request("dryRun is not supported"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options = |kind, query: &str, rest| of(kind, &Query::parse(query), rest).map_err(|e| e.to_string());
        let expected = json!({"apiVersion": "v1", "kind": "PodPortForwardOptions", "ports": [80, 81]});
        assert_eq!(options("PodPortForwardOptions", "ports=80&ports=81", "").unwrap(), expected);
        let expected = json!({"apiVersion": "v1", "kind": "PodProxyOptions", "path": "/a"});
        assert_eq!(options("PodProxyOptions", "path=/b", "/a").unwrap(), expected);
        let refused = options("PodPortForwardOptions", "ports=x", "").unwrap_err();
        assert_eq!(refused, "strconv.ParseInt: parsing \"x\": invalid syntax");
        let refused = options("PodLogOptions", "sinceTime=x", "").unwrap_err();
        assert_eq!(refused, "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"");
    }

    #[test]
    fn log_options_are_judged() {
        let judge = |query: &str| {
            let options = of("PodLogOptions", &Query::parse(query), "").unwrap();
            validate_log("p", &options).map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        let cases = [
            ("tailLines=0&limitBytes=1&sinceSeconds=1&stream=All", ""),
            ("stream=Stderr", ""),
            ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
            ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
            (
                "sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z",
                ": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
            ),
            ("stream=Foo", "stream: Unsupported value: \"Foo\": supported values: \"All\", \"Stderr\", \"Stdout\""),
            (
                "stream=Stdout&tailLines=1",
                ": Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
            ),
        ];
        for (query, expected) in cases {
            let expected = match expected {
                "" => String::new(),
                fault => format!("PodLogOptions \"p\" is invalid: {fault}"),
            };
            assert_eq!(judge(query), expected, "{query}");
        }
    }
}
