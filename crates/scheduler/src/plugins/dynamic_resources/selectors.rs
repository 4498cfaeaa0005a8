//! Compiled selectors of devices.

use std::{collections::HashMap, fmt, sync::Arc};

use api_types::expressions::{Program, device};
use parking_lot::Mutex;

/// So many are remembered; a cluster has a few.
const REMEMBERED: usize = 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Selectors(Mutex<HashMap<String, Arc<Program>>>);

impl fmt::Debug for Selectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selectors({})", self.0.lock().len())
    }
}

impl Selectors {
    /// The program of a selector.
    ///
    /// # Errors
    /// When it has none: the server has let in what this version does not understand.
    pub(super) fn compiled(&self, text: &str) -> Result<Arc<Program>, String> {
        if let Some(known) = self.0.lock().get(text) {
            return Ok(Arc::clone(known));
        }
        let program = device(text).map(|(program, _)| Arc::new(program))?;
        let mut known = self.0.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(text.to_owned(), Arc::clone(&program));
        Ok(program)
    }
}
