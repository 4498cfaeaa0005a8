//! Expressions that select devices (DRA).

use std::sync::LazyLock;

use std::sync::Arc;

use cel::{Env, Program, Range, Sizes, Type};

use super::{BASE, CALL_COST, checked, fields};

/// Attributes and capacities that a device has, and the lengths of their domains, names and values, at most.
const MOST: u64 = 32;
const LONGEST_DOMAIN: u64 = 63;
const LONGEST_NAME: u64 = 32;
const LONGEST_VALUE: u64 = 64;

/// Whether a device is wanted: `device.driver`, `device.attributes['domain'].name`, `device.capacity['domain'].name`.
static ENV: LazyLock<Env> = LazyLock::new(|| {
    let device = fields(&[
        ("driver", "string"),
        ("attributes", "map(string, map(string, any))"),
        ("capacity", "map(string, map(string, kubernetes.Quantity))"),
    ]);
    BASE.clone()
        .bindings()
        .object("kubernetes.DRADevice", device)
        .variable("device", Type::object("kubernetes.DRADevice"))
});

/// A selector of devices, and what it costs at most.
///
/// # Errors
/// Why it cannot be one, in upstream's words.
pub fn device(text: &str) -> Result<(Program, u64), String> {
    let compiled = ENV.compile_estimated(text, &Device).map_err(|issues| format!("compilation failed: {issues}"))?;
    let (program, Range { max, .. }) = compiled;
    let results = [Type::Bool, Type::Any, Type::Dyn];
    let program = checked(program, &results, |_, found| {
        format!("must evaluate to bool or the unknown type, not {}", found.declared())
    })?;
    Ok((program, max))
}

/// Whether a selector may cost so much.
#[must_use]
pub fn is_affordable(cost: u64) -> bool {
    cost <= CALL_COST
}

/// How large what is known of a device may be.
struct Device;

impl Sizes for Device {
    fn size(&self, path: &[Arc<str>]) -> Option<Range> {
        let path: Vec<&str> = path.iter().map(|step| &**step).collect();
        let most = match path[..] {
            ["device", "driver"] => LONGEST_DOMAIN,
            ["device", "attributes" | "capacity"] => MOST,
            ["device", "attributes" | "capacity", "@keys"] => LONGEST_DOMAIN,
            ["device", "attributes" | "capacity", "@values"] => MOST,
            ["device", "attributes" | "capacity", "@values", "@keys"] => LONGEST_NAME,
            ["device", "attributes", "@values", _] => LONGEST_VALUE,
            _ => return None,
        };
        Some(Range::at_most(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_selected() {
        for good in [
            "device.driver == 'd' && device.attributes['d'].model == 'a'",
            "device.attributes['d'].oneBool",
            "device.capacity['d'].memory.isGreaterThan(quantity('10Gi'))",
            "cel.bind(d, device.attributes['d'], d.a && d.b)",
            "device.attributes['d'].version.isGreaterThan(semver('1.0.0'))",
        ] {
            device(good).unwrap();
        }
        // What upstream's own tests expect.
        for (text, cost) in [
            ("true", 0),
            ("device.attributes['no-such-domain'].noSuchAttr.isGreaterThan(quantity('0'))", 6),
            ("'no-such-domain' in device.attributes", 3),
            ("device.driver == ''", 2),
            ("device.driver == 'dra.example.com'", 4),
            ("device.attributes['dra.example.com']['name']", 4),
            ("cel.bind(dra, device.attributes['dra.example.com'], dra.name)", 15),
            ("device.attributes['dra.example.com'].name > 0", 5),
            ("device.attributes['dra.example.com'].name == 'fish'", 5),
            ("device.attributes['dra.example.com'].name.isGreaterThan(semver('0.0.1'))", 6),
            ("device.attributes.exists_one(x, x == 'dra.example.com')", 164),
            ("device.attributes['dra.example.com'].exists_one(x, x == 'services')", 133),
            ("device.attributes['dra.example.com'].services.split('example').size() >= 2", 19),
            ("device.attributes['dra.example.com'].services.matches('[^a]?sym')", 18),
        ] {
            assert_eq!(device(text).unwrap().1, cost, "{text}");
        }
        let nested =
            "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].all(x, ".repeat(7) + "int('1'.find('[0-9]*')) < 100" + &")".repeat(7);
        let (_, cost) = device(&nested).unwrap();
        assert_eq!(cost, 85_555_551);
        assert!(!is_affordable(cost));
        for (text, words) in [
            ("device.driver", "must evaluate to bool or the unknown type, not string"),
            ("device.name == ''", "undefined field 'name'"),
            ("size(", "compilation failed: ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>'"),
        ] {
            let error = device(text).map(|_| ()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
