//! Objects as Go's decoder reads them: `null` and what is absent are the zero value, an object that is given twice is
//! merged, what is no text is replaced. What it refuses it refuses in Go's words.
//!
//! The usual way is shorter: the decoders of the types are stricter, and read what nearly everybody sends. This is the way
//! of what they do not read, or understand otherwise.

mod names;
mod scalar;

use std::borrow::Cow;

use api_types::schema::{Field, Kind, Label, Type};
use serde_json::{Map, Value};

use crate::json::{Cursor, MAX_DEPTH, Malformed, fault};

/// What Go makes of a text, in the form in which every decoder reads it: without nulls, without fields that are left out
/// when they are empty, and without saying of what kind it is.
///
/// # Errors
/// Go's words.
pub fn read(json: &[u8], schema: &Type) -> Result<Value, String> {
    if let Some(fault) = fault(json) {
        return Err(fault);
    }
    let root = Context { owner: schema.name, path: None };
    let mut reader = Reader { cursor: Cursor::new(json), mismatch: None };
    let object = reader.structure(None, schema, root, MAX_DEPTH)?;
    if let Some(mismatch) = reader.mismatch {
        return Err(mismatch);
    }
    let mut object = object.unwrap_or_else(|| Value::Object(Map::new()));
    if let Value::Object(members) = &mut object {
        members.remove("apiVersion");
        members.remove("kind");
    }
    Ok(object)
}

/// Any JSON; of members that are given twice the last counts.
///
/// # Errors
/// Go's words.
pub fn any(json: &[u8]) -> Result<Value, String> {
    match fault(json) {
        Some(fault) => Err(fault),
        None => Reader { cursor: Cursor::new(json), mismatch: None }.anything(MAX_DEPTH),
    }
}

/// What is wrong that ends the reading; a value of another type does not.
type Read<T> = Result<T, String>;

/// The field in which the reading is, as Go's messages name it.
#[derive(Clone, Copy)]
struct Context<'a> {
    /// The type that has the field.
    owner: &'a str,
    path: Option<&'a Step<'a>>,
}

/// A field within others.
struct Step<'a> {
    above: Option<&'a Step<'a>>,
    name: &'a str,
}

impl Step<'_> {
    fn write(&self, out: &mut String) {
        if let Some(above) = self.above {
            above.write(out);
            out.push('.');
        }
        out.push_str(self.name);
    }
}

/// The Go type of a value.
#[derive(Clone, Copy)]
struct Expected {
    label: Label,
    kind: Kind,
}

impl Expected {
    fn field(field: &Field) -> Self {
        Self { label: field.label, kind: field.kind }
    }

    /// One of a list or map.
    fn one(self) -> Self {
        Self { label: Label::One, ..self }
    }
}

struct Reader<'j> {
    cursor: Cursor<'j>,
    /// The first value of a type that does not fit; the rest is read all the same, as something else may be worse.
    mismatch: Option<String>,
}

impl Reader<'_> {
    /// A value into what is there already.
    fn value(
        &mut self,
        old: Option<Value>,
        expected: Expected,
        context: Context<'_>,
        depth: usize,
    ) -> Read<Option<Value>> {
        match (expected.label, expected.kind) {
            (Label::List, _) => self.list(old, expected, context, depth),
            (Label::Map, _) => self.map(old, expected, context, depth),
            (Label::One, Kind::Message(_)) => match expected.kind.message() {
                Some(schema) => self.structure(old, schema, context, depth),
                None => self.anything(depth).map(Some),
            },
            (Label::One, Kind::Strings) => {
                let strings = Expected { label: Label::List, kind: Kind::String };
                self.list(old, strings, context, depth)
            }
            (
                Label::One,
                Kind::Any
                | Kind::RawExtension
                | Kind::FieldsV1
                | Kind::Json
                | Kind::SchemaOrArray
                | Kind::SchemaOrBool
                | Kind::SchemaOrStrings,
            ) => self.anything(depth).map(Some),
            (Label::One, kind) => self.scalar(old, kind, context),
        }
    }

    fn structure(
        &mut self,
        old: Option<Value>,
        schema: &Type,
        context: Context<'_>,
        depth: usize,
    ) -> Read<Option<Value>> {
        if self.null()? {
            return Ok(old);
        }
        if !self.cursor.at_object() {
            return self.mismatched(old, context, || names::structure(schema));
        }
        let depth = deeper(depth)?;
        let mut members = object(old);
        self.cursor.open_object().map_err(malformed)?;
        let mut first = true;
        while let Some(name) = self.cursor.member(&mut first).map_err(malformed)? {
            let name = name.to_str();
            match schema.field(&name) {
                Some(field) => {
                    let step = Step { above: context.path, name: &name };
                    self.member(&mut members, field, Context { owner: schema.name, path: Some(&step) }, depth)?;
                }
                // Nothing is known of the fields of a kind that came at run time.
                None if schema.package.is_empty() => {
                    let value = self.anything(depth)?;
                    members.insert(name.into_owned(), value);
                }
                None => self.cursor.skip_value().map_err(malformed)?,
            }
        }
        scalar::add_required_times(&mut members, schema);
        Ok(Some(Value::Object(members)))
    }

    fn member(
        &mut self,
        members: &mut Map<String, Value>,
        field: &Field,
        context: Context<'_>,
        depth: usize,
    ) -> Read<()> {
        let old = members.remove(&*field.name);
        let plain = field.label == Label::One && !field.pointer;
        if !plain && self.null()? {
            return Ok(());
        }
        let value = self.value(old, Expected::field(field), context, depth)?;
        members
            .extend(value.filter(|value| !scalar::left_out(field, value)).map(|value| (field.name.to_string(), value)));
        Ok(())
    }

    /// Elements are read into those that are there already, as Go does.
    fn list(
        &mut self,
        old: Option<Value>,
        expected: Expected,
        context: Context<'_>,
        depth: usize,
    ) -> Read<Option<Value>> {
        if self.null()? {
            return Ok(None);
        }
        if !self.cursor.at_array() {
            return self.mismatched(old, context, || names::expected(expected));
        }
        let depth = deeper(depth)?;
        let mut before = match old {
            Some(Value::Array(items)) => items.into_iter(),
            _ => Vec::new().into_iter(),
        };
        let mut items = Vec::new();
        self.cursor.open_array().map_err(malformed)?;
        let mut first = true;
        while self.cursor.item(&mut first).map_err(malformed)? {
            let item = self.value(before.next(), expected.one(), context, depth)?;
            items.push(item.unwrap_or_else(|| scalar::zero(expected.kind)));
        }
        Ok(Some(Value::Array(items)))
    }

    fn map(
        &mut self,
        old: Option<Value>,
        expected: Expected,
        context: Context<'_>,
        depth: usize,
    ) -> Read<Option<Value>> {
        if self.null()? {
            return Ok(None);
        }
        if !self.cursor.at_object() {
            return self.mismatched(old, context, || names::expected(expected));
        }
        let depth = deeper(depth)?;
        let mut members = object(old);
        self.cursor.open_object().map_err(malformed)?;
        let mut first = true;
        while let Some(name) = self.cursor.member(&mut first).map_err(malformed)? {
            let value = self.value(None, expected.one(), context, depth)?;
            members.insert(name.to_str().into_owned(), value.unwrap_or_else(|| scalar::zero(expected.kind)));
        }
        Ok(Some(Value::Object(members)))
    }

    /// A value of which nothing is known.
    fn anything(&mut self, depth: usize) -> Read<Value> {
        if self.cursor.at_object() {
            let depth = deeper(depth)?;
            let mut members = Map::new();
            self.cursor.open_object().map_err(malformed)?;
            let mut first = true;
            while let Some(name) = self.cursor.member(&mut first).map_err(malformed)? {
                let value = self.anything(depth)?;
                members.insert(name.to_str().into_owned(), value);
            }
            return Ok(Value::Object(members));
        }
        if self.cursor.at_array() {
            let depth = deeper(depth)?;
            let mut items = Vec::new();
            self.cursor.open_array().map_err(malformed)?;
            let mut first = true;
            while self.cursor.item(&mut first).map_err(malformed)? {
                items.push(self.anything(depth)?);
            }
            return Ok(Value::Array(items));
        }
        if self.cursor.peek() == Some(b'"') {
            return Ok(Value::String(self.text()?.into_owned()));
        }
        let literal = self.cursor.value().map_err(malformed)?;
        let unreadable = |_| scalar::unreadable(literal, "float64");
        serde_json::from_slice(literal).map_err(unreadable)
    }

    /// Steps over a `null`, if there is one.
    fn null(&mut self) -> Read<bool> {
        let null = self.cursor.peek() == Some(b'n');
        if null {
            self.cursor.skip_value().map_err(malformed)?;
        }
        Ok(null)
    }

    /// The string that is here.
    fn text(&mut self) -> Read<Cow<'_, str>> {
        let text = self.cursor.scalar().map_err(malformed)?;
        Ok(text.map(|text| text.to_str()).unwrap_or_default())
    }

    /// Steps over a value of a type that does not fit.
    fn mismatched(
        &mut self,
        old: Option<Value>,
        context: Context<'_>,
        expected: impl FnOnce() -> String,
    ) -> Read<Option<Value>> {
        let what = match self.cursor.peek() {
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b'"') => "string",
            Some(b't' | b'f') => "bool",
            _ => "number",
        };
        self.cursor.skip_value().map_err(malformed)?;
        self.note(what, context, &expected());
        Ok(old)
    }

    fn note(&mut self, what: &str, context: Context<'_>, expected: &str) {
        self.mismatch.get_or_insert_with(|| names::mismatch(what, context, expected));
    }
}

/// What is there already of an object.
fn object(old: Option<Value>) -> Map<String, Value> {
    match old {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

fn deeper(depth: usize) -> Read<usize> {
    depth.checked_sub(1).ok_or_else(|| "exceeded max depth".to_owned())
}

fn malformed(error: Malformed) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
