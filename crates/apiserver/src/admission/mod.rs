//! The admission plugins: one table, in their order. What they see is a [`Review`](crate::registry::Review).

mod default_toleration_seconds;
mod namespace_lifecycle;
mod node_restriction;
mod priority;
mod role_escalation;
mod service_account;
mod taint_nodes_by_condition;

use crate::registry::admission::{Admission, Handle, Plugin};

/// Makes a plugin.
pub type Make = Box<dyn FnOnce(Handle) -> Box<dyn Plugin> + Send>;

/// One line of the table: the name in `--enable-admission-plugins`, and the plugin.
type Line = (&'static str, fn(Handle) -> Box<dyn Plugin>);

static LINES: &[Line] = &[
    // First: nothing else matters in a namespace that is not there.
    ("NamespaceLifecycle", |registry| Box::new(namespace_lifecycle::NamespaceLifecycle { registry })),
    // Before plugins that look at what the pod asks for.
    ("ServiceAccount", |registry| Box::new(service_account::ServiceAccount { registry })),
    // Behind what fills in the service account, which a kubelet's pods must not have.
    ("NodeRestriction", |registry| Box::new(node_restriction::NodeRestriction { registry })),
    ("TaintNodesByCondition", |_| Box::new(taint_nodes_by_condition::TaintNodesByCondition)),
    ("Priority", |_| Box::new(priority::Priority)),
    ("DefaultTolerationSeconds", |_| Box::new(default_toleration_seconds::DefaultTolerationSeconds)),
];

/// Plugins that run only when they are asked for.
const OPTIONAL: &[&str] = &["NodeRestriction"];

/// The names of all plugins, in their order.
pub fn names() -> impl Iterator<Item = &'static str> {
    LINES.iter().map(|(name, _)| *name)
}

/// Which plugins run.
#[derive(Default)]
pub struct Settings {
    /// These of the table run that do not by default.
    pub enabled: Vec<String>,
    /// These of the table do not.
    pub disabled: Vec<String>,
    /// These run after those of the table: whoever embeds the server brings them.
    pub more: Vec<Make>,
}

impl Settings {
    /// Builds the plugins.
    #[must_use]
    pub fn build(self, registry: &Handle) -> Admission {
        let has = |list: &[String], name: &str| list.iter().any(|own| own == name);
        let wanted = |name: &str| !OPTIONAL.contains(&name) || has(&self.enabled, name);
        let enabled = LINES.iter().filter(|(name, _)| wanted(name) && !has(&self.disabled, name));
        let own = enabled.map(|(_, make)| make(registry.clone()));
        let more = self.more.into_iter().map(|make| make(registry.clone()));
        // Last, and always: what is to be stored is looked at, whoever has changed it.
        let guard: Box<dyn Plugin> = Box::new(role_escalation::RoleEscalation { registry: registry.clone() });
        Admission::new(own.chain(more).chain([guard]).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::names;

    #[test]
    fn every_plugin_is_there_once() {
        assert_eq!(names().collect::<HashSet<_>>().len(), names().count());
    }
}
