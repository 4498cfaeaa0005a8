//! Whatever bytes come, they are understood in one way or refused. `hack/fuzz` goes on for longer.

use std::{fmt::Display, io::Write, str::FromStr};

use api_types::{quantity::Quantity, schema, selector, yaml};
use apiserver::{Config, Flags, json, patch::Patch, protobuf, request::Query};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Parser;
use component::jwt::{Algorithm, SigningKey, Token};
use http::Method;
use serde_json::{Value, json};
use test_needs::fuzz::fuzz;
use tokio::runtime::Runtime;

use crate::client::{Api, Reply};

const POD: &[u8] = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"a":"b"},"annotations":{"x":"y"}},"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80,"protocol":"TCP"}],"env":[{"name":"A","value":"b"}],"resources":{"limits":{"cpu":"1500m","memory":"1Gi"}}}],"tolerations":[{"key":"k","operator":"Exists"}]}}"#;
const POD_YAML: &[u8] = b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: &l {a: b}\nspec:\n  nodeSelector: *l\n  containers:\n  - name: c\n    image: \"i\"\n    args: ['a', 0644, 1e3, ~, yes, 2001-01-01]\n    command:\n    - |\n      text\n";

/// What is understood is written so that it is understood in the same way.
fn round_trips<T: FromStr + Display + PartialEq + std::fmt::Debug>(name: &str, seeds: &[&[u8]]) {
    fuzz(name, seeds, |bytes| {
        let Some(value) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<T>().ok()) else { return };
        let text = value.to_string();
        let again = text.parse::<T>().ok();
        assert_eq!(again.as_ref(), Some(&value), "{text}");
        assert_eq!(again.map(|again| again.to_string()), Some(text));
    });
}

#[test]
fn quantities() {
    round_trips::<Quantity>(
        "quantities",
        &[b"1500m", b"1.5Gi", b"-0.0000000001", b"1e9", b"12E", b"+9223372036854775807n"],
    );
}

#[test]
fn label_selectors() {
    let seeds: [&[u8]; 4] = [b"a=b,c!=d", b"a in (b,c),d notin (e)", b"!a,b", b"example.com/a==b,a>1,b<2"];
    round_trips::<selector::label::Selector>("label-selectors", &seeds);
}

#[test]
fn field_selectors() {
    let seeds: [&[u8]; 3] = [b"metadata.name=a,status.phase!=Running", b"a=b\\,c\\=d\\\\", b"a==b"];
    round_trips::<selector::field::Selector>("field-selectors", &seeds);
}

#[test]
fn json_texts() {
    fuzz("json", &[POD, b"[1, -2.5e+3, true, null, \"\\ud83d\\ude00\\u00e9\"]"], |bytes| {
        let value = serde_json::from_slice::<Value>(bytes);
        let fault = json::fault(bytes);
        assert!(value.is_err() || fault.is_none(), "{fault:?} in what others read");
        let mut cursor = json::Cursor::new(bytes);
        let skipped = cursor.skip_value().and_then(|()| cursor.end());
        assert!(value.is_err() || skipped.is_ok());
        let outline = json::Outline::of(bytes);
        let raw = outline.root();
        let _ = (raw.members(), raw.items());
    });
}

#[test]
fn yaml_texts() {
    fuzz("yaml", &[POD_YAML, POD, b"a: 1\n---\nb: 2\n"], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let _ = (yaml::documents(text), yaml::read(text));
        let Ok(value) = yaml::from_str(text) else { return };
        let written = yaml::to_string(&value).unwrap();
        assert_eq!(yaml::from_str(&written).ok(), Some(value), "{written}");
    });
}

#[test]
fn protobuf_messages() {
    let mut encoder = protobuf::Encoder::default();
    let mut encode = |json: &[u8]| encoder.object(json).unwrap().to_vec();
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {"versions": [{
        "schema": {"openAPIV3Schema": {"properties": {"a": {"not": {"items": {"type": "string"}}}}}}}]}});
    let seeds = [encode(POD), encode(crd.to_string().as_bytes())];
    fuzz("protobuf", &[&seeds[0], &seeds[1]], |bytes| {
        let Ok(json) = protobuf::to_json(bytes) else { return };
        serde_json::from_slice::<Value>(&json).expect("what is read is JSON");
        let write =
            |json: &[u8]| protobuf::Encoder::default().object(json).expect("what is read can be written").to_vec();
        let written = write(&json);
        let again = protobuf::to_json(&written).expect("what is written can be read");
        assert_eq!(write(&again).escape_ascii().to_string(), written.escape_ascii().to_string());
    });
}

#[test]
fn patches() {
    let object: Value = serde_json::from_slice(POD).unwrap();
    let pod = schema::of("", "v1", "Pod");
    let seeds: [&[u8]; 4] = [
        br#"[{"op":"add","path":"/metadata/labels/c","value":{"a":[1]}},{"op":"copy","from":"/spec","path":"/spec/a~1b"},{"op":"move","from":"/metadata/name","path":"/x"},{"op":"test","path":"/kind","value":"Pod"},{"op":"remove","path":"/spec/containers/0"}]"#,
        br#"{"metadata":{"labels":{"a":null,"c":"d"}},"spec":{"containers":[{"name":"c"}]}}"#,
        br#"{"spec":{"$setElementOrder/containers":[{"name":"d"},{"name":"c"}],"containers":[{"name":"c","$patch":"delete"},{"name":"d","ports":[{"containerPort":80,"$retainKeys":["containerPort"]}]}],"$deleteFromPrimitiveList/x":[1]}}"#,
        br#"{"spec":{"$patch":"replace","containers":[]},"metadata":{"$deleteFromPrimitiveList/finalizers":["a"]}}"#,
    ];
    fuzz("patches", &seeds, |bytes| {
        for decode in [Patch::json, Patch::merge, Patch::strategic_merge] {
            let Ok(patch) = decode(bytes) else { continue };
            let _ = patch.apply(object.clone(), pod);
        }
        // A merge that is done twice changes nothing the second time.
        if let Ok(patch) = Patch::merge(bytes) {
            let once = patch.apply(object.clone(), pod).unwrap();
            assert_eq!(patch.apply(once.clone(), pod).unwrap(), once);
        }
    });
}

#[test]
fn tokens() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = SigningKey::parse(pair.serialize_pem().as_bytes()).unwrap();
    let good = key.sign(&json!({"iss": "a", "sub": "b", "exp": 1})).unwrap();
    let keys = [key.public().clone()];
    fuzz("tokens", &[good.as_bytes(), b"e30.e30.", b"eyJhbGciOiJub25lIn0.e30."], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Some(token) = Token::parse(text, &[Algorithm::Es256, Algorithm::Rs256]) else { return };
        let _ = token.issuer();
        let believed = token.verify::<Value>(&keys).is_ok();
        assert!(!believed || text == good, "only what was signed is believed");
    });
}

#[test]
fn queries() {
    fuzz("queries", &[b"limit=1&continue=abc&labelSelector=a%3Db&watch=true", b"a=%zz&%=&&=+"], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let query = Query::parse(text);
        let _ = (query.flag("watch"), query.first("limit"), query.all("labelSelector").count());
    });
}

/// A file that a flag names is understood or refused.
#[test]
fn configuration_files() {
    component::daemon::install_crypto_provider();
    let cases: [(&str, &[u8]); 6] = [
        ("admission-control-config-file", b"apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: PodSecurity\n  configuration:\n    apiVersion: pod-security.admission.config.k8s.io/v1\n    kind: PodSecurityConfiguration\n    defaults: {enforce: baseline, enforce-version: latest}\n    exemptions: {usernames: [], namespaces: [a]}\n"),
        ("audit-policy-file", b"apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n  users: [a]\n  verbs: [get]\n  resources: [{group: '', resources: [pods/log], resourceNames: [a]}]\n  nonResourceURLs: [/a*]\n"),
        ("encryption-provider-config", b"apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - aescbc: {keys: [{name: a, secret: MDEyMzQ1Njc4OWFiY2RlZg==}]}\n  - identity: {}\n"),
        ("authentication-config", b"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {url: 'https://a', audiences: [a]}\n  claimMappings: {username: {claim: sub, prefix: ''}}\n"),
        ("token-auth-file", b"token,user,uid,\"a,b\"\nother,user,1\n"),
        ("authorization-config", b"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n- type: RBAC\n  name: a\n"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (flag, seed) in cases {
        fuzz(flag, &[seed], |bytes| {
            let path = folder.path().join(flag);
            std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
            let flag = format!("--{flag}={}", path.display());
            let data = format!("--data-dir={}", folder.path().display());
            let flags = ["kube-apiserver", &data, "--advertise-address=192.0.2.1", "--secure-port=0", &flag];
            let _ = Config::new(Flags::parse_from(flags));
        });
    }
}

#[test]
fn kubeconfigs() {
    let seed = b"apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: 'https://a:1', certificate-authority-data: YQ==}}]\nusers: [{name: a, user: {token: t, client-key-data: YQ==}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n";
    let runtime = Runtime::new().unwrap();
    fuzz("kubeconfigs", &[seed], |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(config) = kube::config::Kubeconfig::from_yaml(text) else { return };
        // What would run a program is not for a test.
        if config.auth_infos.iter().all(|user| user.auth_info.as_ref().is_none_or(|info| info.exec.is_none())) {
            let _ = runtime.block_on(kube::Config::from_custom_kubeconfig(config, &Default::default()));
        }
    });
}

/// What upstream answers with 500, too, though it is the client's fault.
const AS_UPSTREAM: [&str; 4] = [
    "resourceVersion: Invalid value: ",
    "failed to create typed patch object ",
    " does not contain declared merge key: ",
    "unknown patch type: ",
];

/// An answer that is no failure of the server, and says what is wrong if anything is.
fn sound(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.bytes);
    assert!(reply.code < 500 || AS_UPSTREAM.iter().any(|part| text.contains(part)), "{}: {text}", reply.code);
    if reply.code >= 400 {
        assert_eq!(reply.json()["kind"], "Status");
    }
}

fn server() -> (Runtime, Api) {
    let runtime = Runtime::new().unwrap();
    let api = runtime.block_on(Api::start());
    (runtime, api)
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().take(8000).map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn parameters_of_lists() {
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    let (runtime, api) = server();
    let reply = runtime.block_on(async {
        for name in ["a", "b", "c"] {
            api.post(MAPS, &json!({"metadata": {"name": name}})).await.ok();
        }
        api.get(&format!("{MAPS}?limit=1")).await.ok()
    });
    let token = reply["metadata"]["continue"].as_str().unwrap();
    let inner = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).unwrap();
    let seeds = [token.as_bytes(), &inner, b"metadata.name=a", b"a in (b)", b"12", b"NotOlderThan"];
    const PARAMETERS: [&str; 8] = [
        "continue",
        "limit",
        "fieldSelector",
        "labelSelector",
        "resourceVersion",
        "resourceVersionMatch",
        "timeoutSeconds",
        "pretty",
    ];
    let count = std::cell::Cell::new(0_usize);
    fuzz("parameters", &seeds, |bytes| {
        let parameter = PARAMETERS[count.replace(count.get() + 1) % PARAMETERS.len()];
        let value = escaped(bytes);
        // A version that is still to come is waited for.
        if parameter != "resourceVersion" || std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<u64>().is_err()) {
            sound(&runtime.block_on(api.get(&format!("{MAPS}?{parameter}={value}"))));
        }
        let token = URL_SAFE_NO_PAD.encode(&bytes[..bytes.len().min(8000)]);
        sound(&runtime.block_on(api.get(&format!("{MAPS}?limit=1&continue={token}"))));
    });
}

#[test]
fn bodies() {
    const PODS: &str = "/api/v1/namespaces/default/pods";
    let (runtime, api) = server();
    let pod: Value = serde_json::from_slice(POD).unwrap();
    runtime.block_on(api.post(PODS, &pod)).ok();
    let protobuf = protobuf::Encoder::default().object(POD).unwrap().to_vec();
    let seeds: [&[u8]; 5] = [
        POD,
        POD_YAML,
        &protobuf,
        br#"[{"op":"replace","path":"/metadata/labels/a","value":"c"}]"#,
        br#"{"apiVersion":"v1","kind":"Pod","metadata":{"labels":{"$patch":"replace"},"managedFields":[{"manager":"m","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"k:{\"name\":\"c\"}":{}}}}]}}"#,
    ];
    let one = format!("{PODS}/a?fieldManager=fuzz&force=true&dryRun=All");
    let all = format!("{PODS}?dryRun=All&fieldValidation=Strict");
    let requests = [
        (Method::POST, &all, "application/json"),
        (Method::POST, &all, "application/yaml"),
        (Method::POST, &all, "application/vnd.kubernetes.protobuf"),
        (Method::POST, &all, "application/cbor"),
        (Method::PUT, &one, "application/json"),
        (Method::PATCH, &one, "application/json-patch+json"),
        (Method::PATCH, &one, "application/merge-patch+json"),
        (Method::PATCH, &one, "application/strategic-merge-patch+json"),
        (Method::PATCH, &one, "application/apply-patch+yaml"),
        (Method::DELETE, &one, "application/json"),
    ];
    let count = std::cell::Cell::new(0_usize);
    fuzz("bodies", &seeds, |bytes| {
        let number = count.replace(count.get() + 1) % requests.len();
        let (method, path, kind) = &requests[number];
        // Forcing is for those who apply.
        let path = if kind.contains("apply") { (*path).clone() } else { path.replace("&force=true", "") };
        let headers = [("content-type", *kind)];
        sound(&runtime.block_on(api.raw(method.clone(), &path, &headers, bytes.to_vec())));
    });
}
