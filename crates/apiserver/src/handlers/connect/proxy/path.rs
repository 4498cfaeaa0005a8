//! Pure: the path of a request in two parts, one that leads to the proxy, and one behind it.

use crate::request::query::{Plus, percent_decode};

/// A path in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    /// As it was sent, up to `/proxy`: what links must begin with.
    pub(super) prefix: String,
    /// Decoded, and without detours; empty, or beginning with a slash.
    pub(super) behind: String,
}

impl Paths {
    /// Of the path of a request that ends with `rest`.
    pub(super) fn new(path: &str, rest: &str) -> Self {
        let prefix = path.strip_suffix(rest).unwrap_or(path).to_owned();
        Self { prefix, behind: cleaned(&percent_decode(rest, Plus::Literal)) }
    }

    /// What is asked of the other end.
    pub(super) fn target(&self, query: Option<&str>) -> String {
        let mut target = escaped(&self.behind);
        if target.is_empty() {
            target.push('/');
        }
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        target
    }

    /// The path of the request, of which the other end is told.
    pub(super) fn whole(&self) -> String {
        joined(&self.prefix, &escaped(&self.behind))
    }
}

/// The path without empty segments, `.` and `..`; a slash at its end stays there.
pub(super) fn cleaned(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let mut clean = String::with_capacity(path.len());
    for segment in kept {
        clean.push('/');
        clean.push_str(segment);
    }
    if path.ends_with('/') {
        clean.push('/');
    }
    clean
}

/// A path below another.
pub(super) fn joined(prefix: &str, path: &str) -> String {
    format!("{prefix}{}", cleaned(path))
}

/// A path as it is sent: of what is printable, `?` and what has no place in a path is escaped.
fn escaped(path: &str) -> String {
    const PLAIN: &[u8] = b"-_.~$&+,/:;=@";
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let cases = [
            ("/proxy", "", "/proxy", "", "/", "/proxy"),
            ("/proxy/", "/", "/proxy", "/", "/", "/proxy/"),
            ("/proxy/a/b/", "/a/b/", "/proxy", "/a/b/", "/a/b/", "/proxy/a/b/"),
            ("/x%3A1/proxy/a%20b%2Fc", "/a%20b%2Fc", "/x%3A1/proxy", "/a b/c", "/a%20b/c", "/x%3A1/proxy/a%20b/c"),
            ("/proxy/../../etc", "/../../etc", "/proxy", "/etc", "/etc", "/proxy/etc"),
            ("/proxy/%2e%2e//a/./", "/%2e%2e//a/./", "/proxy", "/a/", "/a/", "/proxy/a/"),
            (
                "/proxy/a%0d%0aX:%20y",
                "/a%0d%0aX:%20y",
                "/proxy",
                "/a\r\nX: y",
                "/a%0D%0AX:%20y",
                "/proxy/a%0D%0AX:%20y",
            ),
        ];
        for (path, rest, prefix, behind, target, whole) in cases {
            let paths = Paths::new(path, rest);
            assert_eq!((paths.prefix.as_str(), paths.behind.as_str()), (prefix, behind), "{path}");
            assert_eq!((paths.target(None).as_str(), paths.whole().as_str()), (target, whole), "{path}");
        }
        assert_eq!(Paths::new("/proxy/a", "/a").target(Some("b=c%20d&e")), "/a?b=c%20d&e");
    }
}
