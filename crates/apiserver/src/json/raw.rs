//! One JSON value where it stands in a text.

use std::borrow::Cow;

use super::{Cursor, Malformed};

/// The text of one value. Two values that one serialiser has written are equal when their texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    /// A value of this text, which is JSON without white space around it.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn text(self) -> &'a [u8] {
        self.0
    }

    /// The members, if this is an object; those that can be read when it is malformed.
    #[must_use]
    pub fn members(self) -> Option<Vec<(Cow<'a, str>, Self)>> {
        let mut cursor = Cursor::new(self.0);
        cursor.open_object().ok()?;
        let mut members = Vec::new();
        let mut first = true;
        while let Ok(Some(member)) = Self::next_member(&mut cursor, &mut first) {
            members.push(member);
        }
        Some(members)
    }

    fn next_member(cursor: &mut Cursor<'a>, first: &mut bool) -> Result<Option<(Cow<'a, str>, Self)>, Malformed> {
        let Some(name) = cursor.member(first)? else { return Ok(None) };
        Ok(Some((name.to_str(), Self(cursor.value()?))))
    }

    /// The items, if this is an array; those that can be read when it is malformed.
    #[must_use]
    pub fn items(self) -> Option<Vec<Self>> {
        let mut cursor = Cursor::new(self.0);
        cursor.open_array().ok()?;
        let mut items = Vec::new();
        let mut first = true;
        while let Ok(true) = cursor.item(&mut first) {
            match cursor.value() {
                Ok(text) => items.push(Self(text)),
                Err(_) => break,
            }
        }
        Some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_apart() {
        let raw = Raw::new(br#"{"a":[1,{"b":"]"},null],"c\n":"\"}","d":{},"e":[]}"#);
        let members = raw.members().unwrap();
        let texts: Vec<_> = members.iter().map(|(name, value)| (&**name, value.text())).collect();
        assert_eq!(texts, [("a", &br#"[1,{"b":"]"},null]"#[..]), ("c\n", br#""\"}""#), ("d", b"{}"), ("e", b"[]")]);
        let items: Vec<_> = members[0].1.items().unwrap().into_iter().map(Raw::text).collect();
        assert_eq!(items, [&b"1"[..], br#"{"b":"]"}"#, b"null"]);
        assert_eq!(members[2].1.members().unwrap(), []);
        assert_eq!(members[3].1.items().unwrap(), []);
        assert!(members[3].1.members().is_none() && members[1].1.items().is_none());
    }
}
