//! `create configmap`.

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::{Value, json};

use super::{Generated, data, named};
use crate::{commands::writing::Creating, error::Result, program::one_name};

/// `create configmap`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    sources: data::Sources,
    /// Append a hash of the contents to the name
    #[arg(long)]
    append_hash: bool,
    #[command(flatten)]
    creating: Creating,
}

impl Flags {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        let name = one_name(&self.names, "create configmap")?;
        let mut object = named("v1", "ConfigMap", name);
        for (key, content) in self.sources.entries(&data::Into { kind: "ConfigMap", name })? {
            match String::from_utf8(content) {
                Ok(text) => object["data"][key] = text.into(),
                Err(error) => object["binaryData"][key] = BASE64_STANDARD.encode(error.as_bytes()).into(),
            }
        }
        if self.append_hash {
            object["metadata"]["name"] = format!("{name}-{}", data::hash(&hashed(name, &object))).into();
        }
        Ok((object, &self.creating))
    }
}

/// What the hash is of.
fn hashed(name: &str, object: &Value) -> Value {
    let mut hashed = json!({"kind": "ConfigMap", "name": name, "data": data::or_empty(&object["data"])});
    if object["binaryData"].is_object() {
        hashed["binaryData"] = object["binaryData"].clone();
    }
    hashed
}
