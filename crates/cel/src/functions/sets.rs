//! Lists as sets.

use super::{Call, Library, Row, no_overload, operators::contains};
use crate::value::{Error, List, Value};

const DECLARED: &[&str] = &["(list(T), list(T)) -> bool"];

/// Lists as sets.
pub const SETS: Library = Library(&[
    Row { name: "sets.contains", function: superset, declarations: DECLARED },
    Row { name: "sets.equivalent", function: equivalent, declarations: DECLARED },
    Row { name: "sets.intersects", function: intersects, declarations: DECLARED },
]);

fn holds<'a>(call: &Call<'_>, list: &List<'a>, all: &List<'a>) -> Result<bool, Error> {
    for element in all.iter() {
        if !contains(call, list, &element)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn superset<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::List(list), Value::List(all)] => holds(call, list, all).map(Value::Bool),
        _ => no_overload(),
    }
}

fn equivalent<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::List(one), Value::List(two)] => Ok(Value::Bool(holds(call, one, two)? && holds(call, two, one)?)),
        _ => no_overload(),
    }
}

fn intersects<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::List(one), Value::List(two)] = args else { return no_overload() };
    for element in one.iter() {
        if contains(call, two, &element)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}
