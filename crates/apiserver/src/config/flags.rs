//! The command line.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Parser;
use component::{
    flags::{LoggingFlags, RetiredFlags, duration},
    profiling::ProfilingFlags,
};

use super::AuditFlags;

/// Validates and configures data for the API objects, and serves them.
#[derive(Clone, Debug, Parser)]
#[command(name = "kube-apiserver", version, args_override_self = true)]
pub struct Flags {
    /// URLs of etcd, comma separated; without any, objects are stored in --data-dir
    #[arg(long, value_delimiter = ',', value_name = "URLS")]
    pub etcd_servers: Vec<String>,
    /// Certificates that may have signed etcd's
    #[arg(long, value_name = "FILE")]
    pub etcd_cafile: Option<PathBuf>,
    /// Certificate to show to etcd
    #[arg(long, value_name = "FILE")]
    pub etcd_certfile: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "FILE")]
    pub etcd_keyfile: Option<PathBuf>,
    /// Prefix of all keys
    #[arg(long, default_value = "/registry", value_name = "PREFIX")]
    pub etcd_prefix: String,
    /// How long the history reaches back at least, from which watches go on; 0 when nothing, or somebody else, compacts it
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub etcd_compaction_interval: Duration,
    /// When so many bytes of the embedded store's file are in use, only reads and deletions go on
    #[arg(long, default_value_t = crate::storage::embedded::DEFAULT_QUOTA, value_name = "BYTES")]
    pub quota_backend_bytes: u64,
    /// Directory of the embedded store
    #[arg(long, default_value = "/var/lib/ferrokube", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// How resources are encrypted where they are stored
    #[arg(long, alias = "experimental-encryption-provider-config", value_name = "FILE")]
    pub encryption_provider_config: Option<PathBuf>,
    /// Read that file again when it changes
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub encryption_provider_config_automatic_reload: bool,
    /// Address of --secure-port
    #[arg(long, alias = "public-address-override", default_value = "0.0.0.0", value_name = "IP")]
    pub bind_address: IpAddr,
    /// Port for HTTPS; 0 for none
    #[arg(long, default_value_t = 6443, value_name = "PORT")]
    pub secure_port: u16,
    /// Address of --insecure-port
    #[arg(long, alias = "address", default_value = "127.0.0.1", value_name = "IP")]
    pub insecure_bind_address: IpAddr,
    /// Port for plain HTTP, without authentication; 0 for none
    #[arg(long, alias = "port", default_value_t = 0, value_name = "PORT")]
    pub insecure_port: u16,
    /// Address under which other members of the cluster reach this server; by default --bind-address, or the address of
    /// the interface that has the default route
    #[arg(long, value_name = "IP")]
    pub advertise_address: Option<IpAddr>,
    /// Certificate for HTTPS
    #[arg(long, value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "FILE")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Where a self-made certificate is kept when none is given
    #[arg(long, default_value = "/var/run/kubernetes", value_name = "DIR")]
    pub cert_dir: PathBuf,
    /// Certificates that may have signed clients'
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Bearer tokens: lines of token,user,uid,"group1,group2"
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,
    /// Passwords: lines of password,user,uid,"group1,group2"; not for use: they never change
    #[arg(long, value_name = "FILE")]
    pub basic_auth_file: Option<PathBuf>,
    /// OpenID Connect provider whose tokens are taken
    #[arg(long, value_name = "URL")]
    pub oidc_issuer_url: Option<String>,
    /// For whom the provider's tokens have to be made
    #[arg(long, value_name = "ID")]
    pub oidc_client_id: Option<String>,
    /// Certificates that may have signed the provider's; by default the machine's
    #[arg(long, value_name = "FILE")]
    pub oidc_ca_file: Option<PathBuf>,
    /// Claim that is the user's name
    #[arg(long, default_value = "sub", value_name = "CLAIM")]
    pub oidc_username_claim: String,
    /// Put before the user's name; - for nothing, by default the issuer's URL unless the name is an email address
    #[arg(long, allow_hyphen_values = true, value_name = "PREFIX")]
    pub oidc_username_prefix: Option<String>,
    /// Claim that lists the user's groups
    #[arg(long, value_name = "CLAIM")]
    pub oidc_groups_claim: Option<String>,
    /// Put before the groups' names
    #[arg(long, value_name = "PREFIX")]
    pub oidc_groups_prefix: Option<String>,
    /// How the provider's tokens may be signed
    #[arg(long, value_delimiter = ',', default_value = "RS256", value_name = "NAMES")]
    pub oidc_signing_algs: Vec<String>,
    /// What a token of the provider has to claim
    #[arg(long, value_delimiter = ',', value_name = "KEY=VALUE")]
    pub oidc_required_claim: Vec<String>,
    /// Whose tokens are taken, as a file
    #[arg(long, value_name = "FILE")]
    pub authentication_config: Option<PathBuf>,
    /// Kubeconfig that says where is asked whose tokens are
    #[arg(long, value_name = "FILE")]
    pub authentication_token_webhook_config_file: Option<PathBuf>,
    /// Version of the TokenReview that the webhook is sent
    #[arg(long, default_value = "v1beta1", value_name = "VERSION")]
    pub authentication_token_webhook_version: String,
    /// How long the webhook's answers stay good
    #[arg(long, default_value = "2m", value_parser = duration, value_name = "DURATION")]
    pub authentication_token_webhook_cache_ttl: Duration,
    /// Let nodes introduce themselves by the tokens of secrets in kube-system
    #[arg(long, alias = "experimental-bootstrap-token-auth", default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub enable_bootstrap_token_auth: bool,
    /// What servers behind this one are shown, so that they believe whom requests come from
    #[arg(long, value_name = "FILE")]
    pub proxy_client_cert_file: Option<PathBuf>,
    /// The key of this certificate
    #[arg(long, value_name = "FILE")]
    pub proxy_client_key_file: Option<PathBuf>,
    /// Go to endpoints of services of such servers only, never to a service's own address
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub enable_aggregator_routing: bool,
    /// Certificates that may have signed those of proxies, which name users in headers
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of proxies' certificates; without any all are proxies
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers in which proxies name users
    #[arg(long, value_delimiter = ',', value_name = "HEADERS")]
    pub requestheader_username_headers: Vec<String>,
    /// Headers in which proxies tell uids
    #[arg(long, value_delimiter = ',', value_name = "HEADERS")]
    pub requestheader_uid_headers: Vec<String>,
    /// Headers in which proxies tell groups
    #[arg(long, value_delimiter = ',', value_name = "HEADERS")]
    pub requestheader_group_headers: Vec<String>,
    /// What headers begin with in which proxies tell what else they know
    #[arg(long, value_delimiter = ',', value_name = "PREFIXES")]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// Who issues service account tokens; tokens of all that are named are believed, the first is who issues new ones
    #[arg(long, value_name = "URL")]
    pub service_account_issuer: Vec<String>,
    /// Keys that verify service account tokens, public or private, in PEM form
    #[arg(long, value_name = "FILE")]
    pub service_account_key_file: Vec<PathBuf>,
    /// Key that signs service account tokens; by default the server makes one for itself in --cert-dir
    #[arg(long, value_name = "FILE")]
    pub service_account_signing_key_file: Option<PathBuf>,
    /// Where others find the keys that verify service account tokens, when that is not this server
    #[arg(long, value_name = "URL")]
    pub service_account_jwks_uri: Option<String>,
    /// For whom tokens are that are meant for this server; by default for --service-account-issuer
    #[arg(long, alias = "service-account-api-audiences", value_delimiter = ',', value_name = "NAMES")]
    pub api_audiences: Vec<String>,
    /// Believe in a service account token only as long as what it names exists
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub service_account_lookup: bool,
    /// The longest life of a service account token
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub service_account_max_token_expiration: Option<Duration>,
    /// Let the tokens of pods live for a year in secret, for the sake of old clients
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub service_account_extend_token_expiration: bool,
    /// Let requests in that present nothing, as system:anonymous; never with AlwaysAllow among the authorization modes
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub anonymous_auth: bool,
    /// How requests are authorized, the first that has an opinion decides: AlwaysAllow (the default), AlwaysDeny, ABAC,
    /// Webhook, Node, RBAC
    #[arg(long, value_delimiter = ',', value_name = "MODES")]
    pub authorization_mode: Vec<String>,
    /// The list of authorizers, in place of --authorization-mode; read again when it changes
    #[arg(long, value_name = "FILE")]
    pub authorization_config: Option<PathBuf>,
    /// Policies of the mode ABAC, a line of JSON each
    #[arg(long, value_name = "FILE")]
    pub authorization_policy_file: Option<PathBuf>,
    /// Kubeconfig that says where the mode Webhook asks
    #[arg(long, value_name = "FILE")]
    pub authorization_webhook_config_file: Option<PathBuf>,
    /// Version of the SubjectAccessReview that the webhook is sent
    #[arg(long, default_value = "v1beta1", value_name = "VERSION")]
    pub authorization_webhook_version: String,
    /// How long the webhook's consent stays good
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "DURATION")]
    pub authorization_webhook_cache_authorized_ttl: Duration,
    /// How long the webhook's refusal stays good
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "DURATION")]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,
    /// The audit.
    #[command(flatten)]
    pub audit: AuditFlags,
    /// Range of the addresses of services
    #[arg(long, alias = "portal-net", default_value = "10.0.0.0/24", value_name = "CIDR")]
    pub service_cluster_ip_range: String,
    /// Range of the node ports of services
    #[arg(long, default_value = "30000-32767", value_name = "FROM-TO")]
    pub service_node_port_range: String,
    /// Certificate to show to kubelets
    #[arg(long, value_name = "FILE")]
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "FILE")]
    pub kubelet_client_key: Option<PathBuf>,
    /// Certificates that may have signed kubelets'
    #[arg(long, value_name = "FILE")]
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Types of node addresses to reach kubelets by, best first
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "InternalIP,Hostname,InternalDNS,ExternalDNS,ExternalIP",
        value_name = "TYPES"
    )]
    pub kubelet_preferred_address_types: Vec<String>,
    /// How often kubelets are asked what nodes and pods use, which metrics.k8s.io tells; 0 for never, and then the group is not
    /// served; 15s by default with --kubelet-client-certificate, else 0
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub metric_resolution: Option<Duration>,
    /// How long events are kept
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "DURATION")]
    pub event_ttl: Duration,
    /// Deadline of requests that are not long-running
    #[arg(long, default_value = "1m", value_parser = duration, value_name = "DURATION")]
    pub request_timeout: Duration,
    /// Most reading requests at a time; 0 for no limit
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub max_requests_inflight: usize,
    /// Most writing requests at a time; 0 for no limit
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub max_mutating_requests_inflight: usize,
    /// Admission plugins to run, and no others; better use the next two
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub admission_control: Vec<String>,
    /// What admission plugins are told
    #[arg(long, value_name = "FILE")]
    pub admission_control_config_file: Option<PathBuf>,
    /// How long pods stay on a node that is not ready, unless they say otherwise
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub default_not_ready_toleration_seconds: i64,
    /// How long pods stay on a node that cannot be reached, unless they say otherwise
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub default_unreachable_toleration_seconds: i64,
    /// Admission plugins to run besides the default ones
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub enable_admission_plugins: Vec<String>,
    /// Default admission plugins not to run
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub disable_admission_plugins: Vec<String>,
    /// Verbosity.
    #[command(flatten)]
    pub logging: LoggingFlags,
    /// What is told of where time is spent.
    #[command(flatten)]
    pub profiling: ProfilingFlags,
}

/// Flags of the past that no longer mean anything.
pub const RETIRED: RetiredFlags = &[
    ("storage-backend", "the API of etcd 3 is always used"),
    ("storage-media-type", "objects are stored as JSON"),
    ("etcd-quorum-read", "reads are always consistent"),
    ("runtime-config", "everything that is served is enabled"),
    ("kubelet-https", "kubelets are always reached over HTTPS"),
    ("kubelet-port", "the port is read from the node"),
    ("kubelet-timeout", "not supported"),
    ("cloud-provider", "there are no cloud providers"),
    ("cloud-config", "there are no cloud providers"),
    ("apiserver-count", "endpoints are kept by each server for itself"),
    ("endpoint-reconciler-type", "endpoints are kept by each server for itself"),
    ("cors-allowed-origins", "not supported"),
    ("enable-swagger-ui", "not supported"),
    ("repair-malformed-updates", "not needed"),
    ("watch-cache", "the watch cache cannot be turned off"),
    ("watch-cache-sizes", "watch caches have one size"),
    ("default-watch-cache-size", "watch caches have one size"),
    ("target-ram-mb", "not needed"),
    ("min-request-timeout", "not supported"),
    ("audit-dynamic-configuration", "not supported"),
    ("external-hostname", "not needed"),
    ("event-qps", "not supported"),
    ("max-connection-bytes-per-sec", "not supported"),
    ("aggregator-reject-forwarding-redirect", "redirects are never followed"),
    ("api-burst", "not supported"),
    ("api-rate", "not supported"),
    ("delete-collection-workers", "not supported"),
    ("coordinated-leadership-lease-duration", "not supported"),
    ("coordinated-leadership-renew-deadline", "not supported"),
    ("coordinated-leadership-retry-period", "not supported"),
    ("debug-socket-path", "not supported"),
    ("disable-http2-serving", "not supported"),
    ("egress-selector-config-file", "not supported"),
    ("enable-logs-handler", "not supported"),
    ("experimental-keystone-ca-file", "not supported"),
    ("experimental-keystone-url", "not supported"),
    ("goaway-chance", "not supported"),
    ("kubernetes-service-node-port", "not supported"),
    ("lease-reuse-duration-seconds", "not supported"),
    ("peer-advertise-ip", "not supported"),
    ("peer-advertise-port", "not supported"),
    ("peer-ca-file", "not supported"),
    ("service-account-signing-endpoint", "not supported"),
    ("shutdown-delay-duration", "not supported"),
    ("shutdown-send-retry-after", "not supported"),
    ("shutdown-watch-termination-grace-period", "not supported"),
    ("ssh-keyfile", "not supported"),
    ("ssh-user", "not supported"),
    ("strict-transport-security-directives", "not supported"),
    ("tracing-config-file", "not supported"),
    ("identity-lease-duration-seconds", "not supported"),
    ("identity-lease-renew-interval-seconds", "not supported"),
    ("authorization-rbac-super-user", "members of system:masters may everything"),
    ("insecure-allow-any-token", "tokens are always verified"),
    ("cloud-provider-gce-l7lb-src-cidrs", "there are no cloud providers"),
    ("cloud-provider-gce-lb-src-cidrs", "there are no cloud providers"),
    ("cluster-name", "not used"),
    ("master-service-namespace", "not used"),
    ("deserialization-cache-size", "not needed"),
    ("enable-garbage-collector", "what is to be collected is always kept track of"),
    ("enable-priority-and-fairness", "not supported"),
    ("etcd-count-metric-poll-period", "metrics are computed when they are asked for"),
    ("etcd-db-metric-poll-interval", "metrics are computed when they are asked for"),
    ("etcd-healthcheck-timeout", "not supported"),
    ("etcd-readycheck-timeout", "not supported"),
    ("livez-grace-period", "not supported"),
    ("storage-initialization-timeout", "not supported"),
    ("health-check-minions", "kubelets register their nodes"),
    ("machines", "kubelets register their nodes"),
    ("minion-port", "kubelets register their nodes"),
    ("kubelet-read-only-port", "kubelets are always reached over HTTPS"),
    ("long-running-request-regexp", "which requests run long is known"),
    ("old-etcd-prefix", "objects are stored in the version of today"),
    ("storage-version", "objects are stored in the version of today"),
    ("storage-versions", "objects are stored in the version of today"),
    ("tls-ca-file", "use --client-ca-file"),
    ("unsupported-kube-api-over-localhost-insecure", "see --insecure-port"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_of_other_years_are_understood() {
        let lines = [
            // 2015, with underscores.
            "--address=0.0.0.0 --port=8080 --etcd_servers=http://127.0.0.1:2379 --service-cluster-ip-range=10.0.0.0/16 \
             --admission_control=NamespaceLifecycle,LimitRanger,ServiceAccount,ResourceQuota --allow_privileged=false \
             --kubelet_port=10250 --storage-version=v1 --enable-garbage-collector --tls-ca-file=/a --ssh-user=a",
            // 2016.
            "--logtostderr=true --v=0 --admission-control=AlwaysAdmit --allow-privileged=true --etcd-servers=http://localhost:2379 \
             --insecure-bind-address=0.0.0.0 --insecure-port=8080 --service-cluster-ip-range=10.254.0.0/16",
            // 2019.
            "--advertise-address=10.0.0.1 --default-not-ready-toleration-seconds=360 --feature-gates=DynamicAuditing=true \
             --max-mutating-requests-inflight=2000 --max-requests-inflight=4000 --default-watch-cache-size=200 \
             --delete-collection-workers=2 --encryption-provider-config=/a --etcd-cafile=/a --etcd-certfile=/a --etcd-keyfile=/a \
             --etcd-servers=https://a:2379,https://b:2379 --insecure-port=0 --audit-dynamic-configuration --audit-log-maxage=15 \
             --audit-log-truncate-enabled --profiling --anonymous-auth=false --enable-bootstrap-token-auth \
             --requestheader-allowed-names=aggregator --requestheader-client-ca-file=/a --runtime-config=api/all=true \
             --requestheader-extra-headers-prefix=X-Remote-Extra- --allow-privileged=true --apiserver-count=3 --event-ttl=168h \
             --kubelet-https=true --kubelet-timeout=10s --proxy-client-cert-file=/a --proxy-client-key-file=/a --v=2",
            // Today, hardened.
            "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 --tls-min-version=VersionTLS12 --goaway-chance=0.001 \
             --shutdown-delay-duration=5s --emulated-version=1.35 --strict-transport-security-directives=max-age=1",
        ];
        for line in lines {
            let words = std::iter::once("kube-apiserver").chain(line.split_whitespace()).map(Into::into);
            let parsed: Result<Flags, _> = component::flags::parse(words, RETIRED);
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }
}
