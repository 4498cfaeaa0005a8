//! A proxy in front of this server that says for whom it asks: it shows a certificate of an authority of its own, and
//! names the user in headers.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{bail, ensure};
use component::{
    auth::{Authenticator, Found, Presented, User},
    files::FromFiles,
    serve::tls::ClientAuthority,
};
use futures::future::BoxFuture;
use http::HeaderMap;

/// In which headers users are named. Names and prefixes are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// The name: the first of these that is there.
    pub user: Vec<String>,
    /// The uid: the first of these that is there.
    pub uid: Vec<String>,
    /// Groups: all of these.
    pub groups: Vec<String>,
    /// What else is known: headers that begin like this.
    pub extra: Vec<String>,
}

impl Headers {
    /// Those that proxies use when nobody says otherwise.
    #[must_use]
    pub fn usual() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            user: one("x-remote-user"),
            uid: one("x-remote-uid"),
            groups: one("x-remote-group"),
            extra: one("x-remote-extra-"),
        }
    }

    /// Takes the headers away: who is asked next must not believe them.
    pub fn remove(&self, headers: &mut HeaderMap) {
        for name in self.user.iter().chain(&self.uid).chain(&self.groups) {
            headers.remove(name);
        }
        let extra = headers.keys().filter(|name| self.extra.iter().any(|prefix| name.as_str().starts_with(prefix)));
        for name in extra.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
    }

    /// Who is named, if anybody is.
    #[must_use]
    pub fn user(&self, headers: &HeaderMap) -> Option<User> {
        let first = |names: &[String]| names.iter().find_map(|name| all(headers, name).find(|value| !value.is_empty()));
        let name = first(&self.user)?;
        let groups = self.groups.iter().flat_map(|name| all(headers, name)).filter(|group| !group.is_empty());
        let mut user = User::authenticated(name, first(&self.uid).unwrap_or_default(), groups.collect());
        user.extra = self.extra(headers);
        Some(user)
    }

    fn extra(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extra = BTreeMap::<String, Vec<String>>::new();
        for prefix in &self.extra {
            for (name, value) in headers {
                let Some(key) = name.as_str().strip_prefix(prefix.as_str()) else { continue };
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                extra.entry(unescaped(key)).or_default().push(value);
            }
        }
        extra
    }
}

fn all<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = String> + 'a {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// A key as it was before it became a part of a header's name; as it is when it is not escaped properly.
fn unescaped(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((byte, more)) = rest.split_first() {
        rest = more;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = more.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(escaped) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return key.to_owned();
        };
        bytes.push(escaped);
        rest = &more[2..];
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

/// Believes proxies.
pub struct FrontProxy {
    /// Who signs proxies' certificates.
    pub authority: Arc<FromFiles<ClientAuthority>>,
    /// Which of them are proxies; all when none is named.
    pub allowed: Vec<String>,
    /// Where they name users.
    pub headers: Headers,
}

impl FrontProxy {
    fn find(&self, presented: Presented<'_>) -> anyhow::Result<Option<User>> {
        let Some(peer) = presented.peer.filter(|peer| !peer.certificates.is_empty()) else { return Ok(None) };
        // Whoever names nobody is no proxy now; that need not be an error in the log of every request.
        let Some(user) = self.headers.user(presented.headers) else { return Ok(None) };
        let Some(subject) = self.authority.get().verify(peer)? else { bail!("no certificate") };
        let name = &subject.common_name;
        ensure!(
            self.allowed.is_empty() || self.allowed.contains(name),
            "x509: subject with cn={name} is not in the allowed list"
        );
        Ok(Some(user))
    }
}

impl Authenticator for FrontProxy {
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found> {
        Box::pin(std::future::ready(self.find(presented).map(|user| user.map(Into::into))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_in_headers() {
        let mut headers = HeaderMap::new();
        let lines = [
            ("x-remote-user", "ann"),
            ("x-remote-group", "ops"),
            ("x-remote-group", "dev"),
            ("x-remote-extra-acme.com%2fproject", "p"),
            ("x-remote-extra-acme.com%2fproject", "q"),
            ("x-remote-extra-%zz", "r"),
            ("accept", "x"),
        ];
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        let user = Headers::usual().user(&headers).unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("ann", ""));
        assert_eq!(user.groups, ["ops", "dev", "system:authenticated"]);
        assert_eq!(user.extra["acme.com/project"], ["p", "q"]);
        assert_eq!(user.extra["%zz"], ["r"]);
        let other = Headers { user: vec!["x-user".into()], ..Headers::default() };
        assert_eq!(other.user(&headers), None);
        Headers::usual().remove(&mut headers);
        assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }
}
