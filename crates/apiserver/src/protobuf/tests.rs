//! Both ways, against upstream's own objects, and with arbitrary ones.

use std::path::PathBuf;

use api_types::schema::{self, Field, Kind, Label, Type};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{wire::Backwards, *};
use crate::registry::{FieldValidation, decode::decode};

const MAGIC: &[u8] = b"k8s\0";

/// A message, written by hand.
fn w(fields: impl FnOnce(&mut Backwards)) -> Vec<u8> {
    let mut out = Backwards::default();
    fields(&mut out);
    out.written().to_vec()
}

/// Fields of bytes, by their numbers, in order.
fn texts(fields: &[(u32, &[u8])]) -> Vec<u8> {
    w(|out| fields.iter().rev().for_each(|(number, bytes)| out.field(*number, bytes)))
}

fn enveloped(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    let type_meta = texts(&[(1, api_version.as_bytes()), (2, kind.as_bytes())]);
    [MAGIC, &texts(&[(1, &type_meta), (2, object)])].concat()
}

fn decoded(api_version: &str, kind: &str, object: &[u8]) -> Value {
    serde_json::from_slice(&to_json(&enveloped(api_version, kind, object)).unwrap()).unwrap()
}

fn encoded(object: &Value) -> Vec<u8> {
    Encoder::default().object(object.to_string().as_bytes()).unwrap().to_vec()
}

fn read(bytes: &[u8]) -> Value {
    serde_json::from_slice(&to_json(bytes).unwrap()).unwrap()
}

/// Upstream's reference data, where it is. A test without it says so.
fn reference() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference");
    let named = std::env::var_os("FERROKUBE_REFERENCE").map(PathBuf::from);
    let demanded = named.is_some();
    let path = named.unwrap_or(beside);
    if !path.join("objects").exists() {
        assert!(!demanded, "FERROKUBE_REFERENCE has no objects");
        eprintln!("SKIPPED: no reference data at {}; FERROKUBE_REFERENCE can name it", path.display());
        return None;
    }
    Some(path)
}

/// The whole way of an object that was sent in protobuf: nothing is lost in the types either.
#[test]
fn every_kind_is_stored_as_upstream_writes_it() {
    let Some(reference) = reference() else { return };
    let (mut kinds, mut different) = (0, Vec::new());
    for row in crate::resources::rows() {
        let group = if row.group.is_empty() { "core" } else { &row.group };
        let path = reference.join("objects").join(format!("{group}.{}.{}.json", row.version, row.kind));
        let Ok(text) = std::fs::read(&path) else { continue };
        let mut expected: Value = serde_json::from_slice(&text).unwrap();
        if let Some(claim) = expected.pointer_mut("/spec/volumeClaimTemplates/0") {
            // Upstream's server says of these what they are, its types do not.
            claim["apiVersion"] = "v1".into();
            claim["kind"] = "PersistentVolumeClaim".into();
        }
        if let Some(time) = expected.pointer_mut("/status/disruptedPods/disruptedPodsKey") {
            // The types cannot be without this time (ADR 37).
            *time = "0001-01-01T00:00:00Z".into();
        }
        let binary = std::fs::read(path.with_extension("pb")).unwrap();
        let sent = Bytes::from(to_json(&binary).unwrap()).into();
        let stored = decode(&row, &sent, FieldValidation::Strict).unwrap().object.encode();
        let written: Value = serde_json::from_slice(&stored).unwrap();
        let again = row.ops.decode_trusted(&stored).unwrap().encode();
        if written != expected || again != stored {
            different.push(format!("{}/{}", row.api_version(), row.kind));
        }
        kinds += 1;
    }
    assert_eq!(different, [""; 0]);
    assert!(kinds > 60, "only {kinds} kinds");
}

#[test]
fn every_kind_comes_out_as_upstream_writes_it_both_ways() {
    let Some(reference) = reference() else { return };
    let mut kinds = 0;
    for entry in std::fs::read_dir(reference.join("objects")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let mut object: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let binary = std::fs::read(path.with_extension("pb")).unwrap();
        if object.get("apiVersion").is_none() {
            // A watch event does not say what it is.
            object["apiVersion"] = "v1".into();
            object["kind"] = "WatchEvent".into();
        }
        let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let message = enveloped_raw(&binary);
        assert_eq!(decoded(api_version, kind, message), object, "{name}");
        let ours = encoded(&object);
        assert!(enveloped_raw(&ours) == message, "{name}: {} and {} bytes", ours.len(), binary.len());
        if kind != "WatchEvent" {
            assert!(ours == binary, "{name}: the envelope");
        }
        kinds += 1;
    }
    assert!(kinds > 80, "{kinds}");
}

fn enveloped_raw(bytes: &[u8]) -> &[u8] {
    super::read::last_bytes(bytes.strip_prefix(MAGIC).unwrap(), 2).unwrap()
}

#[test]
fn a_config_map_as_kubectl_sends_it() {
    let metadata = w(|out| {
        out.field(8, b"");
        out.number_field(7, 0);
        [(3, "default"), (2, ""), (1, "a")].into_iter().for_each(|(number, text)| out.field(number, text.as_bytes()));
    });
    let object =
        texts(&[(1, &metadata), (2, &texts(&[(1, b"k"), (2, b"v")])), (3, &texts(&[(1, b"b"), (2, &[0, 1])]))]);
    assert_eq!(
        decoded("v1", "ConfigMap", &object),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "default"},
            "data": {"k": "v"}, "binaryData": {"b": "AAE="},
        })
    );
}

#[test]
fn what_is_empty_is_written_as_go_writes_it() {
    // Strings, numbers, objects that are no pointers: always. Pointers, lists, maps, bytes: only when they are there.
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let metadata = w(|out| {
        out.field(8, b"");
        out.number_field(7, 0);
        [(6, ""), (5, ""), (4, ""), (3, ""), (2, ""), (1, "a")]
            .into_iter()
            .for_each(|(number, text)| out.field(number, text.as_bytes()));
    });
    assert_eq!(enveloped_raw(&encoded(&object)), texts(&[(1, &metadata)]));
    let probe =
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"livenessProbe": {"httpGet": {}}}]}});
    let pod = read(&encoded(&probe));
    assert_eq!(pod["spec"]["containers"][0]["livenessProbe"], json!({"httpGet": {"port": 0}}));
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "spec": {"capacity": {"storage": "1Gi"}}});
    assert_eq!(read(&encoded(&volume))["spec"]["capacity"]["storage"], "1Gi");
}

#[test]
fn maps_are_sorted_and_escapes_resolved() {
    let object = br#"{"kind":"ConfigMap","apiVersion":"v1","data":{"b":"2","a":"\u00e9\n","\u0061a":null}}"#;
    let bytes = Encoder::default().object(object).unwrap().to_vec();
    let keys: Vec<_> = [&b"\x0a\x01a"[..], b"\x0a\x02aa", b"\x0a\x01b"]
        .iter()
        .map(|key| bytes.windows(key.len()).position(|window| window == *key).unwrap())
        .collect();
    assert!(keys.is_sorted(), "{keys:?}");
    assert_eq!(read(&bytes)["data"], json!({"a": "é\n", "aa": "", "b": "2"}));
}

#[test]
fn zero_is_a_value_where_absence_is_another() {
    // replicas is a pointer, minReadySeconds is not.
    let spec = w(|out| {
        out.number_field(5, 0);
        out.number_field(1, 0);
    });
    assert_eq!(decoded("apps/v1", "Deployment", &texts(&[(2, &spec)]))["spec"], json!({"replicas": 0}));
}

#[test]
fn fields_that_come_again_are_put_together() {
    let (name, uid) = (texts(&[(1, b"a")]), texts(&[(5, b"u")]));
    let entry = |value| texts(&[(1, b"k"), (2, value)]);
    let object = texts(&[(1, &name), (2, &entry(b"old")), (1, &uid), (2, &entry(b"new"))]);
    let read = decoded("v1", "ConfigMap", &object);
    assert_eq!((&read["metadata"], &read["data"]), (&json!({"name": "a", "uid": "u"}), &json!({"k": "new"})));
    // Numbers, packed and one by one.
    let status = w(|out| {
        out.field(2, b"\x03\x04");
        out.number_field(2, 2);
        out.field(1, b"In");
    });
    let rule = texts(&[(1, b"Restart"), (2, &status)]);
    let pod = texts(&[(2, &texts(&[(2, &texts(&[(1, b"c"), (25, &rule)]))]))]);
    let container = &decoded("v1", "Pod", &pod)["spec"]["containers"][0];
    assert_eq!(container["restartPolicyRules"][0]["exitCodes"]["values"], json!([2, 3, 4]));
}

#[test]
fn times_keep_what_json_keeps() {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "a", "creationTimestamp": "1969-12-31T23:59:59Z"},
        "spec": {"renewTime": "1969-12-31T23:59:59.250000Z"},
    });
    assert_eq!(read(&encoded(&lease)), lease);
}

#[test]
fn schemas_and_what_may_stand_in_their_place() {
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "a"},
        "spec": {
            "group": "g", "names": {"plural": "p", "kind": "K"}, "scope": "Namespaced",
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object",
                "properties": {
                    "a": {"items": {"type": "string"}, "additionalProperties": false, "default": {"b": [1, 2.5]}},
                    "c": {"additionalProperties": {"type": "integer", "maximum": 1.5}, "items": [{"type": "string"}]},
                    "d": {"additionalProperties": true, "dependencies": {"x": ["y"], "z": {"type": "null"}}, "enum": ["e", 1]},
                },
            }}}],
        },
        "status": {"acceptedNames": {"plural": "p", "kind": "K"}},
    });
    assert_eq!(read(&encoded(&crd)), crd);
}

#[test]
fn kinds_of_the_same_name_are_told_apart() {
    assert_eq!(decoded("v1", "Event", &texts(&[(4, b"text")]))["message"], "text");
    assert_eq!(decoded("events.k8s.io/v1", "Event", &texts(&[(10, b"text")]))["note"], "text");
}

#[test]
fn lists_and_events_have_their_frames() {
    let pod = |name: &str| json!({"metadata": {"name": name}});
    let list = json!({
        "kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": [pod("a"), pod("b")],
    });
    let schema = schema::find("", "v1", "Pod").unwrap();
    let mut encoder = Encoder::default();
    let items: Vec<Vec<u8>> = ["a", "b"]
        .iter()
        .map(|name| encoder.item(schema, pod(name).to_string().as_bytes()).unwrap().to_vec())
        .collect();
    let head = ListHead { api_version: "v1", kind: "PodList", metadata: br#"{"resourceVersion":"5"}"# };
    let (head, tail) = encoder.list(&head, items.concat().len()).unwrap();
    assert_eq!([&head[..], &items.concat(), &tail].concat(), encoded(&list));

    let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}});
    let frame = encoder.watch_frame(json!({"type": "ADDED", "object": object}).to_string().as_bytes()).unwrap();
    let (length, event) = frame.split_at(4);
    assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, event.len());
    assert_eq!(event, texts(&[(1, b"ADDED"), (2, &texts(&[(1, &encoded(&object))]))]));
    // As an object of its own, the event tells the object inside.
    assert_eq!(decoded("v1", "WatchEvent", event)["object"]["metadata"], json!({"name": "a"}));
}

#[test]
fn rubbish_is_refused() {
    let cases: [(&[u8], &str); 5] = [
        (b"{}", "expected prefix"),
        (b"k8s\0\x0a\xff", "proto:"),
        (b"k8s\0\x0a\x05ab", "unexpected EOF"),
        (b"k8s\0\x0f", "proto:"),
        (b"k8s\0", "no kind"),
    ];
    for (bytes, words) in cases {
        let error = to_json(bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    for json in ["", "[]", "{", r#"{"kind":"Pod","apiVersion":"v1","spec":1}"#, r#"{"kind":"Pod","apiVersion":"x/v1"}"#]
    {
        assert!(Encoder::default().object(json.as_bytes()).is_err(), "{json}");
    }
}

#[test]
fn depth_is_bounded_both_ways() {
    // A JSON schema in a JSON schema in …
    let schema = (0..2000).fold(Vec::new(), |inner: Vec<u8>, _| texts(&[(29, &texts(&[(1, b"a"), (2, &inner)]))]));
    let mut object = texts(&[(1, &schema)]);
    for number in [4, 7, 2] {
        object = texts(&[(number, &object)]);
    }
    let crd = enveloped("apiextensions.k8s.io/v1", "CustomResourceDefinition", &object);
    assert_eq!(to_json(&crd).unwrap_err(), Malformed::Depth.into());
    let deep = format!(r#"{{"kind":"Pod","apiVersion":"v1","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(Encoder::default().object(deep.as_bytes()).is_err());
}

/// Numbers by which arbitrary objects are made.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // Xorshift (G. Marsaglia, 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// An object with arbitrary fields, none of them zero, and with all that Go would write in any case.
fn arbitrary(schema: &Type, dice: &mut Dice, depth: usize) -> Map<String, Value> {
    let mut object = Map::new();
    for field in schema.fields() {
        if field.is_inlined() {
            object.extend(arbitrary(field.message().unwrap(), dice, depth));
        } else if field.number != 0 && (is_written(field) || (depth > 0 && dice.roll(4) == 0)) {
            object.insert(field.name.to_string(), arbitrary_field(field, dice, depth.saturating_sub(1)));
        }
    }
    object
}

fn is_written(field: &Field) -> bool {
    let kind = matches!(field.kind, Kind::Message(_) | Kind::Quantity | Kind::IntOrString | Kind::SchemaOrBool);
    field.label == Label::One && !field.pointer && kind
}

fn arbitrary_field(field: &Field, dice: &mut Dice, depth: usize) -> Value {
    let count = 1 + dice.roll(3);
    match field.label {
        Label::One => arbitrary_value(field, dice, depth),
        Label::List => (0..count).map(|_| arbitrary_value(field, dice, depth)).collect(),
        Label::Map => (0..count).map(|index| (format!("key{index}"), arbitrary_value(field, dice, depth))).collect(),
    }
}

fn arbitrary_value(field: &Field, dice: &mut Dice, depth: usize) -> Value {
    match field.kind {
        Kind::Bool => true.into(),
        Kind::Int32 | Kind::Int64 => (1 + dice.roll(1 << 30).cast_signed() - (1 << 31)).into(),
        Kind::Double => 1.5.into(),
        Kind::Bytes => "AAECAw==".into(),
        Kind::Strings => json!(["a", "b"]),
        Kind::Time => "2023-11-14T22:13:20Z".into(),
        Kind::MicroTime => "2023-11-14T22:13:20.123456Z".into(),
        Kind::IntOrString if dice.roll(2) == 0 => 8080.into(),
        Kind::RawExtension | Kind::Json => json!({"any": [1, "thing", null]}),
        Kind::FieldsV1 => json!({"f:spec": {}}),
        Kind::SchemaOrArray | Kind::SchemaOrBool | Kind::SchemaOrStrings => json!({"type": "string"}),
        Kind::Message(_) => arbitrary(field.message().unwrap(), dice, depth).into(),
        _ => format!("text \"{}\" é", dice.roll(1000)).into(),
    }
}

/// Every kind that has a message of its own.
fn kinds() -> Vec<(String, &'static Type)> {
    let rows = [
        "v1/Pod",
        "v1/Node",
        "v1/Service",
        "apps/v1/StatefulSet",
        "batch/v1/CronJob",
        "apiextensions.k8s.io/v1/CustomResourceDefinition",
        "resource.k8s.io/v1/ResourceClaim",
        "networking.k8s.io/v1/Ingress",
        "autoscaling/v2/HorizontalPodAutoscaler",
        "v1/Status",
    ];
    rows.iter()
        .map(|row| {
            let (api_version, kind) = row.rsplit_once('/').unwrap();
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            (api_version.to_owned(), schema::find(group, version, kind).unwrap())
        })
        .collect()
}

fn arbitrary_object(seed: u64) -> Value {
    let mut dice = Dice(seed | 1);
    let kinds = kinds();
    let (api_version, schema) = &kinds[dice.roll(kinds.len() as u64) as usize];
    let mut object = arbitrary(schema, &mut dice, 8);
    object.insert("apiVersion".into(), api_version.clone().into());
    object.insert("kind".into(), schema.name.into());
    object.into()
}

proptest! {
    #[test]
    fn arbitrary_objects_come_back(seed: u64) {
        let object = arbitrary_object(seed);
        prop_assert_eq!(read(&encoded(&object)), object);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes: Vec<u8>, kind in 0..10_usize) {
        let (api_version, schema) = &kinds()[kind];
        let _ = to_json(&bytes);
        let _ = to_json(&[MAGIC, &bytes].concat());
        if let Ok(json) = to_json(&enveloped(api_version, schema.name, &bytes)) {
            prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
        }
        let _ = Encoder::default().object(&bytes);
    }

    #[test]
    fn damaged_objects_do_no_harm(seed: u64, damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let object = arbitrary_object(seed);
        let (mut bytes, mut text) = (encoded(&object), object.to_string().into_bytes());
        for (place, byte) in damage {
            *place.get_mut(&mut bytes) = byte;
            *place.get_mut(&mut text) = byte;
        }
        if let Ok(json) = to_json(&bytes) {
            prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
        }
        let _ = Encoder::default().object(&text);
    }
}
