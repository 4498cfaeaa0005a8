//! `ctl proxy`: the API server for whoever can connect here, with the credentials of the kubeconfig. What may pass is decided by
//! a filter of four expressions, so that a web page in a browser cannot use it.

use std::{
    convert::Infallible,
    fs,
    io::IsTerminal,
    net::IpAddr,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use kube::client::Body;
use regex::Regex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};

use crate::{
    api::Api,
    error::{Error, Result},
};

/// Where to listen, and what may pass.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// Port to listen on; 0 means some free port
    #[arg(short, long)]
    port: Option<u16>,
    /// Listen on a socket instead
    #[arg(short, long)]
    unix_socket: Option<PathBuf>,
    /// The path below which the API is
    #[arg(long, default_value = "/")]
    api_prefix: String,
    /// The server's own path comes before each request's
    #[arg(long)]
    append_server_path: bool,
    /// A directory with files to serve, too
    #[arg(short, long)]
    www: Option<PathBuf>,
    /// The path below which the files are
    #[arg(short = 'P', long, default_value = "/static/")]
    www_prefix: String,
    /// How long an idle connection is kept; 0 means as long as the system does
    #[arg(long, default_value = "0s", value_parser = component::flags::duration)]
    keepalive: Duration,
    #[command(flatten)]
    filter: FilterFlags,
}

#[derive(Args, Clone, Debug)]
struct FilterFlags {
    /// Hosts that requests may name
    #[arg(long, default_value = r"^localhost$,^127\.0\.0\.1$,^\[::1\]$")]
    accept_hosts: String,
    /// Paths that may pass
    #[arg(long, default_value = "^.*")]
    accept_paths: String,
    /// Methods that may not
    #[arg(long, default_value = "^$")]
    reject_methods: String,
    /// Paths that may not, although they may
    #[arg(long, default_value = "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach")]
    reject_paths: String,
    /// Everything may pass
    #[arg(long)]
    disable_filter: bool,
}

/// What may pass.
struct Filter {
    hosts: Vec<Regex>,
    paths: Vec<Regex>,
    rejected_methods: Vec<Regex>,
    rejected_paths: Vec<Regex>,
}

fn expressions(flag: &str, text: &str) -> Result<Vec<Regex>> {
    let expression = |text: &str| {
        Regex::new(text).map_err(|error| Error::usage(format!("--{flag}: error parsing regexp {text:?}: {error}")))
    };
    text.split(',').map(expression).collect()
}

impl Filter {
    fn new(flags: &FilterFlags) -> Result<Self> {
        Ok(Self {
            hosts: expressions("accept-hosts", &flags.accept_hosts)?,
            paths: expressions("accept-paths", &flags.accept_paths)?,
            rejected_methods: expressions("reject-methods", &flags.reject_methods)?,
            rejected_paths: expressions("reject-paths", &flags.reject_paths)?,
        })
    }

    fn lets_pass(&self, method: &str, path: &str, host: &str) -> bool {
        let any = |expressions: &[Regex], text: &str| expressions.iter().any(|expression| expression.is_match(text));
        !any(&self.rejected_paths, path)
            && !any(&self.rejected_methods, method)
            && any(&self.paths, path)
            && any(&self.hosts, host)
    }
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// What every connection needs.
struct Proxy {
    api: Api,
    filter: Option<Filter>,
    prefix: String,
    server_path: String,
    files: Option<(String, PathBuf)>,
}

/// Runs the command, until it is interrupted.
///
/// # Errors
/// When an expression is none, or the address cannot be listened on.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    if flags.port.is_some() && flags.unix_socket.is_some() {
        return Err(Error::usage("cannot set --unix-socket and --port at the same time"));
    }
    if flags.filter.disable_filter && flags.unix_socket.is_none() {
        eprintln!("Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious");
    }
    let slashed = |text: &str| if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
    let proxy = Arc::new(Proxy {
        api: api.clone(),
        filter: if flags.filter.disable_filter { None } else { Some(Filter::new(&flags.filter)?) },
        prefix: slashed(&flags.api_prefix),
        server_path: if flags.append_server_path {
            api.server.path().trim_end_matches('/').to_owned()
        } else {
            String::new()
        },
        files: flags.www.clone().map(|directory| (slashed(&flags.www_prefix), directory)),
    });
    match &flags.unix_socket {
        Some(path) => serve_socket(path, proxy).await,
        None => serve_port(flags, proxy).await,
    }
}

async fn serve_port(flags: &Flags, proxy: Arc<Proxy>) -> Result<()> {
    let listener = TcpListener::bind((flags.address, flags.port.unwrap_or(8001))).await;
    let listener = listener.map_err(|error| {
        let reason = if error.kind() == std::io::ErrorKind::AddrInUse {
            "address already in use".to_owned()
        } else {
            error.to_string()
        };
        Error::usage(format!("listen tcp {}:{}: bind: {reason}", flags.address, flags.port.unwrap_or(8001)))
    })?;
    let address = listener.local_addr().map_err(|error| Error::usage(error.to_string()))?;
    say(&format!("Starting to serve on {address}"));
    loop {
        // A connection that is gone before it was taken is nobody's.
        if let Ok((stream, _)) = listener.accept().await {
            serve(stream, Arc::clone(&proxy));
        }
    }
}

async fn serve_socket(path: &PathBuf, proxy: Arc<Proxy>) -> Result<()> {
    let failed = |error: std::io::Error| Error::usage(format!("{}: {error}", path.display()));
    // A socket that an earlier proxy left is in the way; anything else is not ours to remove.
    if fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket()) {
        fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    say(&format!("Starting to serve on {}", path.display()));
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            serve(stream, Arc::clone(&proxy));
        }
    }
}

fn say(words: &str) {
    use std::io::Write;
    println!("{words}");
    // Who started it may wait for this line in a pipe.
    if !std::io::stdout().is_terminal() {
        let _ = std::io::stdout().flush();
    }
}

/// The most that a request may carry: more than the API server takes.
const LARGEST: usize = 16 << 20;

type Answer = Response<UnsyncBoxBody<Bytes, kube::Error>>;

fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, proxy: Arc<Proxy>) {
    tokio::spawn(async move {
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let proxy = Arc::clone(&proxy);
            let answer: Pin<Box<dyn Future<Output = std::result::Result<Answer, Infallible>> + Send>> =
                Box::pin(async move { Ok(proxy.answer(request).await) });
            answer
        });
        // A client that goes away in the middle is no news.
        let _ = Builder::new(TokioExecutor::new()).serve_connection_with_upgrades(TokioIo::new(stream), service).await;
    });
}

fn plain(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    let body = Full::new(words.into()).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

impl Proxy {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = without_port(host.or(request.uri().host()).unwrap_or_default());
        if let Some(filter) = &self.filter
            && !filter.lets_pass(request.method().as_str(), path, host)
        {
            return plain(StatusCode::FORBIDDEN, "Forbidden");
        }
        if let Some((prefix, directory)) = &self.files
            && let Some(rest) = path.strip_prefix(prefix.as_str())
        {
            return file(directory, rest);
        }
        match path.strip_prefix(self.prefix.as_str()) {
            Some(rest) => {
                let target = format!("{}/{rest}", self.server_path);
                self.forward(request, &target).await
            }
            None => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    async fn forward(&self, request: Request<Incoming>, path: &str) -> Answer {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let (mut parts, body) = request.into_parts();
        let Ok(uri) = format!("{path}{query}").parse() else { return plain(StatusCode::BAD_REQUEST, "bad path\n") };
        parts.uri = uri;
        // What belongs to this connection, and what the kubeconfig says itself, stays here.
        for name in [
            header::HOST,
            header::CONNECTION,
            header::AUTHORIZATION,
            header::TRANSFER_ENCODING,
            header::ACCEPT_ENCODING,
        ] {
            parts.headers.remove(name);
        }
        parts.version = http::Version::default();
        let body = match Limited::new(body, LARGEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n"),
        };
        let request = Request::from_parts(parts, Body::from(body.to_vec()));
        match self.api.client.send(request).await {
            Ok(answer) => {
                let (mut parts, body) = answer.into_parts();
                parts.headers.remove(header::CONNECTION);
                parts.headers.remove(header::TRANSFER_ENCODING);
                Response::from_parts(parts, body.map_err(|error| kube::Error::Service(Box::new(error))).boxed_unsync())
            }
            Err(error) => plain(StatusCode::BAD_GATEWAY, format!("{}\n", self.api.explain(error))),
        }
    }
}

/// A file below a directory; nothing that a link or `..` leads to.
fn file(directory: &Path, path: &str) -> Answer {
    let found = (|| {
        let root = directory.canonicalize().ok()?;
        let mut place = root.join(path.trim_start_matches('/')).canonicalize().ok()?;
        if place.is_dir() {
            place = place.join("index.html").canonicalize().ok()?;
        }
        if !place.starts_with(&root) || !place.is_file() {
            return None;
        }
        let kind = KINDS.iter().find(|(ending, _)| place.extension().is_some_and(|known| known == *ending));
        Some((fs::read(&place).ok()?, kind.map_or("application/octet-stream", |(_, kind)| *kind)))
    })();
    let Some((content, kind)) = found else { return plain(StatusCode::NOT_FOUND, "404 page not found\n") };
    let mut answer = plain(StatusCode::OK, content);
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    answer
}

const KINDS: [(&str, &str); 7] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("txt", "text/plain; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
];

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        flags: Flags,
    }

    #[test]
    fn only_what_is_asked_for_here_passes() {
        let filter = Filter::new(&Command::parse_from(["x"]).flags.filter).unwrap();
        for (method, path, host, expected) in [
            ("GET", "/api/v1/pods", "localhost:8001", true),
            ("GET", "/api/v1/pods", "[::1]:8001", true),
            ("GET", "/api/v1/pods", "127.0.0.1", true),
            ("GET", "/api/v1/pods", "evil.example", false),
            ("POST", "/api/v1/namespaces/a/pods/b/exec", "localhost", false),
            ("GET", "/api/v1/namespaces/a/pods/b/attach", "localhost", false),
        ] {
            assert_eq!(filter.lets_pass(method, path, without_port(host)), expected, "{method} {path} {host}");
        }
    }
}
