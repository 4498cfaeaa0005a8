//! Names in a pod: its `resolv.conf`, its `/etc/hosts`, its host name.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use api_types::core::Pod;

use crate::pod::PodExt;
use crate::runtime::DnsConfig;

/// Longest host name that Linux takes.
const HOSTNAME: usize = 63;
/// Longest name that the kernel takes, with a domain.
const LONGEST: usize = 64;

/// The cluster's DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterDns {
    /// `--cluster-dns`.
    pub servers: Vec<String>,
    /// `--cluster-domain`; may be empty.
    pub domain: String,
}

/// A `resolv.conf` in pieces.
#[must_use]
pub fn parse_resolv_conf(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            Some("search") => config.searches = words.filter(|word| *word != ".").map(str::to_owned).collect(),
            Some("options") => config.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    config
}

/// The node's own, from `--resolv-conf`; empty if the file cannot be read.
#[must_use]
pub fn node_resolv_conf(path: &Path) -> DnsConfig {
    parse_resolv_conf(&fs::read_to_string(path).unwrap_or_default())
}

/// What a pod's `dnsPolicy` and `dnsConfig` mean.
#[must_use]
pub fn of_pod(pod: &Pod, cluster: &ClusterDns, node: &DnsConfig) -> DnsConfig {
    let spec = pod.pod_spec();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let uses_cluster = match policy {
        "ClusterFirst" => !pod.host_network(),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut config = match policy {
        "None" => DnsConfig::default(),
        _ if uses_cluster && !cluster.servers.is_empty() => cluster_first(pod, cluster, node),
        _ => node.clone(),
    };
    let Some(own) = &spec.dns_config else { return config };
    extend(&mut config.servers, own.nameservers.iter().flatten());
    extend(&mut config.searches, own.searches.iter().flatten());
    for option in own.options.iter().flatten() {
        let name = option.name.clone().unwrap_or_default();
        config.options.retain(|known| known.split(':').next() != Some(name.as_str()));
        config.options.push(match &option.value {
            Some(value) if !value.is_empty() => format!("{name}:{value}"),
            _ => name,
        });
    }
    config
}

fn cluster_first(pod: &Pod, cluster: &ClusterDns, node: &DnsConfig) -> DnsConfig {
    let mut searches = Vec::new();
    if !cluster.domain.is_empty() {
        let namespace = pod.key().namespace;
        let domain = &cluster.domain;
        searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    }
    extend(&mut searches, node.searches.iter());
    DnsConfig { servers: cluster.servers.clone(), searches, options: vec!["ndots:5".to_owned()] }
}

fn extend<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// The pod's host name, and its fully qualified name if it has a subdomain.
#[must_use]
pub fn hostname(pod: &Pod, cluster: &ClusterDns) -> (String, Option<String>) {
    let spec = pod.pod_spec();
    if let Some(name) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return (name.to_owned(), None);
    }
    let own = spec.hostname.as_deref().filter(|name| !name.is_empty());
    let name = own.or(pod.metadata.name.as_deref()).unwrap_or_default();
    let cut: String = name.chars().take(HOSTNAME).collect();
    let host = cut.trim_end_matches(['-', '.']).to_owned();
    let qualified = spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty()).map(|subdomain| {
        let name = format!("{host}.{subdomain}.{}.svc.{}", pod.key().namespace, cluster.domain);
        name.trim_end_matches('.').to_owned()
    });
    match (&qualified, spec.set_hostname_as_fqdn) {
        (Some(name), Some(true)) => (name.clone(), qualified),
        _ => (host, qualified),
    }
}

/// Refuses a host name that the kernel would not take.
///
/// # Errors
/// Upstream's words.
pub fn check_hostname(pod: &Pod, cluster: &ClusterDns) -> Result<(), String> {
    let (host, _) = hostname(pod, cluster);
    let length = host.len();
    if pod.host_network() || length <= LONGEST {
        return Ok(());
    }
    Err(format!(
        "failed to construct FQDN from pod hostname and cluster domain, FQDN {host} is too long ({LONGEST} characters is the max, {length} characters requested)"
    ))
}

/// The text of a pod's `/etc/hosts`, as upstream writes it.
#[must_use]
pub fn etc_hosts(pod: &Pod, ips: &[IpAddr], cluster: &ClusterDns, node_hosts: &str) -> String {
    let mut text = if pod.host_network() {
        format!("# Kubernetes-managed hosts file (host network).\n{node_hosts}")
    } else {
        let (host, qualified) = hostname(pod, cluster);
        let names =
            qualified.filter(|name| *name != host).map_or_else(|| host.clone(), |name| format!("{name}\t{host}"));
        let own: String = ips.iter().map(|ip| format!("{ip}\t{names}\n")).collect();
        format!(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n{own}"
        )
    };
    let aliases = pod.pod_spec().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.as_deref().unwrap_or_default().join("\t")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "ns"}, "spec": spec})).unwrap()
    }

    fn cluster() -> ClusterDns {
        ClusterDns { servers: vec!["10.96.0.10".into()], domain: "cluster.local".into() }
    }

    #[test]
    fn policies_choose_the_resolver() {
        let node = parse_resolv_conf("# comment\nnameserver 192.168.0.1\nsearch lan .\noptions edns0\n");
        let in_cluster =
            "search ns.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.96.0.10\noptions ndots:5\n";
        let on_node = "search lan\nnameserver 192.168.0.1\noptions edns0\n";
        let own =
            json!({"nameservers": ["1.1.1.1"], "searches": ["x.y"], "options": [{"name": "ndots", "value": "2"}]});
        let cases = [
            (json!({"containers": []}), in_cluster),
            (json!({"containers": [], "hostNetwork": true}), on_node),
            (json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}), in_cluster),
            (json!({"containers": [], "dnsPolicy": "Default"}), on_node),
            (
                json!({"containers": [], "dnsPolicy": "None", "dnsConfig": own}),
                "search x.y\nnameserver 1.1.1.1\noptions ndots:2\n",
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(of_pod(&pod(spec.clone()), &cluster(), &node).render(), expected, "{spec}");
        }
    }

    #[test]
    fn host_names_come_from_the_pod() {
        let cases = [
            (json!({"containers": []}), "web", None),
            (json!({"containers": [], "hostname": "h"}), "h", None),
            (json!({"containers": [], "hostname": "h", "subdomain": "s"}), "h", Some("h.s.ns.svc.cluster.local")),
            (json!({"containers": [], "hostnameOverride": "o.x", "hostname": "h", "subdomain": "s"}), "o.x", None),
            (json!({"containers": [], "hostname": "x".repeat(62) + "-y"}), "", None),
        ];
        for (spec, host, qualified) in cases {
            let got = hostname(&pod(spec.clone()), &cluster());
            let host = if host.is_empty() { "x".repeat(62) } else { host.to_owned() };
            assert_eq!(got, (host, qualified.map(str::to_owned)), "{spec}");
        }
    }

    #[test]
    fn names_that_are_too_long_are_refused() {
        let named = |fqdn: bool| {
            pod(json!({"containers": [], "hostname": "h".repeat(44), "subdomain": "s", "setHostnameAsFQDN": fqdn}))
        };
        assert_eq!(check_hostname(&named(false), &cluster()), Ok(()));
        let told = check_hostname(&named(true), &cluster()).unwrap_err();
        assert!(told.ends_with("is too long (64 characters is the max, 67 characters requested)"), "{told}");
    }

    #[test]
    fn hosts_files_name_the_pod_and_its_aliases() {
        let spec =
            json!({"containers": [], "subdomain": "s", "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]});
        let text = etc_hosts(&pod(spec), &["10.1.0.2".parse().unwrap()], &cluster(), "");
        assert!(text.contains("10.1.0.2\tweb.s.ns.svc.cluster.local\tweb\n"), "{text}");
        assert!(text.ends_with("\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{text}");
        let on_node = etc_hosts(&pod(json!({"containers": [], "hostNetwork": true})), &[], &cluster(), "127.0.0.1 n\n");
        assert_eq!(on_node, "# Kubernetes-managed hosts file (host network).\n127.0.0.1 n\n");
    }
}
