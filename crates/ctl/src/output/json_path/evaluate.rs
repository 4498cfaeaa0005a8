//! Finding values.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Comparison, Filter, Missing, Node, Path, Slice, Step, go};

/// So many values are found at most by one path: no list has as many, and unions of unions would find them without end.
const MOST: usize = 10_000_000;

type Found<'v> = Vec<&'v Value>;

/// Walks over a template; `write` is called with the text and the values of each part in turn.
pub(super) fn print<'v>(
    nodes: &'v [Node],
    current: &'v Value,
    missing: Missing,
    write: &mut impl FnMut(&[&Value]),
) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(text) => write(&[&Value::String(text.clone())]),
            Node::End => return Err("not in range, nothing to end".to_owned()),
            Node::Path(path) => write(&find(path, current, missing)?),
            Node::Range(path, inner) => {
                for value in find(path, current, missing)? {
                    print(inner, value, missing, write)?;
                }
            }
        }
    }
    Ok(())
}

fn find<'v>(path: &'v Path, current: &'v Value, missing: Missing) -> Result<Found<'v>, String> {
    let mut found = vec![current];
    for step in &path.0 {
        found = take(step, &found, missing)?;
        if found.len() > MOST {
            return Err(format!("more than {MOST} values are found"));
        }
    }
    Ok(found)
}

fn take<'v>(step: &'v Step, from: &[&'v Value], missing: Missing) -> Result<Found<'v>, String> {
    let mut found = Vec::new();
    match step {
        Step::Literal(value) => found.push(value),
        Step::Unknown(word) => return Err(format!("unrecognized identifier {word}")),
        Step::Field(name) => {
            found.extend(from.iter().filter_map(|value| value.get(name)));
            if found.is_empty() && missing == Missing::Refused {
                return Err(format!("{name} is not found"));
            }
        }
        Step::All => from.iter().for_each(|value| found.extend(inside(value))),
        Step::Everything => from.iter().for_each(|value| everything(value, &mut found)),
        Step::Slice(slice) => {
            for value in from {
                found.extend(slice_of(*slice, value)?);
            }
        }
        Step::Filter(filter) => {
            for item in from.iter().filter_map(|value| value.as_array()).flatten() {
                if holds(filter, item)? {
                    found.push(item);
                }
            }
        }
        Step::Union(paths) => {
            for path in paths {
                for value in from {
                    found.extend(find(path, value, missing)?);
                }
            }
        }
    }
    Ok(found)
}

fn inside(value: &Value) -> Found<'_> {
    match value {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    }
}

/// In the order of the text; a list instead of a recursion.
fn everything<'v>(value: &'v Value, found: &mut Found<'v>) {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        found.push(value);
        open.extend(inside(value).into_iter().rev());
    }
}

fn slice_of(slice: Slice, value: &Value) -> Result<Found<'_>, String> {
    let Value::Array(items) = value else {
        return match value {
            Value::Null => Ok(Vec::new()),
            other => Err(format!("{} is not array or slice", go::kind(other))),
        };
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let place = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let step = slice.step.unwrap_or(1);
    if step <= 0 {
        return Err(format!("step must be > 0, found {step}"));
    }
    let from = place(slice.from.unwrap_or(0));
    let Some(to) = slice.to else {
        // One element.
        let index = usize::try_from(from).ok().filter(|index| *index < items.len());
        let index = index.ok_or_else(|| format!("array index out of bounds: index {from}, length {length}"))?;
        return Ok(vec![&items[index]]);
    };
    let to = place(to.unwrap_or(length)).clamp(0, length);
    let from = from.clamp(0, to);
    let bounds = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
    Ok(items[bounds].iter().step_by(usize::try_from(step).unwrap_or(1)).collect())
}

/// An element that lacks what a filter asks for is not meant, whatever else must be there.
fn holds(filter: &Filter, item: &Value) -> Result<bool, String> {
    let left = find(&filter.left, item, Missing::Skipped)?;
    let Some((comparison, right)) = &filter.right else { return Ok(!left.is_empty()) };
    let right = find(right, item, Missing::Skipped)?;
    if left.len() > 1 || right.len() > 1 {
        return Err("can only compare one element at a time".to_owned());
    }
    let (Some(left), Some(right)) = (left.first(), right.first()) else { return Ok(false) };
    let ordering = order(left, right);
    Ok(match comparison {
        Comparison::Equal => ordering == Some(Ordering::Equal),
        Comparison::Unequal => ordering != Some(Ordering::Equal),
        Comparison::Less => ordering.is_some_and(Ordering::is_lt),
        Comparison::AtMost => ordering.is_some_and(Ordering::is_le),
        Comparison::Greater => ordering.is_some_and(Ordering::is_gt),
        Comparison::AtLeast => ordering.is_some_and(Ordering::is_ge),
    })
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
        },
        (left, right) => (left == right).then_some(Ordering::Equal),
    }
}
