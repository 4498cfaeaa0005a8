//! What a schema does not have is dropped.

use serde_json::{Map, Value};

use super::{
    embedded::{self, HEADER},
    node::{Node, Others},
};

/// So many paths of dropped fields are told.
const MANY: usize = 100;

/// What was dropped, by its paths.
#[derive(Default)]
pub(super) struct Dropped {
    path: String,
    pub fields: Vec<String>,
}

impl Dropped {
    pub fn note(&mut self, name: &str) {
        if self.fields.len() < MANY {
            let separator = if self.path.is_empty() { "" } else { "." };
            self.fields.push(format!("{}{separator}{name}", self.path));
        }
    }

    pub fn inside(&mut self, name: &str, walk: impl FnOnce(&mut Self)) {
        let outside = self.path.len();
        if outside > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        walk(self);
        self.path.truncate(outside);
    }

    fn at(&mut self, index: usize, walk: impl FnOnce(&mut Self)) {
        let outside = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        walk(self);
        self.path.truncate(outside);
    }
}

impl Node {
    /// Drops of an object, metadata excepted, what this schema of whole objects does not have. Answers the paths of what
    /// was dropped, sorted.
    pub fn prune(&self, fields: &mut Map<String, Value>) -> Vec<String> {
        let mut dropped = Dropped::default();
        prune_members(fields, Some(self), self.flags.preserves, true, &mut dropped);
        dropped.fields.sort_unstable();
        dropped.fields
    }

    /// The same for a value inside.
    pub(super) fn prune_value(&self, value: &mut Value) {
        prune(value, Some(self), &mut Dropped::default());
    }
}

/// `None` is the schema of a value of which nothing is known, and nothing is kept.
fn prune(value: &mut Value, node: Option<&Node>, dropped: &mut Dropped) {
    walk(value, node, node.is_some_and(|node| node.flags.preserves), dropped);
}

fn walk(value: &mut Value, node: Option<&Node>, keep: bool, dropped: &mut Dropped) {
    match value {
        Value::Object(members) => {
            let whole = node.is_some_and(|node| node.flags.embedded);
            prune_members(members, node, keep, whole, dropped);
        }
        Value::Array(items) => {
            let element = node.and_then(|node| node.items.as_deref());
            for (index, item) in items.iter_mut().enumerate() {
                // Where unknown fields are kept they are kept inside of lists, too.
                let keep = keep || element.is_some_and(|element| element.flags.preserves);
                dropped.at(index, |dropped| walk(item, element, keep, dropped));
            }
        }
        _ => {}
    }
}

fn prune_members(
    members: &mut Map<String, Value>,
    node: Option<&Node>,
    keep: bool,
    whole: bool,
    dropped: &mut Dropped,
) {
    members.retain(|name, value| {
        if whole && HEADER.contains(&name.as_str()) {
            if name == "metadata" {
                dropped.inside(name, |dropped| embedded::prune_metadata(value, dropped));
            }
            return true;
        }
        let known = node.and_then(|node| node.property(name));
        match (known, node.map(|node| &node.others)) {
            (Some(known), _) => dropped.inside(name, |dropped| prune(value, Some(known), dropped)),
            (None, Some(Others::Of(others))) => dropped.inside(name, |dropped| prune(value, Some(others), dropped)),
            // Upstream keeps these, and nothing that is inside.
            (None, Some(Others::Bare | Others::Forbidden)) => {
                dropped.inside(name, |dropped| prune(value, None, dropped));
            }
            _ if keep => {}
            _ => {
                dropped.note(name);
                return false;
            }
        }
        true
    });
}
