//! Pure: links to where somebody is seen through the API server.

use super::path::joined;

/// Who is linked to, and by whom.
#[derive(Debug, Clone)]
pub(super) struct Links {
    /// What the paths of links must begin with.
    pub(super) prefix: String,
    /// Host and port of the other end.
    pub(super) backend: String,
    /// The `Host` of the request.
    pub(super) host: String,
}

/// A link in its parts.
struct Link<'a> {
    scheme: &'a str,
    /// With its port, without a user.
    host: &'a str,
    path: &'a str,
    /// Query and fragment, with the marks before them.
    tail: &'a str,
}

impl<'a> Link<'a> {
    /// `None` for what is no link.
    fn parse(text: &'a str) -> Option<Self> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return None;
        }
        let (rest, tail) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
        let (scheme, rest) = match rest.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
            _ => ("", rest),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        Some(Self { scheme, host, path, tail })
    }
}

fn is_scheme(text: &str) -> bool {
    let mut letters = text.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

impl Links {
    /// The same link by way of the proxy, if it leads to an absolute path of the other end.
    pub(super) fn rewritten(&self, text: &str) -> Option<String> {
        let link = Link::parse(text)?;
        let elsewhere = !link.host.is_empty() && link.host != self.backend && link.host != self.host;
        if elsewhere || !link.path.starts_with('/') {
            return None;
        }
        let mut new = String::new();
        // Whoever knows the name under which the client knows this server may go on using it.
        if !link.host.is_empty() && link.host == self.host {
            if !link.scheme.is_empty() {
                new.push_str(link.scheme);
                new.push(':');
            }
            new.push_str("//");
            new.push_str(link.host);
        }
        match link.path.starts_with(&self.prefix) {
            true => new.push_str(link.path),
            false => new.push_str(&joined(&self.prefix, link.path)),
        }
        new.push_str(link.tail);
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_through_the_proxy() {
        let links = Links { prefix: "/p/proxy".into(), backend: "10.0.0.1:80".into(), host: "kube:6443".into() };
        let cases = [
            ("/a/b?c=/d#e", "/p/proxy/a/b?c=/d#e"),
            ("/", "/p/proxy/"),
            ("/a/", "/p/proxy/a/"),
            ("http://10.0.0.1:80/a", "/p/proxy/a"),
            ("//10.0.0.1:80/a", "/p/proxy/a"),
            ("http://user@10.0.0.1:80/a", "/p/proxy/a"),
            ("https://kube:6443/a", "https://kube:6443/p/proxy/a"),
            ("/p/proxy/a", "/p/proxy/a"),
            ("https://kube:6443/p/proxy/a", "https://kube:6443/p/proxy/a"),
            ("http://other/a", ""),
            ("http://10.0.0.1/a", ""),
            ("a/b", ""),
            ("#top", ""),
            ("mailto:somebody@example.com", ""),
            ("javascript:alert(1)", ""),
            ("/a\nb", ""),
            ("", ""),
        ];
        for (link, expected) in cases {
            assert_eq!(links.rewritten(link).unwrap_or_default(), expected, "{link}");
        }
    }
}
