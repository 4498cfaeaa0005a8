//! Who clients are: certificate, bearer token, or nobody.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use api_types::status::StatusError;
use component::serve::tls::ClientAuthority;
use futures::future::BoxFuture;
use http::header;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;

use super::{Filter, Next};
use crate::{
    catalogue::Request,
    request::{Peer, User, user::MASTERS},
    serving::{Response, respond},
};

/// How clients are recognised.
#[derive(Debug, Default)]
pub struct Authentication {
    /// Certificates of `--client-ca-file`; without it client certificates are not looked at.
    pub authority: Option<ClientAuthority>,
    /// Tokens of `--token-auth-file`.
    pub tokens: TokenFile,
    /// Whether requests that present nothing are let in as `system:anonymous`.
    pub anonymous: Anonymous,
}

/// What happens to requests that present nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// They are `system:anonymous`.
    #[default]
    Allowed,
    /// They get a 401.
    Refused,
}

/// What a client's certificate says.
enum Certificate {
    Absent,
    Of(User),
    Refused,
}

/// How long a verified certificate is taken for good: a signature is checked once a minute, not once a request.
const VERIFIED_FOR: Duration = Duration::from_secs(60);
/// How many verified certificates are remembered.
const REMEMBERED: usize = 4096;

/// Certificates that were found good, and when.
type Verified = Mutex<HashMap<CertificateDer<'static>, (Instant, User)>>;

pub(super) struct Authenticate {
    settings: Authentication,
    verified: Verified,
}

impl Authenticate {
    pub(super) fn new(settings: Authentication) -> Self {
        Self { settings, verified: Verified::default() }
    }

    /// Who makes this request; `None` when what it presents is not good.
    fn identify(&self, request: &Request) -> Option<User> {
        let Some(peer) = request.peer().filter(|peer| peer.encrypted) else {
            // Clients of the plain port are trusted, as on upstream's old insecure port.
            return Some(User::authenticated("system:unsecured", "", vec![MASTERS.into()]));
        };
        let certificate = self.certificate(peer);
        if let Certificate::Of(user) = certificate {
            return Some(user);
        }
        if let Some(token) = bearer_token(request) {
            return self.settings.tokens.0.get(token).cloned();
        }
        let presented_nothing = matches!(certificate, Certificate::Absent);
        (presented_nothing && self.settings.anonymous == Anonymous::Allowed).then(User::anonymous)
    }

    fn certificate(&self, peer: &Peer) -> Certificate {
        let (Some(authority), Some(leaf)) = (&self.settings.authority, peer.certificates.first()) else {
            return Certificate::Absent;
        };
        if let Some((when, user)) = self.verified.lock().get(leaf)
            && when.elapsed() < VERIFIED_FOR
        {
            return Certificate::Of(user.clone());
        }
        match authority.verify(peer) {
            Ok(None) => Certificate::Absent,
            Ok(Some(subject)) => {
                let user = User::authenticated(subject.common_name, "", subject.organizations);
                self.remember(leaf.clone(), user.clone());
                Certificate::Of(user)
            }
            Err(error) => {
                tracing::info!(address = %peer.address, "client certificate refused: {error:#}");
                Certificate::Refused
            }
        }
    }

    fn remember(&self, leaf: CertificateDer<'static>, user: User) {
        let mut verified = self.verified.lock();
        if verified.len() >= REMEMBERED {
            verified.clear();
        }
        verified.insert(leaf, (Instant::now(), user));
    }
}

fn bearer_token(request: &Request) -> Option<&str> {
    let value = request.header(&header::AUTHORIZATION)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// Static tokens, each for one user.
#[derive(Debug, Default)]
pub struct TokenFile(HashMap<String, User>);

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

impl TokenFile {
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
            let groups = groups.first().map(String::as_str).unwrap_or_default();
            let groups =
                groups.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect();
            tokens.insert(token.clone(), User::authenticated(name, uid, groups));
        }
        Ok(Self(tokens))
    }
}

fn csv_columns(line: &str) -> Vec<String> {
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

impl Filter for Authenticate {
    fn apply<'a>(&'a self, mut request: Request, next: Next<'a>) -> BoxFuture<'a, Response> {
        match self.identify(&request) {
            Some(user) => {
                request.user = user;
                // Nothing behind this filter needs the secret; a proxied request must not carry it on.
                request.http.headers_mut().remove(header::AUTHORIZATION);
                next.run(request)
            }
            None => Box::pin(async { respond::error(&StatusError::unauthorized()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_files_are_read() {
        let file = TokenFile::parse("t1,admin,1,\"system:masters,ops\"\n\nt2,bob,2\n").unwrap();
        assert_eq!(file.0["t1"].groups, ["system:masters", "ops", "system:authenticated"]);
        assert_eq!(file.0["t2"].name, "bob");
        let error = TokenFile::parse("t1,admin\n").unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("found 2"), "{error}");
    }
}
