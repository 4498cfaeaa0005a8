//! Whether a text is JSON, and what is wrong with it in the words of Go's scanner, which clients know.

/// Go follows nesting so far.
const DEEPEST: usize = 10_000;

/// What is wrong with a text, if anything is.
#[must_use]
pub fn fault(text: &[u8]) -> Option<String> {
    Scanner { text, position: 0, open: Vec::new() }.document().err()
}

/// An array or object that has not been closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Object,
    Array,
}

struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
    open: Vec<Open>,
}

type Scanned = Result<(), String>;

impl Scanner<'_> {
    fn document(&mut self) -> Scanned {
        self.value()?;
        while let Some(open) = self.open.last().copied() {
            self.after_value(open)?;
        }
        match self.skip_space() {
            None => Ok(()),
            Some(_) => self.invalid("after top-level value"),
        }
    }

    /// From the first byte of a value to its end, or into the first value within it.
    fn value(&mut self) -> Scanned {
        loop {
            match self.skip_space() {
                Some(b'{') => {
                    self.enter(Open::Object)?;
                    if self.skip_space() == Some(b'}') {
                        return self.close();
                    }
                    self.key()?;
                }
                Some(b'[') => {
                    self.enter(Open::Array)?;
                    if self.skip_space() == Some(b']') {
                        return self.close();
                    }
                }
                Some(b'"') => return self.string(),
                Some(b'-' | b'0'..=b'9') => return self.number(),
                Some(b't') => return self.literal("true"),
                Some(b'f') => return self.literal("false"),
                Some(b'n') => return self.literal("null"),
                _ => return self.invalid("looking for beginning of value"),
            }
        }
    }

    fn after_value(&mut self, open: Open) -> Scanned {
        match (self.skip_space(), open) {
            (Some(b','), Open::Object) => {
                self.position += 1;
                self.key()?;
                self.value()
            }
            (Some(b','), Open::Array) => {
                self.position += 1;
                self.value()
            }
            (Some(b'}'), Open::Object) | (Some(b']'), Open::Array) => self.close(),
            (_, Open::Object) => self.invalid("after object key:value pair"),
            (_, Open::Array) => self.invalid("after array element"),
        }
    }

    fn enter(&mut self, open: Open) -> Scanned {
        self.position += 1;
        self.open.push(open);
        if self.open.len() > DEEPEST { Err("exceeded max depth".to_owned()) } else { Ok(()) }
    }

    fn close(&mut self) -> Scanned {
        self.position += 1;
        self.open.pop();
        Ok(())
    }

    fn key(&mut self) -> Scanned {
        match self.skip_space() {
            Some(b'"') => self.string()?,
            _ => return self.invalid("looking for beginning of object key string"),
        }
        match self.skip_space() {
            Some(b':') => {
                self.position += 1;
                Ok(())
            }
            _ => self.invalid("after object key"),
        }
    }

    fn string(&mut self) -> Scanned {
        self.position += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(byte) if byte >= b' ' => self.position += 1,
                _ => return self.invalid("in string literal"),
            }
        }
    }

    fn escape(&mut self) -> Scanned {
        self.position += 1;
        match self.peek() {
            Some(b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"') => {
                self.position += 1;
                Ok(())
            }
            Some(b'u') => {
                self.position += 1;
                for _ in 0..4 {
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return self.invalid("in \\u hexadecimal character escape");
                    }
                    self.position += 1;
                }
                Ok(())
            }
            _ => self.invalid("in string escape code"),
        }
    }

    fn number(&mut self) -> Scanned {
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        match self.peek() {
            Some(b'0') => self.position += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    /// One digit at least.
    fn digits(&mut self, place: &str) -> Scanned {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.invalid(place);
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.position += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Scanned {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return self.invalid(&format!("in literal {word} (expecting {})", quoted(expected)));
            }
            self.position += 1;
        }
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn skip_space(&mut self) -> Option<u8> {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.position += 1;
        }
        self.peek()
    }

    fn invalid(&self, place: &str) -> Scanned {
        Err(match self.peek() {
            None => "unexpected end of JSON input".to_owned(),
            Some(byte) => format!("invalid character {} {place}", quoted(byte)),
        })
    }
}

/// A byte as Go's messages show it.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0..=0x1f | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..=0x9f => format!("'\\u{byte:04x}'"),
        byte => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fault;

    #[test]
    fn faults_are_told_as_go_tells_them() {
        let cases = [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("[1,", "unexpected end of JSON input"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("\"a\nb\"", r"invalid character '\n' in string literal"),
            (r#""\x""#, "invalid character 'x' in string escape code"),
            (r#""\u12g4""#, r"invalid character 'g' in \u hexadecimal character escape"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("01", "invalid character '1' after top-level value"),
            ("tru ", "invalid character ' ' in literal true (expecting 'e')"),
        ];
        for (text, words) in cases {
            assert_eq!(fault(text.as_bytes()).as_deref(), Some(words), "{text}");
        }
        assert_eq!(fault("[".repeat(20_000).as_bytes()).as_deref(), Some("exceeded max depth"));
        assert_eq!(fault(b"\"\xff\""), None);
    }

    proptest! {
        #[test]
        fn it_finds_a_fault_where_serde_does(text in r#"[\[\]{}:,"\\a0-9eu.tf\- ]{0,24}"#) {
            let serde = serde_json::from_str::<serde::de::IgnoredAny>(&text);
            // A number that is too large is no fault of syntax.
            let faulty = serde.is_err_and(|error| !error.to_string().starts_with("number out of range"));
            // Serde looks at surrogates, too.
            prop_assume!(!text.contains("\\u"));
            prop_assert_eq!(fault(text.as_bytes()).is_some(), faulty);
        }
    }
}
