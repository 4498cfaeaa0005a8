//! Walks over JSON without building anything. It accepts all JSON and checks no more than it needs to find its way.

use super::entry::Text;

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
    start: usize,
    escaped: bool,
}

impl Scalar<'_> {
    /// The text: a place in the value when it is written there as it reads.
    pub fn text(&self) -> Text {
        if !self.escaped
            && let (Ok(start), Ok(length)) = (u32::try_from(self.start), u32::try_from(self.raw.len()))
        {
            return Text::Span(start, length);
        }
        let mut quoted = Vec::with_capacity(self.raw.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(self.raw);
        quoted.push(b'"');
        Text::Owned(serde_json::from_slice::<String>(&quoted).unwrap_or_default().into())
    }
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

    /// The offset in bytes.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether an object begins here.
    pub fn at_object(&mut self) -> bool {
        self.peek() == Some(b'{')
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
        while let Some(&byte) = self.bytes.get(self.position) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.position += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(Malformed::Syntax(self.position))
    }

    fn string(&mut self) -> Result<Scalar<'a>, Malformed> {
        if self.bytes.get(self.position) != Some(&b'"') {
            return Err(Malformed::Syntax(self.position));
        }
        let start = self.position + 1;
        let mut end = start;
        let mut escaped = false;
        loop {
            match self.bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                Some(_) => end += 1,
                None => return Err(Malformed::Syntax(self.bytes.len())),
            }
        }
        self.position = end + 1;
        Ok(Scalar { raw: &self.bytes[start..end], start, escaped })
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
    fn peek(&mut self) -> Option<u8> {
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
