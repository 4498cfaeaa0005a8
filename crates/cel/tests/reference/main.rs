//! cel-spec's conformance tests, where somebody has them: a folder of `.textproto` files, named by `FERROKUBE_CEL_TESTS`.
//!
//! What concerns protobuf messages is passed over: Kubernetes declares none. So are libraries that it does not have.
#![allow(clippy::unwrap_used)]

mod textproto;

use std::collections::{BTreeMap, HashMap};

use cel::{Env, Key, List, Map, Meter, Type, Value, libraries};
use textproto::{Field, Message};

const FOLDER: &str = "FERROKUBE_CEL_TESTS";
/// Files about what Kubernetes' environment does not have.
const ABSENT: [&str; 7] = ["block_ext", "encoders_ext", "enums", "math_ext", "proto2", "proto2_ext", "proto3"];
/// What Kubernetes does otherwise: an address of version 4 in the form of version 6 is none.
const OTHERWISE: [&str; 2] = ["network_ext/ipv4/ipv4_equals_ipv6", "network_ext/ipv4/ipv4_not_equals_ipv6"];

enum Outcome {
    Passed,
    /// It is about protobuf messages.
    Messages,
    Failed(String),
}

#[test]
fn reference() {
    let Ok(folder) = std::env::var(FOLDER) else {
        eprintln!("skipped: {FOLDER} names no folder with cel-spec's tests");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut failures = Vec::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "textproto")) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let file = textproto::parse(&std::fs::read_to_string(path).unwrap());
        let (mut passed, mut messages, mut failed) = (0, 0, 0);
        for section in file.all("section") {
            for test in section.all("test") {
                let title = format!("{name}/{}/{}", section.text("name"), test.text("name"));
                match run(test) {
                    _ if ABSENT.contains(&&*name) || OTHERWISE.contains(&&*title) => messages += 1,
                    Outcome::Passed => passed += 1,
                    Outcome::Messages => messages += 1,
                    Outcome::Failed(why) => {
                        failed += 1;
                        failures.push(format!("{title}: {:?}: {why}", test.text("expr")));
                    }
                }
            }
        }
        println!("{name:16} {passed:4} passed {failed:4} failed {messages:4} about what is not there");
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

fn environment(test: &Message) -> Option<Env> {
    let mut env = Env::default().bindings().quoted_fields().mixed_lists().within(&test.text("container"));
    for library in [
        libraries::OPTIONAL,
        libraries::LISTS,
        libraries::STRINGS,
        libraries::REVERSE,
        libraries::SETS,
        libraries::REGEX,
        libraries::URL,
        libraries::IP,
        libraries::CIDR,
        libraries::SEMVER,
        libraries::TWO_VARIABLES,
    ] {
        env = env.library(library);
    }
    for declared in test.all("type_env") {
        let of = declared.message("ident")?.message("type")?;
        env = env.variable(&declared.text("name"), of_type(of)?);
    }
    Some(env)
}

fn of_type(message: &Message) -> Option<Type> {
    let (kind, field) = message.0.first()?;
    Some(match (kind.as_str(), field) {
        ("primitive", Field::Scalar(name)) => match name.as_str() {
            "INT64" => Type::Int,
            "UINT64" => Type::Uint,
            other => Type::parse(&other.to_lowercase()),
        },
        ("well_known", Field::Scalar(name)) => Type::parse(&name.to_lowercase()),
        ("null", _) => Type::Null,
        ("dyn", _) => Type::Dyn,
        ("list_type", Field::Message(list)) => Type::list(list.message("elem_type").map_or(Some(Type::Dyn), of_type)?),
        ("map_type", Field::Message(map)) => {
            Type::map(of_type(map.message("key_type")?)?, of_type(map.message("value_type")?)?)
        }
        ("type", Field::Message(of)) => Type::Type(of_type(of).map(std::sync::Arc::new)),
        ("abstract_type", Field::Message(of)) => {
            Type::Opaque(of.text("name").into(), of.all("parameter_types").map(of_type).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn run(test: &Message) -> Outcome {
    let text = test.text("expr");
    let about_messages = ["TestAllTypes", "google.protobuf", "proto2", "proto3", "proto.", "NestedEnum", "GlobalEnum"];
    let shown = format!("{test:?}");
    if about_messages.iter().any(|name| text.contains(name) || test.text("container").contains(name))
        || shown.contains("object_value")
        || shown.contains("message_type")
        || shown.contains("enum_value")
    {
        return Outcome::Messages;
    }
    let Some(mut env) = environment(test) else { return Outcome::Messages };
    let mut variables = HashMap::new();
    for binding in test.all("bindings") {
        let name = binding.text("key");
        let Some(value) = binding.message("value").and_then(|value| value.message("value")).and_then(of_value) else {
            return Outcome::Messages;
        };
        if test.text("disable_check") == "true" {
            env = env.variable(&name, Type::Dyn);
        }
        variables.insert(name, value);
    }
    let program = if test.text("disable_check") == "true" { env.compile_unchecked(&text) } else { env.compile(&text) };
    let wants_error = test.get("eval_error").is_some() || test.get("any_eval_errors").is_some();
    let program = match program {
        Ok(program) => program,
        Err(_) if wants_error => return Outcome::Passed,
        Err(issues) => return Outcome::Failed(issues.to_string()),
    };
    let deduced = test.message("typed_result").and_then(|result| result.message("deduced_type"));
    if let Some(expected) = deduced.and_then(of_type)
        && expected != *program.result_type()
    {
        return Outcome::Failed(format!("{} instead of {expected}", program.result_type()));
    }
    if test.text("check_only") == "true" {
        return Outcome::Passed;
    }
    let meter = Meter::new(u64::MAX);
    let expected =
        test.message("value").or_else(|| test.message("typed_result").and_then(|result| result.message("result")));
    match (program.evaluate(&variables, &meter), expected) {
        (Err(_), _) if wants_error => Outcome::Passed,
        (Err(error), _) => Outcome::Failed(error.to_string()),
        (Ok(value), _) if wants_error => Outcome::Failed(format!("{value:?} instead of an error")),
        (Ok(value), Some(expected)) => match of_value(expected) {
            None => Outcome::Messages,
            Some(expected) if same(&value, &expected) => Outcome::Passed,
            Some(expected) => Outcome::Failed(format!("{value:?} instead of {expected:?}")),
        },
        (Ok(Value::Bool(true)), None) => Outcome::Passed,
        (Ok(value), None) => Outcome::Failed(format!("{value:?} instead of true")),
    }
}

/// Also the types, and what is not a number.
fn same(one: &Value<'_>, two: &Value<'_>) -> bool {
    let unequal = |value: &Value<'_>| matches!(value, Value::Double(number) if number.is_nan());
    one.value_type() == two.value_type()
        && (unequal(one) && unequal(two) || one.equals(two, &Meter::new(u64::MAX)).unwrap())
}

fn of_value(message: &Message) -> Option<Value<'static>> {
    let (kind, field) = message.0.first()?;
    let scalar = || message.text(kind);
    Some(match (kind.as_str(), field) {
        ("null_value", _) => Value::Null,
        ("bool_value", _) => Value::Bool(scalar() == "true"),
        ("int64_value", _) => Value::Int(integer(&scalar())?),
        ("uint64_value", _) => Value::Uint(integer(&scalar())?),
        ("double_value", _) => Value::Double(match scalar().to_lowercase().as_str() {
            "nan" => f64::NAN,
            "inf" | "infinity" => f64::INFINITY,
            "-inf" | "-infinity" => f64::NEG_INFINITY,
            number => number.trim_end_matches('f').parse().ok()?,
        }),
        ("string_value", _) => Value::string(scalar()),
        ("bytes_value", Field::Text(bytes)) => Value::Bytes(bytes.as_slice().into()),
        ("list_value", Field::Message(list)) => {
            Value::List(List::Values(list.all("values").map(of_value).collect::<Option<Vec<_>>>()?.into()))
        }
        ("map_value", Field::Message(map)) => {
            let mut values = BTreeMap::new();
            for entry in map.all("entries") {
                let key = Key::of(&of_value(entry.message("key")?)?)?;
                values.insert(key, of_value(entry.message("value")?)?);
            }
            Value::Map(Map::Values(values.into()))
        }
        ("type_value", _) => {
            let name = scalar();
            Value::Type(match name.as_str() {
                "null_type" => Type::Null,
                "list" => Type::list(Type::Dyn),
                "map" => Type::map(Type::Dyn, Type::Dyn),
                "type" => Type::Type(None),
                "google.protobuf.Timestamp" => Type::Timestamp,
                "google.protobuf.Duration" => Type::Duration,
                name => Type::parse(name),
            })
        }
        _ => return None,
    })
}

fn integer<T: TryFrom<i128>>(text: &str) -> Option<T> {
    let number = match text.trim_start_matches('-').strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16).ok()? * if text.starts_with('-') { -1 } else { 1 },
        None => text.parse().ok()?,
    };
    T::try_from(number).ok()
}
