//! Values are what the schema says, in the words of upstream's OpenAPI validation.
//!
//! What an update leaves as it was is not objected to, even where the schema has become stricter since: parts of the old
//! object stand beside those of the new one as far as it is known which belong together.

use std::cell::Cell;

use serde_json::{Map, Value};

use super::{
    embedded::HEADER,
    lists::keys_of,
    node::{Checks, Elements, Node, Numbers, Others, ValueKind},
};
use crate::field::{FieldError, FieldErrorKind, Path};

/// So many values are compared with schemas for one object. Lists of alternatives within lists multiply: whoever may
/// define a kind may not occupy the server.
const STEPS: u64 = 2_000_000;
/// So many errors are told, and so many bytes of values in them.
const MANY: usize = 256;
const QUOTED: usize = 256 << 10;
/// What upstream calls the path of no field.
const NOWHERE: &str = "<nil>";

/// What is wrong with an object, metadata excepted. Of two errors of the same words one is told.
pub(super) fn object(
    node: &Node,
    fields: &Map<String, Value>,
    names: &Value,
    old: Option<&Map<String, Value>>,
) -> Vec<FieldError> {
    let walk = Walk { steps: Cell::new(0) };
    let mut report = Report::default();
    let root = Path::default();
    walk.members(node, &root, fields, old, true, &mut report);
    if let Some(metadata) = node.property("metadata") {
        report.merge(walk.value(metadata, &root.child("metadata"), names, None));
    }
    if walk.steps.get() > STEPS {
        report.errors.insert(0, FieldError::invalid_whole(&root, "takes too long to be validated"));
    }
    shortened(report.errors)
}

/// What is wrong with a value that stands by itself, such as a default.
pub(super) fn constant(node: &Node, path: &Path, value: &Value) -> Vec<FieldError> {
    shortened(Walk { steps: Cell::new(0) }.value(node, path, value, None).errors)
}

/// As many errors as are told.
fn shortened(mut errors: Vec<FieldError>) -> Vec<FieldError> {
    let size =
        |error: &FieldError| error.value.as_ref().and_then(Value::as_str).map_or(0, str::len) + error.detail.len();
    let mut quoted = 0;
    let within = |error: &FieldError| {
        quoted += size(error);
        quoted <= QUOTED
    };
    let told = errors.iter().take(MANY).map(within).take_while(|within| *within).count();
    // The first one is needed for the answer to be a refusal.
    errors.truncate(told.max(1));
    errors
}

/// What was found, and how much was right: of several alternatives that fail the errors of the best one are told.
#[derive(Default)]
struct Report {
    errors: Vec<FieldError>,
    matches: u32,
}

impl Report {
    fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        self.errors.extend(other.errors);
    }
}

struct Walk {
    steps: Cell<u64>,
}

impl Walk {
    fn value(&self, node: &Node, path: &Path, value: &Value, old: Option<&Value>) -> Report {
        let mut report = Report::default();
        self.steps.set(self.steps.get() + 1);
        if old == Some(value) || self.steps.get() > STEPS {
            return report;
        }
        match type_error(node, path, value) {
            Some(error) => report.errors.push(error),
            None => report.matches += 1,
        }
        let checks = node.checks.as_deref();
        if !value.is_null() {
            if let Some(checks) = checks {
                self.junctors(checks, path, value, &mut report);
                self.scalar(checks, path, value, &mut report);
            }
            if let Value::Array(items) = value {
                self.items(node, path, items, old, &mut report);
            }
        }
        if let Some(values) = checks.and_then(|checks| checks.values.as_deref())
            && !values.iter().any(|allowed| same(allowed, value))
        {
            report.errors.push(not_supported(path, value, values));
        }
        if let Value::Object(members) = value {
            self.members(node, path, members, old.and_then(Value::as_object), false, &mut report);
        }
        report.matches += 1;
        report
    }

    fn scalar(&self, checks: &Checks, path: &Path, value: &Value, report: &mut Report) {
        let found = match value {
            Value::String(text) => string(checks, path, text),
            Value::Number(_) => checks.numbers.as_ref().map(|numbers| number(numbers, path, value)).unwrap_or_default(),
            _ => return,
        };
        if found.is_empty() {
            report.matches += 1;
        }
        report.errors.extend(found);
    }

    fn items(&self, node: &Node, path: &Path, items: &[Value], old: Option<&Value>, report: &mut Report) {
        if let Some(element) = &node.items {
            let known = old_elements(node, old);
            for (index, item) in items.iter().enumerate() {
                let old = known.iter().find(|(keys, _)| is_known_by(node, item, keys)).map(|(_, old)| *old);
                report.merge(self.value(element, &path.index(index), item, old));
            }
        }
        let Some(checks) = node.checks.as_deref() else { return };
        let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
        if let Some(min) = checks.min_items.filter(|min| count < *min) {
            let detail = format!("{path} in body should have at least {min} items");
            report.errors.push(FieldError::invalid(path, count, detail));
        }
        if let Some(max) = checks.max_items.filter(|max| count > *max) {
            report.errors.push(too_many(path, count, max));
        }
    }

    /// `root` objects have what every object has besides.
    fn members(
        &self,
        node: &Node,
        path: &Path,
        members: &Map<String, Value>,
        old: Option<&Map<String, Value>>,
        root: bool,
        report: &mut Report,
    ) {
        let checks = node.checks.as_deref();
        if root && let Some(checks) = checks {
            self.junctors_of_root(checks, members, report);
        }
        if let Some(error) = checks.and_then(|checks| count_error(checks, path, members, root)) {
            return report.errors.push(error);
        }
        let before = |name: &str| old.and_then(|old| old.get(name));
        for (name, value) in members.iter().filter(|(name, _)| node.property(name).is_none()) {
            match &node.others {
                Others::Of(others) => report.merge(self.value(others, &path.child(name), value, before(name))),
                Others::Forbidden => {
                    let detail = format!("{path}.{name} in body is a forbidden property");
                    report.errors.push(FieldError::invalid(path, name.as_str(), detail));
                }
                Others::None | Others::Bare => {}
            }
        }
        for (name, node) in node.properties().filter(|(name, _)| !(root && HEADER.contains(name))) {
            if let Some(value) = members.get(name) {
                report.merge(self.value(node, &path.child(name), value, before(name)));
            }
        }
        let required = checks.map(|checks| &*checks.required).unwrap_or_default();
        for name in required {
            let there = members.contains_key(&**name) || (root && HEADER.contains(&&**name));
            if !there {
                report.errors.push(FieldError::required(&path.child(name), ""));
            }
        }
        report.matches += 1;
    }

    /// Alternatives for whole objects see them as a value.
    fn junctors_of_root(&self, checks: &Checks, members: &Map<String, Value>, report: &mut Report) {
        if checks.any_of.is_empty() && checks.all_of.is_empty() && checks.one_of.is_empty() && checks.not.is_none() {
            return;
        }
        self.junctors(checks, &Path::default(), &Value::Object(members.clone()), report);
    }

    fn junctors(&self, checks: &Checks, path: &Path, value: &Value, report: &mut Report) {
        let each =
            |nodes: &[Node]| -> Vec<Report> { nodes.iter().map(|node| self.value(node, path, value, None)).collect() };
        if !checks.any_of.is_empty() {
            let mut reports = each(&checks.any_of);
            match reports.iter().position(|report| report.errors.is_empty()) {
                Some(first) => report.merge(reports.swap_remove(first)),
                None => {
                    report.errors.push(whole(format!("\"{path}\" must validate at least one schema (anyOf)")));
                    best(reports).into_iter().for_each(|best| report.merge(best));
                }
            }
        }
        if !checks.one_of.is_empty() {
            self.one_of(each(&checks.one_of), path, report);
        }
        if !checks.all_of.is_empty() {
            let reports = each(&checks.all_of);
            let valid = reports.iter().filter(|report| report.errors.is_empty()).count();
            let all = valid == reports.len();
            reports.into_iter().for_each(|own| report.merge(own));
            if !all {
                let more = if valid == 0 { ". None validated" } else { "" };
                report.errors.push(whole(format!("\"{path}\" must validate all the schemas (allOf){more}")));
            }
        }
        if let Some(not) = &checks.not
            && self.value(not, path, value, None).errors.is_empty()
        {
            report.errors.push(whole(format!("\"{path}\" must not validate the schema (not)")));
        }
    }

    fn one_of(&self, mut reports: Vec<Report>, path: &Path, report: &mut Report) {
        let valid: Vec<usize> = (0..reports.len()).filter(|index| reports[*index].errors.is_empty()).collect();
        let words = |found: &str| whole(format!("\"{path}\" must validate one and only one schema (oneOf). {found}"));
        match valid.as_slice() {
            [only] => report.merge(reports.swap_remove(*only)),
            [] => {
                report.errors.push(words("Found none valid"));
                best(reports).into_iter().for_each(|best| report.merge(best));
            }
            several => report.errors.push(words(&format!("Found {} valid alternatives", several.len()))),
        }
    }
}

/// The first of those of which most was right.
fn best(reports: Vec<Report>) -> Option<Report> {
    reports.into_iter().reduce(|best, other| if other.matches > best.matches { other } else { best })
}

/// An error that belongs to no field.
fn whole(detail: String) -> FieldError {
    FieldError { kind: FieldErrorKind::Invalid, field: NOWHERE.to_owned(), value: Some("".into()), detail }
}

/// The old elements of a list whose elements are known by keys.
fn old_elements<'v>(node: &Node, old: Option<&'v Value>) -> Vec<(Value, &'v Value)> {
    let Elements::Keys(keys) = &node.elements else { return Vec::new() };
    let items = old.and_then(Value::as_array).into_iter().flatten();
    items.map(|item| (keys_of(item, keys), item)).collect()
}

fn is_known_by(node: &Node, item: &Value, known: &Value) -> bool {
    match &node.elements {
        Elements::Keys(keys) => keys.iter().all(|key| item.get(&**key) == known.get(&**key)),
        Elements::Places | Elements::Set => false,
    }
}

/// Whether a value is one of an enumeration; numbers are the same however they are written.
fn same(allowed: &Value, value: &Value) -> bool {
    allowed == value || (allowed.is_number() && value.is_number() && allowed.as_f64() == value.as_f64())
}

fn not_supported(path: &Path, value: &Value, values: &[Value]) -> FieldError {
    let text = |value: &Value| match value {
        Value::String(text) => format!("{text:?}"),
        other => format!("{:?}", other.to_string()),
    };
    let values: Vec<String> = values.iter().map(text).collect();
    FieldError {
        kind: FieldErrorKind::NotSupported,
        field: path.to_string(),
        value: Some(value.clone()),
        detail: format!("supported values: {}", values.join(", ")),
    }
}

fn too_many(path: &Path, count: i64, max: i64) -> FieldError {
    let most = usize::try_from(max).unwrap_or(0);
    FieldError::too_many(path, usize::try_from(count).unwrap_or(usize::MAX), most)
}

fn count_error(checks: &Checks, path: &Path, members: &Map<String, Value>, root: bool) -> Option<FieldError> {
    let count = members.len() + if root { HEADER.len() } else { 0 };
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    if let Some(min) = checks.min_properties.filter(|min| count < *min) {
        let detail = format!("{path} in body should have at least {min} properties");
        return Some(FieldError::invalid(path, count, detail));
    }
    checks.max_properties.filter(|max| count > *max).map(|max| too_many(path, count, max))
}

fn string(checks: &Checks, path: &Path, text: &str) -> Vec<FieldError> {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let mut errors = Vec::new();
    if let Some(max) = checks.max_length.filter(|max| length > *max) {
        errors.push(FieldError::too_long(path, usize::try_from(max).unwrap_or(0)));
    } else if let Some(min) = checks.min_length.filter(|min| length < *min) {
        let detail = format!("{path} in body should be at least {min} chars long");
        errors.push(FieldError::invalid(path, text, detail));
    } else if let Some(pattern) = checks.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        let detail = format!("{path} in body should match '{}'", pattern.text());
        errors.push(FieldError::invalid(path, text, detail));
    }
    if let Some(format) = checks.format.filter(|format| !format.holds(text)) {
        let detail = format!("{path} in body must be of type {}: {text:?}", format.name);
        errors.push(type_invalid(path, text, detail));
    }
    errors
}

fn number(numbers: &Numbers, path: &Path, value: &Value) -> Vec<FieldError> {
    let Some(number) = value.as_f64() else { return Vec::new() };
    let mut errors = Vec::new();
    let mut tell = |words: &str, bound: f64| {
        let detail = format!("{path} in body should be {words} {bound}");
        errors.push(FieldError::invalid(path, value.clone(), detail));
    };
    if let Some(of) = numbers.multiple_of.filter(|of| !is_multiple(value, number, *of)) {
        tell("a multiple of", of);
    }
    if let Some(min) = numbers.minimum {
        match numbers.exclusive_minimum {
            true if number <= min => tell("greater than", min),
            false if number < min => tell("greater than or equal to", min),
            _ => {}
        }
    }
    if let Some(max) = numbers.maximum {
        match numbers.exclusive_maximum {
            true if number >= max => tell("less than", max),
            false if number > max => tell("less than or equal to", max),
            _ => {}
        }
    }
    errors
}

fn is_multiple(value: &Value, number: f64, of: f64) -> bool {
    if of == 0.0 {
        return true;
    }
    if let Some(whole) = value.as_i64().filter(|_| of.fract() == 0.0) {
        return whole % (of as i64) == 0;
    }
    let times = number / of;
    (times - times.round()).abs() < 1e-9 * times.abs().max(1.0)
}

fn type_invalid(path: &Path, value: &str, detail: String) -> FieldError {
    FieldError { kind: FieldErrorKind::TypeInvalid, field: path.to_string(), value: Some(value.into()), detail }
}

fn type_error(node: &Node, path: &Path, value: &Value) -> Option<FieldError> {
    let format = node.checks.as_ref().and_then(|checks| checks.format);
    let wrong = |wanted: &str, found: &str| {
        Some(type_invalid(path, found, format!("{path} in body must be of type {wanted}: {found:?}")))
    };
    let wanted = match node.kind {
        _ if node.flags.int_or_string => "integer,string",
        Some(kind) => kind.name(),
        None => return None,
    };
    let (found, number_format) = match value {
        Value::Null if node.flags.nullable => return None,
        Value::Null => return wrong(wanted, "null"),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.is_f64() => ("number", "double"),
        Value::Number(_) => ("integer", "int64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    };
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = match node.kind {
        _ if node.flags.int_or_string => value.is_string() || (value.is_number() && whole),
        Some(ValueKind::Integer) => value.is_number() && whole,
        Some(ValueKind::Number) => value.is_number(),
        _ => found == wanted,
    };
    match format {
        _ if fits => None,
        // What is a text is compared with the format, whatever its type is.
        Some(_) if matches!(value, Value::String(_) | Value::Array(_)) && !is_numeric(node.kind) => None,
        Some(format) if !value.is_string() && !value.is_array() => wrong(format.name, number_format),
        _ => wrong(wanted, found),
    }
}

fn is_numeric(kind: Option<ValueKind>) -> bool {
    matches!(kind, Some(ValueKind::Integer | ValueKind::Number))
}
