//! Flags made into a configuration, with every mistake reported at once.

mod audit;
mod authentication;
mod authorization;
mod flags;
mod network;
mod oidc;
mod service_accounts;

use rustls::sign::CertifiedKey;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

pub use audit::AuditFlags;
use component::{
    auth::Anonymous,
    files::FromFiles,
    profiling::Profiling,
    serve::{certificates, tls::serving},
};
pub use flags::{Flags, RETIRED};

use rustls::DistinguishedName;

use crate::{
    admission, aggregation, audit as auditing,
    authentication::Settings as Authentication,
    authorization::Authorization,
    bootstrap::authentication_trust::Trust,
    filters::Limits,
    handlers::KubeletTls,
    resources::{self, service::ServiceNetwork},
    storage::{
        Ttl,
        embedded::EmbeddedOptions,
        encryption::EncryptionConfig,
        etcd::{EtcdOptions, EtcdTls},
    },
    webhook::Otherwise,
};

/// Where objects are stored.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// In a file.
    Embedded(EmbeddedOptions),
    /// In etcd.
    Etcd(EtcdOptions),
}

/// Where HTTPS is served, and with what.
pub struct Secure {
    /// Where.
    pub address: SocketAddr,
    /// The certificate.
    pub certificate: FromFiles<CertifiedKey>,
    /// Who may have signed clients' certificates, as they are told.
    pub client_authorities: Vec<DistinguishedName>,
}

/// Whether an API server keeps the roles and bindings that every cluster has. Tests to which they do not matter are
/// quicker without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RbacDefaults {
    /// It does, as upstream's does whatever its modes are.
    Kept,
    /// It does not.
    LeftOut,
}

/// What the server is to be.
pub struct Config {
    /// Where objects are stored.
    pub store: StoreConfig,
    /// How objects are encrypted there, if they are.
    pub encryption: Option<FromFiles<EncryptionConfig>>,
    /// HTTPS, if it is served.
    pub secure: Option<Secure>,
    /// Plain HTTP, if it is served.
    pub insecure: Option<SocketAddr>,
    /// Under which address others reach the server.
    pub advertise: IpAddr,
    /// Who clients are.
    pub authentication: Authentication,
    /// What others are told of that.
    pub trust: Trust,
    /// How servers behind this one are reached.
    pub aggregation: aggregation::Means,
    /// What they may do.
    pub authorization: Authorization,
    /// Whether the default roles and bindings are kept.
    pub rbac_defaults: RbacDefaults,
    /// What is recorded of what they do, if anything is.
    pub audit: Option<auditing::Settings>,
    /// How many requests may run at once.
    pub limits: Limits,
    /// Deadline of requests.
    pub timeout: Duration,
    /// Whether profiles are made.
    pub profiling: Profiling,
    /// Admission plugins.
    pub admission: admission::Settings,
    /// How resources are stored.
    pub resources: resources::Settings,
    /// Addresses of services.
    pub services: ServiceNetwork,
    /// How to reach kubelets.
    pub kubelet: KubeletTls,
    /// Types of node addresses, best first.
    pub kubelet_address_types: Vec<String>,
    /// How often kubelets are asked what is used, if they are.
    pub metric_resolution: Option<Duration>,
}

/// Everything that is wrong with the flags.
#[derive(Debug)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Mistakes {}

impl Mistakes {
    /// Keeps a good value, notes a bad one.
    fn take<T, E: fmt::Display>(&mut self, flag: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.0.push(format!("--{flag}: {error}"))).ok()
    }
}

impl Config {
    /// Reads the flags and the files that they name.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn new(flags: Flags) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes(Vec::new());
        let services = services(&flags, &mut mistakes);
        let advertise = advertise(&flags, &mut mistakes);
        // What cannot be done without is a mistake when it is missing.
        let Some(authentication) = authentication::settings(&flags, &mut mistakes) else { return Err(mistakes) };
        let config = Self {
            store: store(&flags, &mut mistakes),
            encryption: encryption(&flags, &mut mistakes),
            secure: secure(&flags, advertise, services, &mut mistakes),
            insecure: (flags.insecure_port != 0)
                .then(|| SocketAddr::new(flags.insecure_bind_address, flags.insecure_port)),
            advertise,
            authentication,
            trust: authentication::trust(&flags),
            aggregation: aggregation_means(&flags, &mut mistakes),
            authorization: authorization::authorization(&flags, &mut mistakes),
            rbac_defaults: RbacDefaults::Kept,
            audit: audit::settings(&flags.audit, &mut mistakes),
            limits: limits(&flags),
            profiling: Profiling::from(&flags.profiling),
            timeout: flags.request_timeout,
            admission: admission(&flags, &mut mistakes),
            resources: resources::Settings {
                prefix: format!("/{}", flags.etcd_prefix.trim_matches('/')),
                event_ttl: Ttl::seconds(u32::try_from(flags.event_ttl.as_secs()).unwrap_or(u32::MAX)),
            },
            services,
            kubelet: kubelet(&flags, &mut mistakes),
            metric_resolution: metric_resolution(&flags, &mut mistakes),
            kubelet_address_types: flags.kubelet_preferred_address_types,
        };
        if config.secure.is_none() && config.insecure.is_none() && mistakes.0.is_empty() {
            mistakes.0.push("--secure-port and --insecure-port are both 0: nothing would be served".into());
        }
        if mistakes.0.is_empty() { Ok(config) } else { Err(mistakes) }
    }
}

fn store(flags: &Flags, mistakes: &mut Mistakes) -> StoreConfig {
    if flags.etcd_servers.is_empty() {
        let mut options = EmbeddedOptions::new(flags.data_dir.join("store.redb"));
        options.history = flags.etcd_compaction_interval;
        options.quota = flags.quota_backend_bytes;
        return StoreConfig::Embedded(options);
    }
    let mut read = |flag, path: &Option<PathBuf>| {
        path.as_ref()
            .and_then(|path| mistakes.take(flag, std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))))
    };
    let ca = read("etcd-cafile", &flags.etcd_cafile);
    let certificate = read("etcd-certfile", &flags.etcd_certfile);
    let key = read("etcd-keyfile", &flags.etcd_keyfile);
    if certificate.is_some() != key.is_some() {
        mistakes.0.push("--etcd-certfile and --etcd-keyfile belong together".into());
    }
    let mut options = EtcdOptions::new(flags.etcd_servers.clone());
    let encrypted = flags.etcd_servers.iter().any(|server| server.starts_with("https://"));
    options.history = Some(flags.etcd_compaction_interval).filter(|window| !window.is_zero());
    options.tls = encrypted.then(|| EtcdTls { ca, identity: certificate.zip(key) });
    StoreConfig::Etcd(options)
}

fn encryption(flags: &Flags, mistakes: &mut Mistakes) -> Option<FromFiles<EncryptionConfig>> {
    let path = flags.encryption_provider_config.clone()?;
    let watched = if flags.encryption_provider_config_automatic_reload { vec![path.clone()] } else { Vec::new() };
    let read = FromFiles::new("--encryption-provider-config", watched, move || EncryptionConfig::read(&path));
    mistakes.take("encryption-provider-config", read.map_err(|error| format!("{error:#}")))
}

fn services(flags: &Flags, mistakes: &mut Mistakes) -> ServiceNetwork {
    let addresses = mistakes.take("service-cluster-ip-range", network::service_range(&flags.service_cluster_ip_range));
    let ports = mistakes.take("service-node-port-range", flags.service_node_port_range.parse());
    ServiceNetwork { addresses: addresses.unwrap_or_default(), ports: ports.unwrap_or_default() }
}

fn advertise(flags: &Flags, mistakes: &mut Mistakes) -> IpAddr {
    match flags.advertise_address {
        Some(address) if address.is_unspecified() => {
            mistakes.0.push(format!("--advertise-address: {address} is not an address that others can reach"));
            address
        }
        Some(address) => address,
        None if !flags.bind_address.is_unspecified() => flags.bind_address,
        None => network::own_address(),
    }
}

fn secure(flags: &Flags, advertise: IpAddr, services: ServiceNetwork, mistakes: &mut Mistakes) -> Option<Secure> {
    if flags.secure_port == 0 {
        return None;
    }
    let certificate = match (&flags.tls_cert_file, &flags.tls_private_key_file) {
        (Some(certificate), Some(key)) => {
            mistakes.take("tls-cert-file", serving(certificate, key).map_err(|error| format!("{error:#}")))
        }
        (None, None) => {
            let hosts = certificate_hosts(advertise, services);
            let made = certificates::read_or_make(&flags.cert_dir, "apiserver", &hosts).map_err(Into::into);
            let file = |kind: &str| flags.cert_dir.join(format!("apiserver.{kind}"));
            let made = made.and_then(|_| serving(&file("crt"), &file("key")));
            mistakes.take("cert-dir", made.map_err(|error| format!("{error:#}")))
        }
        _ => {
            mistakes.0.push("--tls-cert-file and --tls-private-key-file belong together".into());
            None
        }
    };
    let address = SocketAddr::new(flags.bind_address, flags.secure_port);
    certificate.map(|certificate| Secure { address, certificate, client_authorities: client_authorities(flags) })
}

/// What is wrong with the file is told by whoever judges certificates by it.
fn client_authorities(flags: &Flags) -> Vec<DistinguishedName> {
    let chain = flags.client_ca_file.as_ref().and_then(|path| certificates::read_chain(path).ok());
    let authority = chain.and_then(|chain| component::serve::tls::ClientAuthority::new(chain).ok());
    authority.map(|authority| authority.names()).unwrap_or_default()
}

/// Names by which the server is reached from inside the cluster.
fn certificate_hosts(advertise: IpAddr, services: ServiceNetwork) -> Vec<String> {
    let names = [
        "localhost",
        "127.0.0.1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let mut hosts: Vec<String> = names.map(str::to_owned).into();
    hosts.push(advertise.to_string());
    hosts.extend(services.addresses.hosts().next().map(|first| first.to_string()));
    hosts
}

/// As many as the flags say; without limit where they say 0, as upstream.
fn limits(flags: &Flags) -> Limits {
    let limit = |flag: usize| if flag == 0 { usize::MAX } else { flag };
    Limits { reading: limit(flags.max_requests_inflight), mutating: limit(flags.max_mutating_requests_inflight) }
}

/// Where everything is allowed, strangers are not let in, whatever the flag says; upstream does the same.
fn anonymous(flags: &Flags, by_file: Option<bool>) -> Anonymous {
    let everything = authorization::allows_everything(flags);
    let wanted = by_file.unwrap_or(flags.anonymous_auth);
    if everything && wanted {
        tracing::warn!(
            "AnonymousAuth is not allowed with the AlwaysAllow authorizer. Resetting AnonymousAuth to false. You should use a different authorizer"
        );
    }
    if wanted && !everything { Anonymous::Allowed } else { Anonymous::Refused }
}

fn admission(flags: &Flags, mistakes: &mut Mistakes) -> admission::Settings {
    let read = |path: &PathBuf| mistakes.take("admission-control-config-file", admission::Configurations::read(path));
    let mut configurations = flags.admission_control_config_file.as_ref().and_then(read).unwrap_or_default();
    let seconds = (flags.default_not_ready_toleration_seconds, flags.default_unreachable_toleration_seconds);
    let tolerated = serde_json::json!({"notReady": seconds.0, "unreachable": seconds.1});
    configurations.tell("DefaultTolerationSeconds", tolerated);
    let chosen = admission::Settings::new(&admission::Choice {
        only: &flags.admission_control,
        enabled: &flags.enable_admission_plugins,
        disabled: &flags.disable_admission_plugins,
        configurations: &configurations,
    });
    chosen.unwrap_or_else(|wrong| {
        mistakes.0.extend(wrong);
        admission::Settings::default()
    })
}

fn aggregation_means(flags: &Flags, mistakes: &mut Mistakes) -> aggregation::Means {
    let identity = match (&flags.proxy_client_cert_file, &flags.proxy_client_key_file) {
        (Some(certificate), Some(key)) => {
            mistakes.take("proxy-client-cert-file", serving(certificate, key).map_err(|error| format!("{error:#}")))
        }
        (None, None) => None,
        _ => {
            mistakes.0.push("--proxy-client-cert-file and --proxy-client-key-file belong together".into());
            None
        }
    };
    let otherwise = if flags.enable_aggregator_routing { Otherwise::Nowhere } else { Otherwise::OwnAddress };
    aggregation::Means { identity: identity.map(Arc::new), otherwise }
}

fn kubelet(flags: &Flags, mistakes: &mut Mistakes) -> KubeletTls {
    let identity = match (&flags.kubelet_client_certificate, &flags.kubelet_client_key) {
        (Some(certificate), Some(key)) => {
            let read = certificates::read_pair(certificate, key).map_err(|error| chain(&error));
            mistakes.take("kubelet-client-certificate", read)
        }
        (None, None) => None,
        _ => {
            mistakes.0.push("--kubelet-client-certificate and --kubelet-client-key belong together".into());
            None
        }
    };
    let authority = flags.kubelet_certificate_authority.as_ref().and_then(|path| {
        mistakes.take("kubelet-certificate-authority", certificates::read_chain(path).map_err(|error| chain(&error)))
    });
    KubeletTls { identity, authority }
}

/// Kubelets are quick, but not for nothing.
const RESOLUTION_MIN: Duration = Duration::from_secs(1);
const USUAL_RESOLUTION: Duration = Duration::from_secs(15);

/// Who cannot show kubelets who they are is told nothing by them, so that they are asked only when somebody wants it.
fn metric_resolution(flags: &Flags, mistakes: &mut Mistakes) -> Option<Duration> {
    let usual = || flags.kubelet_client_certificate.is_some().then_some(USUAL_RESOLUTION);
    let resolution = flags.metric_resolution.or_else(usual).filter(|resolution| !resolution.is_zero())?;
    if resolution < RESOLUTION_MIN {
        mistakes.0.push("--metric-resolution should be a time duration of at least 1s".to_owned());
    }
    Some(resolution)
}

/// An error with its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn all_mistakes_are_told_at_once() {
        let flags = Flags::parse_from([
            "kube-apiserver",
            "--service-cluster-ip-range=nonsense",
            "--service-node-port-range=9-1",
            "--client-ca-file=/does/not/exist",
            "--authorization-mode=Magic",
            "--tls-cert-file=/only/one",
            "--audit-log-path=-",
            "--audit-log-mode=batch",
            "--audit-log-batch-buffer-size=0",
            "--audit-log-format=xml",
            "--audit-log-maxage=-1",
            "--audit-webhook-config-file=/does/not/exist",
            "--audit-webhook-mode=never",
            "--audit-webhook-truncate-max-batch-size=10",
        ]);
        let Err(mistakes) = Config::new(flags) else { panic!("the flags were taken") };
        let text = mistakes.to_string();
        for flag in [
            "service-cluster-ip-range",
            "service-node-port-range",
            "client-ca-file",
            "authorization-mode",
            "tls-cert-file",
        ] {
            assert!(text.contains(&format!("--{flag}")), "{flag} is missing in {text}");
        }
        for mistake in [
            "invalid audit batch log buffer size 0, must be a positive number",
            r#"invalid audit log format xml, allowed formats are "legacy,json""#,
            "--audit-log-maxage -1 can't be a negative number",
            "--audit-webhook-config-file: ",
            r#"invalid audit webhook mode never, allowed modes are "batch,blocking,blocking-strict""#,
            "invalid audit truncate webhook max batch size 10, must be greater than max event size (102400)",
        ] {
            assert!(text.contains(mistake), "{mistake} is missing in {text}");
        }
    }
}
