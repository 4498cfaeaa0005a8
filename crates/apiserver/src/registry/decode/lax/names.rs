//! Go's names of types, and its words about a value of another.

use api_types::schema::{Kind, Label, Type};

use super::{Context, Expected};

/// `json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container`.
pub(super) fn mismatch(what: &str, context: Context<'_>, expected: &str) -> String {
    let mut text = format!("json: cannot unmarshal {what} into Go ");
    match context.path {
        Some(path) => {
            text.push_str(&format!("struct field {}.", context.owner));
            path.write(&mut text);
        }
        None => text.push_str("value"),
    }
    text.push_str(&format!(" of type {expected}"));
    text
}

/// `v1.PodSpec`.
pub(super) fn structure(schema: &Type) -> String {
    let version = schema.package.rsplit('.').next().unwrap_or_default();
    format!("{version}.{}", schema.name)
}

pub(super) fn expected(expected: Expected) -> String {
    let one = kind(expected.kind);
    match expected.label {
        Label::One => one,
        Label::List => format!("[]{one}"),
        Label::Map if expected.kind == Kind::Quantity => "v1.ResourceList".to_owned(),
        Label::Map => format!("map[string]{one}"),
    }
}

pub(super) fn kind(kind: Kind) -> String {
    let name = match kind {
        Kind::Any => "interface {}",
        Kind::String => "string",
        Kind::Bool => "bool",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Double => "float64",
        Kind::Bytes => "[]uint8",
        Kind::Strings => "[]string",
        Kind::Time => "v1.Time",
        Kind::MicroTime => "v1.MicroTime",
        Kind::Quantity => "resource.Quantity",
        Kind::IntOrString => "intstr.IntOrString",
        Kind::RawExtension => "runtime.RawExtension",
        Kind::FieldsV1 => "v1.FieldsV1",
        Kind::Json => "v1.JSON",
        Kind::SchemaOrArray => "v1.JSONSchemaPropsOrArray",
        Kind::SchemaOrBool => "v1.JSONSchemaPropsOrBool",
        Kind::SchemaOrStrings => "v1.JSONSchemaPropsOrStringArray",
        Kind::Message(_) => return kind.message().map(structure).unwrap_or_default(),
    };
    name.to_owned()
}
