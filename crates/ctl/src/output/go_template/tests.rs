use serde_json::json;

use super::*;

fn object() -> Value {
    json!({
        "kind": "Pod", "metadata": {"name": "web", "labels": {"app": "web", "x.io/y": "a<b"}},
        "spec": {"seconds": 1_234_567, "hostNetwork": true, "containers": [
            {"name": "a", "image": "x:1", "ports": [{"containerPort": 80}, {"containerPort": 8443}]},
            {"name": "b", "image": "y:2"}]},
        "secret": "YWI=", "empty": [], "ratio": 0.5,
    })
}

#[test]
fn templates_are_filled_in() {
    for (template, expected) in [
        ("text", "text"),
        ("{{.spec.seconds}}", "1234567"),
        ("{{.missing}}{{.missing.more}}", "<no value><no value>"),
        ("{{.metadata.labels}}", "map[app:web x.io/y:a<b]"),
        ("{{range .spec.containers}}{{.name}} {{end}}", "a b "),
        ("{{range $i, $c := .spec.containers}}{{$i}}{{$c.name}}{{$.kind}}{{end}}", "0aPod1bPod"),
        ("{{range $k, $v := .metadata.labels}}{{$k}}={{$v}};{{end}}", "app=web;x.io/y=a<b;"),
        ("{{range .empty}}x{{else}}none{{end}}", "none"),
        ("{{range .spec.containers}}{{if eq .name \"b\"}}{{break}}{{end}}{{.name}}{{end}}", "a"),
        ("{{range .spec.containers}}{{if eq .name \"a\"}}{{continue}}{{end}}{{.name}}{{end}}", "b"),
        ("{{printf \"%s %v %d %q\" .kind .spec.seconds 3 .kind}}", "Pod 1234567 3 \"Pod\""),
        (
            "{{printf \"%-5s|%5s|%05d|%.2f|%t|%x\" \"a\" \"b\" 42 .ratio true \"hi\"}}",
            "a    |    b|00042|0.50|true|6869",
        ),
        ("{{printf \"%d %s\" \"a\"}}", "%!d(string=a) %!s(MISSING)"),
        ("{{len .spec.containers}}{{len .kind}}", "23"),
        ("{{index .metadata.labels \"x.io/y\"}}{{index .spec.containers 1 \"name\"}}", "a<bb"),
        ("{{(index .spec.containers 0).image}}", "x:1"),
        ("{{if eq .kind \"Pod\" \"Node\"}}y{{else}}n{{end}}", "y"),
        ("{{if .missing}}a{{else if .spec.hostNetwork}}b{{else}}c{{end}}", "b"),
        ("{{if and .kind (not .missing) (gt .spec.seconds 5)}}y{{end}}", "y"),
        ("{{or .missing \"usual\"}}{{and .missing .kind}}", "usual<no value>"),
        ("{{with .spec}}{{.hostNetwork}}{{end}}{{with .missing}}x{{else}}y{{end}}", "truey"),
        ("{{\"a\" | printf \"%s-%s\" \"b\"}}", "b-a"),
        ("{{exists . \"spec\" \"x\"}} {{exists . \"spec\" \"seconds\"}}", "false true"),
        ("{{.secret | base64decode}}", "ab"),
        ("{{html \"<a>\"}}{{println \"x\" 1}}{{print 1 2 \"x\"}}", "&lt;a&gt;x 1\n1 2x"),
        ("a {{- /* c */ -}} b{{- \"t\" -}}  \n x", "abtx"),
        ("{{$x := .kind}}{{$x}}{{$x = \"other\"}}{{$x}}", "Podother"),
        ("{{`raw\\n`}}{{\"\\u00e9\\n\"}}{{'a'}}", "raw\\n\u{e9}\n97"),
        ("{{slice .kind 1}}{{slice .kind 0 1}}", "odP"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{.ratio}} {{1.5}} {{-3}} {{true}} {{urlquery \"a b&c\"}}", "0.5 1.5 -3 true a+b%26c"),
        ("{{range .spec.containers}}{{range .ports}}{{.containerPort}},{{end}}{{end}}", "80,8443,"),
    ] {
        let printed = Template::parse(template).and_then(|template| template.print(&object(), Missing::Skipped));
        assert_eq!(printed.as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    for (template, why) in [
        ("{{.bad", "1: unclosed action"),
        ("{{foo}}", "1: function \"foo\" not defined"),
        ("\n{{if .x}}", "2: unexpected EOF"),
        ("{{end}}", "1: unexpected {{end}}"),
        ("{{$x}}", "1: undefined variable \"$x\""),
        ("{{break}}", "1: {{break}} outside {{range}}"),
        ("{{\"a}}", "1: unterminated quoted string"),
        ("{{(.a}}", "1: unclosed left paren"),
        ("{{}}", "1: missing value for command"),
    ] {
        let told = format!("error parsing template {template}, template: output:{why}");
        assert_eq!(Template::parse(template).map(drop), Err(told), "{template}");
    }
    for (template, why) in [
        ("{{index .empty 3}}", "error calling index: index out of range: 3"),
        ("{{lt .kind 1}}", "error calling lt: incompatible types for comparison"),
        ("{{.kind.more}}", "can't evaluate field more in type string"),
        ("{{range .kind}}{{end}}", "range can't iterate over Pod"),
        ("{{range 99999999999}}{{end}}", "range can't iterate over 99999999999"),
    ] {
        let told = Template::parse(template).unwrap().print(&object(), Missing::Skipped).unwrap_err();
        assert!(told.ends_with(why), "{told}");
    }
    let strict = Template::parse("{{.missing}}").unwrap().print(&object(), Missing::Refused).unwrap_err();
    assert!(strict.ends_with("map has no entry for key \"missing\""), "{strict}");
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(Template::parse(&deep).is_err() && Template::parse(&"{{if 1}}".repeat(100_000)).is_err());
}
