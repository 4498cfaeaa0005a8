//! Field selectors: `spec.nodeName=a,status.phase!=Running`.

use std::{fmt, str::FromStr};

use crate::{object::SelectableField, resource::Scope};

/// Why a field selector is refused; the text is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A term has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Syntax {
        /// The whole text.
        selector: String,
        /// The part without an operator.
        term: String,
    },
    /// A backslash before something that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A comma or equals sign within a value, without a backslash.
    #[error("invalid field selector: unescaped character in value: {}", *.0 as u32)]
    Unescaped(char),
    /// The kind has selectable fields, but not this one.
    #[error("field label not supported: {0}")]
    NotSupported(String),
    /// The kind can be selected by name and namespace only.
    #[error("{0:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")]
    Unknown(String),
}

/// Whether the field must have the value or must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=` or `==`.
    Equals,
    /// `!=`.
    NotEquals,
}

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Path, such as `spec.nodeName`.
    pub field: String,
    /// Equal or not.
    pub operator: Operator,
    /// The value, without escapes.
    pub value: String,
}

/// Terms that must all hold. Parse it with [`str::parse`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    terms: Vec<Term>,
}

impl Selector {
    /// The terms, sorted as text.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether every object is selected.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether an object is selected whose fields `value_of` tells; an absent field is "".
    pub fn matches<'a>(&self, mut value_of: impl FnMut(&str) -> &'a str) -> bool {
        self.terms.iter().all(|term| (value_of(&term.field) == term.value) == (term.operator == Operator::Equals))
    }

    /// The one value that `field` must have, if the selector demands one.
    #[must_use]
    pub fn required(&self, field: &str) -> Option<&str> {
        let term = self.terms.iter().find(|term| term.field == field && term.operator == Operator::Equals)?;
        Some(&term.value)
    }

    /// Refuses fields by which the kind cannot be selected.
    ///
    /// # Errors
    /// [`Error::NotSupported`], or [`Error::Unknown`] for a kind without fields of its own.
    pub fn check(&self, selectable: &[SelectableField], scope: Scope) -> Result<(), Error> {
        let common = |field: &str| match field {
            "metadata.name" => true,
            "metadata.namespace" => scope == Scope::Namespaced || selectable.is_empty(),
            _ => false,
        };
        let known = |term: &&Term| common(&term.field) || selectable.iter().any(|own| own.path == term.field);
        match self.terms.iter().find(|term| !known(term)) {
            None => Ok(()),
            Some(term) if selectable.is_empty() => Err(Error::Unknown(term.field.clone())),
            Some(term) => Err(Error::NotSupported(term.field.clone())),
        }
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = split_unescaped(text);
        parts.sort_unstable();
        let parse = |part: &str| {
            term(part).unwrap_or_else(|| Err(Error::Syntax { selector: text.to_owned(), term: part.to_owned() }))
        };
        let terms = parts.into_iter().filter(|part| !part.is_empty()).map(parse).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.terms.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let operator = if term.operator == Operator::Equals { "=" } else { "!=" };
            write!(f, "{comma}{}{operator}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

/// `value` as it must be written in a selector.
#[must_use]
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Splits at commas that no backslash precedes.
fn split_unescaped(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The term in `part`, `None` when it has no operator.
fn term(part: &str) -> Option<Result<Term, Error>> {
    let mut escaped = false;
    for (i, byte) in part.bytes().enumerate() {
        if escaped {
            escaped = false;
            continue;
        }
        escaped = byte == b'\\';
        let rest = &part.as_bytes()[i..];
        let operators = [("!=", Operator::NotEquals), ("==", Operator::Equals), ("=", Operator::Equals)];
        if let Some((text, operator)) = operators.iter().find(|(text, _)| rest.starts_with(text.as_bytes())) {
            let value = unescape(&part[i + text.len()..]);
            return Some(value.map(|value| Term { field: part[..i].to_owned(), operator: *operator, value }));
        }
    }
    None
}

fn unescape(text: &str) -> Result<String, Error> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => value.push(escaped),
                Some(other) => return Err(Error::Escape(format!("\\{other}"))),
                None => return Err(Error::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(Error::Unescaped(c)),
            _ => value.push(c),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selectors_round_trip() {
        let cases = [
            ("", ""),
            ("spec.nodeName=a", "spec.nodeName=a"),
            ("b!=1,a==2,", "a=2,b!=1"),
            (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
            ("a=", "a="),
            ("a=é", "a=é"),
        ];
        for (text, normal) in cases {
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), normal, "{text}");
        }
    }

    #[test]
    fn fields_are_matched() {
        let fields = |field: &str| if field == "status.phase" { "Running" } else { "" };
        let cases = [
            ("", true),
            ("status.phase=Running", true),
            ("status.phase!=Running", false),
            ("spec.nodeName=", true),
            ("spec.nodeName!=,status.phase=Running", false),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Selector>().unwrap().matches(fields), expected, "{text}");
        }
        let selector: Selector = "metadata.name=a,status.phase!=b".parse().unwrap();
        assert_eq!((selector.required("metadata.name"), selector.required("status.phase")), (Some("a"), None));
    }

    #[test]
    fn errors_are_upstreams() {
        let cases = [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            (r"a=\b", r"invalid field selector: invalid escape sequence: \b"),
            (r"a=b\", r"invalid field selector: invalid escape sequence: \"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ];
        for (text, message) in cases {
            assert_eq!(text.parse::<Selector>().unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn only_selectable_fields_are_accepted() {
        const FIELDS: &[SelectableField] = &[SelectableField::text("status.phase")];
        let check = |text: &str, fields: &[SelectableField], scope| {
            text.parse::<Selector>().unwrap().check(fields, scope).map_err(|error| error.to_string())
        };
        assert_eq!(check("status.phase=a,metadata.namespace=b", FIELDS, Scope::Namespaced), Ok(()));
        assert_eq!(
            check("metadata.namespace=b", FIELDS, Scope::Cluster),
            Err("field label not supported: metadata.namespace".to_owned())
        );
        assert_eq!(
            check("spec.x=b", &[], Scope::Namespaced),
            Err(r#""spec.x" is not a known field selector: only "metadata.name", "metadata.namespace""#.to_owned())
        );
    }

    proptest! {
        #[test]
        fn what_is_a_selector_prints_as_itself(text in r"[ab.!=,\\]{0,24}") {
            // Terms are in the order of what was written, which is not that of what is printed.
            let sorted = |selector: Selector| {
                let mut terms = selector.terms;
                terms.sort_by_key(|term| format!("{term:?}"));
                terms
            };
            if let Ok(selector) = text.parse::<Selector>() {
                let printed = selector.to_string();
                prop_assert_eq!(printed.parse::<Selector>().map(sorted), Ok(sorted(selector)));
            }
        }

        #[test]
        fn nothing_panics(text in ".{0,64}") {
            let _ = text.parse::<Selector>();
        }
    }
}
