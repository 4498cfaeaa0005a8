//! Whatever text comes, it is compiled or refused, and what was compiled is evaluated or ends. `hack/fuzz` goes on for
//! longer.
#![allow(clippy::unwrap_used)]

use cel::{Env, Meter, Numbers, Type, Value, libraries};
use test_needs::fuzz::fuzz;

const SEEDS: [&[u8]; 9] = [
    b"object.spec.replicas <= 3 && has(object.metadata.labels) || !(1 in [1, 2u])",
    b"[1, 2].map(x, x > 1, x * 2).exists(y, y == 4) ? 'a'.matches('^[a-z]+$') : b'\\xff' < b'b'",
    b"cel.bind(x, {'a': [1.5e3]}, x.?a[?0].optMap(y, y + 1.0).orValue(-2.0))",
    b"'%s %d %.2f %x'.format(['a', 1, 2.5, b'c']).split('', 3).join('-').replace('a', '', 2)",
    b"timestamp('2023-01-02T03:04:05Z').getHours('Europe/Berlin') + int(duration('1h') / 1)",
    b"{'a': 1}.transformMap(k, v, k + string(v)) == {r'a': \"\"\"a1\"\"\"}",
    b"url('https://a:1/b?c=d').getQuery()['c'][0].lastIndexOf('\xc3\xa9', 2) == -1",
    b"cidr('10.0.0.0/8').containsIP(ip('10.1.2.3')) && semver('v1.2', true).major() == 1",
    b"object.spec.list.all(i, v, sets.contains(dyn([v]), [i])) // comment",
];

fn env() -> Env {
    [
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
    ]
    .into_iter()
    .fold(Env::default().bindings().variable("object", Type::Dyn), Env::library)
}

#[test]
fn fuzz_expressions() {
    let env = env();
    let object =
        serde_json::json!({"spec": {"replicas": 3, "list": [1, "a", null, [2.5], {"é": true}]}, "metadata": {}});
    fuzz("expressions", &SEEDS, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        match env.compile(&text) {
            Err(issues) => assert!(issues.to_string().starts_with("ERROR: <input>:"), "{issues}"),
            Ok(program) => {
                let variables = [("object", Value::from_json(&object, Numbers::Natural))];
                let meter = Meter::new(100_000);
                if let Ok(value) = program.evaluate(&variables, &meter) {
                    assert!(meter.cost() <= 100_000);
                    assert!(
                        program.result_type().is_dyn() || program.result_type().name() == value.value_type().name()
                    );
                    let _ = value.to_json(&meter);
                }
            }
        }
        let _ = env.compile_unchecked(&text).map(|program| {
            let _ = program.evaluate(&[("object", Value::Null)], &Meter::new(10_000));
        });
    });
}

#[test]
fn fuzz_regular_expressions() {
    let env = env();
    let program = env.compile("string(object).find(string(object))").unwrap();
    let seeds: [&[u8]; 3] = [br"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", br"\Qa\E\d[[:alpha:]&&]{2,}\b", br"(?i)(a|b)*\pL{3}"];
    fuzz("regular expressions", &seeds, |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let _ = program.evaluate(&[("object", Value::string(text))], &Meter::new(100_000));
    });
}
