//! What a name in the cluster's domain is about.

use hickory_proto::rr::Name;

/// The meaning of a name, its parts in lower case. Whether it exists is another matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The domain itself.
    Apex,
    /// `dns-version`
    Version,
    /// `ns.dns`: this server.
    NameServer,
    /// `svc`, `pod`, `dns`: exists, but only as a part of others.
    Branch,
    /// `NAMESPACE.svc`, `NAMESPACE.pod`
    Namespace(String),
    /// `SERVICE.NAMESPACE.svc` and what is below it.
    Service {
        /// The namespace.
        namespace: String,
        /// The service.
        service: String,
        /// What of the service.
        part: Part,
    },
    /// `1-2-3-4.NAMESPACE.pod`
    Pod {
        /// The namespace.
        namespace: String,
        /// The address with dashes.
        address: String,
    },
    /// Nothing can have this name.
    Nothing,
}

/// What of a service a name is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// `ENDPOINT.…`
    Endpoint(String),
    /// `_PROTOCOL.…`, without the underscore.
    Protocol(String),
    /// `_PORT._PROTOCOL.…`, without the underscores.
    Port(String, String),
}

impl Subject {
    /// Reads a name; `None` when it is not in the domain.
    #[must_use]
    pub fn of(name: &Name, domain: &Name) -> Option<Self> {
        if !domain.zone_of(name) {
            return None;
        }
        let own = usize::from(name.num_labels() - domain.num_labels());
        let labels: Vec<String> = name.iter().take(own).map(text).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        Some(Self::read(&labels))
    }

    fn read(labels: &[&str]) -> Self {
        match labels {
            [] => Subject::Apex,
            ["dns-version"] => Subject::Version,
            ["ns", "dns"] => Subject::NameServer,
            ["svc" | "pod" | "dns"] => Subject::Branch,
            [namespace, "svc" | "pod"] => Subject::Namespace((*namespace).to_owned()),
            [address, namespace, "pod"] => {
                Subject::Pod { namespace: (*namespace).to_owned(), address: (*address).to_owned() }
            }
            [below @ .., service, namespace, "svc"] => match Part::read(below) {
                Some(part) => {
                    Subject::Service { namespace: (*namespace).to_owned(), service: (*service).to_owned(), part }
                }
                None => Subject::Nothing,
            },
            _ => Subject::Nothing,
        }
    }
}

impl Part {
    fn read(labels: &[&str]) -> Option<Self> {
        match labels {
            [] => Some(Part::Whole),
            [label] => Some(match label.strip_prefix('_') {
                Some(protocol) => Part::Protocol(protocol.to_owned()),
                None => Part::Endpoint((*label).to_owned()),
            }),
            [port, protocol] => {
                Some(Part::Port(port.strip_prefix('_')?.to_owned(), protocol.strip_prefix('_')?.to_owned()))
            }
            _ => None,
        }
    }
}

fn text(label: &[u8]) -> String {
    String::from_utf8_lossy(label).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let service = |part| Subject::Service { namespace: "ns".into(), service: "web".into(), part };
        let cases = [
            ("Cluster.LOCAL.", Some(Subject::Apex)),
            ("svc.cluster.local.", Some(Subject::Branch)),
            ("ns.svc.cluster.local.", Some(Subject::Namespace("ns".into()))),
            ("Web.ns.svc.cluster.local.", Some(service(Part::Whole))),
            ("a.web.ns.svc.cluster.local.", Some(service(Part::Endpoint("a".into())))),
            ("_tcp.web.ns.svc.cluster.local.", Some(service(Part::Protocol("tcp".into())))),
            ("_http._tcp.web.ns.svc.cluster.local.", Some(service(Part::Port("http".into(), "tcp".into())))),
            ("http._tcp.web.ns.svc.cluster.local.", Some(Subject::Nothing)),
            ("a.b.c.web.ns.svc.cluster.local.", Some(Subject::Nothing)),
            ("www.example.org.cluster.local.", Some(Subject::Nothing)),
            ("1-2-3-4.ns.pod.cluster.local.", Some(Subject::Pod { namespace: "ns".into(), address: "1-2-3-4".into() })),
            ("example.org.", None),
            ("local.", None),
            ("xcluster.local.", None),
        ];
        let domain = Name::from_ascii("cluster.local.").unwrap();
        for (name, expected) in cases {
            assert_eq!(Subject::of(&Name::from_ascii(name).unwrap(), &domain), expected, "{name}");
        }
    }
}
