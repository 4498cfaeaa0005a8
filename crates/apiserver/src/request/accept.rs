//! What representation the client wants, from its `Accept` header.

use std::fmt;

/// A representation of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The object itself.
    #[default]
    Object,
    /// `as=Table`: columns and rows, as `kubectl get` prints them.
    Table,
    /// `as=PartialObjectMetadata`: the metadata only.
    Metadata,
    /// `as=PartialObjectMetadataList`.
    MetadataList,
}

/// What goes into an answer's `Content-Type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
}

impl Encoding {
    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// What was settled with the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// The representation.
    pub form: Form,
    /// How it is written down.
    pub encoding: Encoding,
}

/// Nothing that the client accepts can be produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAcceptable;

impl fmt::Display for NotAcceptable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none of the accepted media types can be produced")
    }
}

impl Accept {
    /// The first media type in the header that can be produced; JSON when there is no header. Protobuf cannot be,
    /// clients that prefer it name JSON after it.
    ///
    /// # Errors
    /// When none can be produced.
    pub fn negotiate(header: Option<&str>) -> Result<Self, NotAcceptable> {
        let Some(header) = header.filter(|header| !header.trim().is_empty()) else { return Ok(Self::default()) };
        header.split(',').find_map(Self::of_media_type).ok_or(NotAcceptable)
    }

    fn of_media_type(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let encoding = match parts.next()? {
            "application/json" | "application/*" | "*/*" => Encoding::Json,
            "application/yaml" => Encoding::Yaml,
            _ => return None,
        };
        let (mut form, mut group, mut version) = (Form::Object, "", "");
        for parameter in parts {
            match parameter.split_once('=') {
                Some(("as", "Table")) => form = Form::Table,
                Some(("as", "PartialObjectMetadata")) => form = Form::Metadata,
                Some(("as", "PartialObjectMetadataList")) => form = Form::MetadataList,
                Some(("as", _) | ("stream", _)) => return None,
                Some(("g", value)) => group = value,
                Some(("v", value)) => version = value,
                _ => {}
            }
        }
        let known = form == Form::Object || (group, version) == ("meta.k8s.io", "v1");
        known.then_some(Self { form, encoding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_producible_type_wins() {
        let object = |encoding| Ok(Accept { form: Form::Object, encoding });
        let json = |form| Ok(Accept { form, encoding: Encoding::Json });
        let cases = [
            ("", object(Encoding::Json)),
            ("*/*", object(Encoding::Json)),
            ("application/vnd.kubernetes.protobuf,application/json", object(Encoding::Json)),
            ("application/yaml", object(Encoding::Yaml)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", json(Form::Table)),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", json(Form::Object)),
            ("application/json; q=0.5", json(Form::Object)),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", json(Form::MetadataList)),
            ("application/vnd.kubernetes.protobuf", Err(NotAcceptable)),
            ("text/html", Err(NotAcceptable)),
        ];
        for (header, expected) in cases {
            assert_eq!(Accept::negotiate(Some(header)), expected, "{header}");
        }
    }
}
