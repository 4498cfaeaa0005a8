//! What a configuration says to one plugin.

use api_types::field::{FieldError, Path};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::API_VERSION;

/// The arguments of a plugin, if there are any.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    plugin: &'static str,
    value: Option<&'a Value>,
    path: Path,
}

impl<'a> Arguments<'a> {
    /// What was found at a path.
    #[must_use]
    pub fn new(plugin: &'static str, value: Option<&'a Value>, path: Path) -> Self {
        Self { plugin, value, path }
    }

    /// Where they stand in the configuration.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The arguments as the plugin wants them; its defaults when there are none.
    ///
    /// # Errors
    /// When they are of another type, or fields are unknown or malformed.
    pub fn decode<T: DeserializeOwned + Default>(&self) -> Result<T, Vec<FieldError>> {
        let Some(value) = self.value.filter(|value| !value.is_null()) else { return Ok(T::default()) };
        let mut value = value.clone();
        if let Some(fields) = value.as_object_mut() {
            let kind = format!("{}Args", self.plugin);
            self.expect("apiVersion", fields.remove("apiVersion"), API_VERSION)?;
            self.expect("kind", fields.remove("kind"), &kind)?;
        }
        serde_json::from_value(value).map_err(|error| {
            let detail = format!("decoding args for plugin {}: {error}", self.plugin);
            vec![FieldError::invalid(&self.path, Value::Null, detail)]
        })
    }

    fn expect(&self, field: &str, actual: Option<Value>, wanted: &str) -> Result<(), Vec<FieldError>> {
        match actual {
            Some(actual) if actual != wanted => {
                let detail = format!("args for plugin {} were not of type {wanted}", self.plugin);
                Err(vec![FieldError::invalid(&self.path.child(field), actual, detail)])
            }
            _ => Ok(()),
        }
    }
}
