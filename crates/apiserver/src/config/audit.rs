//! What is recorded of requests, and where that goes.

use std::{fmt::Display, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use component::flags::duration;

use super::Mistakes;
use crate::{
    audit::{
        Batching, Format, Log, Mode, OutputSettings, PolicyFile, Retention, Settings, Target, Throttle, Truncation,
        Webhook,
    },
    webhook::Connection,
};

/// `--audit-…`
#[derive(Args, Clone, Debug)]
pub struct AuditFlags {
    /// What is recorded of requests; nothing without it
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,
    /// Where events of the audit are written, a line each; - for the standard output
    #[arg(long, value_name = "FILE")]
    pub audit_log_path: Option<PathBuf>,
    /// How an event looks in a line: json or legacy
    #[arg(long, default_value = "json", value_name = "FORMAT")]
    pub audit_log_format: String,
    /// Version of the events in the log
    #[arg(long, default_value = VERSION, value_name = "VERSION")]
    pub audit_log_version: String,
    /// How many days old logs are kept; 0 for ever
    #[arg(long, default_value_t = 0, allow_hyphen_values = true, value_name = "DAYS")]
    pub audit_log_maxage: i64,
    /// How many old logs are kept; 0 for all
    #[arg(long, default_value_t = 0, allow_hyphen_values = true, value_name = "N")]
    pub audit_log_maxbackup: i64,
    /// How large a log becomes before it is an old one, in megabytes; 0 for 100
    #[arg(long, default_value_t = 0, allow_hyphen_values = true, value_name = "MB")]
    pub audit_log_maxsize: i64,
    /// Compress old logs with gzip
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub audit_log_compress: bool,
    /// Whether requests wait until an event is written (blocking), and are refused when it cannot be (blocking-strict), or not (batch)
    #[arg(long, default_value = "blocking", value_name = "MODE")]
    pub audit_log_mode: String,
    /// How many events wait at most; more are lost. For the mode batch
    #[arg(long, default_value_t = 10_000, allow_hyphen_values = true, value_name = "N")]
    pub audit_log_batch_buffer_size: i64,
    /// How many events are written at a time. For the mode batch
    #[arg(long, default_value_t = 1, allow_hyphen_values = true, value_name = "N")]
    pub audit_log_batch_max_size: i64,
    /// How long an event waits for others to be written with. For the mode batch
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "DURATION")]
    pub audit_log_batch_max_wait: Duration,
    /// Bound how often events are written. For the mode batch
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub audit_log_batch_throttle_enable: bool,
    /// How often a second events are written on average
    #[arg(long, default_value_t = 0.0, allow_hyphen_values = true, value_name = "N")]
    pub audit_log_batch_throttle_qps: f64,
    /// How often at once
    #[arg(long, default_value_t = 0, allow_hyphen_values = true, value_name = "N")]
    pub audit_log_batch_throttle_burst: i64,
    /// Bound the size of events and batches
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub audit_log_truncate_enabled: bool,
    /// The largest event, in bytes: the objects are taken out of a larger one, and if that is not enough it is lost
    #[arg(long, default_value_t = MAX_EVENT, allow_hyphen_values = true, value_name = "BYTES")]
    pub audit_log_truncate_max_event_size: i64,
    /// The most that is written at a time, in bytes
    #[arg(long, default_value_t = MAX_BATCH, allow_hyphen_values = true, value_name = "BYTES")]
    pub audit_log_truncate_max_batch_size: i64,
    /// Kubeconfig that says where events are sent
    #[arg(long, value_name = "FILE")]
    pub audit_webhook_config_file: Option<PathBuf>,
    /// Version of the events that are sent
    #[arg(long, default_value = VERSION, value_name = "VERSION")]
    pub audit_webhook_version: String,
    /// How long to wait after the first failure to send events
    #[arg(long, alias = "audit-webhook-batch-initial-backoff", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub audit_webhook_initial_backoff: Duration,
    /// Whether requests wait until an event is sent (blocking), and are refused when it cannot be (blocking-strict), or not (batch)
    #[arg(long, default_value = "batch", value_name = "MODE")]
    pub audit_webhook_mode: String,
    /// How many events wait at most; more are lost. For the mode batch
    #[arg(long, default_value_t = 10_000, allow_hyphen_values = true, value_name = "N")]
    pub audit_webhook_batch_buffer_size: i64,
    /// How many events are sent at a time. For the mode batch
    #[arg(long, default_value_t = 400, allow_hyphen_values = true, value_name = "N")]
    pub audit_webhook_batch_max_size: i64,
    /// How long an event waits for others to be sent with. For the mode batch
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub audit_webhook_batch_max_wait: Duration,
    /// Bound how often events are sent. For the mode batch
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub audit_webhook_batch_throttle_enable: bool,
    /// How often a second events are sent on average
    #[arg(long, default_value_t = 10.0, allow_hyphen_values = true, value_name = "N")]
    pub audit_webhook_batch_throttle_qps: f64,
    /// How often at once
    #[arg(long, default_value_t = 15, allow_hyphen_values = true, value_name = "N")]
    pub audit_webhook_batch_throttle_burst: i64,
    /// Bound the size of events and batches
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub audit_webhook_truncate_enabled: bool,
    /// The largest event, in bytes: the objects are taken out of a larger one, and if that is not enough it is lost
    #[arg(long, default_value_t = MAX_EVENT, allow_hyphen_values = true, value_name = "BYTES")]
    pub audit_webhook_truncate_max_event_size: i64,
    /// The most that is sent at a time, in bytes
    #[arg(long, default_value_t = MAX_BATCH, allow_hyphen_values = true, value_name = "BYTES")]
    pub audit_webhook_truncate_max_batch_size: i64,
}

/// The only version of events.
const VERSION: &str = "audit.k8s.io/v1";
/// Upstream's.
const MAX_EVENT: i64 = 100 << 10;
/// Upstream's.
const MAX_BATCH: i64 = 10 << 20;
const MEGABYTE: u64 = 1 << 20;
const DAY: u64 = 86_400;

/// The flags of one output.
struct OutputFlags<'a> {
    name: &'static str,
    version: &'a str,
    mode: &'a str,
    buffer_size: i64,
    max_size: i64,
    max_wait: Duration,
    /// Average and burst, when there is a bound.
    throttle: Option<(f64, i64)>,
    truncates: bool,
    max_event: i64,
    max_batch: i64,
}

/// Nothing is recorded without a policy, and nowhere without an output.
pub(super) fn settings(flags: &AuditFlags, mistakes: &mut Mistakes) -> Option<Settings> {
    let read = |path: &PathBuf| mistakes.take("audit-policy-file", PolicyFile::read(path));
    let policy = flags.audit_policy_file.as_ref().map(read);
    let log = flags.audit_log_path.as_ref().map(|path| log(flags, path, mistakes));
    let webhook = flags.audit_webhook_config_file.as_ref().map(|path| webhook(flags, path, mistakes));
    for (name, _) in [("log", log.is_some()), ("webhook", webhook.is_some())].iter().filter(|(_, there)| *there) {
        if policy.is_none() {
            tracing::warn!("No audit policy file provided, no events will be recorded for {name} backend");
        }
    }
    let outputs: Vec<OutputSettings> = log.into_iter().chain(webhook).flatten().collect();
    let policy = policy??;
    (!outputs.is_empty()).then(|| Settings { policy, outputs })
}

fn log(flags: &AuditFlags, path: &std::path::Path, mistakes: &mut Mistakes) -> Option<OutputSettings> {
    let output = OutputFlags {
        name: "log",
        version: &flags.audit_log_version,
        mode: &flags.audit_log_mode,
        buffer_size: flags.audit_log_batch_buffer_size,
        max_size: flags.audit_log_batch_max_size,
        max_wait: flags.audit_log_batch_max_wait,
        throttle: (flags.audit_log_batch_throttle_enable)
            .then_some((flags.audit_log_batch_throttle_qps, flags.audit_log_batch_throttle_burst)),
        truncates: flags.audit_log_truncate_enabled,
        max_event: flags.audit_log_truncate_max_event_size,
        max_batch: flags.audit_log_truncate_max_batch_size,
    };
    let output = output.read(mistakes);
    let format = match flags.audit_log_format.as_str() {
        "json" => Some(Format::Json),
        "legacy" => Some(Format::Legacy),
        other => {
            mistakes.0.push(format!("invalid audit log format {other}, allowed formats are \"legacy,json\""));
            None
        }
    };
    let mut number = |flag: &str, value: i64| match u64::try_from(value) {
        Ok(value) => Some(value),
        Err(_) => {
            mistakes.0.push(format!("--{flag} {value} can't be a negative number"));
            None
        }
    };
    let age = number("audit-log-maxage", flags.audit_log_maxage);
    let backups = number("audit-log-maxbackup", flags.audit_log_maxbackup);
    let size = number("audit-log-maxsize", flags.audit_log_maxsize);
    let (mode, truncation) = output?;
    let retention = Retention {
        size: size?.saturating_mul(MEGABYTE),
        backups: usize::try_from(backups?).unwrap_or(usize::MAX),
        age: Duration::from_secs(age?.saturating_mul(DAY)),
        compress: flags.audit_log_compress,
    };
    let log = mistakes.take("audit-log-path", Log::open(path, format?, retention))?;
    Some(OutputSettings { target: Target::Log(Arc::new(log)), mode, truncation })
}

fn webhook(flags: &AuditFlags, path: &std::path::Path, mistakes: &mut Mistakes) -> Option<OutputSettings> {
    let output = OutputFlags {
        name: "webhook",
        version: &flags.audit_webhook_version,
        mode: &flags.audit_webhook_mode,
        buffer_size: flags.audit_webhook_batch_buffer_size,
        max_size: flags.audit_webhook_batch_max_size,
        max_wait: flags.audit_webhook_batch_max_wait,
        throttle: (flags.audit_webhook_batch_throttle_enable)
            .then_some((flags.audit_webhook_batch_throttle_qps, flags.audit_webhook_batch_throttle_burst)),
        truncates: flags.audit_webhook_truncate_enabled,
        max_event: flags.audit_webhook_truncate_max_event_size,
        max_batch: flags.audit_webhook_truncate_max_batch_size,
    };
    let output = output.read(mistakes);
    let webhook = Webhook::new(Connection::Kubeconfig(path.to_owned()), flags.audit_webhook_initial_backoff);
    let webhook = mistakes.take("audit-webhook-config-file", webhook.map_err(|error| format!("{error:#}")));
    let (mode, truncation) = output?;
    Some(OutputSettings { target: Target::Webhook(Arc::new(webhook?)), mode, truncation })
}

impl OutputFlags<'_> {
    fn read(&self, mistakes: &mut Mistakes) -> Option<(Mode, Option<Truncation>)> {
        let before = mistakes.0.len();
        let mode = self.mode(mistakes);
        let truncation = self.truncation(mistakes);
        if self.version != VERSION {
            mistakes.0.push(format!("invalid group version {:?}, allowed versions are [\"{VERSION}\"]", self.version));
        }
        (mistakes.0.len() == before).then_some((mode?, truncation.filter(|_| self.truncates)))
    }

    fn mode(&self, mistakes: &mut Mistakes) -> Option<Mode> {
        let name = self.name;
        let mut positive = |what: &str, value: f64, told: &dyn Display| {
            if value.is_nan() || value <= 0.0 {
                mistakes.0.push(format!("invalid audit batch {name} {what} {told}, must be a positive number"));
            }
        };
        match self.mode {
            "blocking" => Some(Mode::Blocking),
            "blocking-strict" => Some(Mode::BlockingStrict),
            "batch" => {
                positive("buffer size", self.buffer_size as f64, &self.buffer_size);
                positive("max batch size", self.max_size as f64, &self.max_size);
                if let Some((qps, burst)) = &self.throttle {
                    positive("throttle QPS", *qps, qps);
                    positive("throttle burst", *burst as f64, burst);
                }
                let size = |value: i64| usize::try_from(value).unwrap_or_default();
                Some(Mode::Batch(Batching {
                    buffer: size(self.buffer_size),
                    max_size: size(self.max_size),
                    max_wait: self.max_wait,
                    // Lines of a file have an order.
                    parallel: if self.name == "log" { 1 } else { 16 },
                    throttle: self.throttle.map(|(qps, burst)| Throttle { qps, burst: burst as f64 }),
                }))
            }
            other => {
                let allowed = "batch,blocking,blocking-strict";
                mistakes.0.push(format!("invalid audit {name} mode {other}, allowed modes are {allowed:?}"));
                None
            }
        }
    }

    fn truncation(&self, mistakes: &mut Mistakes) -> Option<Truncation> {
        let (name, event, batch) = (self.name, self.max_event, self.max_batch);
        if event <= 0 {
            let why = format!("invalid audit truncate {name} max event size {event}, must be a positive number");
            mistakes.0.push(why);
        }
        if batch < event {
            let least = format!("must be greater than max event size ({event})");
            mistakes.0.push(format!("invalid audit truncate {name} max batch size {batch}, {least}"));
        }
        Some(Truncation { event: usize::try_from(event).ok()?, batch: usize::try_from(batch).ok()? })
    }
}
