//! `/debug/pprof/`: where a daemon spends its time, as `go tool pprof` reads it; and `/debug/flags/v`, which changes how
//! much it logs.
//!
//! A daemon does not look at itself: another process of the same program does ([`observer`]), so that nothing runs in
//! signal handlers, and that what a profile takes of memory is given back when it ends
//! (docs/adr/0048-profiles-by-another-process.md).

mod flags;
mod format;
mod observed;
mod observer;
mod pprof;

use axum::{Router, body::Body, extract::Request, routing::any};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};

pub use flags::ProfilingFlags;
pub use format::{Function, Line, Location, Mapping, Profile, Sample, ValueType};
pub use observer::observe_if_asked;

/// The longest body that is read, in bytes: addresses to be named.
const LONGEST_BODY: usize = 64 << 10;

/// All paths of a router.
const PATHS: [&str; 6] = [
    "/debug/pprof",
    "/debug/pprof/",
    "/debug/pprof/{*profile}",
    "/debug/flags",
    "/debug/flags/",
    "/debug/flags/{*flag}",
];

/// Whether a daemon answers below `/debug/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profiling {
    /// Those who may are answered.
    Served,
    /// There is nothing.
    Absent,
}

impl Profiling {
    /// The routes. Who may use them is for others to decide.
    pub fn router(self) -> Router {
        match self {
            Self::Served => PATHS.iter().fold(Router::new(), |router, path| router.route(path, any(routed))),
            Self::Absent => Router::new(),
        }
    }

    /// Whether this is a path that is answered.
    #[must_use]
    pub fn serves(self, path: &str) -> bool {
        let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self == Self::Served && (below("/debug/pprof") || below("/debug/flags"))
    }
}

async fn routed(request: Request) -> Response<Body> {
    answer(request).await.map(Body::from)
}

/// Answers a request to a path that [`Profiling::serves`], in the words of Go's `net/http/pprof`.
pub async fn answer<B>(request: http::Request<B>) -> Response<Bytes>
where
    B: http_body::Body + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let read = Limited::new(body, LONGEST_BODY).collect().await;
    match read {
        Ok(body) => dispatch(&head.method, &head.uri, &body.to_bytes()).await,
        Err(error) => text(StatusCode::BAD_REQUEST, format!("error reading request body: {error}\n")),
    }
}

async fn dispatch(method: &Method, uri: &Uri, body: &[u8]) -> Response<Bytes> {
    match uri.path().strip_prefix("/debug/").unwrap_or_default() {
        "pprof" => redirect("/debug/pprof/"),
        "pprof/" => pprof::index(),
        "pprof/profile" => pprof::profile(uri.query().unwrap_or_default()).await,
        "pprof/cmdline" => pprof::command_line(),
        "pprof/symbol" if method == Method::POST => pprof::symbols(&String::from_utf8_lossy(body)).await,
        "pprof/symbol" => pprof::symbols(uri.query().unwrap_or_default()).await,
        path if path.starts_with("pprof/") => pprof::failed(StatusCode::NOT_FOUND, "Unknown profile"),
        "flags/v" => flags::verbosity(method, &String::from_utf8_lossy(body)),
        _ => flags::index(),
    }
}

fn redirect(to: &'static str) -> Response<Bytes> {
    let mut response = text(StatusCode::FOUND, String::new());
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response
}

fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    with_type(code, "text/plain; charset=utf-8", body)
}

fn with_type(code: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: Method, uri: &str, body: &'static str) -> (u16, String) {
        let request = http::Request::builder().method(method).uri(uri);
        let response = answer(request.body(Body::from(body)).unwrap()).await;
        (response.status().as_u16(), String::from_utf8_lossy(response.body()).into_owned())
    }

    #[tokio::test]
    async fn what_is_there_is_listed_and_the_rest_is_unknown() {
        let (code, index) = ask(Method::GET, "/debug/pprof/", "").await;
        assert!(code == 200 && index.contains("profile") && !index.contains("goroutine"), "{index}");
        for unknown in ["goroutine", "heap", "nope", "a/b"] {
            let got = ask(Method::GET, &format!("/debug/pprof/{unknown}"), "").await;
            assert_eq!(got, (404, "Unknown profile\n".into()), "{unknown}");
        }
        let (code, line) = ask(Method::GET, "/debug/pprof/cmdline", "").await;
        assert_eq!((code, line), (200, std::env::args().collect::<Vec<_>>().join("\0")));
        assert_eq!(ask(Method::GET, "/debug/pprof", "").await.0, 302);
    }

    #[tokio::test]
    async fn what_asks_for_too_much_is_refused() {
        let got = ask(Method::GET, "/debug/pprof/profile?seconds=9999999", "").await;
        assert_eq!(got, (400, "profile duration exceeds server's WriteTimeout\n".into()));
        let body = "0x1+".repeat(LONGEST_BODY).leak();
        assert_eq!(ask(Method::POST, "/debug/pprof/symbol", body).await.0, 400);
    }

    #[tokio::test]
    async fn the_verbosity_is_changed_by_put_alone() {
        crate::daemon::init_logging(&crate::flags::LoggingFlags { v: 0 });
        let v = "/debug/flags/v";
        assert_eq!(ask(Method::GET, v, "4").await, (406, "unsupported http method\n".into()));
        let refused = r#"strconv.ParseUint: parsing "four": invalid syntax"#;
        assert_eq!(ask(Method::PUT, v, "four").await, (400, format!("{refused}\n")));
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        let changed = "successfully set klog.logging.verbosity to 4\n";
        assert_eq!(ask(Method::PUT, v, "4").await, (200, changed.into()));
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        assert_eq!(ask(Method::PUT, v, "0").await.0, 200);
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        assert!(ask(Method::GET, "/debug/flags", "").await.1.contains("/debug/flags/"));
    }

    #[tokio::test]
    async fn paths_are_routed() {
        for (profiling, code) in [(Profiling::Served, 200), (Profiling::Absent, 404)] {
            for path in ["/debug/pprof/", "/debug/pprof/cmdline", "/debug/flags", "/debug/flags/x"] {
                let request = http::Request::get(path).body(Body::empty()).unwrap();
                assert_eq!(profiling.router().oneshot(request).await.unwrap().status(), code, "{path}");
            }
        }
    }

    #[test]
    fn paths_are_served_or_not() {
        for (path, served) in
            [("/debug/pprof", true), ("/debug/flags/v", true), ("/debug/pprofx", false), ("/debug", false)]
        {
            assert_eq!(Profiling::Served.serves(path), served, "{path}");
            assert!(!Profiling::Absent.serves(path));
        }
    }
}
