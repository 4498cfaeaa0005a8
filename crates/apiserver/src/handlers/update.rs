//! PUT.

use super::{Answer, Call, body, create::written_answer, write};
use crate::{
    catalogue::Request,
    registry::{
        Part,
        decode::decode,
        update::{Replace, check_name},
    },
};

pub(super) async fn answer(call: &Call<'_>, mut request: Request, part: Part) -> Answer {
    let sent = body::read_json(&mut request).await?;
    let write = write(&request, "UpdateOptions")?;
    let decoded = decode(&call.rest.row, &sent, write.options.field_validation)?;
    decoded.warnings.into_iter().for_each(|warning| write.warn(warning));
    check_name(&*decoded.object, call.target())?;
    let change = Replace { object: &*decoded.object, absent: call.rest.strategy.absent_update() };
    let written = call.registry().update(call.rest, &write, call.target(), part, &change).await?;
    written_answer(call.rest, &request, &written)
}
