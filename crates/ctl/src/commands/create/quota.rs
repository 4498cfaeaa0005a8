//! `create quota`.

use api_types::quantity::Quantity;
use clap::Args;
use serde_json::{Value, json};

use super::{Generated, named};
use crate::{
    commands::writing::Creating,
    error::{Error, Result},
    program::one_name,
};

/// `create quota`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// RESOURCE=QUANTITY,…
    #[arg(long, default_value = "")]
    hard: String,
    /// Which objects it counts
    #[arg(long, default_value = "")]
    scopes: String,
    #[command(flatten)]
    creating: Creating,
}

impl Flags {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        let mut object = named("v1", "ResourceQuota", one_name(&self.names, "create quota")?);
        object["spec"] = json!({"hard": quantities(&self.hard)?, "scopes": scopes(&self.scopes)});
        Ok((object, &self.creating))
    }
}

fn scopes(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split(',').collect() }
}

/// The quantities of `cpu=1,memory=2Gi`.
///
/// # Errors
/// When a part is no pair, or no quantity.
pub fn quantities(text: &str) -> Result<Value> {
    let mut found = json!({});
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (name, quantity) = part
            .split_once('=')
            .filter(|(_, quantity)| !quantity.contains('='))
            .ok_or_else(|| Error::usage(format!("Invalid argument syntax {part}, expected <resource>=<value>")))?;
        let quantity: Quantity = quantity.parse().map_err(|_| {
            Error::usage("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
        })?;
        found[name] = quantity.to_string().into();
    }
    Ok(found)
}
