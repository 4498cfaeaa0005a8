//! The two forms of OpenAPI that clients ask for, and where they differ.

use api_types::schema::Kind;
use serde_json::{Map, Value, json};

const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
/// Media types of request bodies of a PATCH; the last one needs to know more than a custom resource tells.
const PATCH_TYPES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// A version of the OpenAPI specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Swagger 2.0: one document at `/openapi/v2`.
    V2,
    /// OpenAPI 3.0: one document per group version.
    V3,
}

/// What a request body holds.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// No body.
    None,
    /// An object of the schema with this name.
    Object(&'a str),
    /// Options that need not be there.
    Options(&'a str),
    /// A patch.
    Patch,
    /// A patch that knows no strategy.
    PlainPatch,
}

impl Dialect {
    /// A reference to a named schema.
    #[must_use]
    pub fn reference(self, name: &str) -> Value {
        json!({"$ref": self.target(name)})
    }

    /// Where a named schema is.
    #[must_use]
    pub fn target(self, name: &str) -> String {
        match self {
            Self::V2 => format!("#/definitions/{name}"),
            Self::V3 => format!("#/components/schemas/{name}"),
        }
    }

    /// A schema as this dialect allows it: in version 3 nothing may stand beside a reference.
    #[must_use]
    pub fn tidy(self, mut schema: Map<String, Value>) -> Value {
        if self == Self::V3
            && schema.len() > 1
            && let Some(target) = schema.remove("$ref")
        {
            schema.insert("allOf".to_owned(), json!([{"$ref": target}]));
        }
        Value::Object(schema)
    }

    /// The schema of a kind of value that is no object.
    #[must_use]
    pub fn scalar(self, kind: Kind) -> Map<String, Value> {
        let schema = match (kind, self) {
            (Kind::IntOrString, Self::V2) => json!({"type": "string", "format": "int-or-string"}),
            (Kind::IntOrString, Self::V3) => {
                json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"})
            }
            (Kind::Quantity, Self::V2) => json!({"type": "string"}),
            (Kind::Quantity, Self::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            (Kind::Time | Kind::MicroTime, _) => json!({"type": "string", "format": "date-time"}),
            (Kind::RawExtension | Kind::FieldsV1, _) => json!({"type": "object"}),
            // Anything at all.
            _ => json!({}),
        };
        match schema {
            Value::Object(schema) => schema,
            _ => Map::new(),
        }
    }

    /// A parameter of a path or a query.
    #[must_use]
    pub fn parameter(self, name: &str, place: &str, kind: &str) -> Value {
        let mut parameter = json!({"name": name, "in": place});
        if place == "path" {
            parameter["required"] = true.into();
        }
        match self {
            Self::V2 => {
                parameter["type"] = kind.into();
                parameter["uniqueItems"] = true.into();
            }
            Self::V3 => parameter["schema"] = json!({"type": kind, "uniqueItems": true}),
        }
        parameter
    }

    /// Adds a request body to an operation.
    pub fn set_body(self, operation: &mut Map<String, Value>, body: Body<'_>) {
        let (schema, media): (Value, &[&str]) = match body {
            Body::None => return,
            Body::Object(name) | Body::Options(name) => (self.reference(name), &["*/*"]),
            Body::Patch => (self.reference(PATCH), PATCH_TYPES),
            Body::PlainPatch => (self.reference(PATCH), &PATCH_TYPES[..PATCH_TYPES.len() - 1]),
        };
        let required = !matches!(body, Body::Options(_));
        match self {
            Self::V3 => {
                let content: Map<_, _> =
                    media.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect();
                let mut body = json!({"content": content});
                if required {
                    body["required"] = true.into();
                }
                operation.insert("requestBody".to_owned(), body);
            }
            Self::V2 => {
                operation.insert("consumes".to_owned(), json!(media));
                let mut body = json!({"in": "body", "name": "body", "schema": schema});
                if required {
                    body["required"] = true.into();
                }
                if let Some(Value::Array(parameters)) = operation.get_mut("parameters") {
                    parameters.insert(0, body);
                }
            }
        }
    }

    /// The responses of an operation that answers an object of the named schema, or text.
    #[must_use]
    pub fn responses(self, name: Option<&str>, codes: &[(&str, &str)]) -> Value {
        let schema = name.map_or_else(|| json!({"type": "string"}), |name| self.reference(name));
        let mut responses = Map::new();
        for (code, description) in codes {
            let response = match self {
                Self::V2 => json!({"description": description, "schema": schema}),
                Self::V3 => {
                    json!({"description": description, "content": {"application/json": {"schema": schema}}})
                }
            };
            responses.insert((*code).to_owned(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        Value::Object(responses)
    }
}
