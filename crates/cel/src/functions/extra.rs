//! Small libraries.

use super::{Call, Library, Row, no_overload};
use crate::value::{Error, Value};

/// What loops over two variables insert with. Programs cannot write the name.
pub const TWO_VARIABLES: Library = Library(&[Row {
    name: "cel.@mapInsert",
    function: never,
    declarations: &["(map(K, V), K, V) -> map(K, V)", "(map(K, V), map(K, V)) -> map(K, V)"],
}]);

/// For policies that patch.
pub const JSON_PATCH: Library =
    Library(&[Row { name: "jsonpatch.escapeKey", function: escape_key, declarations: &["(string) -> string"] }]);

/// Inserting is a step of its own.
fn never<'a>(_: &Call<'_>, _: &[Value<'a>]) -> Result<Value<'a>, Error> {
    no_overload()
}

fn escape_key<'a>(_: &Call<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [Value::String(key)] => Ok(Value::string(key.replace('~', "~0").replace('/', "~1"))),
        _ => no_overload(),
    }
}
