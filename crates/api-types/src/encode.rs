//! Writing JSON, of upstream's kinds as Go's encoder writes it: what is empty is left out, or written, as the type says
//! ([`crate::schema`]).
//!
//! Everybody who writes a type goes this way, so that serde's code for it is compiled once.

use serde::ser::{self, Impossible, Serialize, Serializer};
use serde_json::Error;

use crate::schema::{Field, Label, Type};

/// Appends a value in JSON. With a type, it is written as Go writes that.
///
/// # Errors
/// When the value has no form in JSON: never for API types.
pub fn write<T: Serialize + ?Sized>(value: &T, of: Option<&Type>, out: &mut Vec<u8>) -> Result<(), Error> {
    value.serialize(Writer { out, of })
}

/// Writes one value.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// The type of the structures that are met first.
    of: Option<&'a Type>,
}

impl Writer<'_> {
    /// Scalars look the same to everybody.
    fn scalar<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(self.out, value)
    }

    fn literal(self, text: &str) -> Result<(), Error> {
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A value that no API type has.
fn unheard_of() -> Error {
    ser::Error::custom("not a value of an API type")
}

macro_rules! scalars {
    ($($method:ident: $type:ty),+ $(,)?) => {$(
        fn $method(self, value: $type) -> Result<(), Error> {
            self.scalar(&value)
        }
    )+};
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Impossible<(), Error>;

    scalars! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
        serialize_str: &str,
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        Err(unheard_of())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.literal("null")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.literal("null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.literal("null")
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.scalar(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(unheard_of())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, Error> {
        self.out.push(b'[');
        Ok(Items { out: self.out, of: self.of, first: true })
    }

    fn serialize_tuple(self, len: usize) -> Result<Items<'a>, Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        Err(unheard_of())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(unheard_of())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>, Error> {
        self.out.push(b'{');
        Ok(Members { out: self.out, of: self.of, first: true, written: 0 })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'a>, Error> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(unheard_of())
    }
}

/// Writes a list.
struct Items<'a> {
    out: &'a mut Vec<u8>,
    of: Option<&'a Type>,
    first: bool,
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        separate(self.out, &mut self.first);
        write(value, self.of, self.out)
    }

    fn close(self) -> Result<(), Error> {
        self.out.push(b']');
        Ok(())
    }
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.item(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

/// Writes a map or a structure.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    /// Of a map's values; of the structure itself.
    of: Option<&'a Type>,
    first: bool,
    /// Which of the fields that are always written are there: a bit each, in their order.
    written: u64,
}

impl Members<'_> {
    fn name(&mut self, name: &str) -> Result<(), Error> {
        separate(self.out, &mut self.first);
        serde_json::to_writer(&mut *self.out, name)?;
        self.out.push(b':');
        Ok(())
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T, of: &Type) -> Result<(), Error> {
        let field = of.field(name);
        let (before, first) = (self.out.len(), self.first);
        self.name(name)?;
        let begin = self.out.len();
        write(value, field.and_then(Field::message), self.out)?;
        let written = self.out.get(begin..).unwrap_or_default();
        if field.is_some_and(|field| field.leaves_out(written)) {
            self.out.truncate(before);
            self.first = first;
            return Ok(());
        }
        // What has been stored as protobuf has no empty lists and maps.
        if matches!(written, b"[]" | b"{}") && field.is_some_and(|field| field.label != Label::One) {
            self.out.truncate(begin);
            self.out.extend_from_slice(b"null");
        }
        if let Some(place) = of.always().iter().position(|always| always.name == name) {
            self.written |= 1 << place;
        }
        Ok(())
    }

    /// Writes what is always written and was not.
    fn rest(&mut self, of: &Type) -> Result<(), Error> {
        for (place, always) in of.always().iter().enumerate() {
            if self.written & (1 << place) == 0 {
                self.name(&always.name)?;
                self.out.extend_from_slice(always.zero.as_bytes());
            }
        }
        Ok(())
    }
}

impl ser::SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        match self.of {
            Some(of) => self.field(name, value, of),
            None => {
                self.name(name)?;
                write(value, None, self.out)
            }
        }
    }

    fn end(mut self) -> Result<(), Error> {
        if let Some(of) = self.of {
            self.rest(of)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

impl ser::SerializeMap for Members<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Error> {
        separate(self.out, &mut self.first);
        let begin = self.out.len();
        write(name, None, self.out)?;
        match self.out.get(begin) {
            Some(b'"') => Ok(()),
            _ => Err(unheard_of()),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.out.push(b':');
        write(value, self.of, self.out)
    }

    fn end(self) -> Result<(), Error> {
        self.out.push(b'}');
        Ok(())
    }
}

fn separate(out: &mut Vec<u8>, first: &mut bool) {
    if !*first {
        out.push(b',');
    }
    *first = false;
}

#[cfg(test)]
mod tests;
