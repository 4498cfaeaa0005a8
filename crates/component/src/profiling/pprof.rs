//! The answers of `/debug/pprof/`.

use std::{collections::BTreeMap, fmt::Write};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::{observed, text, with_type};

/// How long a profile takes when nobody says; Go's.
const USUAL_SECONDS: u64 = 30;
/// The longest profile. Go's limit is the time that the server gives an answer; there is none such here.
const MOST_SECONDS: u64 = 600;

const INDEX: &str = "<html>\n<head>\n<title>/debug/pprof/</title>\n</head>\n<body>\n/debug/pprof/\n<ul>\n\
    <li><a href='cmdline'>cmdline</a>: the command line of this program</li>\n\
    <li><a href='profile'>profile</a>: where processor time is spent, for as long as <code>seconds</code> says</li>\n\
    <li><a href='symbol'>symbol</a>: the names of functions at addresses</li>\n</ul>\n</body>\n</html>\n";

pub(super) fn index() -> Response<Bytes> {
    with_type(StatusCode::OK, "text/html; charset=utf-8", INDEX)
}

pub(super) fn command_line() -> Response<Bytes> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    text(StatusCode::OK, words.join("\0"))
}

/// Watches where time is spent for a while.
pub(super) async fn profile(query: &str) -> Response<Bytes> {
    let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "seconds");
    let asked = asked.and_then(|(_, value)| value.parse().ok()).filter(|seconds| *seconds > 0);
    let seconds = asked.unwrap_or(USUAL_SECONDS);
    if seconds > MOST_SECONDS {
        return failed(StatusCode::BAD_REQUEST, "profile duration exceeds server's WriteTimeout");
    }
    match observed::profile(seconds).await {
        Ok(profile) => {
            let mut response = with_type(StatusCode::OK, "application/octet-stream", profile);
            let name = HeaderValue::from_static("attachment; filename=\"profile\"");
            response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
            response
        }
        Err(error) => {
            let why = format!("Could not enable CPU profiling: {error:#}");
            failed(StatusCode::INTERNAL_SERVER_ERROR, &why)
        }
    }
}

/// Names the functions at addresses: `0x1234+0x5678`.
pub(super) async fn symbols(addresses: &str) -> Response<Bytes> {
    let number = |word: &str| match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    };
    let addresses: Vec<u64> = addresses.split('+').filter_map(number).filter(|address| *address != 0).collect();
    let named = if addresses.is_empty() { Ok(BTreeMap::new()) } else { observed::symbols(&addresses).await };
    let named = match named {
        Ok(named) => named,
        Err(error) => return failed(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
    };
    let mut answer = "num_symbols: 1\n".to_owned();
    for address in addresses {
        if let Some(name) = named.get(&address) {
            // Writing to a string does not fail.
            let _ = writeln!(answer, "{address:#x} {name}");
        }
    }
    text(StatusCode::OK, answer)
}

/// An error as Go's handlers tell it.
pub(super) fn failed(code: StatusCode, why: &str) -> Response<Bytes> {
    let mut response = text(code, format!("{why}\n"));
    response.headers_mut().insert("x-go-pprof", HeaderValue::from_static("1"));
    response
}
