//! The query of a request.

use std::borrow::Cow;

/// The parameters of a request in the order in which they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// What `+` means in a piece of text that is being percent-decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plus {
    /// A space, as in queries.
    Space,
    /// A plus sign, as in paths.
    Literal,
}

impl Query {
    /// Reads the text after the `?`. Parameters that cannot be decoded are passed over, as Go does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty() && is_sound(pair)).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name, Plus::Space), percent_decode(value, Plus::Space))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter, though it may be empty.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter; `None` when it is absent or empty, which upstream does not tell apart.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether a parameter is there at all, with or without a value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// A boolean parameter as upstream reads it: absent, `0` and `false` are false, everything else is true.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }
}

/// Whether every `%` is followed by two hexadecimal digits. A semicolon separates nothing, and is not taken for a part.
fn is_sound(pair: &str) -> bool {
    let escapes = pair.split('%').skip(1).all(|rest| match rest.as_bytes() {
        [high, low, ..] => hex(*high).is_some() && hex(*low).is_some(),
        _ => false,
    });
    escapes && !pair.contains(';')
}

/// Decodes `%xx`; bytes that are no UTF-8 become U+FFFD.
#[must_use]
pub fn percent_decode(text: &str, plus: Plus) -> String {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        match (first, rest) {
            (b'+', _) if plus == Plus::Space => out.push(b' '),
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    bytes = tail;
                }
                _ => out.push(first),
            },
            _ => out.push(first),
        }
    }
    match String::from_utf8_lossy(&out) {
        Cow::Owned(text) => text,
        Cow::Borrowed(text) => text.to_owned(),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query =
            Query::parse("labelSelector=a%3Db%2Cc+in%20(d)&watch&container=x&container=y&bad=%zz&two;three=4&empty=");
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert!(query.flag("watch"));
        assert_eq!(query.all("container").collect::<Vec<_>>(), ["x", "y"]);
        assert!(!query.contains("bad") && !query.contains("two;three"));
        assert_eq!(query.get("empty"), None);
        assert!(query.contains("empty"));
    }
}
