//! Who asks, told to another server in headers that it believes from this one.

use component::auth::User;
use http::{HeaderMap, HeaderName, HeaderValue};

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-extra-";

/// Names a user. What a client has sent of these headers has been taken away before.
///
/// # Errors
/// When a name cannot stand in a header: who is not named in full is somebody else.
pub fn name(user: &User, headers: &mut HeaderMap) -> Result<(), http::Error> {
    headers.insert(USER, value(&user.name)?);
    if !user.uid.is_empty() {
        headers.insert(UID, value(&user.uid)?);
    }
    for group in &user.groups {
        headers.append(GROUP, value(group)?);
    }
    for (key, values) in &user.extra {
        let name = HeaderName::try_from(format!("{EXTRA}{}", escaped(key)))?;
        for text in values {
            headers.append(&name, value(text)?);
        }
    }
    Ok(())
}

fn value(text: &str) -> Result<HeaderValue, http::Error> {
    Ok(HeaderValue::from_bytes(text.as_bytes())?)
}

/// A key as a part of a header's name.
fn escaped(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'!' | b'#' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authentication::front_proxy::Headers;

    #[test]
    fn who_is_named_is_understood() {
        let user =
            User::authenticated("j\u{e4}ne", "7", vec!["a".into(), "b, c".into()]).with_extra("acme.com/x%y", "1, 2");
        let mut headers = HeaderMap::new();
        name(&user, &mut headers).unwrap();
        assert!(headers.contains_key("x-remote-extra-acme.com%2fx%25y"), "{headers:?}");
        assert_eq!(Headers::usual().user(&headers), Some(user));
        for wrong in [User::authenticated("a\nb", "", Vec::new()), User::authenticated("a", "", vec!["\0".into()])] {
            assert!(name(&wrong, &mut HeaderMap::new()).is_err());
        }
    }
}
