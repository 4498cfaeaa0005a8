//! Flags made into a configuration, with every mistake reported at once.

mod flags;
mod network;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use component::serve::{
    certificates::{self, KeyedCertificate},
    tls::ClientAuthority,
};
pub use flags::{Flags, RETIRED};

use crate::{
    admission,
    filters::{AlwaysAllow, Anonymous, Authentication, Authorizer, Limits, TokenFile},
    handlers::KubeletTls,
    resources::{self, service::ServiceNetwork},
    storage::{
        Ttl,
        etcd::{EtcdOptions, EtcdTls},
    },
};

/// Where objects are stored.
#[derive(Clone, Debug)]
pub enum StoreConfig {
    /// In a file of this directory.
    Embedded(PathBuf),
    /// In etcd.
    Etcd(EtcdOptions),
}

/// Where HTTPS is served, and with what.
pub struct Secure {
    /// Where.
    pub address: SocketAddr,
    /// The certificate.
    pub certificate: KeyedCertificate,
}

/// What the server is to be.
pub struct Config {
    /// Where objects are stored.
    pub store: StoreConfig,
    /// HTTPS, if it is served.
    pub secure: Option<Secure>,
    /// Plain HTTP, if it is served.
    pub insecure: Option<SocketAddr>,
    /// Under which address others reach the server.
    pub advertise: IpAddr,
    /// Who clients are.
    pub authentication: Authentication,
    /// What they may do.
    pub authorizer: Arc<dyn Authorizer>,
    /// How many requests may run at once.
    pub limits: Limits,
    /// Deadline of requests.
    pub timeout: Duration,
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
        let config = Self {
            store: store(&flags, &mut mistakes),
            secure: secure(&flags, advertise, services, &mut mistakes),
            insecure: (flags.insecure_port != 0)
                .then(|| SocketAddr::new(flags.insecure_bind_address, flags.insecure_port)),
            advertise,
            authentication: authentication(&flags, &mut mistakes),
            authorizer: authorizer(&flags, &mut mistakes),
            limits: Limits { reading: flags.max_requests_inflight, mutating: flags.max_mutating_requests_inflight },
            timeout: flags.request_timeout,
            admission: admission(&flags),
            resources: resources::Settings {
                prefix: format!("/{}", flags.etcd_prefix.trim_matches('/')),
                event_ttl: Ttl::seconds(u32::try_from(flags.event_ttl.as_secs()).unwrap_or(u32::MAX)),
            },
            services,
            kubelet: kubelet(&flags, &mut mistakes),
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
        return StoreConfig::Embedded(flags.data_dir.clone());
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
    options.tls = encrypted.then(|| EtcdTls { ca, identity: certificate.zip(key) });
    StoreConfig::Etcd(options)
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
            mistakes.take("tls-cert-file", certificates::read_pair(certificate, key).map_err(|e| chain(&e)))
        }
        (None, None) => {
            let hosts = certificate_hosts(advertise, services);
            let made = certificates::read_or_make(&flags.cert_dir, "apiserver", &hosts);
            mistakes.take("cert-dir", made.map_err(|error| chain(&error)))
        }
        _ => {
            mistakes.0.push("--tls-cert-file and --tls-private-key-file belong together".into());
            None
        }
    };
    let address = SocketAddr::new(flags.bind_address, flags.secure_port);
    certificate.map(|certificate| Secure { address, certificate })
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

fn authentication(flags: &Flags, mistakes: &mut Mistakes) -> Authentication {
    let authority = flags.client_ca_file.as_ref().and_then(|path| {
        let read = certificates::read_chain(path).map_err(|error| chain(&error));
        let authority = read.and_then(|chain| ClientAuthority::new(chain).map_err(|error| format!("{error:#}")));
        mistakes.take("client-ca-file", authority)
    });
    let tokens =
        flags.token_auth_file.as_ref().and_then(|path| mistakes.take("token-auth-file", TokenFile::read(path)));
    let anonymous = if flags.anonymous_auth { Anonymous::Allowed } else { Anonymous::Refused };
    Authentication { authority, tokens: tokens.unwrap_or_default(), anonymous }
}

fn authorizer(flags: &Flags, mistakes: &mut Mistakes) -> Arc<dyn Authorizer> {
    for mode in flags.authorization_mode.iter().filter(|mode| *mode != "AlwaysAllow") {
        mistakes.0.push(format!("--authorization-mode: {mode} is not supported, only AlwaysAllow"));
    }
    Arc::new(AlwaysAllow)
}

/// Old lists of plugins name ones that have gone, which does no harm.
fn admission(flags: &Flags) -> admission::Settings {
    const NO_PLUGIN: [&str; 1] = ["AlwaysAdmit"];
    let known: Vec<&str> = admission::names().chain(NO_PLUGIN).collect();
    for name in flags.enable_admission_plugins.iter().filter(|name| !known.contains(&name.as_str())) {
        tracing::warn!("admission plugin {name} is not known and left out");
    }
    admission::Settings { disabled: flags.disable_admission_plugins.clone(), more: Vec::new() }
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
            "--authorization-mode=RBAC",
            "--tls-cert-file=/only/one",
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
    }
}
