//! The pod template of whatever has one.

use serde_json::Value;

use crate::{
    commands::objects::Found,
    error::{Error, Result},
};

/// Where each kind that has a pod template keeps its specification.
const PLACES: [(&str, &str); 8] = [
    ("Pod", "/spec"),
    ("CronJob", "/spec/jobTemplate/spec/template/spec"),
    ("Deployment", "/spec/template/spec"),
    ("ReplicaSet", "/spec/template/spec"),
    ("StatefulSet", "/spec/template/spec"),
    ("DaemonSet", "/spec/template/spec"),
    ("ReplicationController", "/spec/template/spec"),
    ("Job", "/spec/template/spec"),
];

/// The pod specification of an object.
///
/// # Errors
/// When its kind has none.
pub fn spec<'a>(found: &Found, object: &'a mut Value) -> Result<&'a mut Value> {
    let kind = found.resource.kind.as_str();
    let place = PLACES.iter().find(|(known, _)| *known == kind).map(|(_, place)| *place);
    place.and_then(|place| object.pointer_mut(place)).ok_or_else(|| {
        Error::usage(format!(
            "{}/{} the object is not a pod or does not have a pod template: *{}.{kind}",
            found.resource.plural, found.name, found.resource.version
        ))
    })
}

const LISTS: [&str; 2] = ["containers", "initContainers"];

/// Runs `change` on the containers whose names match a pattern; how many did.
pub fn each_container(spec: &mut Value, pattern: &str, mut change: impl FnMut(&mut Value)) -> usize {
    let mut matched = 0;
    for list in LISTS {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter(|container| matches(pattern, container["name"].as_str().unwrap_or_default()))
        {
            matched += 1;
            change(container);
        }
    }
    matched
}

/// Whether a name fits a pattern, in which `*` stands for anything.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*x", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
