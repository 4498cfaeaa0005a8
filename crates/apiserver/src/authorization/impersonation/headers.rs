//! Whom a client wants to act as, from the headers.

use std::collections::BTreeMap;

use api_types::StatusError;
use component::auth::User;
use http::{HeaderMap, HeaderName};

use crate::request::query::{Plus, percent_decode};

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
/// What is before the key of an extra.
const EXTRA: &str = "impersonate-extra-";

/// The user whom a client wants to be, as it says; `None` when it does not want to be anybody else. The headers are
/// taken out: nothing behind this must act on them.
///
/// # Errors
/// 400 when there is no user's name, or a value is no text.
pub fn wanted(headers: &mut HeaderMap) -> Result<Option<User>, StatusError> {
    let names: Vec<HeaderName> = headers.keys().filter(|name| impersonates(name)).cloned().collect();
    if names.is_empty() {
        return Ok(None);
    }
    let mut user = User {
        name: values(headers, &USER)?.into_iter().next().unwrap_or_default(),
        uid: values(headers, &UID)?.into_iter().next().unwrap_or_default(),
        groups: values(headers, &GROUP)?,
        extra: BTreeMap::new(),
    };
    for name in &names {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            let key = percent_decode(key, Plus::Literal);
            user.extra.entry(key).or_default().extend(values(headers, name)?);
        }
    }
    for name in &names {
        headers.remove(name);
    }
    if !user.name.is_empty() {
        return Ok(Some(user));
    }
    if user == User::default() {
        return Ok(None);
    }
    Err(StatusError::bad_request(format!("requested {} without impersonating a user name", go(&user))))
}

fn impersonates(name: &HeaderName) -> bool {
    [USER, UID, GROUP].contains(name) || name.as_str().starts_with(EXTRA)
}

fn values(headers: &HeaderMap, name: &HeaderName) -> Result<Vec<String>, StatusError> {
    let text = |value: &http::HeaderValue| std::str::from_utf8(value.as_bytes()).map(str::to_owned);
    let texts: Result<Vec<String>, _> = headers.get_all(name).iter().map(text).collect();
    texts.map_err(|_| StatusError::bad_request(format!("the value of the header {name} is not UTF-8")))
}

/// A user as Go shows one.
fn go(user: &User) -> String {
    let list = |texts: &[String]| {
        let quoted: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
        format!("[]string{{{}}}", quoted.join(", "))
    };
    let groups = if user.groups.is_empty() { "[]string(nil)".to_owned() } else { list(&user.groups) };
    let extra = if user.extra.is_empty() {
        "(nil)".to_owned()
    } else {
        let pairs: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key:?}:{}", list(values))).collect();
        format!("{{{}}}", pairs.join(", "))
    };
    let (name, uid) = (&user.name, &user.uid);
    format!("&user.DefaultInfo{{Name:{name:?}, UID:{uid:?}, Groups:{groups}, Extra:map[string][]string{extra}}}")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(pairs: &[(&str, &[u8])]) -> Result<Option<User>, String> {
        let mut headers: HeaderMap = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let found = wanted(&mut headers).map_err(|error| error.to_string());
        assert!(found.is_err() || !headers.keys().any(impersonates), "nothing is left for others");
        found
    }

    #[test]
    fn headers_name_a_user() {
        assert_eq!(parse(&[("accept", b"*/*")]), Ok(None));
        assert_eq!(parse(&[("impersonate-user", b"")]), Ok(None));
        let user = parse(&[
            ("Impersonate-User", b"j\xc3\xbcrg"),
            ("Impersonate-Uid", b"7"),
            ("Impersonate-Group", b"a,b"),
            ("Impersonate-Group", b"c"),
            ("Impersonate-Extra-Example.com%2FScopes", b"x"),
            ("Impersonate-Extra-example.com%2fscopes", b"y"),
        ]);
        let user = user.unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jürg", "7"));
        assert_eq!(user.groups, ["a,b", "c"]);
        let keys: Vec<&String> = user.extra.keys().collect();
        assert_eq!(keys, ["example.com/scopes"]);
        let mut values = user.extra["example.com/scopes"].clone();
        values.sort();
        assert_eq!(values, ["x", "y"]);
    }

    #[test]
    fn nobody_is_only_a_group() {
        assert_eq!(
            parse(&[("impersonate-group", b"g")]).unwrap_err(),
            r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} without impersonating a user name"#
        );
        assert_eq!(
            parse(&[("impersonate-extra-k", b"v"), ("impersonate-uid", b"u")]).unwrap_err(),
            r#"requested &user.DefaultInfo{Name:"", UID:"u", Groups:[]string(nil), Extra:map[string][]string{"k":[]string{"v"}}} without impersonating a user name"#
        );
        assert!(parse(&[("impersonate-user", b"\xff")]).unwrap_err().contains("not UTF-8"));
    }
}
