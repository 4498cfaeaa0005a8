//! GET of one object.

use api_types::StatusError;
use http::StatusCode;

use super::{Answer, Call, selection, table};
use crate::{catalogue::Request, request::Form, serving::respond};

pub(super) async fn answer(call: &Call<'_>, request: &Request) -> Answer {
    let freshness = selection::freshness(&request.query)?;
    let target = call.target();
    let key = call.rest.key(target.namespace, target.name);
    let found = call.rest.cache().get(&key, freshness).await;
    let entry = found.map_err(|error| call.rest.store_error(target.name, &error))?;
    let json = match request.accept.form {
        Form::Object => call.rest.present(&entry).await?,
        Form::Table => table::of_one(call.rest, &entry, table::IncludeObject::of(&request.query)?).await?,
        Form::Metadata => table::metadata_of(&call.rest.present(&entry).await?)?.into(),
        Form::MetadataList => return Err(StatusError::not_acceptable(&["application/json"])),
    };
    Ok(respond::object(StatusCode::OK, request.accept.encoding, json))
}
