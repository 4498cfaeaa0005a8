//! URLs, read as Go's `url.ParseRequestURI` does.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use super::{Call, Library, Row, no_overload};
use crate::{
    types::Type,
    value::{Error, Key, Map, Opaque, Text, Value},
};

const PART: &[&str] = &["kubernetes.URL.() -> string"];

/// Kubernetes' functions on URLs.
pub const URL: Library = Library(&[
    Row { name: "url", function: read, declarations: &["(string) -> kubernetes.URL"] },
    Row { name: "isURL", function: is_url, declarations: &["(string) -> bool"] },
    Row { name: "getScheme", function: part, declarations: PART },
    Row { name: "getHost", function: part, declarations: PART },
    Row { name: "getHostname", function: part, declarations: PART },
    Row { name: "getPort", function: part, declarations: PART },
    Row { name: "getEscapedPath", function: part, declarations: PART },
    Row { name: "getQuery", function: query, declarations: &["kubernetes.URL.() -> map(string, list(string))"] },
]);

#[derive(Debug, PartialEq)]
struct Url {
    scheme: String,
    /// With the port.
    host: String,
    path: String,
    query: String,
}

impl Opaque for Url {
    fn value_type(&self) -> Type {
        Type::Opaque("kubernetes.URL".into(), Vec::new())
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn parse(text: &str) -> Result<Url, Error> {
    let wrong = |why: &str| Error::new(format!("URL parse error during conversion from string: parse {text:?}: {why}"));
    if text.is_empty() {
        return Err(wrong("empty url"));
    }
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(wrong("net/url: invalid control character in URL"));
    }
    let (scheme, rest) = scheme(text).ok_or_else(|| wrong("first path segment in URL cannot contain colon"))?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !rest.starts_with('/') {
        return Err(wrong("invalid URI for request"));
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(after) if !scheme.is_empty() || !rest.starts_with("///") => {
            after.split_at(after.find('/').unwrap_or(after.len()))
        }
        _ => ("", rest),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if !host_is_sound(host) {
        return Err(wrong("invalid character or port in host name"));
    }
    if !escapes_are_sound(path) {
        return Err(wrong("invalid URL escape"));
    }
    Ok(Url { scheme: scheme.to_ascii_lowercase(), host: host.to_owned(), path: escaped(path), query: query.to_owned() })
}

/// What is in front of the colon, if that is a scheme.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let inside = |c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c);
    match text.find(inside) {
        Some(0) if text.starts_with(':') => None,
        Some(end) if end > 0 && text[end..].starts_with(':') && text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            Some((&text[..end], &text[end + 1..]))
        }
        _ => Some(("", text)),
    }
}

fn host_is_sound(host: &str) -> bool {
    let port = match host.rfind(']') {
        Some(bracket) if host.starts_with('[') => &host[bracket + 1..],
        None if !host.starts_with('[') => host.find(':').map_or("", |colon| &host[colon..]),
        _ => return false,
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let numeric = (port.is_empty() || port.starts_with(':')) && digits.bytes().all(|byte| byte.is_ascii_digit());
    numeric && !host.contains([' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}']) && escapes_are_sound(host)
}

fn escapes_are_sound(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|after| after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// A path as it is sent: what may not be in one is escaped.
fn escaped(path: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte);
    let mut result = String::with_capacity(path.len());
    for byte in path.bytes() {
        if allowed(byte) { result.push(char::from(byte)) } else { result.push_str(&format!("%{byte:02X}")) }
    }
    result
}

impl Url {
    fn hostname(&self) -> &str {
        match self.host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((address, _)) => address,
            None => self.host.split_once(':').map_or(&*self.host, |(name, _)| name),
        }
    }

    fn port(&self) -> &str {
        let after = self.host.rfind(']').map_or(&*self.host, |bracket| &self.host[bracket..]);
        after.split_once(':').map_or("", |(_, port)| port)
    }
}

fn read<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => {
            call.meter.work(3 * text.len() as u64)?;
            parse(text).map(Value::opaque)
        }
        _ => no_overload(),
    }
}

fn is_url<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(parse(text).is_ok())),
        _ => no_overload(),
    }
}

fn part<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let Some(url) = args.first().and_then(Value::downcast::<Url>) else { return no_overload() };
    Ok(Value::string(match call.name {
        "getScheme" => &url.scheme,
        "getHost" => &url.host,
        "getHostname" => url.hostname(),
        "getPort" => url.port(),
        _ => &*url.path,
    }))
}

fn query<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let Some(url) = args.first().and_then(Value::downcast::<Url>) else { return no_overload() };
    call.meter.work(4 * url.query.len() as u64)?;
    let mut values: BTreeMap<Key<'a>, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        // What cannot be understood is passed over, as in Go.
        let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) else { continue };
        values.entry(Key::String(Text::Shared(key.into()))).or_default().push(Value::string(value));
    }
    let values = values.into_iter().map(|(key, values)| (key, Value::list(values))).collect();
    Ok(Value::Map(Map::Values(Arc::new(values))))
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digits = std::str::from_utf8(after.get(..2)?).ok()?;
                rest = &after[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            other => *other,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
