//! Pure: what a request is about, in the API server's terms: a verb and subresources of the node.

use axum::http::Method;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `create`, …; empty for a method that has no verb, which nobody is allowed.
    pub verb: &'static str,
    /// Subresources of `nodes`, of which one has to be allowed.
    pub subresources: &'static [&'static str],
}

/// Paths, with all that is below them, that have subresources of their own.
const PATHS: [(&str, &[&str]); 9] = [
    ("/pods", &["pods", "proxy"]),
    ("/runningpods", &["pods", "proxy"]),
    ("/healthz", &["healthz", "proxy"]),
    ("/configz", &["configz", "proxy"]),
    ("/statusz", &["statusz"]),
    ("/stats", &["stats"]),
    ("/metrics", &["metrics"]),
    // As in `pods/log`.
    ("/logs", &["log"]),
    ("/checkpoint", &["checkpoint"]),
];
/// Everything else: logs, exec, attach and more; whoever may do this may do anything with the node's pods.
const OTHERS: &[&str] = &["proxy"];

impl Attributes {
    /// Of a request with this method to this path.
    #[must_use]
    pub fn of(method: &Method, path: &str) -> Self {
        let verb = match *method {
            Method::POST => "create",
            Method::GET => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        let found = PATHS.iter().find(|(root, _)| is_below(path, root));
        Self { verb, subresources: found.map_or(OTHERS, |(_, subresources)| subresources) }
    }
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_follow_method_and_path() {
        let cases = [
            ("GET", "/pods", "get", "pods proxy"),
            ("GET", "/runningpods/", "get", "pods proxy"),
            ("GET", "/podsx", "get", "proxy"),
            ("GET", "/healthz", "get", "healthz proxy"),
            ("GET", "/healthz/syncloop", "get", "healthz proxy"),
            ("GET", "/configz", "get", "configz proxy"),
            ("GET", "/statusz", "get", "statusz"),
            ("GET", "/stats/summary", "get", "stats"),
            ("GET", "/metrics/cadvisor", "get", "metrics"),
            ("GET", "/logs/", "get", "log"),
            ("POST", "/checkpoint/ns/p/c", "create", "checkpoint"),
            ("GET", "/containerLogs/ns/p/c", "get", "proxy"),
            ("POST", "/exec/ns/p/c", "create", "proxy"),
            ("PUT", "/", "update", "proxy"),
            ("PATCH", "/x", "patch", "proxy"),
            ("DELETE", "/x", "delete", "proxy"),
            ("OPTIONS", "//pods", "", "proxy"),
        ];
        for (method, path, verb, subresources) in cases {
            let got = Attributes::of(&method.parse().unwrap(), path);
            assert_eq!((got.verb, got.subresources.join(" ").as_str()), (verb, subresources), "{method} {path}");
        }
    }
}
