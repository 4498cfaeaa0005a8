//! Quantities in expressions.

use std::{any::Any, cmp::Ordering};

use cel::{Call, Library, Opaque, Row, Type, Value};

use crate::quantity::{Format, Quantity};

type Evaluated<'a> = Result<Value<'a>, cel::Error>;

const OF: &str = "kubernetes.Quantity";
const COMPARED: &[&str] = &["kubernetes.Quantity.(kubernetes.Quantity) -> bool"];
const COMPUTED: &[&str] = &[
    "kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity",
    "kubernetes.Quantity.(int) -> kubernetes.Quantity",
];

/// Kubernetes' functions on quantities.
pub(super) const QUANTITY: Library = Library(&[
    Row { name: "quantity", function: read, declarations: &["(string) -> kubernetes.Quantity"] },
    Row { name: "isQuantity", function: is_quantity, declarations: &["(string) -> bool"] },
    Row {
        name: "sign",
        function: sign,
        declarations: &["(kubernetes.Quantity) -> int", "kubernetes.Quantity.() -> int"],
    },
    Row { name: "isGreaterThan", function: compared, declarations: COMPARED },
    Row { name: "isLessThan", function: compared, declarations: COMPARED },
    Row { name: "compareTo", function: compared, declarations: &["kubernetes.Quantity.(kubernetes.Quantity) -> int"] },
    Row { name: "asApproximateFloat", function: number, declarations: &["kubernetes.Quantity.() -> double"] },
    Row { name: "asInteger", function: number, declarations: &["kubernetes.Quantity.() -> int"] },
    Row { name: "isInteger", function: number, declarations: &["kubernetes.Quantity.() -> bool"] },
    Row { name: "add", function: computed, declarations: COMPUTED },
    Row { name: "sub", function: computed, declarations: COMPUTED },
]);

#[derive(Debug)]
struct Amount(Quantity);

impl Opaque for Amount {
    fn value_type(&self) -> Type {
        Type::parse(OF)
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self.0 == other.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A quantity as a value.
pub(super) fn value(quantity: Quantity) -> Value<'static> {
    Value::opaque(Amount(quantity))
}

fn no_overload<'a>() -> Evaluated<'a> {
    Err(cel::Error::no_overload())
}

fn amount(value: Option<&Value<'_>>) -> Option<Quantity> {
    value.and_then(Value::downcast::<Amount>).map(|amount| amount.0)
}

fn read<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Evaluated<'a> {
    match args.first().and_then(Value::as_str).map(str::parse) {
        Some(Ok(quantity)) => Ok(value(quantity)),
        Some(Err(error)) => {
            let error: crate::quantity::Error = error;
            Err(cel::Error::new(error.to_string()))
        }
        None => no_overload(),
    }
}

fn is_quantity<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Evaluated<'a> {
    match args.first().and_then(Value::as_str) {
        Some(text) => Ok(Value::Bool(text.parse::<Quantity>().is_ok())),
        None => no_overload(),
    }
}

fn sign<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Evaluated<'a> {
    match amount(args.first()) {
        Some(quantity) => Ok(Value::Int(quantity.cmp(&Quantity::ZERO) as i64)),
        None => no_overload(),
    }
}

fn compared<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Evaluated<'a> {
    let (Some(one), Some(two)) = (amount(args.first()), amount(args.get(1))) else { return no_overload() };
    let order = one.cmp(&two);
    Ok(match call.name {
        "isGreaterThan" => Value::Bool(order == Ordering::Greater),
        "isLessThan" => Value::Bool(order == Ordering::Less),
        _ => Value::Int(order as i64),
    })
}

fn number<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Evaluated<'a> {
    let Some(quantity) = amount(args.first()) else { return no_overload() };
    // What reaches the largest amount there is may be any larger one.
    let whole = quantity.is_whole() && quantity.value().unsigned_abs() < i64::MAX.unsigned_abs();
    Ok(match call.name {
        "asApproximateFloat" => Value::Double(quantity.approximate()),
        "isInteger" => Value::Bool(whole),
        _ if whole => Value::Int(quantity.value()),
        _ => return Err(cel::Error::new("cannot convert value to integer")),
    })
}

fn computed<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Evaluated<'a> {
    let Some(one) = amount(args.first()) else { return no_overload() };
    let two = match args.get(1) {
        Some(Value::Int(number)) => Quantity::new(*number, Format::DecimalExponent),
        other => match amount(other) {
            Some(quantity) => quantity,
            None => return no_overload(),
        },
    };
    Ok(value(if call.name == "add" { one + two } else { one - two }))
}

#[cfg(test)]
mod tests {
    use cel::Meter;

    use super::super::BASE;

    #[test]
    fn quantities_are_computed_with() {
        for text in [
            "quantity('50k').add(quantity('20k')) == quantity('70k')",
            "quantity('50k').add(20).sub(quantity('100k')).sub(-50000) == quantity('20')",
            "quantity('200M').compareTo(quantity('0.2G')) == 0 && quantity('50Mi').isGreaterThan(quantity('50M'))",
            "quantity('50M').isLessThan(quantity('100M')) && sign(quantity('-1')) == -1",
            "isQuantity('1.3Gi') && !isQuantity('1,3G') && !isQuantity('200K') && !isQuantity('Mi')",
            "quantity('50k').asInteger() == 50000 && quantity('1.5').asApproximateFloat() == 1.5",
            "quantity('50000000G').isInteger() && !quantity('0.5').isInteger()",
            "!quantity('9999999999999999999999999999999999999G').isInteger()",
            "type(quantity('1')) == kubernetes.Quantity",
        ] {
            let program = BASE.compile(text).unwrap();
            let variables: [(&str, cel::Value<'_>); 0] = [];
            let value = program.evaluate(&variables, &Meter::new(1000)).unwrap();
            assert!(matches!(value, cel::Value::Bool(true)), "{text}");
        }
        let program = BASE.compile("quantity('0.5').asInteger()").unwrap();
        let variables: [(&str, cel::Value<'_>); 0] = [];
        let error = program.evaluate(&variables, &Meter::new(1000)).unwrap_err();
        assert_eq!(error.to_string(), "cannot convert value to integer");
    }
}
