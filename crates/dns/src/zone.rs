//! Answers about the cluster's domain and its addresses: pure, from what the [`Cluster`] says.
//!
//! The records are those of the specification "Kubernetes DNS-Based Service Discovery", version 1.1.0.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::cluster::Cluster;
use crate::model::{EndpointSlice, Service};
use crate::subject::{Part, Subject};

/// The specification's version, which `dns-version` answers.
const VERSION: &str = "1.1.0";
/// The service of the cluster's DNS, under the name that every installation gives it.
const SERVICE: (&str, &str) = ("kube-system", "kube-dns");
/// Seconds for which an answer may be kept, as CoreDNS' kubernetes plugin has it.
pub const TTL: u32 = 5;

/// What is known about a name and type.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// These records.
    Records {
        /// Of the type that was asked for.
        answers: Vec<Record>,
        /// Addresses of names in the answers.
        additionals: Vec<Record>,
    },
    /// The name stands for another, wherever that is.
    Alias(Name),
    /// The name exists, but has no such record.
    NoData,
    /// The name does not exist.
    NoSuchName,
}

/// The cluster's domain.
#[derive(Debug)]
pub struct Zone<C> {
    domain: Name,
    /// This server's addresses, for `ns.dns`.
    own: Vec<IpAddr>,
    cluster: Arc<C>,
}

/// An address with a name below a service.
struct Host {
    label: String,
    ip: IpAddr,
    ports: Vec<Port>,
}

/// A port that an SRV record can tell.
#[derive(Clone)]
struct Port {
    name: String,
    protocol: String,
    number: u16,
}

impl<C: Cluster> Zone<C> {
    /// A zone with this domain, served at these addresses.
    #[must_use]
    pub fn new(domain: Name, own: Vec<IpAddr>, cluster: Arc<C>) -> Self {
        Self { domain, own, cluster }
    }

    /// The cluster behind it.
    #[must_use]
    pub fn cluster(&self) -> &C {
        &self.cluster
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Name {
        &self.domain
    }

    /// Answers; `None` when the name is not in the domain and no address of the cluster.
    #[must_use]
    pub fn answer(&self, name: &Name, kind: RecordType) -> Option<Answer> {
        match Subject::of(name, &self.domain) {
            Some(subject) => Some(self.about(&subject, name, kind)),
            None => self.reverse(name, kind),
        }
    }

    /// For the authority section of negative answers. The serial never changes: nobody transfers the zone.
    #[must_use]
    pub fn soa(&self) -> Record {
        let (server, mailbox) = (self.below("ns.dns"), self.below("hostmaster"));
        let soa = SOA::new(server, mailbox, 1, 7200, 1800, 86_400, TTL);
        Record::from_rdata(self.domain.clone(), TTL, RData::SOA(soa))
    }

    fn below(&self, prefix: &str) -> Name {
        Name::from_ascii(format!("{prefix}.{}", self.domain)).unwrap_or_else(|_| self.domain.clone())
    }

    fn about(&self, subject: &Subject, name: &Name, kind: RecordType) -> Answer {
        match subject {
            Subject::Apex => match kind {
                RecordType::SOA => found(vec![self.soa()]),
                RecordType::NS => self.name_servers(name),
                _ => Answer::NoData,
            },
            Subject::Version if kind == RecordType::TXT => {
                found(vec![record(name, RData::TXT(TXT::new(vec![VERSION.to_owned()])))])
            }
            Subject::Version | Subject::Branch => Answer::NoData,
            Subject::NameServer => addresses(name, kind, self.name_server_ips()),
            Subject::Namespace(namespace) => self.exists(namespace),
            Subject::Pod { namespace, address } => match (self.exists(namespace), undashed(address)) {
                (Answer::NoData, Some(ip)) => addresses(name, kind, [ip]),
                _ => Answer::NoSuchName,
            },
            Subject::Service { namespace, service, part } => match self.cluster.service(namespace, service) {
                Some(service) => self.service(&service, part, name, kind),
                None => Answer::NoSuchName,
            },
            Subject::Nothing => Answer::NoSuchName,
        }
    }

    fn exists(&self, namespace: &str) -> Answer {
        if self.cluster.has_namespace(namespace) { Answer::NoData } else { Answer::NoSuchName }
    }

    fn name_servers(&self, name: &Name) -> Answer {
        let server = self.below("ns.dns");
        let additionals = self.name_server_ips().into_iter().map(|ip| record(&server, address(ip))).collect();
        Answer::Records { answers: vec![record(name, RData::NS(NS(server)))], additionals }
    }

    /// Where clients find this server: at the service of the cluster's DNS, else where it listens.
    fn name_server_ips(&self) -> Vec<IpAddr> {
        let service = self.cluster.service(SERVICE.0, SERVICE.1);
        let ips: Vec<IpAddr> = service.iter().flat_map(|service| service.cluster_ips()).collect();
        if ips.is_empty() { self.own.clone() } else { ips }
    }

    fn service(&self, service: &Service, part: &Part, name: &Name, kind: RecordType) -> Answer {
        if service.is_external_name() {
            return match (part, external_name(service)) {
                (Part::Whole, Some(target)) => Answer::Alias(target),
                _ => Answer::NoSuchName,
            };
        }
        if *part == Part::Whole && kind != RecordType::SRV {
            let ips = self.ips(service);
            return if ips.is_empty() { Answer::NoSuchName } else { addresses(name, kind, ips) };
        }
        let mut hosts = match (part, service.is_headless()) {
            (Part::Endpoint(_), _) | (_, true) => self.endpoints(service),
            (_, false) => virtual_hosts(service),
        };
        match part {
            Part::Whole => {}
            Part::Endpoint(label) => hosts.retain(|host| host.label == *label),
            Part::Protocol(protocol) => keep_ports(&mut hosts, |port| port.protocol == *protocol),
            Part::Port(port, protocol) => {
                keep_ports(&mut hosts, |p| p.name == *port && p.protocol == *protocol);
            }
        }
        match (hosts.is_empty(), part, kind) {
            (true, ..) => Answer::NoSuchName,
            (_, Part::Protocol(_), _) => Answer::NoData,
            (_, _, RecordType::SRV) => self.locations(service, &hosts, name),
            (..) => addresses(name, kind, hosts.iter().map(|host| host.ip)),
        }
    }

    /// The addresses that the service's name stands for: what most questions are about.
    fn ips(&self, service: &Service) -> BTreeSet<IpAddr> {
        if !service.is_headless() {
            return service.cluster_ips().collect();
        }
        let (namespace, name) = identity(service);
        let unready = service.spec.publish_not_ready_addresses;
        let slices = self.cluster.slices(namespace, name);
        let endpoints = slices.iter().flat_map(|slice| slice.addresses());
        endpoints.filter(|(_, endpoint)| unready || endpoint.is_ready()).map(|(ip, _)| ip).collect()
    }

    /// The endpoints that have a name now, each address once.
    fn endpoints(&self, service: &Service) -> Vec<Host> {
        let (namespace, name) = identity(service);
        let unready = service.spec.publish_not_ready_addresses;
        let mut hosts: BTreeMap<IpAddr, Host> = BTreeMap::new();
        for slice in self.cluster.slices(namespace, name) {
            let ports = slice_ports(&slice);
            for (ip, endpoint) in slice.addresses().filter(|(_, e)| unready || e.is_ready()) {
                let new = || Host { label: endpoint.label(ip).to_ascii_lowercase(), ip, ports: Vec::new() };
                hosts.entry(ip).or_insert_with(new).ports.extend(ports.iter().cloned());
            }
        }
        hosts.into_values().collect()
    }

    fn locations(&self, service: &Service, hosts: &[Host], name: &Name) -> Answer {
        let (namespace, service_name) = identity(service);
        let base = format!("{service_name}.{namespace}.svc");
        let mut found: BTreeMap<(Name, u16), ()> = BTreeMap::new();
        let mut additionals = Vec::new();
        for host in hosts {
            let target = match host.label.as_str() {
                "" => self.below(&base),
                label => self.below(&format!("{label}.{base}")),
            };
            additionals.push(record(&target, address(host.ip)));
            found.extend(host.ports.iter().map(|port| ((target.clone(), port.number), ())));
        }
        if found.is_empty() {
            return Answer::NoData;
        }
        let weight = u16::try_from(100 / found.len()).unwrap_or(1).max(1);
        let srv = |((target, port), ())| record(name, RData::SRV(SRV::new(0, weight, port, target)));
        Answer::Records { answers: found.into_iter().map(srv).collect(), additionals }
    }

    /// The name of an address of the cluster. Addresses that are not known are left to others.
    fn reverse(&self, name: &Name, kind: RecordType) -> Option<Answer> {
        if !is_reverse(name) {
            return None;
        }
        let net = name.to_lowercase().parse_arpa_name().ok().filter(|net| net.prefix_len() == net.max_prefix_len())?;
        let names = self.names_of(net.addr());
        if names.is_empty() {
            return None;
        }
        Some(match kind {
            RecordType::PTR => found(names.into_iter().map(|target| record(name, RData::PTR(PTR(target)))).collect()),
            _ => Answer::NoData,
        })
    }

    /// A service's name; else the host names of endpoints; else the dashed names of headless services' endpoints.
    fn names_of(&self, ip: IpAddr) -> Vec<Name> {
        let services = self.cluster.services_at(ip);
        if let Some(service) = services.first() {
            let (namespace, name) = identity(service);
            return vec![self.below(&format!("{name}.{namespace}.svc"))];
        }
        let (mut named, mut dashed) = (Vec::new(), Vec::new());
        for slice in self.cluster.slices_at(ip) {
            let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
            let Some(service) = slice.service().and_then(|name| self.cluster.service(namespace, name)) else {
                continue;
            };
            let unready = service.spec.publish_not_ready_addresses;
            for (_, endpoint) in slice.addresses().filter(|(own, e)| *own == ip && (unready || e.is_ready())) {
                let label = endpoint.label(ip);
                let target = self.below(&format!("{label}.{}.{namespace}.svc", identity(&service).1));
                match &endpoint.hostname {
                    Some(hostname) if !hostname.is_empty() => named.push(target),
                    _ if service.is_headless() => dashed.push(target),
                    _ => {}
                }
            }
        }
        if named.is_empty() { dashed } else { named }
    }
}

/// Whether the name stands for an address.
#[must_use]
pub fn is_reverse(name: &Name) -> bool {
    let mut labels = name.iter().rev();
    let (top, second) = (labels.next(), labels.next());
    top.is_some_and(|label| label.eq_ignore_ascii_case(b"arpa"))
        && second.is_some_and(|label| label.eq_ignore_ascii_case(b"in-addr") || label.eq_ignore_ascii_case(b"ip6"))
}

/// The CNAME record of an alias.
#[must_use]
pub fn alias_record(name: &Name, target: Name) -> Record {
    record(name, RData::CNAME(CNAME(target)))
}

fn identity(service: &Service) -> (&str, &str) {
    (service.metadata.namespace.as_deref().unwrap_or_default(), service.metadata.name.as_deref().unwrap_or_default())
}

fn external_name(service: &Service) -> Option<Name> {
    let mut target = Name::from_ascii(&service.spec.external_name).ok().filter(|name| !name.is_root())?;
    target.set_fqdn(true);
    Some(target)
}

fn virtual_hosts(service: &Service) -> Vec<Host> {
    let port = |port: &crate::model::ServicePort| Port {
        name: port.name.to_ascii_lowercase(),
        protocol: lower_protocol(&port.protocol),
        number: port.port,
    };
    let ports: Vec<Port> = service.spec.ports.iter().map(port).collect();
    service.cluster_ips().map(|ip| Host { label: String::new(), ip, ports: ports.clone() }).collect()
}

fn slice_ports(slice: &EndpointSlice) -> Vec<Port> {
    let port = |port: &crate::model::EndpointPort| {
        Some(Port {
            name: port.name.as_deref().unwrap_or_default().to_ascii_lowercase(),
            protocol: lower_protocol(port.protocol.as_deref().unwrap_or_default()),
            number: port.port?,
        })
    };
    slice.ports.iter().flatten().filter_map(port).collect()
}

fn lower_protocol(protocol: &str) -> String {
    if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_ascii_lowercase() }
}

fn keep_ports(hosts: &mut Vec<Host>, keep: impl Fn(&Port) -> bool) {
    for host in hosts.iter_mut() {
        host.ports.retain(&keep);
    }
    hosts.retain(|host| !host.ports.is_empty());
}

/// `1-2-3-4`, `2001-db8--1`
fn undashed(text: &str) -> Option<IpAddr> {
    let v4 = || text.replace('-', ".").parse().ok();
    v4().or_else(|| text.replace('-', ":").parse().ok())
}

fn found(answers: Vec<Record>) -> Answer {
    Answer::Records { answers, additionals: Vec::new() }
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

fn address(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

fn addresses(name: &Name, kind: RecordType, ips: impl IntoIterator<Item = IpAddr>) -> Answer {
    let fits = |ip: &IpAddr| match kind {
        RecordType::A => ip.is_ipv4(),
        RecordType::AAAA => ip.is_ipv6(),
        kind => kind == RecordType::ANY,
    };
    let answers: Vec<Record> = ips.into_iter().filter(fits).map(|ip| record(name, address(ip))).collect();
    if answers.is_empty() { Answer::NoData } else { found(answers) }
}
