//! What Go writes of a value that is empty: some fields it leaves out, others it always writes.

use std::borrow::Cow;

use super::{Field, Kind, Label, Type};

/// A field that Go always writes, and what it writes when nothing was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Always {
    /// Its JSON name.
    pub name: Cow<'static, str>,
    /// Its zero value in JSON.
    pub zero: Box<str>,
    /// Whether the types' decoders read that: some cannot be without a time.
    pub readable: bool,
}

impl Field {
    /// Whether Go leaves this field out when it has the value with which `rest` begins.
    #[must_use]
    pub fn leaves_out(&self, rest: &[u8]) -> bool {
        self.omitted_when_empty
            && match self.label {
                Label::List => brackets(rest, *b"[]"),
                Label::Map => brackets(rest, *b"{}"),
                Label::One => !self.pointer && is_zero(self.kind, rest),
            }
    }

    /// Whether Go writes this field although it is empty. Structures are never empty to Go, but where it is told to ask
    /// (`omitzero`).
    #[must_use]
    pub fn present(&self) -> bool {
        let structure =
            self.label == Label::One && !self.pointer && !self.omitted_when_zero && self.kind.is_structure();
        self.number != 0 && (structure || !self.omitted_when_empty)
    }

    /// Whether the types' decoders read nothing without this field: their times have no zero value.
    fn is_required_time(&self) -> bool {
        self.required && self.label == Label::One && matches!(self.kind, Kind::Time | Kind::MicroTime)
    }

    fn zero(&self) -> Box<str> {
        let kind = match self.label {
            Label::One if !self.pointer => self.kind,
            _ => return "null".into(),
        };
        match kind {
            Kind::String => "\"\"".into(),
            Kind::Bool => "false".into(),
            Kind::Int32 | Kind::Int64 | Kind::Double | Kind::IntOrString => "0".into(),
            Kind::Quantity => "\"0\"".into(),
            Kind::Message(_) => kind.message().map_or_else(|| "{}".into(), zero_object),
            _ => "null".into(),
        }
    }
}

impl Kind {
    /// Whether Go has a structure for it.
    fn is_structure(self) -> bool {
        matches!(
            self,
            Self::Time
                | Self::MicroTime
                | Self::Quantity
                | Self::IntOrString
                | Self::RawExtension
                | Self::FieldsV1
                | Self::Json
                | Self::Message(_)
        )
    }
}

/// The fields of a type that Go always writes, inlined ones among them.
pub(super) fn always(of: &Type) -> Box<[Always]> {
    let members = of.members().into_iter().filter(|(field, _)| field.present());
    let always = members.map(|(field, _)| {
        let nested = if field.label == Label::One && !field.pointer { field.message() } else { None };
        let readable =
            !field.is_required_time() && nested.is_none_or(|of| of.always().iter().all(|field| field.readable));
        Always { name: field.name.clone(), zero: field.zero(), readable }
    });
    always.collect()
}

fn zero_object(of: &Type) -> Box<str> {
    let fields: Vec<_> = of.always().iter().map(|field| format!("\"{}\":{}", field.name, field.zero)).collect();
    format!("{{{}}}", fields.join(",")).into()
}

fn is_zero(kind: Kind, rest: &[u8]) -> bool {
    match kind {
        Kind::String | Kind::Bytes => rest.starts_with(b"\"\""),
        Kind::Bool => rest.starts_with(b"false"),
        Kind::Int32 | Kind::Int64 | Kind::Double => {
            matches!(rest, [b'0'] | [b'0', b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t', ..])
        }
        Kind::Strings => brackets(rest, *b"[]"),
        _ => false,
    }
}

/// Whether these brackets are first, with nothing between them.
fn brackets(rest: &[u8], [open, close]: [u8; 2]) -> bool {
    let inside = rest.strip_prefix(&[open]);
    inside.is_some_and(|inside| inside.trim_ascii_start().first() == Some(&close))
}
