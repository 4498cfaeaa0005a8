//! `--overrides`: changes of a generated object that no flag is for.

use clap::Args;
use serde_json::Value;

use crate::{
    error::{Error, Result},
    strategic,
};

/// `--overrides`, `--override-type`.
#[derive(Args, Clone, Debug, Default)]
pub struct Overrides {
    /// A patch of the generated object
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    overrides: String,
    /// What the patch is: json, merge, or strategic
    #[arg(long, default_value = "merge")]
    override_type: String,
}

impl Overrides {
    /// Whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.overrides.is_empty()
    }

    /// Changes an object as they say.
    ///
    /// # Errors
    /// When they are malformed, or do not fit.
    pub fn apply(&self, object: &mut Value) -> Result<()> {
        if self.overrides.is_empty() {
            return Ok(());
        }
        match self.override_type.as_str() {
            "json" => json_patch(object, &self.overrides),
            "merge" => {
                json_patch::merge(object, &read(&self.overrides)?);
                Ok(())
            }
            "strategic" => {
                strategic::apply(object, &read(&self.overrides)?);
                Ok(())
            }
            other => Err(Error::usage(format!("invalid override type: {other}"))),
        }
    }
}

fn read(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|_| Error::usage("Invalid JSON Patch"))
}

/// Applies a patch of RFC 6902.
///
/// # Errors
/// When it is malformed or does not fit.
pub fn json_patch(object: &mut Value, text: &str) -> Result<()> {
    let patch: json_patch::Patch = serde_json::from_str(text).map_err(|_| Error::usage("Invalid JSON Patch"))?;
    json_patch::patch(object, &patch).map_err(|error| Error::usage(error.to_string()))
}
