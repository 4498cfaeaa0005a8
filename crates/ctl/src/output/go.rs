//! Values as Go prints them.

use serde_json::Value;

/// As templates of JSONPath print a value: objects and lists as JSON on one line.
#[must_use]
pub fn json_path(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => json(value),
        Value::Null => "null".to_owned(),
        other => printed(other),
    }
}

/// As `%v` prints it.
#[must_use]
pub fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => float(number),
            (None, None) => number.to_string(),
        },
        Value::Array(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name}:{}", printed(value)));
            format!("map[{}]", members.collect::<Vec<_>>().join(" "))
        }
    }
}

/// As `%v` prints it: the shortest digits, with an exponent where that is below -4 or from 6 on.
pub(super) fn float(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) || number == 0.0 {
        return number.to_string();
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// As `%#v` prints it: in Go's syntax.
#[must_use]
pub fn syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name:?}:{}", syntax(value)));
            format!("map[string]interface {{}}{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        other => printed(other),
    }
}

/// What kind of value it is, as Go names it.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// JSON on one line, as Go writes it: letters that mean something in HTML are escaped.
#[must_use]
pub fn json(value: &Value) -> String {
    let text = value.to_string();
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_printed_as_go_does() {
        for (value, expected) in [
            (json!(null), "<nil>"),
            (json!([1, "a", true]), "[1 a true]"),
            (json!({"b": 1, "a": {"c": []}}), "map[a:map[c:[]] b:1]"),
            (json!(1.5), "1.5"),
            (json!(1e21), "1e+21"),
            (json!(0.00001), "1e-05"),
            (json!(100_000_000.0), "1e+08"),
            (json!(123_456.0), "123456"),
        ] {
            assert_eq!(printed(&value), expected);
        }
        let all = json!({"a": [1, 1.5, true, null], "b": "x\ty"});
        let expected = r#"map[string]interface {}{"a":[]interface {}{1, 1.5, true, interface {}(nil)}, "b":"x\ty"}"#;
        assert_eq!(syntax(&all), expected);
        assert_eq!(json_path(&json!({"b": "<a&b>", "a": [1, null]})), r#"{"a":[1,null],"b":"\u003ca\u0026b\u003e"}"#);
        assert_eq!((json_path(&json!(null)), json_path(&json!("x y"))), ("null".to_owned(), "x y".to_owned()));
    }
}
