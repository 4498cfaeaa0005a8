//! `--profiling`, and flags that are changed while the daemon runs.

use bytes::Bytes;
use clap::Args;
use http::{Method, Response, StatusCode};

use super::{Profiling, text, with_type};
use crate::daemon;

/// `--profiling`.
#[derive(Args, Clone, Debug)]
pub struct ProfilingFlags {
    /// Answer /debug/pprof/ and /debug/flags/v to those who may
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub profiling: bool,
}

impl From<&ProfilingFlags> for Profiling {
    fn from(flags: &ProfilingFlags) -> Self {
        if flags.profiling { Self::Served } else { Self::Absent }
    }
}

const INDEX: &str = "<html>\n<head>\n<title>/debug/flags/</title>\n</head>\n<body>\n/debug/flags/<br>\n<br>\nflags:<br>\n\
    <table>\n<tr>v<br>\n</table>\n<br>\nfull flags configurable<br>\n</body>\n</html>\n";

/// Lists the flags that can be changed.
pub(super) fn index() -> Response<Bytes> {
    with_type(StatusCode::OK, "text/html; charset=utf-8", INDEX)
}

/// Changes how much is logged.
pub(super) fn verbosity(method: &Method, body: &str) -> Response<Bytes> {
    if method != Method::PUT {
        return text(StatusCode::NOT_ACCEPTABLE, "unsupported http method\n");
    }
    let Ok(level) = body.parse::<u32>() else {
        return text(StatusCode::BAD_REQUEST, format!("strconv.ParseUint: parsing {body:?}: invalid syntax\n"));
    };
    match daemon::set_verbosity(u8::try_from(level).unwrap_or(u8::MAX)) {
        Ok(()) => text(StatusCode::OK, format!("successfully set klog.logging.verbosity to {body}\n")),
        Err(error) => text(StatusCode::BAD_REQUEST, format!("failed set klog.logging.verbosity {body}: {error}\n")),
    }
}
