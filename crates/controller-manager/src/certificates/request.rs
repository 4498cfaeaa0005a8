//! What a request for a certificate asks for, and whether its signer would sign that.

use std::collections::BTreeSet;

use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    pem::Pem,
    prelude::FromDer,
    x509::AttributeTypeAndValue,
};

use super::{CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY_UNKNOWN};

const ORGANIZATION: u8 = 10;
const COMMON_NAME: u8 = 3;
const SERIAL_NUMBER: u8 = 5;
/// The attributes below 2.5.4 that a subject may have, in the order in which Go writes them; others are dropped, as there:
/// who approves does not see them.
const ATTRIBUTES: [u8; 9] = [6, ORGANIZATION, 11, 7, 8, 9, 17, COMMON_NAME, SERIAL_NUMBER];

/// The group of kubelets.
const NODES: &str = "system:nodes";
/// How the names of kubelets begin.
const NODE: &str = "system:node:";

const CLIENT_AUTH: &str = "client auth";
const SERVER_AUTH: &str = "server auth";
const DIGITAL_SIGNATURE: &str = "digital signature";
const KEY_ENCIPHERMENT: &str = "key encipherment";

/// A subject: its attributes, and what they say.
#[derive(Debug, PartialEq)]
pub(super) struct Subject(pub Vec<(u8, Vec<String>)>);

/// What kind of an alternative name it is, in the order in which Go writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NameKind {
    Dns,
    Email,
    Ip,
    Uri,
}

impl NameKind {
    /// The tag in `GeneralName`.
    pub(super) fn tag(self) -> u64 {
        match self {
            Self::Email => 1,
            Self::Dns => 2,
            Self::Uri => 6,
            Self::Ip => 7,
        }
    }
}

/// An alternative name of the subject.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub kind: NameKind,
    /// As it is written, without tag.
    pub value: Vec<u8>,
}

/// What a request asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub subject: Subject,
    pub names: Vec<Name>,
    /// The `SubjectPublicKeyInfo`.
    pub public_key: Vec<u8>,
}

/// A request that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("unable to parse csr: {0}")]
pub(super) struct Malformed(&'static str);

impl Asked {
    /// Reads a request in PEM that is signed with the key that it is about.
    pub(super) fn parse(pem: &[u8]) -> Result<Self, Malformed> {
        let block = Pem::iter_from_buffer(pem).next().and_then(Result::ok);
        let block = block.filter(|block| block.label == "CERTIFICATE REQUEST");
        let block = block.ok_or(Malformed("PEM block type must be CERTIFICATE REQUEST"))?;
        let parsed = X509CertificationRequest::from_der(&block.contents);
        let (_, request) = parsed.map_err(|_| Malformed("it is no request"))?;
        request.verify_signature().map_err(|_| Malformed("its signature is wrong"))?;
        let info = &request.certification_request_info;
        let subject = Subject::of(info.subject.iter_attributes())?;
        let names = request.requested_extensions().into_iter().flatten().filter_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        });
        let names: Result<Vec<Option<Name>>, Malformed> = names.flatten().map(name).collect();
        let mut names: Vec<Name> = names?.into_iter().flatten().collect();
        names.sort_by_key(|name| name.kind);
        Ok(Self { subject, names, public_key: info.subject_pki.raw.to_vec() })
    }

    fn has(&self, kind: NameKind) -> bool {
        self.names.iter().any(|name| name.kind == kind)
    }

    /// The last one that is given, as Go reads it; empty for none.
    pub(super) fn common_name(&self) -> &str {
        self.subject.values(COMMON_NAME).last().map(String::as_str).unwrap_or_default()
    }
}

impl Subject {
    fn of<'a>(attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Result<Self, Malformed> {
        let mut values = ATTRIBUTES.map(|attribute| (attribute, Vec::new()));
        for attribute in attributes {
            let [0x55, 0x04, number] = *attribute.attr_type().as_bytes() else { continue };
            let Some((_, values)) = values.iter_mut().find(|(known, _)| *known == number) else { continue };
            // What is not understood here may be read as a name that is worth something elsewhere.
            let text = attribute.as_str().map_err(|_| Malformed("its subject cannot be read as text"))?;
            values.push(text.to_owned());
        }
        for (_, values) in values.iter_mut().filter(|(known, _)| [COMMON_NAME, SERIAL_NUMBER].contains(known)) {
            values.drain(..values.len().saturating_sub(1));
        }
        Ok(Self(values.into_iter().filter(|(_, values)| !values.is_empty()).collect()))
    }

    fn values(&self, attribute: u8) -> &[String] {
        self.0.iter().find(|(known, _)| *known == attribute).map_or(&[], |(_, values)| values)
    }
}

/// A name as it will stand in the certificate; `None` for kinds that are dropped.
fn name(name: &GeneralName<'_>) -> Result<Option<Name>, Malformed> {
    let (kind, value) = match name {
        GeneralName::DNSName(text) => (NameKind::Dns, text.as_bytes()),
        GeneralName::RFC822Name(text) => (NameKind::Email, text.as_bytes()),
        GeneralName::URI(text) => (NameKind::Uri, text.as_bytes()),
        GeneralName::IPAddress(address) if matches!(address.len(), 4 | 16) => (NameKind::Ip, *address),
        GeneralName::IPAddress(_) | GeneralName::Invalid(..) => {
            return Err(Malformed("a subjectAltName is malformed"));
        }
        _ => return Ok(None),
    };
    Ok(Some(Name { kind, value: value.to_vec() }))
}

/// Why a signer does not sign; upstream's words.
pub(super) type Refusal = String;

/// Whether a signer signs what is asked for; `None` for signers that are not ours.
pub(super) fn judge(signer: &str, asked: &Asked, usages: &[String]) -> Option<Result<(), Refusal>> {
    Some(match signer {
        CLIENT => client(usages),
        KUBELET_CLIENT => kubelet_client(asked, usages),
        KUBELET_SERVING => kubelet_serving(asked, usages),
        LEGACY_UNKNOWN => Ok(()),
        _ => return None,
    })
}

fn client(usages: &[String]) -> Result<(), Refusal> {
    let known = [DIGITAL_SIGNATURE, KEY_ENCIPHERMENT, CLIENT_AUTH];
    if let Some(usage) = usages.iter().find(|usage| !known.contains(&usage.as_str())) {
        return Err(format!("invalid usage for client certificate: {usage}"));
    }
    if usages.iter().any(|usage| usage == CLIENT_AUTH) {
        Ok(())
    } else {
        Err(format!("missing required usage for client certificate: {CLIENT_AUTH}"))
    }
}

fn kubelet_client(asked: &Asked, usages: &[String]) -> Result<(), Refusal> {
    organization(asked)?;
    let kinds = [
        (NameKind::Dns, "DNS subjectAltNames are not allowed"),
        (NameKind::Email, "Email subjectAltNames are not allowed"),
        (NameKind::Ip, "IP subjectAltNames are not allowed"),
        (NameKind::Uri, "URI subjectAltNames are not allowed"),
    ];
    without(asked, &kinds)?;
    node(asked)?;
    exactly(usages, CLIENT_AUTH)
}

fn kubelet_serving(asked: &Asked, usages: &[String]) -> Result<(), Refusal> {
    organization(asked)?;
    if !asked.has(NameKind::Dns) && !asked.has(NameKind::Ip) {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    let kinds = [
        (NameKind::Email, "Email subjectAltNames are not allowed"),
        (NameKind::Uri, "URI subjectAltNames are not allowed"),
    ];
    without(asked, &kinds)?;
    exactly(usages, SERVER_AUTH)?;
    node(asked)
}

fn organization(asked: &Asked) -> Result<(), Refusal> {
    let right = asked.subject.values(ORGANIZATION) == [NODES];
    if right { Ok(()) } else { Err(format!("subject organization is not {NODES}")) }
}

fn node(asked: &Asked) -> Result<(), Refusal> {
    let right = asked.common_name().starts_with(NODE);
    if right { Ok(()) } else { Err(format!("subject common name does not begin with {NODE}")) }
}

fn without(asked: &Asked, kinds: &[(NameKind, &str)]) -> Result<(), Refusal> {
    kinds.iter().find(|(kind, _)| asked.has(*kind)).map_or(Ok(()), |(_, refusal)| Err((*refusal).to_owned()))
}

/// A signature and one purpose; keys that cannot encipher say nothing of that.
fn exactly(usages: &[String], purpose: &str) -> Result<(), Refusal> {
    let usages: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let mut required = BTreeSet::from([DIGITAL_SIGNATURE, purpose]);
    if usages == required {
        return Ok(());
    }
    required.insert(KEY_ENCIPHERMENT);
    if usages == required {
        return Ok(());
    }
    Err(format!("usages did not match [{}]", Vec::from_iter(required).join(" ")))
}

#[cfg(test)]
pub(super) mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    /// A request in PEM.
    pub(in super::super) fn pem(organization: &str, name: &str, alternatives: Vec<SanType>) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = alternatives;
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    pub(in super::super) fn words(usages: &[&str]) -> Vec<String> {
        usages.iter().map(|usage| (*usage).to_owned()).collect()
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(Asked::parse(b"").is_err());
        let whole = pem("system:nodes", "system:node:n", vec![]);
        assert!(Asked::parse(whole.replace("REQUEST", "THING").as_bytes()).is_err());
        let mut lines: Vec<&str> = whole.lines().collect();
        let last = lines[lines.len() - 2].replace(|c: char| c.is_ascii_lowercase(), "A");
        let place = lines.len() - 2;
        lines[place] = &last;
        assert!(Asked::parse(lines.join("\n").as_bytes()).is_err(), "the signature is wrong");
    }

    #[test]
    fn signers_say_what_they_do_not_sign() {
        let dns = || SanType::DnsName("n".try_into().unwrap());
        let ip = || SanType::IpAddress([10, 0, 0, 1].into());
        let email = || SanType::Rfc822Name("a@b".try_into().unwrap());
        let uri = || SanType::URI("spiffe://a".try_into().unwrap());
        let client_usages: &[&str] = &["digital signature", "client auth"];
        let serving_usages: &[&str] = &["digital signature", "key encipherment", "server auth"];
        let kubelet = ("system:nodes", "system:node:n");
        let cases = [
            (CLIENT, ("a", "b"), vec![dns()], &["client auth"] as &[&str], ""),
            (CLIENT, ("a", "b"), vec![], &["server auth"], "invalid usage for client certificate: server auth"),
            (CLIENT, ("a", "b"), vec![], &[], "missing required usage for client certificate: client auth"),
            (KUBELET_CLIENT, kubelet, vec![], client_usages, ""),
            (
                KUBELET_CLIENT,
                ("system:masters", "system:node:n"),
                vec![],
                client_usages,
                "subject organization is not system:nodes",
            ),
            (KUBELET_CLIENT, kubelet, vec![dns()], client_usages, "DNS subjectAltNames are not allowed"),
            (KUBELET_CLIENT, kubelet, vec![email()], client_usages, "Email subjectAltNames are not allowed"),
            (KUBELET_CLIENT, kubelet, vec![ip()], client_usages, "IP subjectAltNames are not allowed"),
            (KUBELET_CLIENT, kubelet, vec![uri()], client_usages, "URI subjectAltNames are not allowed"),
            (
                KUBELET_CLIENT,
                ("system:nodes", "n"),
                vec![],
                client_usages,
                "subject common name does not begin with system:node:",
            ),
            (
                KUBELET_CLIENT,
                kubelet,
                vec![],
                serving_usages,
                "usages did not match [client auth digital signature key encipherment]",
            ),
            (KUBELET_SERVING, kubelet, vec![ip(), dns()], serving_usages, ""),
            (KUBELET_SERVING, kubelet, vec![], serving_usages, "DNS or IP subjectAltName is required"),
            (KUBELET_SERVING, kubelet, vec![dns(), uri()], serving_usages, "URI subjectAltNames are not allowed"),
            (
                KUBELET_SERVING,
                kubelet,
                vec![dns()],
                client_usages,
                "usages did not match [digital signature key encipherment server auth]",
            ),
            (LEGACY_UNKNOWN, ("a", "b"), vec![uri()], &["cert sign"], ""),
        ];
        for (signer, (organization, name), alternatives, usages, expected) in cases {
            let asked = Asked::parse(pem(organization, name, alternatives).as_bytes()).unwrap();
            let judged = judge(signer, &asked, &words(usages)).unwrap();
            assert_eq!(judged.err().unwrap_or_default(), expected, "{signer} {usages:?}");
        }
        let asked = Asked::parse(pem("a", "b", vec![]).as_bytes()).unwrap();
        assert_eq!(judge("example.com/own", &asked, &[]), None);
    }
}
