//! Paths of printer columns and of scale: a part of kubectl's JSONPath. `.spec.size`, `.spec['a.b']`, `.items[0]`,
//! `.items[-1]`, `.items[*].name`, `.status.conditions[?(@.type=="Ready")].status`.

use std::iter::Peekable;

use serde_json::Value;

/// A path. What it cannot read it finds nothing with.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Box<[Step]>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(Box<str>),
    Index(i64),
    /// Elements from one place up to before another; both may be left out.
    Slice(Option<i64>, Option<i64>),
    All,
    Filter(Box<Filter>),
}

/// Which elements are meant.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    path: JsonPath,
    /// How what is there is compared, and with what; `None` where it only has to be there.
    wanted: Option<(Operator, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// Longer ones come first where one begins like another.
const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

/// So many steps a path may have.
const MANY: usize = 64;
/// So many values are found at most.
const FOUND: usize = 1000;

impl JsonPath {
    /// Reads a path, with or without a dot in front.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
        let text = text.strip_prefix('$').unwrap_or(text);
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('.').unwrap_or(text);
        let mut named = !rest.is_empty() && !rest.starts_with('[');
        loop {
            if named {
                let (name, after) = member(rest)?;
                steps.push(if name == "*" { Step::All } else { Step::Member(name.into()) });
                rest = after;
            }
            named = false;
            if steps.len() > MANY {
                return None;
            } else if rest.is_empty() {
                return Some(Self(steps.into()));
            } else if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after)?;
                steps.push(subscript(&after[..end])?);
                rest = &after[end + 1..];
            } else {
                rest = rest.strip_prefix('.')?;
                named = true;
            }
        }
    }

    /// Everything that is there.
    #[must_use]
    pub fn find<'v>(&self, root: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![root];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.of(value)).take(FOUND).collect();
        }
        found
    }
}

/// A name up to the next dot or bracket; a backslash takes a dot into it.
fn member(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut letters: Peekable<_> = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.push(letters.next()?.1),
            '.' | '[' => return (!name.is_empty()).then(|| (name, &text[at..])),
            letter => name.push(letter),
        }
    }
    (!name.is_empty()).then_some((name, ""))
}

/// Where the bracket ends that is open; brackets within quotes are text.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn subscript(text: &str) -> Option<Step> {
    let text = text.trim();
    if text == "*" {
        return Some(Step::All);
    }
    if let Some(condition) = text.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        return filter(condition.trim()).map(|filter| Step::Filter(Box::new(filter)));
    }
    if let Some(name) = quoted(text) {
        return Some(Step::Member(name.into()));
    }
    if let Some((from, to)) = text.split_once(':') {
        let bound = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
        return Some(Step::Slice(bound(from.trim())?, bound(to.trim())?));
    }
    text.parse().ok().map(Step::Index)
}

fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text.strip_prefix(quote)?.strip_suffix(quote)
}

fn filter(condition: &str) -> Option<Filter> {
    let found = OPERATORS.iter().find_map(|(sign, operator)| Some((condition.split_once(sign)?, *operator)));
    let (path, wanted) = match found {
        Some(((path, literal), operator)) => (path, Some((operator, self::literal(literal.trim())?))),
        None => (condition, None),
    };
    let path = path.trim().strip_prefix('@')?;
    // A filter within a filter is more than columns need, and could be nested without end.
    let path = if path.contains("?(") { None } else { JsonPath::parse(path) }?;
    Some(Filter { path, wanted })
}

fn literal(text: &str) -> Option<Value> {
    match quoted(text) {
        Some(text) => Some(text.into()),
        None => serde_json::from_str(text).ok().filter(|value: &Value| !value.is_object() && !value.is_array()),
    }
}

impl Step {
    fn of<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match (self, value) {
            (Self::Member(name), Value::Object(members)) => members.get(&**name).into_iter().collect(),
            (Self::All, Value::Object(members)) => members.values().collect(),
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::Index(index), Value::Array(items)) => items.get(place(*index, items.len())).into_iter().collect(),
            (Self::Slice(from, to), Value::Array(items)) => {
                let end = to.map_or(items.len(), |to| place(to, items.len()).min(items.len()));
                let begin = from.map_or(0, |from| place(from, items.len()).min(end));
                items[begin..end].iter().collect()
            }
            (Self::Filter(filter), Value::Array(items)) => items.iter().filter(|item| filter.holds(item)).collect(),
            _ => Vec::new(),
        }
    }
}

/// Counted from the end where it is negative.
fn place(index: i64, length: usize) -> usize {
    let from_end = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index < 0 { length.checked_sub(from_end).unwrap_or(usize::MAX) } else { from_end }
}

impl Filter {
    fn holds(&self, value: &Value) -> bool {
        let found = self.path.find(value);
        let Some((operator, wanted)) = &self.wanted else { return !found.is_empty() };
        found.first().is_some_and(|found| match operator {
            Operator::Equal => *found == wanted,
            Operator::Unequal => *found != wanted,
            _ => ordered(found, wanted).is_some_and(|order| match operator {
                Operator::Less => order.is_lt(),
                Operator::AtMost => order.is_le(),
                Operator::Greater => order.is_gt(),
                _ => order.is_ge(),
            }),
        })
    }
}

fn ordered(one: &Value, other: &Value) -> Option<std::cmp::Ordering> {
    match (one, other) {
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (one, other) => one.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_found() {
        let object = json!({
            "spec": {"size": 3, "a.b": "dotted", "names": ["x", "y", "z"]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}]},
        });
        for (path, expected) in [
            (".spec.size", json!([3])),
            ("spec.size", json!([3])),
            (".spec['a.b']", json!(["dotted"])),
            (r".spec.a\.b", json!(["dotted"])),
            (".spec.names[0]", json!(["x"])),
            (".spec.names[-1]", json!(["z"])),
            (".spec.names[1:]", json!(["y", "z"])),
            (".spec.names[:-1]", json!(["x", "y"])),
            (".spec.names[9]", json!([])),
            (".spec.names[*]", json!(["x", "y", "z"])),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!(["True"])),
            (r#".status.conditions[?(@.type == 'Gone')].status"#, json!([])),
            (".status.conditions[?(@.status)].type", json!(["Ready", "Old"])),
            (".status.conditions[*].type", json!(["Ready", "Old"])),
            (".nothing.here", json!([])),
        ] {
            let found = JsonPath::parse(path).unwrap();
            assert_eq!(json!(found.find(&object)), expected, "{path}");
        }
        for path in [".spec..size", ".spec[", ".spec[?(", ".spec[x]", "..", ".a[?(@.b[?(@.c)])]"] {
            assert_eq!(JsonPath::parse(path), None, "{path}");
        }
    }
}
