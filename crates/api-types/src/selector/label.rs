//! Label selectors: `app=web,tier!=db,env in (a,b),!legacy`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use super::Labels;
use crate::{
    field::{FieldError, Path},
    meta,
    validation::names,
};

/// Why a selector is not one; the text is upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text does not follow the grammar.
    #[error("{0}")]
    Syntax(String),
    /// One requirement makes no sense in itself.
    #[error("unable to parse requirement: {0}")]
    Requirement(String),
    /// A `LabelSelector`'s operator is none of In, NotIn, Exists, DoesNotExist.
    #[error("{0:?} is not a valid label selector operator")]
    Operator(String),
    /// A `LabelSelector`'s key or value is malformed.
    #[error("{0}")]
    Invalid(String),
}

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `key=value`.
    Equals,
    /// `key==value`; means the same, printed as it was written.
    DoubleEquals,
    /// `key!=value`, or no such label.
    NotEquals,
    /// `key in (a,b)`.
    In,
    /// `key notin (a,b)`, or no such label.
    NotIn,
    /// `key`.
    Exists,
    /// `!key`.
    DoesNotExist,
    /// `key>5`, numerically.
    GreaterThan,
    /// `key<5`, numerically.
    LessThan,
}

impl Operator {
    const fn infix(self) -> &'static str {
        match self {
            Self::Equals => "=",
            Self::DoubleEquals => "==",
            Self::NotEquals => "!=",
            Self::In => " in ",
            Self::NotIn => " notin ",
            Self::GreaterThan => ">",
            Self::LessThan => "<",
            Self::Exists | Self::DoesNotExist => "",
        }
    }
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted, without repetition.
    values: Vec<String>,
}

impl Requirement {
    /// A requirement whose key and values have been checked.
    ///
    /// # Errors
    /// Upstream's message when the key, a value or the number of values is wrong.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, String> {
        let mut errors = Vec::new();
        let (key_path, values_path) = (Path::new("key"), Path::new("values"));
        let key_errors = names::qualified_name(key);
        if !key_errors.is_empty() {
            errors.push(FieldError::invalid(&key_path, key, key_errors.join("; ")));
        }
        if let Some(detail) = wrong_count(operator, values.len()) {
            errors.push(FieldError::invalid(&values_path, values.clone(), detail));
        }
        for (i, value) in values.iter().enumerate() {
            let path = values_path.index(i);
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(FieldError::invalid(&path, value.as_str(), detail));
            }
            let value_errors = names::label_value(value);
            if !value_errors.is_empty() {
                errors.push(FieldError::invalid(&path.key(key), value.as_str(), value_errors.join("; ")));
            }
        }
        match crate::field::aggregate(&errors) {
            None => Ok(Self::trusted(key, operator, values)),
            Some(message) => Err(message),
        }
    }

    fn trusted(key: &str, operator: Operator, mut values: Vec<String>) -> Self {
        values.sort_unstable();
        values.dedup();
        Self { key: key.to_owned(), operator, values }
    }

    /// The label's key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is asked of it.
    #[must_use]
    pub const fn operator(&self) -> Operator {
        self.operator
    }

    /// Sorted, without repetition.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    fn has(&self, value: &str) -> bool {
        self.values.iter().any(|own| own == value)
    }

    /// Whether `labels` meet the requirement.
    #[must_use]
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        let value = labels.value(&self.key);
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => value.is_some_and(|v| self.has(v)),
            Operator::NotEquals | Operator::NotIn => value.is_none_or(|v| !self.has(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compared(value).is_some_and(|(label, bound)| label > bound),
            Operator::LessThan => self.compared(value).is_some_and(|(label, bound)| label < bound),
        }
    }

    fn compared(&self, value: Option<&str>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::In | Operator::NotIn => write!(f, "{key}{}({values})", self.operator.infix()),
            _ => write!(f, "{key}{}{values}", self.operator.infix()),
        }
    }
}

fn wrong_count(operator: Operator, count: usize) -> Option<&'static str> {
    match operator {
        Operator::In | Operator::NotIn if count == 0 => Some("for 'in', 'notin' operators, values set can't be empty"),
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if count != 1 => {
            Some("exact-match compatibility requires one single value")
        }
        Operator::Exists | Operator::DoesNotExist if count != 0 => {
            Some("values set must be empty for exists and does not exist")
        }
        Operator::GreaterThan | Operator::LessThan if count != 1 => {
            Some("for 'Gt', 'Lt' operators, exactly one value is required")
        }
        _ => None,
    }
}

/// Requirements that must all be met. Parse it with [`str::parse`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Sorted by key.
    requirements: Vec<Requirement>,
    /// Selects nothing at all, as an absent `LabelSelector` does.
    none: bool,
}

impl Selector {
    /// Selects every object.
    #[must_use]
    pub const fn everything() -> Self {
        Self { requirements: Vec::new(), none: false }
    }

    /// Selects no object.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { requirements: Vec::new(), none: true }
    }

    /// Selects objects that have all of these labels (a service's or a replication controller's
    /// `spec.selector`). Nothing is validated.
    #[must_use]
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Self {
        let equals =
            |(key, value): (&String, &String)| Requirement::trusted(key, Operator::Equals, vec![value.clone()]);
        Self { requirements: labels.iter().map(equals).collect(), none: false }
    }

    /// The meaning of a `LabelSelector`: empty selects everything, absent nothing.
    ///
    /// # Errors
    /// When an operator is unknown, or a key or value malformed.
    pub fn from_label_selector(selector: Option<&meta::LabelSelector>) -> Result<Self, Error> {
        let Some(selector) = selector else { return Ok(Self::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, vec![value.clone()]).map_err(Error::Invalid)?);
        }
        for expression in selector.match_expressions.iter().flatten() {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(Error::Operator(other.to_owned())),
            };
            let values = expression.values.clone().unwrap_or_default();
            requirements.push(Requirement::new(&expression.key, operator, values).map_err(Error::Invalid)?);
        }
        Ok(Self::all(requirements))
    }

    /// All of these requirements.
    #[must_use]
    pub fn all(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, none: false }
    }

    /// Whether every object is selected.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        !self.none && self.requirements.is_empty()
    }

    /// The requirements, sorted by key. Empty when everything or nothing is selected.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        !self.none && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Parser { rest: text }.selector().map(Self::all)
    }
}

/// A word of the grammar, with its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    End,
    Word(&'a str),
    /// Any run of `=!()<>,` that means something; and runs that mean nothing.
    Symbol(&'a str),
}

impl<'a> Token<'a> {
    const fn text(self) -> &'a str {
        match self {
            Token::End => "",
            Token::Word(text) | Token::Symbol(text) => text,
        }
    }

    /// Whether a requirement can start here.
    fn starts_requirement(self) -> bool {
        matches!(self, Token::Word(_) | Token::Symbol("!"))
    }

    fn operator(self) -> Option<Operator> {
        Some(match self {
            Token::Word("in") => Operator::In,
            Token::Word("notin") => Operator::NotIn,
            Token::Symbol("=") => Operator::Equals,
            Token::Symbol("==") => Operator::DoubleEquals,
            Token::Symbol("!=") => Operator::NotEquals,
            Token::Symbol(">") => Operator::GreaterThan,
            Token::Symbol("<") => Operator::LessThan,
            _ => return None,
        })
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn split(&self) -> (Token<'a>, &'a str) {
        const SYMBOLS: &str = "=!(),><";
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let cut = |length: usize| rest.split_at(length);
        match rest.as_bytes() {
            [] => (Token::End, ""),
            [b'=' | b'!', b'=', ..] => (Token::Symbol(cut(2).0), cut(2).1),
            [first, ..] if SYMBOLS.as_bytes().contains(first) => (Token::Symbol(cut(1).0), cut(1).1),
            _ => {
                let end = |c: char| SYMBOLS.contains(c) || matches!(c, ' ' | '\t' | '\r' | '\n');
                let (word, rest) = cut(rest.find(end).unwrap_or(rest.len()));
                (Token::Word(word), rest)
            }
        }
    }

    fn peek(&self) -> Token<'a> {
        self.split().0
    }

    fn next(&mut self) -> Token<'a> {
        let (token, rest) = self.split();
        self.rest = rest;
        token
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, Error> {
        let syntax = |found: Token<'_>, expected: &str| {
            Err(Error::Syntax(format!("found '{}', expected: {expected}", found.text())))
        };
        let mut requirements = Vec::new();
        match self.peek() {
            Token::End => return Ok(requirements),
            token if !token.starts_requirement() => return syntax(token, "!, identifier, or 'end of string'"),
            _ => {}
        }
        loop {
            requirements.push(self.requirement().map_err(Error::Requirement)?);
            match self.next() {
                Token::End => return Ok(requirements),
                Token::Symbol(",") => match self.peek() {
                    token if token.starts_requirement() => {}
                    token => return syntax(token, "identifier after ','"),
                },
                token => return syntax(token, "',' or 'end of string'"),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (negated, token) = match self.next() {
            Token::Symbol("!") => (true, self.next()),
            token => (false, token),
        };
        let Token::Word(key) = token else { return Err(expected(token, "identifier")) };
        let key_errors = names::qualified_name(key);
        if !key_errors.is_empty() {
            return Err(FieldError::invalid(&Path::new("<nil>"), key, key_errors.join("; ")).to_string());
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            let operator = if negated { Operator::DoesNotExist } else { Operator::Exists };
            return Requirement::new(key, operator, Vec::new());
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        let token = self.next();
        let operator = token.operator().ok_or_else(|| expected(token, "in, notin, =, ==, !=, gt, lt"))?;
        let mut values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        values.sort_unstable();
        values.dedup();
        Requirement::new(key, operator, values)
    }

    /// `(a,b)`; an empty place between commas is the empty value.
    fn values(&mut self) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Symbol("(") => {}
            token => return Err(format!("found '{}' expected: '('", token.text())),
        }
        let mut values = Vec::new();
        loop {
            let value = match self.peek() {
                Token::Word(word) => {
                    self.next();
                    word
                }
                Token::Symbol("," | ")") => "",
                token if values.is_empty() => return Err(expected(token, "',', ')' or identifier")),
                token => return Err(expected(token, "',', or identifier")),
            };
            values.push(value.to_owned());
            match self.next() {
                Token::Symbol(",") => {}
                Token::Symbol(")") => return Ok(values),
                token => return Err(expected(token, "',' or ')'")),
            }
        }
    }

    fn exact_value(&mut self) -> Result<String, String> {
        match self.peek() {
            Token::End | Token::Symbol(",") => Ok(String::new()),
            Token::Word(word) => {
                self.next();
                Ok(word.to_owned())
            }
            token => Err(expected(token, "identifier")),
        }
    }
}

fn expected(found: Token<'_>, what: &str) -> String {
    format!("found '{}', expected: {what}", found.text())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selectors_print_in_normal_form() {
        let cases = [
            ("", ""),
            ("a", "a"),
            ("!a", "!a"),
            ("b=1, a==2", "a==2,b=1"),
            ("x in (b,a,a)", "x in (a,b)"),
            ("x in ()", "x in ()"),
            ("x in (a,)", "x in (,a)"),
            ("x notin (,)", "x notin ()"),
            ("a=,b", "a=,b"),
            ("n>5,m<3", "m<3,n>5"),
            ("in in (in,notin)", "in in (in,notin)"),
        ];
        for (text, normal) in cases {
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), normal, "{text}");
        }
    }

    #[test]
    fn labels_are_matched() {
        let labels = [("app", "web"), ("tier", "front"), ("n", "7")];
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app=db", false),
            ("gone!=x", true),
            ("app in (db,web)", true),
            ("app notin (db,web)", false),
            ("gone notin (a)", true),
            ("app", true),
            ("!app", false),
            ("!gone", true),
            ("n>6", true),
            ("n<7", false),
            ("app>6", false),
            ("gone=", false),
        ];
        for (text, expected) in cases {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.matches(&labels[..]), expected, "{text}");
            let map: BTreeMap<String, String> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            assert_eq!(selector.matches(&map), expected, "{text}");
        }
    }

    #[test]
    fn errors_are_upstreams() {
        let cases = [
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
            ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("a==!", "unable to parse requirement: found '!', expected: identifier"),
            (
                "n>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(text.parse::<Selector>().unwrap_err().to_string(), message, "{text}");
        }
        let malformed = "-a=b".parse::<Selector>().unwrap_err().to_string();
        assert!(
            malformed
                .starts_with("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of")
        );
    }

    #[test]
    fn a_label_selector_means_the_same() {
        let expression = |operator: &str, values: &[&str]| meta::LabelSelectorRequirement {
            key: "tier".into(),
            operator: operator.into(),
            values: Some(values.iter().map(|v| (*v).into()).collect()),
        };
        let selector = |expressions| meta::LabelSelector {
            match_labels: Some([("app".to_owned(), "web".to_owned())].into()),
            match_expressions: Some(expressions),
        };
        let parse = |selector: &meta::LabelSelector| Selector::from_label_selector(Some(selector));
        assert_eq!(parse(&selector(vec![expression("In", &["b", "a"])])).unwrap().to_string(), "app=web,tier in (a,b)");
        let error = parse(&selector(vec![expression("Is", &["b"])])).unwrap_err();
        assert_eq!(error.to_string(), "\"Is\" is not a valid label selector operator");
        assert!(parse(&meta::LabelSelector::default()).unwrap().is_everything());
        assert!(!Selector::from_label_selector(None).unwrap().matches(&[("a", "b")][..]));
    }

    proptest! {
        #[test]
        fn what_is_a_selector_prints_as_itself(text in "[ab!=<>(), .in/0-9-]{0,24}") {
            if let Ok(selector) = text.parse::<Selector>() {
                let printed = selector.to_string();
                prop_assert_eq!(printed.parse::<Selector>().map(|selector| selector.to_string()), Ok(printed));
            }
        }

        #[test]
        fn nothing_panics(text in ".{0,64}") {
            let _ = text.parse::<Selector>();
        }
    }
}
