use serde_json::json;

use super::*;

/// The object of Kubernetes' page on JSONPath, and more.
fn object() -> Value {
    json!({
        "kind": "List",
        "items": [
            {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
             "status": {"capacity": {"cpu": "4"}, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}], "n": 1}},
            {"kind": "None", "metadata": {"name": "127.0.0.2"},
             "status": {"capacity": {"cpu": "8"}, "n": 3, "addresses": [
                {"type": "LegacyHostIP", "address": "127.0.0.2"}, {"type": "another", "address": "127.0.0.3"}]}}
        ],
        "users": [{"name": "myself", "user": {}}, {"name": "e2e", "user": {"username": "admin", "password": "secret"}}],
        "numbers": [0, 1, 2, 3, 4, 5],
        "a.b": "dotted", "nothing": null,
    })
}

#[test]
fn templates_are_filled_in() {
    for (template, expected) in [
        ("text", "text"),
        ("kind is {.kind}", "kind is List"),
        ("{@.kind}{$.kind}", "ListList"),
        ("{['kind']}", "List"),
        ("{.a\\.b} {['a.b']}", "dotted dotted"),
        ("{..metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        ("{.users[0].name}", "myself"),
        ("{.users[-1].name}", "e2e"),
        ("{.numbers[1:3]}", "1 2"),
        ("{.numbers[-2:]}", "4 5"),
        ("{.numbers[0:6:2]}", "0 2 4"),
        ("{.numbers[:]}", "0 1 2 3 4 5"),
        ("{.numbers[0,5]}", "0 5"),
        ("{.items[*]['metadata.name', 'status.capacity']}", ""),
        ("{.items[*]['kind', 'x']}", "None None"),
        ("{.items[*].status.capacity}", r#"{"cpu":"4"} {"cpu":"8"}"#),
        (r#"{.users[?(@.name=="e2e")].user.password}"#, "secret"),
        (r#"{.users[?(@.user.username)].name}"#, "e2e"),
        (r#"{.items[?(@.status.n>1)].metadata.name}"#, "127.0.0.2"),
        (r#"{.items[?(@.status.n<=1)].metadata.name}"#, "127.0.0.1"),
        (r#"{.items[*].status.addresses[?(@.type != 'another')].address}"#, "127.0.0.1 127.0.0.2"),
        (r#"{range .items[*]}[{.metadata.name}, {.status.capacity.cpu}] {end}"#, "[127.0.0.1, 4] [127.0.0.2, 8] "),
        (
            r#"{range .items[*]}{.metadata.name}{"\t"}{range .status.addresses[*]}{.address}{','}{end}{"\n"}{end}"#,
            "127.0.0.1\t127.0.0.1,\n127.0.0.2\t127.0.0.2,127.0.0.3,\n",
        ),
        (r#"{.items[0].metadata.labels.kubernetes\.io/hostname}"#, "127.0.0.1"),
        (r#"{.items[0].metadata.labels['kubernetes\.io/hostname']}"#, "127.0.0.1"),
        ("{.users[1].user.*}", "secret admin"),
        ("{.missing.more}|{.nothing}", "|null"),
        ("{.items[0].metadata}", r#"{"labels":{"kubernetes.io/hostname":"127.0.0.1"},"name":"127.0.0.1"}"#),
        (r#"{"{}"}{'a\'b'}{"\u00e9"}"#, "{}a'b\u{e9}"),
        ("{range .users[*]}{.name} ", "myself e2e "),
    ] {
        let printed = Template::parse(template).unwrap().print(&object(), Missing::Skipped);
        assert_eq!(printed.as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    for (template, why) in [
        ("{.kind", "unclosed action"),
        ("{.items[0}", "unterminated array"),
        ("{.items[?(@.a]}", "unterminated filter"),
        ("{.items[x]}", "invalid array index x"),
    ] {
        assert_eq!(Template::parse(template).map(drop), Err(why.to_owned()), "{template}");
    }
    let refused = |template: &str| Template::parse(template).unwrap().print(&object(), Missing::Refused).unwrap_err();
    for (template, why) in [
        ("{.missing}", "missing is not found"),
        ("{.users[9]}", "array index out of bounds: index 9, length 2"),
        ("{.kind[0]}", "string is not array or slice"),
        ("{end}", "not in range, nothing to end"),
        ("{hello}", "unrecognized identifier hello"),
    ] {
        let told = format!(
            "error executing jsonpath {template:?}: Error executing template: {why}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{template}\n\tobject given"
        );
        assert!(refused(template).starts_with(&told), "{}", refused(template));
    }
    let deep = format!("{{{}}}", "[?(@".repeat(5000));
    assert!(Template::parse(&deep).is_err());
}

#[test]
fn columns_are_relaxed() {
    for text in ["{.kind}", "{kind}", ".kind", "kind"] {
        let found = Template::relaxed(text).unwrap().parts(&object(), Missing::Skipped);
        assert_eq!(found, Ok(vec![vec![json!("List")]]), "{text}");
    }
    assert!(Template::relaxed("{.kind").is_err() && Template::relaxed("{a}{b}").is_err());
}
