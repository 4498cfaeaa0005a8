//! DELETE of an object, and DELETE of a collection.

use api_types::{StatusError, meta::DeleteOptions};
use futures::{StreamExt, TryStreamExt, stream};
use http::{StatusCode, header};

use super::{
    Answer, Call, body, create, journal,
    list_options::{ListOptions, Use},
    selection,
};
use crate::{
    catalogue::Request,
    registry::{
        Deleted, DryRun, Target, Write, WriteOptions,
        decode::{BodyType, Header, decode_options},
        deletion::DeleteRequest,
        strategy::DeleteAnswer,
    },
    request::Query,
    serving::respond,
    storage::cache::{At, Freshness, ListRequest},
};

pub(super) async fn one(call: &Call<'_>, mut request: Request) -> Answer {
    let (options, dry_run) = options(&mut request).await?;
    let cascade = options.orphan_dependents == Some(false);
    let wanted = DeleteRequest::new(options)?;
    let write = delete_write(&request, dry_run)?;
    let deleted = call.registry().delete(call.rest, &write, call.target(), &wanted).await?;
    match deleted {
        Deleted::Gone(json) if call.rest.strategy.delete_answer() == DeleteAnswer::Status => {
            Ok(respond::object(StatusCode::OK, request.accept.encoding, json))
        }
        Deleted::Gone(json) => create::object_answer(call.rest, &request, StatusCode::OK, json),
        Deleted::Marked(json) => {
            let code = if cascade { StatusCode::ACCEPTED } else { StatusCode::OK };
            create::object_answer(call.rest, &request, code, json)
        }
    }
}

fn delete_write(request: &Request, dry_run: DryRun) -> Result<Write<'_>, StatusError> {
    let parsed = WriteOptions::parse(&request.query, request.default_manager(), "DeleteOptions")?;
    let options = if dry_run == DryRun::All { WriteOptions { dry_run, ..parsed } } else { parsed };
    let write = Write::new(&request.user, options).asked_with(request.info.verb.as_str(), &request.warnings);
    Ok(write.noted_in(journal(request)))
}

/// Options come in the body or, when there is none, in the query.
async fn options(request: &mut Request) -> Result<(DeleteOptions, DryRun), StatusError> {
    let body = body::read(request).await?;
    let options = if body.is_empty() {
        query_options(&request.query)?
    } else {
        let sent = BodyType::of(request.header(&header::CONTENT_TYPE))?.into_json(body);
        if let Some(fault) = sent.fault {
            return Err(StatusError::bad_request(fault));
        }
        let json = sent.json;
        check_kind(&Header::read(&json).map_err(StatusError::bad_request)?)?;
        decode_options("DeleteOptions", &json)?
    };
    let dry_run = dry_run(Some(&options))?;
    Ok((options, dry_run))
}

pub(super) fn dry_run(options: Option<&DeleteOptions>) -> Result<DryRun, StatusError> {
    let values = options.and_then(|options| options.dry_run.as_ref()).into_iter().flatten();
    DryRun::parse(values.map(String::as_str), "DeleteOptions")
}

/// Who sends something else than options means something else than to delete.
fn check_kind(header: &Header<'_>) -> Result<(), StatusError> {
    match &*header.kind {
        "" | "DeleteOptions" => Ok(()),
        kind => Err(StatusError::bad_request(format!(
            "no kind {kind:?} is registered for version {:?} in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\"",
            header.api_version
        ))),
    }
}

fn query_options(query: &Query) -> Result<DeleteOptions, StatusError> {
    Ok(DeleteOptions {
        grace_period_seconds: selection::integer(query, "gracePeriodSeconds")?,
        propagation_policy: query.get("propagationPolicy").map(str::to_owned),
        orphan_dependents: query.get("orphanDependents").map(|_| query.flag("orphanDependents")),
        ..DeleteOptions::default()
    })
}

/// So many objects of a collection are deleted at once.
const PARALLEL: usize = 8;

pub(super) async fn collection(call: &Call<'_>, mut request: Request) -> Answer {
    let (options, dry_run) = options(&mut request).await?;
    let wanted = DeleteRequest::new(options)?;
    let options = ListOptions::read(&request.query, Use::List)?;
    let all = ListRequest {
        scope: call.rest.scope(call.target().namespace),
        selector: selection::selector(call.rest, &request.query, call.target())?,
        start_after: None,
        limit: options.limit,
        at: At::Newest(Freshness::Consistent),
    };
    let listing = call.rest.cache().list(&all).await.map_err(|error| call.rest.store_error("", &error))?;
    let write = delete_write(&request, dry_run)?;
    let (shared, wanted) = (&write, &wanted);
    let deletions = stream::iter(listing.entries.clone()).map(|entry| async move {
        let (namespace, name) = call.rest.names(entry.key());
        match call.registry().delete(call.rest, shared, Target { namespace, name }, wanted).await {
            // Somebody else was faster.
            Err(error) if error.reason() == "NotFound" => Ok(()),
            result => result.map(drop),
        }
    });
    deletions.buffer_unordered(PARALLEL).try_collect::<()>().await?;
    super::list::render(call.rest, &request, &call.rest.scope(call.target().namespace), listing).await
}
