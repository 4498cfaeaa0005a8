//! What a write has to pass besides validation: one ordered list of plugins. Mutating ones run first, each in order;
//! validating ones see the object as it will be stored.

mod namespace_lifecycle;
mod pod_priority;
mod pod_tolerations;
mod service_account;

use api_types::{Object, StatusError};
use futures::future::BoxFuture;

use crate::registry::{Part, Registry, Rest, Target, Write};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An object is created.
    Create,
    /// An object is changed.
    Update,
    /// An object is deleted.
    Delete,
}

/// What a plugin is told about a write.
pub struct Attributes<'a> {
    /// Where to look other objects up.
    pub registry: &'a Registry,
    /// The resource.
    pub rest: &'a Rest,
    /// Who writes and how.
    pub write: &'a Write<'a>,
    /// What is being done.
    pub operation: Operation,
    /// Which part of the object is written.
    pub part: Part,
    /// Which object.
    pub target: Target<'a>,
}

impl Attributes<'_> {
    /// Whether this creates a pod, which is what most plugins look at.
    fn creates_pod(&self) -> bool {
        let row = &self.rest.row;
        self.operation == Operation::Create && row.group.is_empty() && row.plural == "pods"
    }
}

/// One plugin.
pub trait Plugin: Send + Sync + 'static {
    /// The name in `--enable-admission-plugins`.
    fn name(&self) -> &'static str;

    /// May change the object.
    ///
    /// # Errors
    /// Refuses the write.
    fn admit<'a>(
        &'a self,
        attributes: &'a Attributes<'a>,
        object: &'a mut dyn Object,
    ) -> BoxFuture<'a, Result<(), StatusError>> {
        let _ = (attributes, object);
        Box::pin(async { Ok(()) })
    }

    /// Looks at what would be stored (`None` for a deletion), and at what is stored (`None` for a creation).
    ///
    /// # Errors
    /// Refuses the write.
    fn validate<'a>(
        &'a self,
        attributes: &'a Attributes<'a>,
        new: Option<&'a dyn Object>,
        old: Option<&'a dyn Object>,
    ) -> BoxFuture<'a, Result<(), StatusError>> {
        let _ = (attributes, new, old);
        Box::pin(async { Ok(()) })
    }
}

/// The plugins in their order.
pub struct Admission(Vec<Box<dyn Plugin>>);

impl Default for Admission {
    fn default() -> Self {
        Self(vec![
            // First: nothing else matters in a namespace that is not there.
            Box::new(namespace_lifecycle::NamespaceLifecycle),
            // Before plugins that look at what the pod asks for.
            Box::new(service_account::ServiceAccount),
            Box::new(pod_priority::Priority),
            Box::new(pod_tolerations::DefaultTolerationSeconds),
        ])
    }
}

impl Admission {
    /// The names of all plugins.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|plugin| plugin.name())
    }

    /// Leaves these plugins out.
    #[must_use]
    pub fn without(mut self, names: &[String]) -> Self {
        self.0.retain(|plugin| !names.iter().any(|name| name == plugin.name()));
        self
    }

    /// Runs the mutating side.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn admit(&self, attributes: &Attributes<'_>, object: &mut dyn Object) -> Result<(), StatusError> {
        for plugin in &self.0 {
            plugin.admit(attributes, object).await?;
        }
        Ok(())
    }

    /// Runs the validating side.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn validate(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&dyn Object>,
        old: Option<&dyn Object>,
    ) -> Result<(), StatusError> {
        for plugin in &self.0 {
            plugin.validate(attributes, new, old).await?;
        }
        Ok(())
    }
}
