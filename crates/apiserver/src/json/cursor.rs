//! Walks over JSON without building anything. It accepts all JSON and checks no more than it needs to find its way.

use std::borrow::Cow;

use super::unquote::unquote;

/// Why bytes could not be walked over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Something else stands where this byte was expected, or the text ends.
    #[error("not JSON at byte {0}")]
    Syntax(usize),
    /// The value is a JSON object without a `metadata` object.
    #[error("object has no metadata")]
    NoMetadata,
    /// The value has more than 4 GiB.
    #[error("object is too long")]
    TooLong,
}

/// A string, number or boolean where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Scalar<'a> {
    /// The bytes, without quotes and with escapes as written.
    pub raw: &'a [u8],
    /// Where they begin in the text.
    pub start: usize,
    /// Whether escapes are among them.
    pub escaped: bool,
}

impl<'a> Scalar<'a> {
    /// The text, without escapes.
    pub fn to_str(self) -> Cow<'a, str> {
        unquote(self.raw, self.escaped)
    }
}

/// The bytes at which a text that is skipped has to be looked at: brackets, and quotes, inside of which brackets mean
/// nothing.
const STRUCTURE: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &[u8] = b"\"{}[]";
    while let [byte, others @ ..] = rest {
        table[*byte as usize] = true;
        rest = others;
    }
    table
};

/// The offset of the first quote or backslash. Eight bytes at a time: most strings are too short for the wider
/// instructions to be worth their start. A byte of `x` is zero where the high bit of `(x - 0x01…) & !x` is the first
/// one that is set (H. Warren, Hacker's Delight, 6-1).
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let zero_bytes = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
    let (chunks, rest) = text.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let chunk = u64::from_le_bytes(*chunk);
        let found = zero_bytes(chunk ^ (ONES * u64::from(b'"'))) | zero_bytes(chunk ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let ahead = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    Some(chunks.len() * 8 + ahead)
}

/// A place in JSON text.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of the text.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Behind the opening brace of an object's `metadata`.
    ///
    /// # Errors
    /// When the text is no JSON object with `metadata`.
    pub fn inside_metadata(object: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Self::new(object);
        cursor.open_object()?;
        let mut first = true;
        while let Some(name) = cursor.member(&mut first)? {
            if name.raw == b"metadata" {
                cursor.open_object()?;
                return Ok(cursor);
            }
            cursor.skip_value()?;
        }
        Err(Malformed::NoMetadata)
    }

    /// The offset in bytes.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether an object begins here.
    pub fn at_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    /// Whether an array begins here.
    pub fn at_array(&mut self) -> bool {
        self.peek() == Some(b'[')
    }

    /// Whether the object ends here.
    pub fn at_close(&mut self) -> bool {
        self.peek() == Some(b'}')
    }

    /// Steps over the opening brace of an object.
    pub fn open_object(&mut self) -> Result<(), Malformed> {
        self.expect(b'{')
    }

    /// Steps over the name of the next member and its colon; over the closing brace when there is none. `first` is set
    /// to `false`.
    pub fn member(&mut self, first: &mut bool) -> Result<Option<Scalar<'a>>, Malformed> {
        if self.at_close() {
            self.position += 1;
            return Ok(None);
        }
        if !std::mem::replace(first, false) {
            self.expect(b',')?;
        }
        self.peek();
        let name = self.string()?;
        self.expect(b':')?;
        Ok(Some(name))
    }

    /// Steps over the opening bracket of an array.
    pub fn open_array(&mut self) -> Result<(), Malformed> {
        self.expect(b'[')
    }

    /// Steps to the next item of an array; over the closing bracket when there is none. `first` is set to `false`.
    pub fn item(&mut self, first: &mut bool) -> Result<bool, Malformed> {
        if self.peek() == Some(b']') {
            self.position += 1;
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// Steps over the next value, whatever it is, and returns its text.
    pub fn value(&mut self) -> Result<&'a [u8], Malformed> {
        self.peek();
        let start = self.position;
        self.skip_value()?;
        Ok(&self.bytes[start..self.position])
    }

    /// Steps over the next value; `None` when it is null, an object or an array.
    pub fn scalar(&mut self) -> Result<Option<Scalar<'a>>, Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{' | b'[' | b'n') => self.skip_value().map(|()| None),
            _ => self.literal().map(Some),
        }
    }

    /// Steps over the next value, whatever it is.
    pub fn skip_value(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{' | b'[') => self.skip_nested(),
            _ => self.literal().map(drop),
        }
    }

    /// Nothing but white space is left.
    pub fn end(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Malformed::Syntax(self.position)),
        }
    }

    /// Brackets are only counted: an iteration instead of a recursion, so that no input exhausts the stack.
    fn skip_nested(&mut self) -> Result<(), Malformed> {
        let mut depth = 0_usize;
        while let Some(ahead) = self.bytes[self.position..].iter().position(|byte| STRUCTURE[usize::from(*byte)]) {
            self.position += ahead;
            match self.bytes[self.position] {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            self.position += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(Malformed::Syntax(self.bytes.len()))
    }

    fn string(&mut self) -> Result<Scalar<'a>, Malformed> {
        if self.bytes.get(self.position) != Some(&b'"') {
            return Err(Malformed::Syntax(self.position));
        }
        let start = self.position + 1;
        let mut end = start;
        let mut escaped = false;
        while let Some(rest) = self.bytes.get(end..)
            && let Some(ahead) = quote_or_backslash(rest)
        {
            end += ahead;
            if self.bytes[end] == b'"' {
                self.position = end + 1;
                return Ok(Scalar { raw: &self.bytes[start..end], start, escaped });
            }
            escaped = true;
            end += 2;
        }
        Err(Malformed::Syntax(self.bytes.len()))
    }

    fn literal(&mut self) -> Result<Scalar<'a>, Malformed> {
        self.peek();
        let start = self.position;
        while self.bytes.get(self.position).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
            self.position += 1;
        }
        if start == self.position {
            return Err(Malformed::Syntax(start));
        }
        Ok(Scalar { raw: &self.bytes[start..self.position], start, escaped: false })
    }

    /// The next byte that is not white space, without stepping over it.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.position) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.position += 1;
        }
        None
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != Some(byte) {
            return Err(Malformed::Syntax(self.position));
        }
        self.position += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::quote_or_backslash;

    proptest! {
        #[test]
        fn quotes_and_backslashes_are_found_wherever_they_are(text in "[\"\\\\a#\u{1}\u{e9}]{0,40}") {
            let expected = text.bytes().position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(quote_or_backslash(text.as_bytes()), expected);
        }
    }
}
