use serde_json::json;

use super::*;

/// Writes messages, for tests only.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: i64) -> Self {
        self.number(field << 3);
        self.number(value.cast_unsigned());
        self
    }

    fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        self.number(field << 3 | 2);
        self.number(value.as_ref().len() as u64);
        self.0.extend_from_slice(value.as_ref());
        self
    }

    fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, message.0)
    }
}

fn w() -> Writer {
    Writer::default()
}

fn envelope(api_version: &str, kind: &str, object: Writer) -> Vec<u8> {
    let envelope = w().message(1, w().bytes(1, api_version).bytes(2, kind)).message(2, object);
    [MAGIC, &envelope.0].concat()
}

fn decoded(api_version: &str, kind: &str, object: Writer) -> Value {
    serde_json::from_slice(&to_json(&envelope(api_version, kind, object)).unwrap()).unwrap()
}

#[test]
fn a_config_map_as_kubectl_sends_it() {
    let empty_time = w();
    let metadata = w().bytes(1, "a").bytes(2, "").bytes(3, "default").int(7, 0).message(8, empty_time);
    let object = w()
        .message(1, metadata)
        .message(2, w().bytes(1, "k").bytes(2, "v"))
        .message(3, w().bytes(1, "b").bytes(2, [0, 1]));
    assert_eq!(
        decoded("v1", "ConfigMap", object),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "default"},
            "data": {"k": "v"}, "binaryData": {"b": "AAE="},
        })
    );
}

#[test]
fn zero_is_a_value_where_absence_is_another() {
    // replicas is a pointer, minReadySeconds is not.
    let spec = w().int(1, 0).int(5, 0);
    assert_eq!(decoded("apps/v1", "Deployment", w().message(2, spec))["spec"], json!({"replicas": 0}));
}

#[test]
fn special_types_are_written_as_json_writes_them() {
    let probe = w().message(1, w().message(2, w().message(2, w().int(1, 1).int(2, 0).bytes(3, "http"))));
    let limits = w().message(1, w().bytes(1, "cpu").message(2, w().bytes(1, "100m")));
    let container = w().bytes(1, "c").message(8, limits).message(10, probe);
    let pod = decoded("v1", "Pod", w().message(2, w().message(2, container)));
    assert_eq!(
        pod["spec"]["containers"][0],
        json!({"name": "c", "resources": {"limits": {"cpu": "100m"}}, "livenessProbe": {"httpGet": {"port": "http"}}})
    );
    let lease = w().message(2, w().bytes(1, "me").message(4, w().int(1, 1_700_000_000).int(2, 123_456_000)));
    assert_eq!(decoded("coordination.k8s.io/v1", "Lease", lease)["spec"]["renewTime"], "2023-11-14T22:13:20.123456Z");
}

#[test]
fn kinds_of_the_same_name_are_told_apart() {
    let note = |field| w().bytes(field, "text");
    assert_eq!(decoded("v1", "Event", note(4))["message"], "text");
    assert_eq!(decoded("events.k8s.io/v1", "Event", note(10))["note"], "text");
}

#[test]
fn rubbish_is_refused() {
    let cases: [(&[u8], &str); 4] = [
        (b"{}", "expected prefix"),
        (b"k8s\0\x0a\xff", "unexpected end"),
        (b"k8s\0\x0b", "unknown wire type"),
        (b"k8s\0", "no kind"),
    ];
    for (bytes, words) in cases {
        let error = to_json(bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
