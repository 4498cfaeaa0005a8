//! Bodies of requests as objects: as lenient as Go's decoder, and strict about fields as the client asks.

mod body;
mod empty;
mod header;
mod lax;
mod strict;
mod times;

use std::{borrow::Cow, fmt::Display};

use api_types::{
    Object, Resource, StatusError,
    codec::by_serde,
    schema::{self, StandsFor, Type},
};
pub use body::{BodyType, Sent, yaml_to_json};
pub use header::Header;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::options::FieldValidation;
use crate::managed_fields::{ApplyError, Configuration};

/// Something decoded, and what to warn its writer about.
#[derive(Debug)]
pub struct Decoded<T = Box<dyn Object>> {
    /// The object.
    pub object: T,
    /// Unknown and duplicate fields, in words.
    pub warnings: Vec<String>,
}

/// Decodes a body as the kind of a row.
///
/// # Errors
/// 400 when the JSON is malformed, of another kind or version, or, with [`FieldValidation::Strict`], has fields that
/// the kind does not have, or has one twice.
pub fn decode(row: &Resource, sent: &Sent, validation: FieldValidation) -> Result<Decoded, StatusError> {
    let wanted = Wanted::of(row);
    wanted.read(sent, validation, |json| of_row(row, json)).map_err(|fault| fault.refusal(&wanted, &sent.json))
}

/// An object of a row's kind without what the kind does not have, and the paths of what it was sent of that. What is none
/// of a Rust type is found beforehand.
///
/// # Errors
/// When it is no object of that kind.
pub fn of_row(row: &Resource, json: &[u8]) -> Result<Read<Box<dyn Object>>, serde_json::Error> {
    let mut object = row.ops.decode(json)?;
    let dropped = row.ops.prune(&mut *object).map_err(serde::de::Error::custom)?;
    Ok(Read { object, dropped })
}

/// Something that was read, and the paths of what was left out.
pub struct Read<T> {
    /// What was read.
    pub object: T,
    /// Paths, such as `spec.size`.
    pub dropped: Vec<String>,
}

impl<T> Read<T> {
    /// Of which nothing was left out that is not known already.
    pub fn whole(object: T) -> Self {
        Self { object, dropped: Vec::new() }
    }
}

/// Decodes a body as another kind than that of a resource, such as `Scale`.
///
/// # Errors
/// As [`decode`].
pub fn decode_kind<T: DeserializeOwned>(
    wanted: &Wanted<'_>,
    sent: &Sent,
    validation: FieldValidation,
) -> Result<Decoded<T>, StatusError> {
    let read = |json: &[u8]| by_serde(json).map(Read::whole);
    wanted.read(sent, validation, read).map_err(|fault| fault.refusal(wanted, &sent.json))
}

/// Decodes options, which are of every version.
///
/// # Errors
/// 400 when they cannot be read.
pub fn decode_options<T: DeserializeOwned>(kind: &str, json: &[u8]) -> Result<T, StatusError> {
    let leniently = |_| {
        let tree = lax::read(json, schema::of("", "v1", kind))?;
        by_serde(tree.to_string().as_bytes()).map_err(|error| error.to_string())
    };
    by_serde(json).or_else(leniently).map_err(StatusError::bad_request)
}

/// What a stored object is, as it was written by others or by versions that were not as strict.
///
/// # Errors
/// When even a lenient decoder cannot read it.
pub fn decode_stored(row: &Resource, json: &[u8]) -> Result<Box<dyn Object>, String> {
    let strict = match row.ops.decode_trusted(json) {
        Ok(object) => return Ok(object),
        Err(error) => error,
    };
    let lax = lax::read(json, row.schema()).map_err(|_| strict.to_string())?;
    row.ops.decode(lax.to_string().as_bytes()).map_err(|_| strict.to_string())
}

/// Any JSON; of members that are given twice the last counts.
///
/// # Errors
/// Go's words about what is no JSON.
pub fn any(json: &[u8]) -> Result<Value, String> {
    lax::any(json)
}

/// What a strict reader objects to in JSON of which nothing is known: members that are given twice.
#[must_use]
pub fn repeated(json: &[u8]) -> Vec<String> {
    strict::repeated(json)
}

/// The kind that is to be read.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    schema: &'a Type,
    /// A version that upstream still takes for the same.
    alias: &'static str,
}

impl<'a> Wanted<'a> {
    /// The kind of a row.
    #[must_use]
    pub fn of(row: &'a Resource) -> Self {
        Self { group: &row.group, version: &row.version, kind: &row.kind, schema: row.schema(), alias: "" }
    }

    /// One of upstream's kinds.
    #[must_use]
    pub fn kind(group: &'static str, version: &'static str, kind: &'static str) -> Self {
        Self { group, version, kind, schema: schema::of(group, version, kind), alias: "" }
    }

    /// The same, which may also say that it is of this version.
    #[must_use]
    pub fn or(self, alias: &'static str) -> Self {
        Self { alias, ..self }
    }

    /// What is known of the kind.
    #[must_use]
    pub fn schema(&self) -> &'a Type {
        self.schema
    }

    /// Sees that a configuration is one of this kind.
    ///
    /// # Errors
    /// As [`Configuration::check`].
    pub fn check_configuration(&self, config: &Configuration) -> Result<(), ApplyError> {
        config.check(self.group, self.version, self.kind, self.schema)
    }

    /// Decodes a body, by the short way if what was sent is what the types' decoders take as Go's does, else by the long one.
    ///
    /// # Errors
    /// As [`decode`].
    pub fn read<T>(
        &self,
        sent: &Sent,
        validation: FieldValidation,
        decode: impl Fn(&[u8]) -> Result<Read<T>, serde_json::Error>,
    ) -> Result<Decoded<T>, Undecodable> {
        if let Some(fault) = &sent.fault {
            return Err(Undecodable::Unrecognized(fault.clone()));
        }
        let json = &*sent.json;
        let header = Header::read(json).map_err(Undecodable::Unrecognized)?;
        self.check(&header)?;
        let found = strict::find(json, self.schema);
        let refuse = |why| self.unhandled(&header, why);
        let plain = !found.odd && !found.again;
        let shortly = plain.then(|| shortly(json, &found, &decode)).flatten();
        let Read { object, dropped } = match shortly {
            Some(read) => read,
            None => {
                header::check_syntax(json).map_err(Undecodable::Unrecognized)?;
                self.leniently(json, &decode).map_err(refuse)?
            }
        };
        if validation == FieldValidation::Ignore {
            return Ok(Decoded { object, warnings: Vec::new() });
        }
        let dropped = dropped.into_iter().map(|path| format!("unknown field {path:?}"));
        let warnings: Vec<_> = sent.objections.iter().cloned().chain(found.words).chain(dropped).collect();
        if validation == FieldValidation::Strict && !warnings.is_empty() {
            return Err(refuse(format!("strict decoding error: {}", warnings.join(", "))));
        }
        Ok(Decoded { object, warnings })
    }

    fn leniently<T>(&self, json: &[u8], decode: impl Fn(&[u8]) -> Result<T, serde_json::Error>) -> Result<T, String> {
        let read = lax::read(json, self.schema)?.to_string();
        let found = strict::find(read.as_bytes(), self.schema);
        decode(&as_go_has_it(read.as_bytes(), &found)).map_err(|error| error.to_string())
    }

    fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether the object says that it is something else.
    fn check(&self, header: &Header<'_>) -> Result<(), Undecodable> {
        let expected = self.api_version();
        let actual = if header.api_version.is_empty() { &*expected } else { &*header.api_version };
        let kind = if header.kind.is_empty() { self.kind } else { &*header.kind };
        if (actual == expected || actual == self.alias) && kind == self.kind {
            return Ok(());
        }
        let (group, version) = actual.split_once('/').unwrap_or(("", actual));
        let registered =
            schema::find(group, version, kind).is_some_and(|schema| schema.stands_for != StandsFor::Nothing);
        let custom = self.schema.package.is_empty();
        Err(if kind == self.kind && (registered || custom) {
            Undecodable::OtherVersion(format!(
                "the API version in the data ({actual}) does not match the expected API version ({expected})"
            ))
        } else if registered && !custom {
            let into = format!("({}.{})", internal_package(self.group), self.kind);
            self.unhandled(header, format!("converting ({version}.{kind}) to {into}: unknown conversion"))
        } else {
            let why = format!("no kind {kind:?} is registered for version {actual:?} in scheme {SCHEME:?}");
            self.unhandled(header, why)
        })
    }

    fn unhandled(&self, header: &Header<'_>, why: String) -> Undecodable {
        let or = |given: &str, wanted: &str| if given.is_empty() { wanted.to_owned() } else { given.to_owned() };
        let version = header.api_version.rsplit('/').next().unwrap_or_default();
        Undecodable::Unhandled { kind: or(&header.kind, self.kind), version: or(version, self.version), why }
    }
}

/// Decodes what the types' decoders take as Go's does, but for fields that Go leaves out or always has.
fn shortly<T>(json: &[u8], found: &strict::Found, decode: impl Fn(&[u8]) -> Result<T, serde_json::Error>) -> Option<T> {
    decode(&as_go_has_it(json, found)).ok()
}

fn as_go_has_it<'j>(json: &'j [u8], found: &strict::Found) -> Cow<'j, [u8]> {
    if found.edits.is_none() { Cow::Borrowed(json) } else { found.edits.made_in(json).into() }
}

/// Where upstream's API server keeps the kinds that it knows.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";

/// Upstream's name for the package of a group's kinds that are in no version.
fn internal_package(group: &str) -> &str {
    match group {
        "" | "events.k8s.io" => "core",
        group => group.split('.').next().unwrap_or_default(),
    }
}

/// Why a body is not decoded.
#[derive(Debug)]
pub enum Undecodable {
    /// It does not say what it is.
    Unrecognized(String),
    /// It says that it is something else, or it is not what it says.
    Unhandled {
        /// The kind that it is taken for.
        kind: String,
        /// The version without its group.
        version: String,
        /// What is wrong.
        why: String,
    },
    /// It is of another version of the kind.
    OtherVersion(String),
}

/// So many bytes of a body are quoted.
const QUOTED: usize = 30;

impl Undecodable {
    /// What the client is told.
    fn refusal(self, wanted: &Wanted<'_>, body: &[u8]) -> StatusError {
        let wanted = wanted.kind;
        StatusError::bad_request(match self {
            Self::Unrecognized(why) => {
                format!("the object provided is unrecognized (must be of type {wanted}): {why} ({})", summary(body))
            }
            Self::Unhandled { kind, version, why } => {
                format!("{kind} in version {version:?} cannot be handled as a {wanted}: {why}")
            }
            Self::OtherVersion(why) => why,
        })
    }

    /// What is wrong.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Unrecognized(why) | Self::Unhandled { why, .. } | Self::OtherVersion(why) => why,
        }
    }
}

/// The beginning of a body.
fn summary(body: &[u8]) -> String {
    let quoted = &body[..body.len().min(QUOTED)];
    let text: &dyn Display = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => &String::from_utf8_lossy(quoted),
        Some(_) => &hex(quoted),
    };
    format!("{text}{}", if body.len() > QUOTED { " ..." } else { "" })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A tree as a body, to be decoded as if it had been sent.
///
/// # Errors
/// Never for what was read from JSON.
pub fn tree(tree: &Value) -> Result<Sent, StatusError> {
    serde_json::to_vec(tree).map(|json| bytes::Bytes::from(json).into()).map_err(StatusError::internal)
}

#[cfg(test)]
mod tests {
    use api_types::rows;
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn read(row: &Resource, json: &str, validation: FieldValidation) -> Result<Decoded, String> {
        let sent = Bytes::copy_from_slice(json.as_bytes()).into();
        decode(row, &sent, validation).map_err(|error| error.to_string())
    }

    fn config_map(json: &str, validation: FieldValidation) -> Result<Vec<String>, String> {
        read(&rows::CONFIG_MAPS, json, validation).map(|decoded| decoded.warnings)
    }

    #[test]
    fn unknown_and_duplicate_fields_are_told_in_their_order() {
        let json = r#"{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"b","a":"c"},"foo":1,"foo":2}"#;
        let words = ["duplicate field \"data.a\"", "unknown field \"foo\""];
        assert_eq!(config_map(json, FieldValidation::Warn).unwrap(), words);
        assert!(config_map(json, FieldValidation::Ignore).unwrap().is_empty());
        assert_eq!(
            config_map(json, FieldValidation::Strict).unwrap_err(),
            format!(
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: {}",
                words.join(", ")
            )
        );
    }

    #[test]
    fn what_is_lenient_is_so_in_every_mode() {
        let json = r#"{"metadata":{"name":"a","labels":{}},"metadata":{"labels":{"x":null}},"data":{"a":"\ud800"}}"#;
        for validation in [FieldValidation::Ignore, FieldValidation::Warn] {
            let object = read(&rows::CONFIG_MAPS, json, validation).unwrap().object;
            let expected = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "a", "labels": {"x": ""}}, "data": {"a": "\u{fffd}"},
            });
            assert_eq!(object.to_value(), expected);
        }
    }

    #[test]
    fn empty_fields_are_left_out() {
        let json = r#"{"metadata":{"name":"a","finalizers":[],"ownerReferences":[]},"data":{},"immutable":false}"#;
        let object = read(&rows::CONFIG_MAPS, json, FieldValidation::Strict).unwrap().object;
        assert_eq!(
            object.to_value(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "immutable": false})
        );
    }

    /// What reading costs; run with `--release --nocapture --ignored`.
    #[test]
    #[ignore = "a measurement"]
    fn cost() {
        let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"default","labels":{"app":"web",
            "tier":"front"}},"spec":{"containers":[{"name":"web","image":"web:1","imagePullPolicy":"IfNotPresent","env":[
            {"name":"A","value":"1"},{"name":"B","value":"2"}],"ports":[{"containerPort":80,"protocol":"TCP"}],"resources":
            {"requests":{"cpu":"100m","memory":"64Mi"}},"volumeMounts":[{"name":"token","mountPath":"/var/run/secrets",
            "readOnly":true}]}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","terminationGracePeriodSeconds":30}}"#;
        let sent: Sent = Bytes::from_static(json.as_bytes()).into();
        let pod = rows::PODS.ops.decode(json.as_bytes()).unwrap();
        let rounds = 10_000_u32;
        let time = |what: &str, step: &dyn Fn()| {
            let start = std::time::Instant::now();
            (0..rounds).for_each(|_| step());
            println!("{what}: {:?} a pod", start.elapsed() / rounds);
        };
        time("walk", &|| drop(std::hint::black_box(strict::find(json.as_bytes(), rows::PODS.schema()))));
        time("type's decoder", &|| drop(std::hint::black_box(rows::PODS.ops.decode(json.as_bytes()))));
        time("whole", &|| drop(std::hint::black_box(decode(&rows::PODS, &sent, FieldValidation::Warn))));
        time("leniently", &|| drop(std::hint::black_box(lax::read(json.as_bytes(), rows::PODS.schema()))));
        time("encoder", &|| drop(std::hint::black_box(pod.encode())));
    }

    #[test]
    fn refusals_are_upstreams() {
        let cases = [
            (
                &rows::CONFIG_MAPS,
                r#"{"apiVersion":"v2"}"#,
                "ConfigMap in version \"v2\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for \
                 version \"v2\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
            ),
            (
                &rows::CONFIG_MAPS,
                r#"{"kind":"Pod"}"#,
                "Pod in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): \
                 unknown conversion",
            ),
            (
                &rows::PODS,
                r#"{"apiVersion":"apps/v1","kind":"Deployment"}"#,
                "Deployment in version \"v1\" cannot be handled as a Pod: converting (v1.Deployment) to (core.Pod): \
                 unknown conversion",
            ),
            (
                &rows::DEPLOYMENTS,
                r#"{"spec":{"replicas":"1"}}"#,
                "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go \
                 struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                &rows::PODS,
                "{",
                "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse \
                 error: unexpected end of JSON input ({)",
            ),
            (
                &rows::PODS,
                "[1]",
                "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse \
                 error: json: cannot unmarshal array into Go value of type struct { APIVersion string \
                 \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" } (5b315d)",
            ),
            (
                &rows::PODS,
                r#"{"apiVersion":1,"metadata":{"name":"abcdefgh"}}"#,
                "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse \
                 error: json: cannot unmarshal number into Go struct field .apiVersion of type string \
                 ({\"apiVersion\":1,\"metadata\":{\"n ...)",
            ),
            (
                &rows::PODS,
                r#"{"apiVersion":"v1","kind":"Pod",}"#,
                "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse \
                 error: invalid character '}' looking for beginning of object key string \
                 ({\"apiVersion\":\"v1\",\"kind\":\"Pod ...)",
            ),
            (
                &rows::PODS,
                "",
                "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse \
                 error: unexpected end of JSON input (<empty>)",
            ),
        ];
        for (row, json, words) in cases {
            assert_eq!(read(row, json, FieldValidation::Ignore).unwrap_err(), words);
        }
    }
}
