//! Printing.

pub mod columns;
pub mod describe;
pub mod go;
pub mod go_template;
pub mod json_path;
pub mod sort;
pub mod table;
pub mod tabs;

use std::str::FromStr;

use serde_json::{Value, json};

use self::columns::Columns;
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
    /// What a template of JSONPath makes of it.
    JsonPath(json_path::Template),
    /// What such a template finds, as a list in JSON.
    JsonPathAsJson(json_path::Template),
    /// What a template of Go's makes of it.
    GoTemplate(go_template::Template),
    /// Whatever `--template` says, in the language that was named.
    AsTemplate(&'static str),
    /// A table with columns of one's own.
    Columns(Columns),
}

/// The formats, as kubectl names them.
const FORMATS: &str = "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,wide,yaml";
/// Those that are made of a template. Where a file has it, they have another name.
const TEMPLATES: [&str; 7] =
    ["go-template", "template", "go-template-file", "templatefile", "jsonpath", "jsonpath-as-json", "jsonpath-file"];

/// What is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Is nothing.
    #[default]
    Skipped,
    /// Is an error.
    Refused,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, given) = text.split_once('=').unwrap_or((text, ""));
        match name {
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            name if given.is_empty() && TEMPLATES.contains(&name) => {
                let known = TEMPLATES.into_iter().find(|known| *known == name);
                Ok(Self::AsTemplate(known.unwrap_or_default()))
            }
            "go-template" | "template" => go_template::Template::parse(given).map(Self::GoTemplate),
            "go-template-file" | "templatefile" => go_template::Template::parse(&file(given)?).map(Self::GoTemplate),
            "jsonpath" => json_path(given).map(Self::JsonPath),
            "jsonpath-as-json" => json_path(given).map(Self::JsonPathAsJson),
            "jsonpath-file" => json_path(&file(given)?).map(Self::JsonPath),
            "custom-columns" => Columns::parse(given).map(Self::Columns),
            "custom-columns-file" => Columns::parse_lines(&file(given)?).map(Self::Columns),
            _ => Err(format!(
                "unable to match a printer suitable for the output format {text:?}, allowed formats are: {FORMATS}"
            )),
        }
    }
}

fn json_path(text: &str) -> std::result::Result<json_path::Template, String> {
    json_path::Template::parse(text).map_err(|why| format!("error parsing jsonpath {text}, {why}"))
}

fn file(path: &str) -> std::result::Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("error reading --template {path}, {error}"))
}

impl Format {
    /// With what `--template` says, which alone means a template of Go's.
    ///
    /// # Errors
    /// When a format wants a template and there is none, or it cannot be read.
    pub fn with(self, template: Option<&str>) -> Result<Self> {
        match (self, template.filter(|template| !template.is_empty())) {
            (Self::AsTemplate(_), None) => Err(Error::usage("template format specified but no template given")),
            (Self::AsTemplate(language), Some(text)) => format!("{language}={text}").parse().map_err(Error::Usage),
            (Self::Human, Some(text)) => format!("go-template={text}").parse().map_err(Error::Usage),
            (format, _) => Ok(format),
        }
    }

    /// Whether objects are printed, rather than tables that the server makes.
    #[must_use]
    pub fn is_structured(&self) -> bool {
        !matches!(self, Self::Human | Self::Wide | Self::Name)
    }
}

/// Prints an object as `format` says; for humans, `said`, such as `created`, after its name.
///
/// # Errors
/// When the object cannot be written as YAML.
pub fn print_result(
    format: &Format,
    missing: Missing,
    resource: &ResourceType,
    object: &Value,
    said: &str,
) -> Result<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match format {
        format if format.is_structured() => print!("{}", render_with(format, missing, object)?),
        Format::Name => println!("{}/{name}", resource.display_name()),
        _ => println!("{}/{name} {said}", resource.display_name()),
    }
    Ok(())
}

/// An object as its format says; managed fields are left out of JSON and YAML, which end in a newline.
///
/// # Errors
/// When the object cannot be written so.
pub fn render(format: &Format, object: &Value) -> Result<String> {
    render_with(format, Missing::Skipped, object)
}

/// The same, where it matters what is missing.
///
/// # Errors
/// As [`render`].
pub fn render_with(format: &Format, missing: Missing, object: &Value) -> Result<String> {
    match format {
        Format::JsonPath(template) => template.print(object, missing).map_err(Error::Usage),
        Format::GoTemplate(template) => template.print(object, missing).map_err(Error::Usage),
        Format::JsonPathAsJson(template) => {
            let parts = template.parts(object, missing).map_err(Error::Usage)?;
            Ok(parts.into_iter().map(|found| pretty(&found.into())).collect())
        }
        Format::Columns(columns) => {
            let items = object["items"].as_array().cloned().unwrap_or_else(|| vec![object.clone()]);
            columns.table(&items, true).map_err(Error::Usage)
        }
        Format::Yaml => {
            let object = without_managed_fields(object);
            api_types::yaml::to_string(&object).map_err(|error| Error::File(error.to_string()))
        }
        _ => Ok(pretty(&without_managed_fields(object))),
    }
}

/// JSON, indented by four spaces as kubectl does.
fn pretty(value: &Value) -> String {
    let mut text = Vec::new();
    let indent = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, indent);
    // A value is made of what JSON has.
    let _ = serde::Serialize::serialize(value, &mut serializer);
    text.push(b'\n');
    String::from_utf8_lossy(&text).into_owned()
}

fn without_managed_fields(object: &Value) -> Value {
    let mut object = object.clone();
    drop_managed_fields(&mut object);
    object
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
