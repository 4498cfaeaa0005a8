//! Versions.

use std::{any::Any, cmp::Ordering};

use semver::Version;

use super::{Call, Library, Row, no_overload};
use crate::{
    types::Type,
    value::{Error, Opaque, Value},
};

const COMPARED: &[&str] = &["kubernetes.Semver.(kubernetes.Semver) -> bool"];
const PART: &[&str] = &["kubernetes.Semver.() -> int"];

/// Kubernetes' functions on versions.
pub const SEMVER: Library = Library(&[
    Row {
        name: "semver",
        function: read,
        declarations: &["(string) -> kubernetes.Semver", "(string, bool) -> kubernetes.Semver"],
    },
    Row { name: "isSemver", function: is_version, declarations: &["(string) -> bool", "(string, bool) -> bool"] },
    Row { name: "isGreaterThan", function: compared, declarations: COMPARED },
    Row { name: "isLessThan", function: compared, declarations: COMPARED },
    Row { name: "compareTo", function: compared, declarations: &["kubernetes.Semver.(kubernetes.Semver) -> int"] },
    Row { name: "major", function: part, declarations: PART },
    Row { name: "minor", function: part, declarations: PART },
    Row { name: "patch", function: part, declarations: PART },
]);

#[derive(Debug)]
struct Semver(Version);

impl Opaque for Semver {
    fn value_type(&self) -> Type {
        Type::Opaque("kubernetes.Semver".into(), Vec::new())
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self.0.cmp_precedence(&other.0) == Ordering::Equal)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Value<'_> {
    /// A version.
    ///
    /// # Errors
    /// When the text is none.
    pub fn version(text: &str) -> Result<Self, Error> {
        parse(text, false).map(|version| Self::opaque(Semver(version)))
    }
}

fn parse(text: &str, normalized: bool) -> Result<Version, Error> {
    let text = if normalized { normalize(text) } else { text.to_owned() };
    Version::parse(&text).map_err(|error| Error::new(format!("Invalid semantic version: {error}")))
}

/// Without `v` in front and zeros that say nothing, and with three numbers.
fn normalize(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (numbers, rest) = text.split_at(text.find(['-', '+']).unwrap_or(text.len()));
    let mut parts: Vec<String> = numbers
        .splitn(3, '.')
        .map(|part| {
            let trimmed = part.trim_start_matches('0');
            if trimmed.is_empty() && !part.is_empty() { "0".to_owned() } else { trimmed.to_owned() }
        })
        .collect();
    if rest.is_empty() {
        parts.resize(3, "0".to_owned());
    }
    parts.join(".") + rest
}

fn of(args: &[Value<'_>]) -> Result<Version, Error> {
    match args {
        [Value::String(text)] => parse(text, false),
        [Value::String(text), Value::Bool(normalized)] => parse(text, *normalized),
        _ => Err(Error::no_overload()),
    }
}

fn read<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    of(args).map(|version| Value::opaque(Semver(version)))
}

fn is_version<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match of(args) {
        Err(error) if error.is_no_overload() => Err(error),
        found => Ok(Value::Bool(found.is_ok())),
    }
}

fn compared<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [one, two] = args else { return no_overload() };
    let (Some(one), Some(two)) = (one.downcast::<Semver>(), two.downcast::<Semver>()) else { return no_overload() };
    let order = one.0.cmp_precedence(&two.0);
    Ok(match call.name {
        "isGreaterThan" => Value::Bool(order == Ordering::Greater),
        "isLessThan" => Value::Bool(order == Ordering::Less),
        _ => Value::Int(order as i64),
    })
}

fn part<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let Some(version) = args.first().and_then(Value::downcast::<Semver>) else { return no_overload() };
    let number = match call.name {
        "major" => version.0.major,
        "minor" => version.0.minor,
        _ => version.0.patch,
    };
    Ok(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)))
}
