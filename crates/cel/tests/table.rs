//! Expressions and what they result in: files of lines `expression => result`, one for each part of the language.
//!
//! With `FERROKUBE_REWRITE` the right sides are written anew; look at the difference.
#![allow(clippy::unwrap_used)]

use std::{collections::HashMap, path::PathBuf};

use cel::{Env, Meter, Numbers, ObjectType, Type, Value, libraries};
use serde_json::json;

fn env() -> Env {
    let env = [
        libraries::OPTIONAL,
        libraries::LISTS,
        libraries::STRINGS,
        libraries::SETS,
        libraries::REGEX,
        libraries::URL,
        libraries::IP,
        libraries::CIDR,
        libraries::SEMVER,
        libraries::TWO_VARIABLES,
        libraries::JSON_PATCH,
        libraries::AUTHORIZER,
    ]
    .into_iter()
    .fold(Env::default().bindings(), Env::library);
    let pod = ObjectType::new([("name", Type::String), ("labels", Type::parse("map(string, string)"))]);
    env.object("Pod", pod)
        .variable("object", Type::Dyn)
        .variable("pod", Type::object("Pod"))
        .variable("count", Type::Int)
        .variable("any", Type::Any)
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::String(text) => format!("{:?}", &**text),
        Value::Uint(number) => format!("{number}u"),
        Value::Double(number) => format!("{number:?}"),
        Value::Bytes(bytes) => format!("b{:?}", String::from_utf8_lossy(bytes)),
        Value::Timestamp(_) | Value::Duration(_) => {
            format!("{} {}", value.value_type(), value.to_json(&Meter::new(100)).unwrap().as_str().unwrap())
        }
        Value::Type(of) => format!("type {}", of.name()),
        Value::Optional(None) => "none".to_owned(),
        Value::Optional(Some(value)) => format!("some {}", shown(value)),
        Value::List(list) => format!("[{}]", list.iter().map(|value| shown(&value)).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let pair = |key: cel::Key<'_>| format!("{}: {}", shown(&key.value()), shown(&map.get(&key).unwrap()));
            format!("{{{}}}", map.keys().into_iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Value::Object(object) => {
            let pair = |(name, value): (&std::sync::Arc<str>, &Value<'_>)| format!("{name}: {}", shown(value));
            format!("{}{{{}}}", object.name, object.fields.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        Value::Opaque(value) => value.value_type().to_string(),
        other => match other.to_json(&Meter::new(100)) {
            Ok(json) => json.to_string(),
            Err(error) => error.to_string(),
        },
    }
}

fn result(env: &Env, text: &str, variables: &HashMap<&str, Value<'_>>) -> String {
    match env.compile(text) {
        Err(issues) => {
            let told: Vec<String> =
                issues.0.iter().map(|issue| format!("{}:{}: {}", issue.line, issue.column, issue.message)).collect();
            format!("wrong: {}", told.join("; "))
        }
        Ok(program) => match program.evaluate(variables, &Meter::new(1_000_000)) {
            Ok(value) => shown(&value),
            Err(error) => format!("error: {error}"),
        },
    }
}

#[test]
fn expressions_result_in_what_the_tables_say() {
    let object = json!({
        "metadata": {"name": "web", "labels": {"app": "web", "tier": null}},
        "spec": {"replicas": 3, "ratio": 1.0, "ports": [80, 443], "big": u64::MAX}
    });
    let pod = json!({"name": "web", "labels": {"a": "b"}});
    let variables = HashMap::from([
        ("object", Value::from_json(&object, Numbers::Natural)),
        ("pod", Value::from_json(&pod, Numbers::Natural)),
        ("any", Value::from_json(&object, Numbers::Doubles)),
        ("count", Value::Int(3)),
    ]);
    let env = env();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut wrong = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut written = String::new();
        for line in text.lines() {
            let (expression, expected) = line.split_once(" => ").unwrap_or((line, ""));
            if line.starts_with('#') || line.is_empty() {
                written.push_str(&format!("{line}\n"));
                continue;
            }
            let found = result(&env, expression, &variables);
            written.push_str(&format!("{expression} => {found}\n"));
            if found != expected {
                wrong.push(format!("{expression}\n  expected {expected}\n  found    {found}"));
            }
        }
        if std::env::var_os("FERROKUBE_REWRITE").is_some() {
            std::fs::write(&path, written).unwrap();
            wrong.clear();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn issues_are_laid_out_as_in_cel_go() {
    let shown = |text: &str| env().compile(text).unwrap_err().to_string();
    assert_eq!(shown("1 + x"), "ERROR: <input>:1:5: undeclared reference to 'x' (in container '')\n | 1 + x\n | ....^");
    assert_eq!(
        shown("1 +\n\tyy == 1 || zz"),
        "ERROR: <input>:2:2: undeclared reference to 'yy' (in container '')\n |  yy == 1 || zz\n | .^\n\
         ERROR: <input>:2:13: undeclared reference to 'zz' (in container '')\n |  yy == 1 || zz\n | ............^"
    );
    assert_eq!(shown(&"[".repeat(300)), "ERROR: <input>:-1:0: expression recursion limit exceeded: 250");
}
