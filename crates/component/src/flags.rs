//! Command-line flags as upstream's daemons take them.
//!
//! Go's pflag accepts what clap does not: `--a_b` for `--a-b`, `-etcd-prefix` for `--etcd-prefix`
//! (flannel), `--bool=false`. And upstream has retired flags over the years that people's unit
//! files still carry; those are accepted with a warning. [`parse`] does both.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use clap::{Args, Parser};

use crate::profiling;

/// Flags that once meant something and no longer do: name (without dashes) and what to tell.
pub type RetiredFlags = &'static [(&'static str, &'static str)];

/// Retired flags that every daemon accepts.
pub const RETIRED_EVERYWHERE: RetiredFlags = &[
    ("logtostderr", "logs always go to standard error"),
    ("alsologtostderr", "logs always go to standard error"),
    ("log-dir", "logs always go to standard error"),
    ("log-file", "logs always go to standard error"),
    ("log-flush-frequency", "logs are not buffered"),
    ("log-backtrace-at", "not supported"),
    ("stderrthreshold", "logs always go to standard error"),
    ("vmodule", "use RUST_LOG"),
    ("logging-format", "only the text format is supported"),
    ("feature-gates", "features are not gated"),
    ("allow-privileged", "privileged containers are always allowed"),
    ("kube-api-qps", "clients are not throttled"),
    ("kube-api-burst", "clients are not throttled"),
    ("kube-api-content-type", "JSON is always used"),
    ("profiling", "not supported"),
    ("contention-profiling", "waiting for locks is not profiled"),
    ("add-dir-header", "logs always go to standard error"),
    ("skip-headers", "logs always go to standard error"),
    ("skip-log-headers", "logs always go to standard error"),
    ("one-output", "logs always go to standard error"),
    ("log-file-max-size", "logs always go to standard error"),
    ("log-json-info-buffer-size", "only the text format is supported"),
    ("log-json-split-stream", "only the text format is supported"),
    ("log-text-info-buffer-size", "only the text format is supported"),
    ("log-text-split-stream", "only the text format is supported"),
    ("emulated-version", "no other version is emulated"),
    ("emulation-forward-compatible", "no other version is emulated"),
    ("min-compatibility-version", "no other version is emulated"),
    ("runtime-config-emulation-forward-compatible", "no other version is emulated"),
    ("allow-metric-labels", "all metrics are shown"),
    ("allow-metric-labels-manifest", "all metrics are shown"),
    ("disabled-metrics", "all metrics are shown"),
    ("show-hidden-metrics-for-version", "all metrics are shown"),
    ("tls-cipher-suites", "TLS 1.2 and 1.3 are always spoken, with what counts as strong"),
    ("tls-curve-preferences", "TLS 1.2 and 1.3 are always spoken, with what counts as strong"),
    ("tls-min-version", "TLS 1.2 and 1.3 are always spoken, with what counts as strong"),
    ("http2-max-streams-per-connection", "not supported"),
    ("permit-address-sharing", "not supported"),
    ("permit-port-sharing", "not supported"),
];

/// Command line that does not parse: clap's message, or `--help`'s text.
pub type FlagError = clap::Error;

/// Parses `args` (the program's name first) after normalising the spelling, and warns about each
/// retired flag on standard error.
///
/// # Errors
/// When a flag is unknown or a value malformed; print it with [`clap::Error::exit`].
pub fn parse<P: Parser>(args: impl IntoIterator<Item = OsString>, retired: RetiredFlags) -> Result<P, FlagError> {
    let command = P::command();
    let known: Vec<String> = command
        .get_arguments()
        .flat_map(|arg| {
            arg.get_long_and_visible_aliases()
                .unwrap_or_default()
                .into_iter()
                .chain(arg.get_all_aliases().unwrap_or_default())
        })
        .map(str::to_owned)
        .collect();
    let retired: BTreeMap<&str, &str> = RETIRED_EVERYWHERE.iter().chain(retired).copied().collect();
    let (args, warnings) = normalise(args, &|name| known.iter().any(|k| k == name), &retired);
    for warning in warnings {
        eprintln!("{warning}");
    }
    P::try_parse_from(args)
}

/// The same for the process's arguments, ending it with clap's message on a mistake. To be called first of all: a process
/// that was started to observe another goes no further.
#[must_use]
pub fn parse_or_exit<P: Parser>(retired: RetiredFlags) -> P {
    profiling::observe_if_asked();
    parse(std::env::args_os(), retired).unwrap_or_else(|error| error.exit())
}

fn normalise(
    args: impl IntoIterator<Item = OsString>,
    known: &dyn Fn(&str) -> bool,
    retired: &BTreeMap<&str, &str>,
) -> (Vec<OsString>, Vec<String>) {
    let mut normal = Vec::new();
    let mut warnings = Vec::new();
    let mut args = args.into_iter().peekable();
    normal.extend(args.next());
    while let Some(arg) = args.next() {
        let Some(flag) = arg.to_str().and_then(Flag::split) else {
            normal.push(arg);
            continue;
        };
        let name = flag.name.replace('_', "-");
        if known(&name) {
            normal.push(flag.render(&name).into());
        } else if let Some(why) = retired.get(name.as_str()) {
            warnings.push(format!("Flag --{name} has been retired and is ignored: {why}"));
            let value_follows = flag.value.is_none()
                && args.peek().and_then(|next| next.to_str()).is_some_and(|next| !next.starts_with('-'));
            if value_follows {
                args.next();
            }
        } else {
            normal.push(arg);
        }
    }
    (normal, warnings)
}

struct Flag<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Flag<'a> {
    /// Splits `--name=value`, `--name` and Go's `-name`; one-letter flags stay clap's.
    fn split(arg: &'a str) -> Option<Self> {
        let body = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'))?;
        let (name, value) = body.split_once('=').map_or((body, None), |(name, value)| (name, Some(value)));
        let named = name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphabetic());
        named.then_some(Self { name, value })
    }

    fn render(&self, name: &str) -> String {
        match self.value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        }
    }
}

/// `-v`.
#[derive(Args, Clone, Debug, Default)]
pub struct LoggingFlags {
    /// Verbosity: 0-1 info, 2-4 debug, 5 and more trace. RUST_LOG overrides it
    #[arg(short = 'v', long = "v", default_value_t = 0, value_name = "LEVEL")]
    pub v: u8,
}

/// How to reach the API server.
#[derive(Args, Clone, Debug, Default)]
pub struct ClientFlags {
    /// Address of the API server; overrides the kubeconfig. Without a scheme it is plain HTTP
    #[arg(long, alias = "api-servers", value_name = "URL")]
    pub master: Option<String>,
    /// Path of a kubeconfig file
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// `--leader-elect…`
#[derive(Args, Clone, Debug)]
pub struct LeaderElectionFlags {
    /// Work only while holding the lease
    #[arg(long = "leader-elect", default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub enabled: bool,
    /// How long followers wait before they take over, such as 15s
    #[arg(long = "leader-elect-lease-duration", default_value = "15s", value_parser = duration, value_name = "DURATION")]
    pub lease_duration: std::time::Duration,
    /// How long the leader tries to renew before it gives up
    #[arg(long = "leader-elect-renew-deadline", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub renew_deadline: std::time::Duration,
    /// How long to wait between attempts
    #[arg(long = "leader-elect-retry-period", default_value = "2s", value_parser = duration, value_name = "DURATION")]
    pub retry_period: std::time::Duration,
    /// Namespace of the lease
    #[arg(long = "leader-elect-resource-namespace", default_value = "kube-system", value_name = "NAMESPACE")]
    pub namespace: String,
}

/// Parses a Go duration: `300ms`, `1.5h`, `2m30s`, `0`.
///
/// # Errors
/// When a unit is missing or unknown.
pub fn duration(text: &str) -> Result<std::time::Duration, String> {
    let bad = || format!("invalid duration {text:?}");
    if text == "0" {
        return Ok(std::time::Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(bad()),
            };
        rest = &rest[unit..];
    }
    std::time::Duration::try_from_secs_f64(seconds).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    struct Test {
        #[arg(long)]
        etcd_prefix: Option<String>,
        #[command(flatten)]
        client: ClientFlags,
        #[command(flatten)]
        leader: LeaderElectionFlags,
        #[command(flatten)]
        logging: LoggingFlags,
    }

    fn parse_words(words: &str) -> Result<Test, FlagError> {
        parse(std::iter::once("test").chain(words.split_whitespace()).map(OsString::from), &[("address", "gone")])
    }

    #[test]
    fn gos_spellings_are_understood() {
        let flags = parse_words("-etcd-prefix=/a --api_servers http://m:8080 --leader-elect=false --logtostderr=true --address 0.0.0.0 --v=3").unwrap();
        assert_eq!(flags.etcd_prefix.as_deref(), Some("/a"));
        assert_eq!(flags.client.master.as_deref(), Some("http://m:8080"));
        assert!(!flags.leader.enabled);
        assert_eq!(flags.logging.v, 3);
        assert_eq!(parse_words("-v 2").unwrap().logging.v, 2);
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert!(parse_words("--no-such-flag=1").is_err());
    }

    #[test]
    fn durations_are_gos() {
        let cases = [("15s", 15.0), ("2m30s", 150.0), ("300ms", 0.3), ("0", 0.0), ("1.5h", 5400.0)];
        for (text, seconds) in cases {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        assert!(duration("5").is_err() && duration("5x").is_err() && duration("s").is_err());
    }
}
