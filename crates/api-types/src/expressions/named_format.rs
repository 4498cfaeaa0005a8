//! `format.dns1123Label().validate('a')`: Kubernetes' rules for names and texts.

use std::any::Any;

use cel::{Call, Function, Library, Opaque, Row, Type, Value};

use crate::validation::names::{self, Rule};

type Evaluated<'a> = Result<Value<'a>, cel::Error>;

const OF: &str = "kubernetes.NamedFormat";
const NAMED: &[&str] = &["() -> kubernetes.NamedFormat"];

/// What every format says of a text.
const FORMATS: [(&str, Rule); 13] = [
    ("dns1123Label", names::dns1123_label),
    ("dns1123Subdomain", names::dns1123_subdomain),
    ("dns1035Label", names::dns1035_label),
    ("qualifiedName", names::qualified_name),
    ("dns1123LabelPrefix", |text| names::as_prefix(names::dns1123_label, text)),
    ("dns1123SubdomainPrefix", |text| names::as_prefix(names::dns1123_subdomain, text)),
    ("dns1035LabelPrefix", |text| names::as_prefix(names::dns1035_label, text)),
    ("labelValue", names::label_value),
    ("uri", |text| unless(is("isURL(text)", text), "invalid URI for request")),
    ("uuid", |text| unless(is(UUID, text), "does not match the UUID format")),
    ("byte", |text| unless(is(BASE64, text), "invalid base64")),
    ("date", |text| unless(is_date(text), "invalid date")),
    ("datetime", |text| unless(is_datetime(text), "invalid datetime")),
];

const UUID: &str = "text.matches('(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$')";
const BASE64: &str = "text.matches('^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$')";

/// Kubernetes' named formats.
pub(super) const FORMAT: Library = Library(&[
    Row { name: "format.named", function: named, declarations: &["(string) -> optional(kubernetes.NamedFormat)"] },
    Row {
        name: "validate",
        function: validate,
        declarations: &["kubernetes.NamedFormat.(string) -> optional(list(string))"],
    },
    row("format.dns1123Label"),
    row("format.dns1123Subdomain"),
    row("format.dns1035Label"),
    row("format.qualifiedName"),
    row("format.dns1123LabelPrefix"),
    row("format.dns1123SubdomainPrefix"),
    row("format.dns1035LabelPrefix"),
    row("format.labelValue"),
    row("format.uri"),
    row("format.uuid"),
    row("format.byte"),
    row("format.date"),
    row("format.datetime"),
]);

const fn row(name: &'static str) -> Row {
    Row { name, function: one as Function, declarations: NAMED }
}

#[derive(Debug)]
struct Format {
    name: &'static str,
    rule: Rule,
}

impl Opaque for Format {
    fn value_type(&self) -> Type {
        Type::parse(OF)
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self.name == other.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn find(wanted: &str) -> Option<Value<'static>> {
    let (name, rule) = FORMATS.into_iter().find(|(name, _)| *name == wanted)?;
    Some(Value::opaque(Format { name, rule }))
}

fn named<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Evaluated<'a> {
    match args.first().and_then(Value::as_str) {
        Some(name) => Ok(find(name).map_or(Value::Optional(None), Value::some)),
        None => Err(cel::Error::no_overload()),
    }
}

fn one<'a>(call: &Call<'_>, _: &[Value<'a>]) -> Evaluated<'a> {
    call.name.strip_prefix("format.").and_then(find).ok_or_else(cel::Error::no_overload)
}

fn validate<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Evaluated<'a> {
    let [format, Value::String(text)] = args else { return Err(cel::Error::no_overload()) };
    let format = format.downcast::<Format>().ok_or_else(cel::Error::no_overload)?;
    call.meter.work(text.len() as u64)?;
    let errors: Vec<Value<'a>> = (format.rule)(text).into_iter().map(Value::string).collect();
    Ok(if errors.is_empty() { Value::Optional(None) } else { Value::some(Value::list(errors)) })
}

fn unless(sound: bool, error: &str) -> Vec<String> {
    if sound { Vec::new() } else { vec![error.to_owned()] }
}

/// Whether an expression is fulfilled for this `text`.
fn is(rule: &str, text: &str) -> bool {
    let env = super::BASE.clone().variable("text", Type::String);
    let program = env.compile(rule).ok();
    let variables = [("text", Value::string(text))];
    let result = program.and_then(|program| program.evaluate(&variables, &cel::Meter::new(super::CALL_COST)).ok());
    matches!(result, Some(Value::Bool(true)))
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// RFC 3339, also with less than it demands, as upstream's decoder of formats.
fn is_datetime(text: &str) -> bool {
    text.len() >= 16 && text.parse::<jiff::civil::DateTime>().is_ok() && text.contains(['T', 't'])
        || text.parse::<jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_name() {
        let rule = |wanted: &str| FORMATS.into_iter().find(|(name, _)| *name == wanted).unwrap().1;
        for (name, good, bad) in [
            ("dns1123Label", "a-b", "A"),
            ("dns1123LabelPrefix", "a-", "-a"),
            ("dns1035Label", "a1", "1a"),
            ("qualifiedName", "a.b/c", "a/b/c"),
            ("labelValue", "", "-"),
            ("uri", "http://example.com", "example"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
            ("byte", "aGVsbG8=", "a"),
            ("date", "2021-01-01", "2021-02-30"),
            ("datetime", "2021-01-01T00:00:00Z", "2021-01-01"),
        ] {
            assert!(rule(name)(good).is_empty(), "{name} {good}");
            assert!(!rule(name)(bad).is_empty(), "{name} {bad}");
        }
    }
}
