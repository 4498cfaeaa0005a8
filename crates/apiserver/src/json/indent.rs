//! JSON laid out for people, piece by piece as it comes.

/// Lays JSON out as Go does: two spaces a level, one member or item a line, nothing in what is empty.
#[derive(Debug, Default)]
pub struct Indenter {
    depth: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    /// Behind an opening bracket, when it is not known yet whether something is inside.
    Opened,
    /// In a text.
    Text,
    /// In a text, behind a backslash.
    Escape,
}

impl Indenter {
    /// Appends the next piece. What is no JSON comes out as something that is none either.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for &byte in piece {
            match self.place {
                Place::Escape => {
                    self.place = Place::Text;
                    out.push(byte);
                }
                Place::Text => {
                    out.push(byte);
                    self.place = match byte {
                        b'"' => Place::Between,
                        b'\\' => Place::Escape,
                        _ => Place::Text,
                    };
                }
                Place::Between | Place::Opened => self.token(byte, out),
            }
        }
    }

    fn token(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte.is_ascii_whitespace() {
            return;
        }
        let opened = self.place == Place::Opened;
        let closes = matches!(byte, b'}' | b']');
        self.place = Place::Between;
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        if opened != closes {
            self.line(out);
        }
        out.push(byte);
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.place = Place::Opened;
            }
            b'"' => self.place = Place::Text,
            b':' => out.push(b' '),
            b',' => self.line(out),
            _ => {}
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        // Deeper than any object; so that brackets alone do not become megabytes.
        out.resize(out.len() + 2 * self.depth.min(super::MAX_DEPTH), b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_leads_to_the_same_layout() {
        let dense = r#"{"a":{},"b":[],"c":[1,{"d":"x\"{[,:"}],"e":null,"f":[[],{}]}"#;
        let value: serde_json::Value = serde_json::from_str(dense).unwrap();
        let expected = serde_json::to_string_pretty(&value).unwrap();
        for cut in 0..dense.len() {
            let (mut indenter, mut out) = (Indenter::default(), Vec::new());
            indenter.push(&dense.as_bytes()[..cut], &mut out);
            indenter.push(&dense.as_bytes()[cut..], &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
