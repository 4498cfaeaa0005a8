//! Expressions that select devices (DRA).

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use cel::{Env, Error, Key, Map, Meter, Object, Program, Range, Sizes, Text, Type, Value};

use super::{BASE, CALL_COST, checked, fields, quantity};
use crate::{
    devices::{Device, DeviceAttribute},
    quantity::Quantity,
};

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
    BASE.clone().bindings().object(DEVICE, device).variable("device", Type::object(DEVICE))
});
/// The type of what is selected.
const DEVICE: &str = "kubernetes.DRADevice";

/// A selector of devices, and what it costs at most.
///
/// # Errors
/// Why it cannot be one, in upstream's words.
pub fn device(text: &str) -> Result<(Program, u64), String> {
    let compiled = ENV.compile_estimated(text, &Largest).map_err(|issues| format!("compilation failed: {issues}"))?;
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

/// Whether a selector wants a device of a driver.
///
/// # Errors
/// When that cannot be said, for example because the device lacks an attribute that is compared.
pub fn selects(selector: &Program, driver: &str, device: &Device) -> Result<bool, Error> {
    let meter = Meter::new(CALL_COST);
    match selector.evaluate(&[("device", value(driver, device)?)], &meter)? {
        Value::Bool(wanted) => Ok(wanted),
        other => Err(Error::new(format!("expression returned {}, not a bool", other.value_type().declared()))),
    }
}

fn value(driver: &str, device: &Device) -> Result<Value<'static>, Error> {
    let attributes = device.attributes.iter().flatten();
    let attributes = attributes.map(|(name, own)| Ok((name.as_str(), attribute(own)?)));
    let capacity = device.capacity.iter().flatten();
    let capacity = capacity.map(|(name, own)| {
        let amount = Quantity::try_from(&own.value).map_err(|error| Error::new(error.to_string()))?;
        Ok((name.as_str(), quantity::value(amount)))
    });
    let fields = [
        (Arc::from("driver"), Value::string(driver)),
        (Arc::from("attributes"), by_domain(driver, attributes)?),
        (Arc::from("capacity"), by_domain(driver, capacity)?),
    ];
    Ok(Value::Object(Arc::new(Object { name: DEVICE.into(), fields: fields.into() })))
}

fn attribute(own: &DeviceAttribute) -> Result<Value<'static>, Error> {
    let list = |values: Option<Vec<Value<'static>>>| values.map(Value::list);
    let simple = own.int.map(Value::Int).or(own.bool.map(Value::Bool)).or(own.string.as_deref().map(Value::string));
    let several = list(own.ints.as_ref().map(|all| all.iter().copied().map(Value::Int).collect()))
        .or_else(|| list(own.bools.as_ref().map(|all| all.iter().copied().map(Value::Bool).collect())))
        .or_else(|| {
            list(own.strings.as_ref().map(|all| all.iter().map(|text| Value::string(text.as_str())).collect()))
        });
    if let Some(value) = simple.or(several) {
        return Ok(value);
    }
    match (&own.version, &own.versions) {
        (Some(version), _) => Value::version(version),
        (None, Some(all)) => all.iter().map(|text| Value::version(text)).collect::<Result<_, _>>().map(Value::list),
        (None, None) => Err(Error::new("unsupported attribute value")),
    }
}

/// Values by domain and name; without a domain they are of the driver's. A domain that is not there is empty.
fn by_domain<'n>(
    driver: &str,
    values: impl Iterator<Item = Result<(&'n str, Value<'static>), Error>>,
) -> Result<Value<'static>, Error> {
    let key = |text: &str| Key::String(Text::Shared(text.into()));
    let mut domains: BTreeMap<Key<'static>, BTreeMap<Key<'static>, Value<'static>>> = BTreeMap::new();
    for value in values {
        let (name, value) = value?;
        let (domain, name) = name.split_once('/').unwrap_or((driver, name));
        domains.entry(key(domain)).or_default().insert(key(name), value);
    }
    let map = |values| Value::Map(Map::Values(Arc::new(values)));
    let domains = domains.into_iter().map(|(domain, values)| (domain, map(values))).collect();
    Ok(Value::Map(Map::Defaulting(Arc::new((Map::Values(Arc::new(domains)), map(BTreeMap::new()))))))
}

/// How large what is known of a device may be.
struct Largest;

impl Sizes for Largest {
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
    fn what_is_known_of_a_device_decides() {
        let known = serde_json::json!({"name": "gpu-0", "capacity": {"memory": {"value": "16Gi"}}, "attributes": {
            "model": {"string": "a"}, "other.io/fast": {"bool": true}, "cores": {"int": 8}, "v": {"version": "1.2.3"}}});
        let known: Device = serde_json::from_value(known).unwrap();
        let selects = |text: &str| selects(&device(text).unwrap().0, "d.io", &known).map_err(|error| error.to_string());
        for (text, wanted) in [
            ("device.driver == 'd.io'", true),
            ("device.attributes['d.io'].model == 'a' && device.attributes['other.io'].fast", true),
            ("device.attributes['d.io'].cores > 8", false),
            ("device.capacity['d.io'].memory.compareTo(quantity('16Gi')) == 0", true),
            ("device.attributes['d.io'].v.isGreaterThan(semver('1.2.0'))", true),
            ("has(device.attributes['none.io'].x)", false),
            ("'none.io' in device.attributes", false),
        ] {
            assert_eq!(selects(text), Ok(wanted), "{text}");
        }
        assert_eq!(selects("device.attributes['none.io'].x == 1").unwrap_err(), "no such key: x");
    }

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
