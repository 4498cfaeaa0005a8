//! Printing.

pub mod describe;
pub mod table;
pub mod tabs;

use std::str::FromStr;

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    resources::ResourceType,
};

/// `-o`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table, or one line about what was done.
    #[default]
    Human,
    /// A table with all columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `pod/a`.
    Name,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            other => Err(format!(
                "unable to match a printer suitable for the output format {other:?}, allowed formats are: json,name,wide,yaml"
            )),
        }
    }
}

impl Format {
    /// Whether objects are printed as they are.
    #[must_use]
    pub fn is_structured(&self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Prints an object as `format` says; for humans, `said`, such as `created`, after its name.
///
/// # Errors
/// When the object cannot be written as YAML.
pub fn print_result(format: &Format, resource: &ResourceType, object: &Value, said: &str) -> Result<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match format {
        Format::Json | Format::Yaml => print!("{}", render(format, object)?),
        Format::Name => println!("{}/{name}", resource.display_name()),
        Format::Human | Format::Wide => println!("{}/{name} {said}", resource.display_name()),
    }
    Ok(())
}

/// An object as JSON or YAML, with a final newline; managed fields are left out.
///
/// # Errors
/// When the object cannot be written as YAML.
pub fn render(format: &Format, object: &Value) -> Result<String> {
    let mut object = object.clone();
    drop_managed_fields(&mut object);
    if *format == Format::Yaml {
        return api_types::yaml::to_string(&object).map_err(|error| Error::File(error.to_string()));
    }
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, indent);
    serde::Serialize::serialize(&object, &mut serializer).map_err(|error| Error::File(error.to_string()))?;
    text.push(b'\n');
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn drop_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(drop_managed_fields);
    }
}

/// Several objects as one `v1` List, as `get -o json` prints them.
#[must_use]
pub fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}
