//! Which objects a list or a watch means.

use std::{fmt, sync::Arc};

use super::entry::Entry;
use crate::storage::Key;

/// What an object must have for a selector to select it. A selector may demand more than its requirements tell, never
/// less: they only say where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// It is this object.
    Key(Key),
    /// The last step of its key is this: its name, in whichever namespace.
    Name(String),
    /// The selectable field at this place of the extractor's list has this value.
    Field(usize, String),
}

/// Chooses objects by what their entries tell. Cheap to clone.
#[derive(Clone)]
pub struct Selector {
    matches: Arc<dyn Fn(&Entry) -> bool + Send + Sync>,
    requirements: Arc<[Requirement]>,
}

impl Selector {
    /// Chooses what this function does.
    pub fn new(matches: impl Fn(&Entry) -> bool + Send + Sync + 'static) -> Self {
        Self { matches: Arc::new(matches), requirements: Arc::default() }
    }

    /// The same, knowing that nothing is selected that lacks one of these. So a watch is only woken by changes of
    /// objects that have, or had, one of them.
    #[must_use]
    pub fn requiring(mut self, requirements: Vec<Requirement>) -> Self {
        self.requirements = requirements.into();
        self
    }

    /// Whether an object is selected.
    pub fn matches(&self, entry: &Entry) -> bool {
        (self.matches)(entry)
    }

    pub(super) fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The only object that can be selected.
    pub(super) fn only(&self) -> Option<&Key> {
        self.requirements.iter().find_map(|requirement| match requirement {
            Requirement::Key(key) => Some(key),
            _ => None,
        })
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector").field("requirements", &self.requirements).finish_non_exhaustive()
    }
}
