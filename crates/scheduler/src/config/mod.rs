//! `--config`: a `KubeSchedulerConfiguration`.

pub mod arguments;
pub mod extenders;
pub mod policy;
mod profiles;

use std::{path::Path as File, time::Duration};

use api_types::field::{FieldError, Path};
use component::{flags, profiling::Profiling};
use serde::{Deserialize, Deserializer};

use extenders::ExtenderDocument;
pub use profiles::{default_profiles, profiles};

use crate::framework::Profiles;

/// The version that is understood.
pub const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the configuration {path:?}")]
    Read {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no YAML.
    #[error("the configuration is malformed: {0}")]
    Syntax(#[from] api_types::yaml::Error),
    /// It is something else, or a field is unknown or of another type.
    #[error("the configuration is malformed: {0}")]
    Shape(String),
    /// It makes no sense; every mistake on a line.
    #[error("the configuration is invalid:{}", lines(.0))]
    Invalid(Vec<FieldError>),
}

fn lines(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}

/// What a configuration says, checked.
#[derive(Debug)]
pub struct Configuration {
    /// Profiles by scheduler name.
    pub profiles: Profiles,
    /// How long a pod waits after a failed attempt.
    pub backoff: Backoff,
    /// Whether profiles are made.
    pub profiling: Profiling,
    /// Programs elsewhere that have their say.
    pub extenders: Vec<ExtenderDocument>,
    /// Leader election, where it says something else than the flags.
    pub leader_election: LeaderElection,
    /// `clientConnection.kubeconfig`.
    pub kubeconfig: Option<std::path::PathBuf>,
}

/// How long a pod waits after failed attempts: it doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first; `podInitialBackoffSeconds`.
    pub first: Duration,
    /// The longest; `podMaxBackoffSeconds`.
    pub last: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), last: Duration::from_secs(10) }
    }
}

/// `leaderElection`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LeaderElection {
    /// Work only while holding the lease.
    pub leader_elect: Option<bool>,
    /// How long followers wait.
    #[serde(deserialize_with = "duration")]
    pub lease_duration: Option<Duration>,
    /// How long the leader tries.
    #[serde(deserialize_with = "duration")]
    pub renew_deadline: Option<Duration>,
    /// Between attempts.
    #[serde(deserialize_with = "duration")]
    pub retry_period: Option<Duration>,
    /// `leases`; nothing else is there.
    pub resource_lock: Option<String>,
    /// Name of the lease.
    pub resource_name: Option<String>,
    /// Namespace of the lease.
    pub resource_namespace: Option<String>,
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| flags::duration(&text)).transpose().map_err(serde::de::Error::custom)
}

/// The file, as it is written. What has no meaning here is accepted where upstream accepts it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Document {
    /// How many threads look at nodes; one is enough.
    #[serde(rename = "parallelism")]
    _parallelism: Option<i32>,
    leader_election: LeaderElection,
    client_connection: ClientConnection,
    enable_profiling: Option<bool>,
    #[serde(rename = "enableContentionProfiling")]
    _enable_contention_profiling: Option<bool>,
    #[serde(rename = "delayCacheUntilActive")]
    _delay_cache_until_active: Option<bool>,
    percentage_of_nodes_to_score: Option<i32>,
    pod_initial_backoff_seconds: Option<i64>,
    pod_max_backoff_seconds: Option<i64>,
    profiles: Option<Vec<profiles::ProfileDocument>>,
    extenders: Vec<ExtenderDocument>,
}

/// Only the kubeconfig matters: clients are not throttled, and JSON is always used.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ClientConnection {
    kubeconfig: Option<std::path::PathBuf>,
    #[serde(rename = "acceptContentTypes")]
    _accept_content_types: Option<String>,
    #[serde(rename = "contentType")]
    _content_type: Option<String>,
    #[serde(rename = "qps")]
    _qps: Option<f64>,
    #[serde(rename = "burst")]
    _burst: Option<i64>,
}

/// Reads and checks a configuration file.
///
/// # Errors
/// See [`ConfigError`].
pub fn load(path: &File) -> Result<Configuration, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text)
}

/// Checks a configuration.
///
/// # Errors
/// See [`ConfigError`]; every mistake is told at once.
pub fn parse(text: &str) -> Result<Configuration, ConfigError> {
    let mut value = api_types::yaml::from_str(text)?;
    let fields = value.as_object_mut().ok_or_else(|| ConfigError::Shape("it is no object".to_owned()))?;
    for (field, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let actual = fields.remove(field).unwrap_or_default();
        if actual != wanted {
            return Err(ConfigError::Shape(format!("{field} is {actual}, not {wanted:?}")));
        }
    }
    let document: Document = serde_json::from_value(value).map_err(|error| ConfigError::Shape(error.to_string()))?;
    document.check()
}

impl Document {
    fn check(self) -> Result<Configuration, ConfigError> {
        let mut errors = Vec::new();
        let backoff = self.backoff(&mut errors);
        let percentage = percentage(&Path::default(), self.percentage_of_nodes_to_score, &mut errors);
        errors.extend(extenders::validate(&self.extenders));
        let managed = self.extenders.iter().flat_map(|own| &own.managed_resources);
        let ignored: Vec<&str> = managed.filter(|own| own.ignored_by_scheduler).map(|own| own.name.as_str()).collect();
        let mut documents = self.profiles.unwrap_or_default();
        if !ignored.is_empty() {
            profiles::ignore(&mut documents, &ignored);
        }
        let profiles = profiles(documents, percentage, &mut errors);
        let own = Configuration {
            profiles,
            backoff,
            profiling: if self.enable_profiling == Some(false) { Profiling::Absent } else { Profiling::Served },
            extenders: self.extenders,
            leader_election: self.leader_election,
            kubeconfig: self.client_connection.kubeconfig.filter(|path| !path.as_os_str().is_empty()),
        };
        if errors.is_empty() { Ok(own) } else { Err(ConfigError::Invalid(errors)) }
    }

    fn backoff(&self, errors: &mut Vec<FieldError>) -> Backoff {
        let default = Backoff::default();
        let seconds = |given: Option<i64>| given.map(|given| u64::try_from(given).unwrap_or(0));
        let first = seconds(self.pod_initial_backoff_seconds).map_or(default.first, Duration::from_secs);
        let last = seconds(self.pod_max_backoff_seconds).map_or(default.last, Duration::from_secs);
        if first.is_zero() {
            let path = Path::new("podInitialBackoffSeconds");
            errors.push(FieldError::invalid(&path, self.pod_initial_backoff_seconds, "must be greater than 0"));
        }
        if last < first {
            let detail = "must be greater than or equal to PodInitialBackoffSeconds";
            errors.push(FieldError::invalid(&Path::new("podMaxBackoffSeconds"), self.pod_max_backoff_seconds, detail));
        }
        Backoff { first, last }
    }
}

/// A share of the nodes; 0 leaves it to the cluster's size.
fn percentage(path: &Path, given: Option<i32>, errors: &mut Vec<FieldError>) -> Option<usize> {
    let given = given?;
    if !(0..=100).contains(&given) {
        let path = path.child("percentageOfNodesToScore");
        errors.push(FieldError::invalid(&path, given, "not in valid range [0-100]"));
    }
    usize::try_from(given).ok().filter(|percentage| *percentage > 0)
}

#[cfg(test)]
mod tests;
