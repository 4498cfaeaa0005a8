//! Protobuf's text format, as much of it as the reference has.

/// A field's value.
#[derive(Clone, Debug)]
pub enum Field {
    /// A number or a word.
    Scalar(String),
    /// Octets.
    Text(Vec<u8>),
    Message(Message),
}

/// Fields in their order; one that is repeated is there more than once.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<(String, Field)>);

impl Message {
    pub fn all<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m Message> {
        self.0.iter().filter_map(move |(own, field)| match field {
            Field::Message(message) if own == name => Some(message),
            _ => None,
        })
    }

    pub fn message(&self, name: &str) -> Option<&Message> {
        self.0.iter().find_map(|(own, field)| match field {
            Field::Message(message) if own == name => Some(message),
            _ => None,
        })
    }

    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, field)| field)
    }

    pub fn text(&self, name: &str) -> String {
        match self.get(name) {
            Some(Field::Text(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
            Some(Field::Scalar(word)) => word.clone(),
            _ => String::new(),
        }
    }
}

pub fn parse(text: &str) -> Message {
    let mut reader = Reader { rest: text };
    reader.fields()
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == ';');
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = &self.rest[self.rest.find('\n').unwrap_or(self.rest.len())..];
        }
    }

    fn word(&mut self) -> String {
        self.skip();
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && !"_.-+".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn fields(&mut self) -> Message {
        let mut fields = Vec::new();
        loop {
            self.skip();
            if self.rest.is_empty() || self.rest.starts_with(['}', '>']) {
                return Message(fields);
            }
            let name = if self.rest.starts_with('[') {
                let end = self.rest.find(']').unwrap();
                let name = self.rest[1..end].to_owned();
                self.rest = &self.rest[end + 1..];
                name
            } else {
                self.word()
            };
            assert!(!name.is_empty(), "a field at {:.60}", self.rest);
            self.skip();
            self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
            self.skip();
            if let Some(rest) = self.rest.strip_prefix('[') {
                self.rest = rest;
                loop {
                    self.skip();
                    if let Some(rest) = self.rest.strip_prefix(']') {
                        self.rest = rest;
                        break;
                    }
                    let value = self.value();
                    fields.push((name.clone(), value));
                }
            } else {
                let value = self.value();
                fields.push((name, value));
            }
        }
    }

    fn value(&mut self) -> Field {
        if let Some(rest) = self.rest.strip_prefix(['{', '<']) {
            self.rest = rest;
            let message = self.fields();
            self.rest = &self.rest[1..];
            return Field::Message(message);
        }
        let mut text = None::<Vec<u8>>;
        while let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            text.get_or_insert_default().extend(self.quoted(quote));
            self.skip();
        }
        text.map_or_else(|| Field::Scalar(self.word()), Field::Text)
    }

    fn quoted(&mut self, quote: char) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut characters = self.rest[1..].char_indices();
        while let Some((at, character)) = characters.next() {
            if character == quote {
                self.rest = &self.rest[1 + at + 1..];
                break;
            }
            if character != '\\' {
                bytes.extend(character.to_string().bytes());
                continue;
            }
            let (_, escaped) = characters.next().unwrap();
            let mut digits = |first: &str, most: usize, radix: u32| {
                let mut text = first.to_owned();
                while text.len() < most && characters.clone().next().is_some_and(|(_, c)| c.is_digit(radix)) {
                    text.push(characters.next().unwrap().1);
                }
                u32::from_str_radix(&text, radix).unwrap()
            };
            match escaped {
                'n' => bytes.push(b'\n'),
                'r' => bytes.push(b'\r'),
                't' => bytes.push(b'\t'),
                'a' => bytes.push(7),
                'b' => bytes.push(8),
                'f' => bytes.push(12),
                'v' => bytes.push(11),
                'x' => bytes.push(u8::try_from(digits("", 2, 16)).unwrap()),
                'u' => bytes.extend(char::from_u32(digits("", 4, 16)).unwrap().to_string().bytes()),
                'U' => bytes.extend(char::from_u32(digits("", 8, 16)).unwrap().to_string().bytes()),
                '0'..='7' => bytes.push(u8::try_from(digits(&escaped.to_string(), 3, 8)).unwrap()),
                other => bytes.extend(other.to_string().bytes()),
            }
        }
        bytes
    }
}
