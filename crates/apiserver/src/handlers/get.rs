//! GET of one object.

use http::StatusCode;

use super::{Answer, Call, list_options::freshness, table};
use crate::{catalogue::Request, request::Form, serving::respond};

pub(super) async fn answer(call: &Call<'_>, request: &Request) -> Answer {
    let freshness = freshness(request.query.get("resourceVersion").unwrap_or_default())?;
    let target = call.target();
    let key = call.rest.key(target.namespace, target.name);
    let found = call.rest.cache().get(&key, freshness).await;
    let entry = found.map_err(|error| call.rest.store_error(target.name, &error))?;
    let json = match request.accept.form {
        Form::Object => call.rest.present(&entry).await?,
        Form::Table => table::of_one(call.rest, &entry, table::Options::of(request)?).await?,
        Form::Metadata => table::metadata_of(&call.rest.present(&entry).await?, request.accept.version)?.into(),
        Form::MetadataList => return Err(table::not_a_list(&call.rest.row)),
    };
    Ok(respond::object(StatusCode::OK, request.accept.encoding, json))
}
