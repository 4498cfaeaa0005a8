//! Static tokens, each for one user.

use std::{collections::HashMap, future::ready, path::Path, sync::Arc};

use component::{
    auth::{Found, TokenAuthenticator, User},
    files::FromFiles,
};
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};

/// The tokens of `--token-auth-file`, which is read again when it changes.
pub struct TokenFile(pub Arc<FromFiles<Tokens>>);

/// Users by the hashes of their tokens: how long a look-up takes tells nothing of a token.
#[derive(Debug, Default)]
pub struct Tokens(HashMap<[u8; 32], User>);

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The file cannot be read.
    #[error("cannot read token file: {0}")]
    Read(#[from] std::io::Error),
    /// A line has too few columns.
    #[error("token file line {line}: expected at least 3 columns (token, user name, user uid), found {columns}")]
    Columns {
        /// The number of the line, from 1.
        line: usize,
        /// How many columns it has.
        columns: usize,
    },
}

impl Tokens {
    /// Reads a file of lines `token,user,uid,"group1,group2"`.
    ///
    /// # Errors
    /// When the file cannot be read or a line has fewer than three columns.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut tokens = HashMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let columns = csv_columns(line);
            let [token, name, uid, groups @ ..] = columns.as_slice() else {
                return Err(TokenFileError::Columns { line: index + 1, columns: columns.len() });
            };
            if token.is_empty() {
                tracing::warn!(line = index + 1, "the token file has an empty token, which is left out");
                continue;
            }
            let groups = groups.first().map(String::as_str).unwrap_or_default();
            let groups =
                groups.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect();
            tokens.insert(hash(token), User::authenticated(name, uid, groups));
        }
        Ok(Self(tokens))
    }
}

impl TokenAuthenticator for TokenFile {
    /// Its tokens are made for this server only: who asks for other audiences does not mean them.
    fn find<'a>(&'a self, token: &'a str, audiences: &'a [String]) -> BoxFuture<'a, Found> {
        let tokens = self.0.get();
        let user = tokens.0.get(&hash(token)).filter(|_| audiences.is_empty());
        Box::pin(ready(Ok(user.cloned().map(Into::into))))
    }
}

pub(super) fn csv_columns(line: &str) -> Vec<String> {
    let mut columns = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => columns.push(String::new()),
            c => {
                if let Some(column) = columns.last_mut() {
                    column.push(c);
                }
            }
        }
    }
    columns.iter().map(|column| column.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_files_are_read() {
        let file = Tokens::parse("t1,admin,1,\"system:masters,ops\"\n\nt2,bob,2\n,eve,3\n").unwrap();
        assert_eq!(file.0[&hash("t1")].groups, ["system:masters", "ops", "system:authenticated"]);
        assert_eq!(file.0[&hash("t2")].name, "bob");
        assert_eq!(file.0.len(), 2, "an empty token is nobody's");
        let error = Tokens::parse("t1,admin\n").unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("found 2"), "{error}");
    }
}
