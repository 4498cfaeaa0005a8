//! Where another server is, as an object names it.

use std::time::Duration;

use http::Uri;

/// Where another server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind a service.
    Service {
        /// The namespace of the service.
        namespace: String,
        /// Its name.
        name: String,
        /// The port of the service.
        port: u16,
        /// The path of requests; empty for the root.
        path: String,
    },
    /// At a URL with the scheme `https`.
    Url(String),
}

impl Place {
    /// The name that the server's certificate has to have.
    ///
    /// # Errors
    /// When a URL has none.
    pub(super) fn server_name(&self) -> Result<String, String> {
        match self {
            Self::Service { namespace, name, .. } => Ok(format!("{name}.{namespace}.svc")),
            Self::Url(url) => {
                let uri = parse(url)?;
                let host = uri.host().unwrap_or_default();
                Ok(host.trim_start_matches('[').trim_end_matches(']').to_owned())
            }
        }
    }

    /// The URL that is asked, which tells the server how long it may take: in whole seconds, rounded up.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn uri(&self, timeout: Duration) -> Result<Uri, String> {
        let seconds = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
        let base = match self {
            Self::Service { namespace, name, port, path } => {
                format!("https://{name}.{namespace}.svc:{port}/{}", path.trim_start_matches('/'))
            }
            Self::Url(url) => parse(url)?.to_string(),
        };
        let mark = if base.contains('?') { '&' } else { '?' };
        parse(&format!("{base}{mark}timeout={seconds}s"))
    }
}

fn parse(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("parse {url:?}: {error}"))?;
    match uri.scheme_str() {
        Some("https") if uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        _ => Err(format!("parse {url:?}: no URL that begins with https://")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(path: &str) -> Place {
        Place::Service { namespace: "ns".into(), name: "hook".into(), port: 8443, path: path.into() }
    }

    #[test]
    fn places_are_urls() {
        let url = |url: &str| Place::Url(url.to_owned());
        for (place, uri, name) in [
            (service("/a/b"), "https://hook.ns.svc:8443/a/b?timeout=2s", "hook.ns.svc"),
            (service(""), "https://hook.ns.svc:8443/?timeout=2s", "hook.ns.svc"),
            (url("https://h.example.com"), "https://h.example.com/?timeout=2s", "h.example.com"),
            (url("https://[::1]:9/x?y=z"), "https://[::1]:9/x?y=z&timeout=2s", "::1"),
        ] {
            assert_eq!(place.uri(Duration::from_millis(1500)).unwrap().to_string(), uri);
            assert_eq!(place.server_name().unwrap(), name);
        }
        assert!(url("http://a").uri(Duration::from_secs(1)).is_err());
        assert!(url("https://").uri(Duration::from_secs(1)).is_err());
        assert!(url("nonsense").server_name().is_err());
    }
}
