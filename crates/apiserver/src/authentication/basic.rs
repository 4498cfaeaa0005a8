//! User names and passwords, as upstream's servers took them before 1.19.

use std::{collections::HashMap, sync::Arc};

use anyhow::{bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use component::{
    auth::{Authenticator, Found, Presented, User},
    files::FromFiles,
};
use futures::future::BoxFuture;
use http::{HeaderMap, header};

use super::{constant_time::same, token_file::csv_columns};

/// Passwords and users by name.
pub type Passwords = HashMap<String, (String, User)>;

/// Reads lines of `password,user,uid,"group1,group2"`.
///
/// # Errors
/// When a line has fewer than three columns.
pub fn parse(text: &str) -> anyhow::Result<Passwords> {
    let mut passwords = Passwords::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let columns = csv_columns(line);
        let [password, name, uid, groups @ ..] = columns.as_slice() else {
            bail!("line {}: expected at least 3 columns (password, user name, user uid)", index + 1);
        };
        ensure!(!name.is_empty() && !password.is_empty(), "line {}: an empty user name or password", index + 1);
        let groups = groups.first().map(String::as_str).unwrap_or_default();
        let groups = groups.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned);
        passwords.insert(name.clone(), (password.clone(), User::authenticated(name, uid, groups.collect())));
    }
    Ok(passwords)
}

/// The users of `--basic-auth-file`.
pub struct Basic(pub Arc<FromFiles<Passwords>>);

impl Basic {
    fn find(&self, headers: &HeaderMap) -> anyhow::Result<Option<User>> {
        let Some((name, password)) = credentials(headers) else { return Ok(None) };
        let known = self.0.get();
        // Somebody who is not there has a password, too, so that guessing names takes as long.
        let (kept, user) = known.get(&name).map_or(("", None), |(kept, user)| (kept.as_str(), Some(user)));
        let right = same(kept.as_bytes(), password.as_bytes());
        match user.filter(|_| right) {
            Some(user) => Ok(Some(user.clone())),
            None => bail!("invalid username/password combination"),
        }
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

impl Authenticator for Basic {
    fn authenticate<'a>(&'a self, presented: Presented<'a>) -> BoxFuture<'a, Found> {
        Box::pin(std::future::ready(self.find(presented.headers).map(|user| user.map(Into::into))))
    }
}
