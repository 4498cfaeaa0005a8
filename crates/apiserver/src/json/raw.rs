//! JSON values where they stand in a text.

use std::borrow::Cow;

use super::{Cursor, Malformed, unquote::unquote};

/// Where the values of a text are, found in one pass: whoever then looks into one, and into what is inside of that, does
/// not read the same text again at every depth.
#[derive(Debug)]
pub struct Outline<'a> {
    text: &'a [u8],
    /// Each value before those inside of it.
    values: Vec<Place>,
}

/// Where a value is.
#[derive(Debug)]
struct Place {
    /// Offsets of its text.
    start: u32,
    end: u32,
    /// The first of the values that is not inside of it.
    after: u32,
    /// Offsets of its name's text, without quotes; empty for what has none.
    name: (u32, u32),
}

/// A container that is being read.
struct Container {
    place: usize,
    object: bool,
    first: bool,
}

/// About so many bytes are spent on a value: no more than a first guess of how many there are.
const BYTES_OF_VALUE: usize = 16;

impl<'a> Outline<'a> {
    /// Of a text without white space around it. When it is malformed, of what can be read; of more than 4 GiB, of nothing.
    #[must_use]
    pub fn of(text: &'a [u8]) -> Self {
        let mut outline = Self { text, values: Vec::with_capacity(text.len() / BYTES_OF_VALUE) };
        if u32::try_from(text.len()).is_ok() {
            let _ = outline.read(&mut Cursor::new(text));
        }
        outline
    }

    /// The whole text.
    #[must_use]
    pub fn root(&'a self) -> Raw<'a> {
        Raw { outline: self, at: 0 }
    }

    /// Containers are kept on a list: an iteration instead of a recursion, so that no input exhausts the stack.
    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Malformed> {
        let mut open: Vec<Container> = Vec::new();
        let mut name = (0, 0);
        loop {
            self.begin(cursor, name, &mut open)?;
            name = loop {
                let Some(container) = open.last_mut() else { return Ok(()) };
                if let Some(name) = container.next(cursor)? {
                    break name;
                }
                self.end(container.place, cursor);
                open.pop();
            };
        }
    }

    /// Steps over a scalar, or into a container.
    fn begin(&mut self, cursor: &mut Cursor<'a>, name: (u32, u32), open: &mut Vec<Container>) -> Result<(), Malformed> {
        let (object, array) = (cursor.at_object(), cursor.at_array());
        let place = self.values.len();
        // Of a container that does not end, all that follows is inside.
        self.values.push(Place {
            start: offset(cursor.position()),
            end: offset(self.text.len()),
            after: u32::MAX,
            name,
        });
        match (object, array) {
            (true, _) => cursor.open_object()?,
            (_, true) => cursor.open_array()?,
            _ => {
                cursor.skip_value()?;
                self.end(place, cursor);
                return Ok(());
            }
        }
        open.push(Container { place, object, first: true });
        Ok(())
    }

    fn end(&mut self, place: usize, cursor: &Cursor<'a>) {
        let after = offset(self.values.len());
        let place = &mut self.values[place];
        (place.end, place.after) = (offset(cursor.position()), after);
    }
}

/// An offset in a text that is known to have fewer than 4 GiB.
fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

impl Container {
    /// Steps to the next value inside, and gives back its name, if it has one; `None` when the container ends.
    fn next(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<(u32, u32)>, Malformed> {
        if self.object {
            let name = cursor.member(&mut self.first)?;
            return Ok(name.map(|name| (offset(name.start), offset(name.start + name.raw.len()))));
        }
        Ok(cursor.item(&mut self.first)?.then_some((0, 0)))
    }
}

/// One value. Two values that one serialiser has written are equal when their texts are.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    outline: &'a Outline<'a>,
    at: usize,
}

impl PartialEq for Raw<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl<'a> Raw<'a> {
    fn place(self) -> Option<&'a Place> {
        self.outline.values.get(self.at)
    }

    fn slice(self, start: u32, end: u32) -> &'a [u8] {
        self.outline.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The text.
    #[must_use]
    pub fn text(self) -> &'a [u8] {
        self.place().map(|place| self.slice(place.start, place.end)).unwrap_or_default()
    }

    fn name(self) -> Cow<'a, str> {
        let name = self.place().map(|place| self.slice(place.name.0, place.name.1)).unwrap_or_default();
        unquote(name, name.contains(&b'\\'))
    }

    /// The members, if this is an object; those that can be read when it is malformed.
    #[must_use]
    pub fn members(self) -> Option<Vec<(Cow<'a, str>, Self)>> {
        self.text().starts_with(b"{").then(|| self.inside().map(|value| (value.name(), value)).collect())
    }

    /// The items, if this is an array; those that can be read when it is malformed.
    #[must_use]
    pub fn items(self) -> Option<Vec<Self>> {
        self.text().starts_with(b"[").then(|| self.inside().collect())
    }

    /// The values of which this one is made.
    fn inside(self) -> impl Iterator<Item = Self> {
        let after = |value: Self| value.place().map_or(usize::MAX, |place| place.after as usize);
        let (end, known) = (after(self), self.outline.values.len());
        let inside = move |value: &Self| value.at < end.min(known);
        let first = Some(Self { at: self.at + 1, ..self }).filter(inside);
        std::iter::successors(first, move |value| Some(Self { at: after(*value), ..self }).filter(inside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(members: &[(Cow<'a, str>, Raw<'a>)]) -> Vec<(String, &'a [u8])> {
        members.iter().map(|(name, value)| (name.to_string(), value.text())).collect()
    }

    #[test]
    fn values_are_taken_apart() {
        let outline = Outline::of(br#"{"a":[1,{"b":"]"},null],"c\n":"\"}","d":{},"e":[]}"#);
        let members = outline.root().members().unwrap();
        let expected = [("a", &br#"[1,{"b":"]"},null]"#[..]), ("c\n", br#""\"}""#), ("d", b"{}"), ("e", b"[]")];
        assert_eq!(texts(&members), expected.map(|(name, text)| (name.to_owned(), text)));
        let items: Vec<_> = members[0].1.items().unwrap().into_iter().map(Raw::text).collect();
        assert_eq!(items, [&b"1"[..], br#"{"b":"]"}"#, b"null"]);
        assert_eq!(members[2].1.members().unwrap(), []);
        assert_eq!(members[3].1.items().unwrap(), []);
        assert!(members[3].1.members().is_none() && members[1].1.items().is_none());
    }

    #[test]
    fn of_malformed_text_what_can_be_read_is_seen() {
        for (text, members) in [
            (&br#"{"a":1,"b":[2"#[..], vec![("a", &b"1"[..]), ("b", b"[2")]),
            (br#"{"a":{"c":1},"b"#, vec![("a", br#"{"c":1}"#)]),
            (br#"{"a":1}}"#, vec![("a", b"1")]),
            (b"{", vec![]),
        ] {
            let outline = Outline::of(text);
            let expected: Vec<_> = members.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
            assert_eq!(texts(&outline.root().members().unwrap()), expected);
        }
        for text in [&b""[..], b"]", b"x\xff"] {
            let outline = Outline::of(text);
            assert!(outline.root().members().is_none() && outline.root().items().is_none());
        }
        let deep = "[".repeat(1 << 20);
        assert_eq!(Outline::of(deep.as_bytes()).root().items().unwrap().len(), 1);
    }
}
