//! Expressions of somebody who means ill: each is refused or ends, in little memory, and never with a panic.
#![allow(clippy::unwrap_used)]

use cel::{Env, MAX_DEPTH, Meter, Type, Value, libraries};

/// Half of what threads of the API server have.
const STACK: usize = 1 << 20;

fn env() -> Env {
    [
        libraries::OPTIONAL,
        libraries::LISTS,
        libraries::STRINGS,
        libraries::SETS,
        libraries::REGEX,
        libraries::URL,
        libraries::TWO_VARIABLES,
    ]
    .into_iter()
    .fold(Env::default().bindings().variable("x", Type::Dyn), Env::library)
}

/// What comes of it, in a thread with little stack.
fn evaluated(text: String) -> Result<String, String> {
    let evaluate = move || {
        let program = env().compile(&text).map_err(|issues| issues.to_string())?;
        let variables = [("x", Value::Int(1))];
        let value = program.evaluate(&variables, &Meter::new(1_000_000)).map_err(|error| error.to_string())?;
        Ok(value.value_type().to_string())
    };
    std::thread::Builder::new().stack_size(STACK).spawn(evaluate).unwrap().join().unwrap()
}

#[test]
fn nesting_is_bounded() {
    let deepest = usize::from(MAX_DEPTH);
    let around = |before: &str, inner: &str, after: &str, times: usize| {
        [&before.repeat(times), inner, &after.repeat(times)].concat()
    };
    for (before, inner, after) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{1:", "1", "}"),
        ("x || x && x == x + x * (", "x", ")"),
        ("true ? 1 : ", "1", ""),
        ("", "x", " + x"),
        ("", "x", ".x"),
        ("", "x", "[x]"),
        ("", "optional.of(x)", ".optMap(y, y)"),
        ("[1].all(x, ", "true", ")"),
        ("[1].map(x, ", "x", ")"),
        ("cel.bind(x, x, ", "x", ")"),
        ("dyn(", "x", ")"),
        ("size([", "1", "])"),
        ("!(", "true", ")"),
        ("-(", "1", ")"),
    ] {
        for times in [deepest / 12, deepest - 2, deepest + 1, 20_000] {
            let text = around(before, inner, after, times);
            if text.len() > 100_000 {
                continue;
            }
            match evaluated(text) {
                Ok(_) => assert!(times <= deepest, "{before} {inner} {after} {times} times"),
                Err(error) if error.contains("recursion limit") => assert!(times * 8 > deepest, "{before} {times}"),
                Err(_) => {}
            }
        }
    }
    let signs = evaluated(around("!", "true", "", 50_000));
    assert_eq!(signs, Ok("bool".to_owned()), "signs are no nesting");
    let long = evaluated(vec!["x == 1"; 10_000].join(" && "));
    assert_eq!(long, Ok("bool".to_owned()), "long chains are not deep");
    assert!(evaluated("1".repeat(100_001)).unwrap_err().contains("code point size exceeds limit"));
}

#[test]
fn time_and_memory_are_bounded() {
    let doubled = |start: &str, step: &str| {
        let binds: String = (0..80).map(|_| format!("cel.bind(x, {step}, ")).collect();
        format!("cel.bind(x, {start}, {binds}x == x{})", ")".repeat(80))
    };
    let cost = "operation cancelled: actual cost limit exceeded";
    for text in [
        doubled("'ab'", "x + x"),
        doubled("[1]", "x + x"),
        doubled("[1]", "[x, x]"),
        doubled("{1: 1}", "{1: x, 2: x}"),
        doubled("'ab'", "x.replace('', 'ababababab')"),
        doubled("'ab'", "[x, x].join(x)"),
        doubled("'ab'", "'%s%s'.format([x, x])"),
        doubled("'ab'", "dyn([x, x]).map(y, y).join()"),
        "[1, 2, 3, 4, 5, 6, 7, 8, 9].map(a, ".repeat(9) + "1" + &")".repeat(9),
        "[1, 2, 3, 4, 5, 6, 7, 8, 9].all(a, ".repeat(9) + "true" + &")".repeat(9),
        "[1, 2, 3, 4, 5, 6, 7, 8].all(a, ".repeat(6) + "'a'.matches('\\\\pL{50}' + string(a * x))" + &")".repeat(6),
        format!("'{}'.split('').exists(c, '{}'.contains(c + 'b'))", "a".repeat(40_000), "a".repeat(40_000)),
    ] {
        let result = evaluated(text.clone());
        assert_eq!(result, Err(cost.to_owned()), "{text:.200}");
    }
}

#[test]
fn what_is_compiled_is_no_larger_than_what_is_written() {
    // Each nesting would double what it is called on, were that not evaluated once.
    let chained = format!("optional.of(1){}", ".optMap(y, y + 1)".repeat(20));
    assert_eq!(evaluated(chained), Ok("optional_type(dyn)".to_owned()));
    // And the type of the key.
    let keys = format!("{}1 == 1{}", "cel.bind(y, {x: x}, ".repeat(60), ")".repeat(60));
    assert_eq!(evaluated(keys), Ok("bool".to_owned()));
}
