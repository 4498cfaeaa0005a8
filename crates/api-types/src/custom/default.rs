//! Defaults are filled in.

use serde_json::{Map, Value};

use super::{
    embedded::HEADER,
    node::{Node, Others},
};

impl Node {
    /// Fills in an object, metadata excepted, what this schema of whole objects has defaults for. A `null` that may not
    /// be one counts as absent, and is dropped where there is no default.
    /// Tells whether that changed anything.
    pub fn default(&self, fields: &mut Map<String, Value>) -> bool {
        self.default_members(fields, true)
    }

    fn default_members(&self, members: &mut Map<String, Value>, root: bool) -> bool {
        let own = |name: &str| !(root && HEADER.contains(&name));
        let before = members.len();
        members.retain(|name, value| !(value.is_null() && own(name) && self.member(name).is_some_and(is_superfluous)));
        let mut changed = members.len() < before;
        for (name, node) in self.properties().filter(|(name, _)| own(name)) {
            let Some(default) = &node.default else { continue };
            if members.get(name).is_none_or(|value| value.is_null() && !node.flags.nullable) {
                members.insert(name.to_owned(), (**default).clone());
                changed = true;
            }
        }
        for (name, value) in members.iter_mut().filter(|(name, _)| own(name)) {
            changed |= match (self.property(name), &self.others) {
                (Some(node), _) => node.default_inside(value),
                (None, Others::Of(node)) => node.default_value(value),
                (None, _) => false,
            };
        }
        changed
    }

    /// A value of a map, or an element.
    fn default_value(&self, value: &mut Value) -> bool {
        let absent = value.is_null() && !self.flags.nullable;
        let default = self.default.as_ref().filter(|_| absent);
        if let Some(default) = default {
            *value = (**default).clone();
        }
        self.default_inside(value) | default.is_some()
    }

    fn default_inside(&self, value: &mut Value) -> bool {
        match (value, &self.items) {
            (Value::Object(members), _) => self.default_members(members, false),
            (Value::Array(items), Some(element)) => {
                items.iter_mut().fold(false, |changed, item| element.default_value(item) | changed)
            }
            _ => false,
        }
    }
}

/// Whether a `null` means nothing here.
fn is_superfluous(node: &Node) -> bool {
    !node.flags.nullable && node.default.is_none()
}
