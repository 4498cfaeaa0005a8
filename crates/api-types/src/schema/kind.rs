//! What the value of a field is.

use super::{Type, table};

/// What a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Not known: part of a custom resource.
    #[default]
    Any,
    /// Text.
    String,
    /// True or false.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A floating-point number.
    Double,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A list of texts, which protobuf wraps in a message.
    Strings,
    /// A point in time, to the second.
    Time,
    /// A point in time, to the microsecond.
    MicroTime,
    /// A quantity, text in JSON.
    Quantity,
    /// A number or a text.
    IntOrString,
    /// An object of any kind.
    RawExtension,
    /// A set of fields.
    FieldsV1,
    /// Any JSON.
    Json,
    /// A JSON schema or a list of them.
    SchemaOrArray,
    /// A JSON schema, or whether anything is allowed.
    SchemaOrBool,
    /// A JSON schema or a list of texts.
    SchemaOrStrings,
    /// The type at this place of the table.
    Message(u16),
}

/// The kinds that are types with a name of their own, as the table writes them.
const SPECIALS: &[(&str, Kind, &str)] = &[
    ("Time", Kind::Time, "io.k8s.apimachinery.pkg.apis.meta.v1.Time"),
    ("MicroTime", Kind::MicroTime, "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"),
    ("FieldsV1", Kind::FieldsV1, "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"),
    ("Quantity", Kind::Quantity, "io.k8s.apimachinery.pkg.api.resource.Quantity"),
    ("IntOrString", Kind::IntOrString, "io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
    ("RawExtension", Kind::RawExtension, "io.k8s.apimachinery.pkg.runtime.RawExtension"),
    ("JSON", Kind::Json, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"),
    (
        "SchemaOrArray",
        Kind::SchemaOrArray,
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    ),
    (
        "SchemaOrBool",
        Kind::SchemaOrBool,
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    ),
    (
        "SchemaOrStrings",
        Kind::SchemaOrStrings,
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
    ),
];

const SCALARS: &[(&str, Kind)] = &[
    ("string", Kind::String),
    ("bool", Kind::Bool),
    ("int32", Kind::Int32),
    ("int64", Kind::Int64),
    ("double", Kind::Double),
    ("bytes", Kind::Bytes),
    ("Strings", Kind::Strings),
];

impl Kind {
    /// A kind that is a type of its own, by the table's name for it.
    pub(super) fn special(word: &str) -> Option<Self> {
        SPECIALS.iter().find(|(name, ..)| *name == word).map(|(_, kind, _)| *kind)
    }

    /// A kind that is no message, by the table's name for it.
    pub(super) fn scalar(word: &str) -> Option<Self> {
        let plain = SCALARS.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
        plain.or_else(|| Self::special(word))
    }

    /// The message that such a value is.
    #[must_use]
    pub fn message(self) -> Option<&'static Type> {
        match self {
            Self::Message(place) => table::types().get(usize::from(place)),
            _ => None,
        }
    }

    /// The name in OpenAPI documents, for kinds that have one there.
    #[must_use]
    pub fn definition(self) -> Option<String> {
        let special = SPECIALS.iter().find(|(_, kind, _)| *kind == self).map(|(.., name)| (*name).to_owned());
        special.or_else(|| self.message().map(Type::full_name))
    }
}
