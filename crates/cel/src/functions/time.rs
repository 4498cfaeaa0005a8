//! Parts of moments and of time spans.

use super::{Call, Library, Row, no_overload};
use crate::value::{Duration, Error, Value};

const MOMENT: &[&str] = &["timestamp.() -> int", "timestamp.(string) -> int"];
const BOTH: &[&str] = &["timestamp.() -> int", "timestamp.(string) -> int", "duration.() -> int"];

/// Parts of moments, in UTC or in a time zone, and time spans in units.
pub const STANDARD_TIME: Library = Library(&[
    Row { name: "getFullYear", function: part, declarations: MOMENT },
    Row { name: "getMonth", function: part, declarations: MOMENT },
    Row { name: "getDayOfYear", function: part, declarations: MOMENT },
    Row { name: "getDayOfMonth", function: part, declarations: MOMENT },
    Row { name: "getDate", function: part, declarations: MOMENT },
    Row { name: "getDayOfWeek", function: part, declarations: MOMENT },
    Row { name: "getHours", function: part, declarations: BOTH },
    Row { name: "getMinutes", function: part, declarations: BOTH },
    Row { name: "getSeconds", function: part, declarations: BOTH },
    Row { name: "getMilliseconds", function: part, declarations: BOTH },
]);

fn part<'a>(call: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (time, zone) = match args {
        [Value::Duration(span)] => return span_in(call.name, *span),
        [Value::Timestamp(time)] => (time, "UTC"),
        [Value::Timestamp(time), Value::String(zone)] => (time, &**zone),
        _ => return no_overload(),
    };
    let at = time.within(zone)?;
    Ok(Value::Int(match call.name {
        "getFullYear" => i64::from(at.year()),
        "getMonth" => i64::from(at.month()) - 1,
        "getDayOfYear" => i64::from(at.day_of_year()) - 1,
        "getDayOfMonth" => i64::from(at.day()) - 1,
        "getDate" => i64::from(at.day()),
        "getDayOfWeek" => i64::from(at.weekday().to_sunday_zero_offset()),
        "getHours" => i64::from(at.hour()),
        "getMinutes" => i64::from(at.minute()),
        "getSeconds" => i64::from(at.second()),
        "getMilliseconds" => i64::from(at.millisecond()),
        _ => return no_overload(),
    }))
}

fn span_in<'a>(name: &str, Duration(nanos): Duration) -> Result<Value<'a>, Error> {
    const SECOND: i64 = 1_000_000_000;
    Ok(Value::Int(match name {
        "getHours" => nanos / (3600 * SECOND),
        "getMinutes" => nanos / (60 * SECOND),
        "getSeconds" => nanos / SECOND,
        "getMilliseconds" => nanos / 1_000_000 % 1000,
        _ => return no_overload(),
    }))
}
