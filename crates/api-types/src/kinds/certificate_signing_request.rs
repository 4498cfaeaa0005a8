//! `certificates.k8s.io/v1.CertificateSigningRequest`.

use std::collections::BTreeSet;

use serde_json::Value;
use x509_parser::{
    certification_request::X509CertificationRequest, parse_x509_certificate, pem::Pem, prelude::FromDer,
};

use crate::{
    certificates::{CertificateSigningRequest, CertificateSigningRequestCondition},
    field::{FieldError, Path},
    object::{Column, Kind, SelectableField},
    table,
    validation::names,
};

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";
/// A signer that only old versions of the API know.
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
/// The shortest life of a certificate that may be asked for, in seconds.
const SHORTEST: i32 = 600;
/// The subresource through which requests are approved and denied.
const APPROVAL: &str = "approval";
const STATUS: &str = "status";

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

impl Kind for CertificateSigningRequest {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::AGE,
        Column::text(
            "SignerName",
            "Requested signer for the request. It is a qualified name in the form: `scope-hostname.io/name`. If empty, it will be defaulted:\n 1. If it's a kubelet client certificate, it is assigned\n    \"kubernetes.io/kube-apiserver-client-kubelet\".\n 2. If it's a kubelet serving certificate, it is assigned\n    \"kubernetes.io/kubelet-serving\".\n 3. Otherwise, it is assigned \"kubernetes.io/legacy-unknown\".\nDistribution of trust for signers happens out of band. You can select on this field using `spec.signerName`.",
        ),
        Column::text("Requestor", "Base64-encoded PKCS#10 CSR data"),
        Column::text(
            "RequestedDuration",
            "expirationSeconds is the requested duration of validity of the issued certificate. The certificate signer may issue a certificate with a different validity duration so a client must check the delta between the notBefore and and notAfter fields in the issued certificate to determine the actual duration.\n\nThe v1.22+ in-tree implementations of the well-known Kubernetes signers will honor this field as long as the requested duration is not greater than the maximum duration they will honor per the --cluster-signing-duration CLI flag to the Kubernetes controller manager.\n\nCertificate signers may not honor this field for various reasons:\n\n  1. Old signer that is unaware of the field (such as the in-tree\n     implementations prior to v1.22)\n  2. Signer whose configured maximum is shorter than the requested duration\n  3. Signer whose configured minimum is longer than the requested duration\n\nThe minimum valid value for expirationSeconds is 600, i.e. 10 minutes.",
        ),
        Column::text("Condition", "Conditions applied to the request, such as approval or denial."),
    ];

    const SELECTABLE: &'static [SelectableField] = &[SelectableField::text("spec.signerName")];

    fn validate(&self) -> Vec<FieldError> {
        whole(self, None)
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        whole(self, Some(old))
    }

    fn validate_update(&self, old: &Self) -> Vec<FieldError> {
        changes(self, old, "")
    }

    fn validate_part_update(&self, old: &Self, subresource: &str) -> Vec<FieldError> {
        let mut errors = whole(self, Some(old));
        errors.extend(changes(self, old, subresource));
        errors
    }

    fn cells(&self) -> Vec<Value> {
        let signer = Some(self.spec.signer_name.as_str());
        let duration = self.spec.expiration_seconds.map(|seconds| table::human_duration(seconds.into()));
        vec![
            self.metadata.name.clone().into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
            table::or_none(signer).into(),
            self.spec.username.clone().unwrap_or_default().into(),
            table::or_none(duration.as_deref()).into(),
            state(self).into(),
        ]
    }
}

fn state(request: &CertificateSigningRequest) -> String {
    let has = |kind: &str| count(request, kind) > 0;
    let mut words = vec![match () {
        () if has(DENIED) => DENIED,
        () if has(APPROVED) => APPROVED,
        () => "Pending",
    }];
    words.extend(has(FAILED).then_some(FAILED));
    words.extend((!certificate(request).is_empty()).then_some("Issued"));
    words.join(",")
}

fn conditions(request: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    request.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

fn count(request: &CertificateSigningRequest, kind: &str) -> usize {
    conditions(request).iter().filter(|condition| condition.type_ == kind).count()
}

fn certificate(request: &CertificateSigningRequest) -> &[u8] {
    request.status.as_ref().and_then(|status| status.certificate.as_ref()).map_or(&[], |bytes| &bytes.0)
}

/// What may be wrong because it was so before.
#[derive(Clone, Copy, Default)]
struct Kept {
    both_decisions: bool,
    legacy_signer: bool,
    duplicate_types: bool,
    empty_types: bool,
    certificate: bool,
    unknown_usages: bool,
    duplicate_usages: bool,
}

impl Kept {
    fn of(old: &CertificateSigningRequest, new: &CertificateSigningRequest) -> Self {
        let usages = old.spec.usages.as_deref().unwrap_or_default();
        let conditions = conditions(old);
        let types: BTreeSet<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
        Self {
            both_decisions: types.contains(APPROVED) && types.contains(DENIED),
            legacy_signer: old.spec.signer_name == LEGACY_SIGNER,
            duplicate_types: types.len() < conditions.len(),
            empty_types: types.contains(""),
            certificate: certificate(old) == certificate(new) || wrong_certificate(certificate(old)).is_some(),
            unknown_usages: usages.iter().any(|usage| !USAGES.contains(&usage.as_str())),
            duplicate_usages: usages.iter().collect::<BTreeSet<_>>().len() < usages.len(),
        }
    }
}

fn whole(request: &CertificateSigningRequest, old: Option<&CertificateSigningRequest>) -> Vec<FieldError> {
    let kept = old.map(|old| Kept::of(old, request)).unwrap_or_default();
    let path = Path::new("spec");
    let spec = &request.spec;
    let mut errors = Vec::new();
    if let Some(error) = wrong_request(&spec.request.0) {
        let value = serde_json::to_value(&spec.request).unwrap_or_default();
        errors.push(FieldError::invalid(&path.child("request"), value, error));
    }
    errors.extend(usages(&path.child("usages"), spec.usages.as_deref().unwrap_or_default(), kept));
    let signer_path = path.child("signerName");
    if spec.signer_name == LEGACY_SIGNER && !kept.legacy_signer {
        let detail = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(&signer_path, LEGACY_SIGNER, detail));
    } else {
        errors.extend(names::signer_name(&signer_path, &spec.signer_name));
    }
    if let Some(seconds) = spec.expiration_seconds.filter(|seconds| *seconds < SHORTEST) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
    errors.extend(all_conditions(conditions(request), kept));
    if let Some(error) = wrong_certificate(certificate(request)).filter(|_| !kept.certificate) {
        let path = Path::new(STATUS).child("certificate");
        errors.push(FieldError::invalid(&path, "<certificate data>", error));
    }
    errors
}

fn usages(path: &Path, usages: &[String], kept: Kept) -> Vec<FieldError> {
    if usages.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let indexed = || usages.iter().enumerate();
    let mut errors = Vec::new();
    if !kept.unknown_usages {
        let unknown = indexed().filter(|(_, usage)| !USAGES.contains(&usage.as_str()));
        errors.extend(unknown.map(|(i, usage)| FieldError::not_supported(&path.index(i), usage.as_str(), &USAGES)));
    }
    if !kept.duplicate_usages {
        let mut seen = BTreeSet::new();
        let again = indexed().filter(|(_, usage)| !seen.insert(usage.as_str()));
        errors.extend(again.map(|(i, usage)| FieldError::duplicate(&path.index(i), usage.as_str())));
    }
    errors
}

fn all_conditions(conditions: &[CertificateSigningRequestCondition], kept: Kept) -> Vec<FieldError> {
    let list = Path::new(STATUS).child("conditions");
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let path = list.index(i);
        let kind = condition.type_.as_str();
        if kind.is_empty() && !kept.empty_types {
            errors.push(FieldError::required(&path.child("type"), ""));
        }
        let decision = [APPROVED, DENIED, FAILED].contains(&kind);
        let allowed: &[&str] = if decision { &["True"] } else { &["False", "True", "Unknown"] };
        errors.extend(names::one_of(&path.child("status"), Some(&condition.status), allowed));
        let other = match kind {
            APPROVED => DENIED,
            _ => APPROVED,
        };
        if [APPROVED, DENIED].contains(&kind) && seen.contains(other) && !kept.both_decisions {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(&list, kind, detail));
        }
        if !seen.insert(kind) && !kept.duplicate_types {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
    }
    errors
}

/// What is wrong with changing `old` through this door.
fn changes(new: &CertificateSigningRequest, old: &CertificateSigningRequest, door: &str) -> Vec<FieldError> {
    let path = Path::new(STATUS).child("conditions");
    let mut errors = Vec::new();
    for kind in [APPROVED, DENIED, FAILED].into_iter().filter(|kind| count(new, kind) < count(old, kind)) {
        let detail = format!("updates may not remove a condition of type {kind:?}");
        errors.push(FieldError::forbidden(&path, detail));
    }
    if door != APPROVAL {
        for kind in [APPROVED, DENIED].into_iter().filter(|kind| count(new, kind) > count(old, kind)) {
            let detail = format!("updates may not add a condition of type {kind:?}");
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    let issued = !certificate(old).is_empty();
    let detail = match door {
        _ if certificate(new) == certificate(old) => return errors,
        STATUS if issued => "updates may not modify existing certificate content",
        STATUS => return errors,
        _ => "updates may not set certificate content",
    };
    errors.push(FieldError::forbidden(&Path::new(STATUS).child("certificate"), detail));
    errors
}

/// Why a text is no PEM of a request that is signed with the key it is about.
fn wrong_request(pem: &[u8]) -> Option<String> {
    let block = Pem::iter_from_buffer(pem).next().and_then(Result::ok);
    let Some(block) = block.filter(|block| block.label == "CERTIFICATE REQUEST") else {
        return Some("PEM block type must be CERTIFICATE REQUEST".to_owned());
    };
    match X509CertificationRequest::from_der(&block.contents) {
        Err(_) => Some("x509: malformed certificate request".to_owned()),
        Ok((rest, _)) if !rest.is_empty() => Some("asn1: syntax error: trailing data".to_owned()),
        Ok((_, request)) => {
            request.verify_signature().err().map(|_| "x509: verification of the signature failed".to_owned())
        }
    }
}

/// Why a text is no PEM of certificates.
fn wrong_certificate(pem: &[u8]) -> Option<String> {
    if pem.is_empty() {
        return None;
    }
    let mut blocks = 0;
    for block in Pem::iter_from_buffer(pem) {
        let Ok(block) = block else { break };
        if block.label != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        blocks += 1;
        let mut rest = block.contents.as_slice();
        if rest.is_empty() {
            return Some("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        while !rest.is_empty() {
            match parse_x509_certificate(rest) {
                Ok((more, _)) => rest = more,
                Err(_) => return Some("x509: malformed certificate".to_owned()),
            }
        }
    }
    (blocks == 0).then(|| "must contain at least one CERTIFICATE PEM block".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::k8s_openapi::ByteString;

    fn pem() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()
    }

    fn request(spec: Value) -> CertificateSigningRequest {
        let mut whole = json!({"signerName": "example.com/a", "usages": ["client auth"], "request": ""});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let mut request: CertificateSigningRequest = serde_json::from_value(json!({"spec": whole})).unwrap();
        if request.spec.request.0.is_empty() {
            request.spec.request = ByteString(pem().into_bytes());
        }
        request
    }

    fn with_status(status: Value) -> CertificateSigningRequest {
        CertificateSigningRequest { status: serde_json::from_value(status).unwrap(), ..request(json!({})) }
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({}), vec![]),
            (
                json!({"request": "YQ=="}),
                vec![r#"spec.request: Invalid value: "YQ==": PEM block type must be CERTIFICATE REQUEST"#],
            ),
            (json!({"usages": []}), vec!["spec.usages: Required value"]),
            (json!({"usages": ["any", "any"]}), vec![r#"spec.usages[1]: Duplicate value: "any""#]),
            (
                json!({"signerName": "kubernetes.io/legacy-unknown"}),
                vec![
                    r#"spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version"#,
                ],
            ),
            (
                json!({"signerName": "a/b"}),
                vec![
                    r#"spec.signerName: Invalid value: "a": should be a domain with at least two segments separated by dots"#,
                ],
            ),
            (
                json!({"signerName": ""}),
                vec![
                    "spec.signerName: Required value",
                    r#"spec.signerName: Invalid value: "": must be a fully qualified domain and path of the form 'example.com/signer-name'"#,
                ],
            ),
            (
                json!({"expirationSeconds": 599}),
                vec![
                    "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
                ],
            ),
        ];
        for (spec, expected) in cases {
            assert_eq!(texts(&request(spec).validate()), expected);
        }
    }

    #[test]
    fn a_signature_of_another_key_is_no_signature() {
        let base64: String = pem().lines().filter(|line| !line.starts_with("-----")).collect();
        let mut der = serde_json::from_value::<ByteString>(json!(base64)).unwrap().0;
        let last = der.len() - 1;
        der[last] ^= 1;
        let pem =
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", base64_of(&der));
        assert_eq!(wrong_request(pem.as_bytes()).unwrap(), "x509: verification of the signature failed");
    }

    fn base64_of(bytes: &[u8]) -> String {
        serde_json::to_value(ByteString(bytes.to_vec())).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn decisions_go_through_their_own_door_and_stay() {
        let condition = |kind: &str| json!({"conditions": [{"type": kind, "status": "True"}]});
        let (open, approved) = (with_status(json!({})), with_status(condition("Approved")));
        let added = r#"status.conditions: Forbidden: updates may not add a condition of type "Approved""#;
        assert_eq!(texts(&approved.validate_part_update(&open, "status")), [added]);
        assert_eq!(texts(&approved.validate_part_update(&open, "approval")), Vec::<String>::new());
        let removed = r#"status.conditions: Forbidden: updates may not remove a condition of type "Approved""#;
        assert_eq!(texts(&open.validate_part_update(&approved, "approval")), [removed]);
        let both =
            json!({"conditions": [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "False"}]});
        assert_eq!(
            texts(&with_status(both).validate_part_update(&approved, "approval")),
            [
                r#"status.conditions[1].status: Unsupported value: "False": supported values: "True""#,
                r#"status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive"#,
            ]
        );
        let issued = with_status(json!({"certificate": base64_of(b"x")}));
        assert_eq!(
            texts(&issued.validate_part_update(&open, "status")),
            [
                r#"status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block"#
            ]
        );
        assert_eq!(
            texts(&issued.validate_part_update(&open, "approval"))[1..],
            ["status.certificate: Forbidden: updates may not set certificate content"]
        );
    }

    #[test]
    fn rows_tell_how_far_it_got() {
        let state = |status: Value| with_status(status).cells()[5].clone();
        assert_eq!(state(json!({})), json!("Pending"));
        let conditions = json!([{"type": "Approved", "status": "True"}, {"type": "Failed", "status": "True"}]);
        assert_eq!(state(json!({"conditions": conditions, "certificate": "YQ=="})), json!("Approved,Failed,Issued"));
        assert_eq!(request(json!({"expirationSeconds": 3600})).cells()[4], json!("60m"));
    }
}
