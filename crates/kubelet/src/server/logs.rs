//! `GET /containerLogs/{namespace}/{pod}/{container}`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};

use super::ServerState;
use super::reply::Refusal;
use super::select::{Run, has_container, log_container};
use crate::runtime::{LogOptions, StdStream};

/// `PodLogOptions` as a query. Numbers and times stay text here, so that a bad one gets upstream's answer.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LogQuery {
    follow: Option<String>,
    previous: Option<String>,
    timestamps: Option<String>,
    tail_lines: Option<String>,
    since_seconds: Option<String>,
    since_time: Option<String>,
    limit_bytes: Option<String>,
    stream: Option<String>,
}

pub(super) async fn container_logs(
    State(server): State<Arc<ServerState>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Refusal> {
    let options = query.options(Timestamp::now())?;
    let entry = server.pods.pod(&namespace, &pod);
    let entry = entry.ok_or_else(|| Refusal::not_found(format!("pod {pod:?} does not exist\n")))?;
    if !has_container(&entry.pod, &container) {
        return Err(Refusal::not_found(format!("container {container:?} not found in pod {pod:?}\n")));
    }
    let run = if is_true(query.previous.as_deref()) { Run::Previous } else { Run::Current };
    let id = log_container(&entry.pod, &container, run)?;
    let observed = server.runtime.pod(&entry.runtime_uid).await;
    let observed = observed.map_err(|error| Refusal::internal(error.to_string()))?;
    // The status may be what the API has, which others write too.
    if !observed.containers.iter().any(|own| own.id == id) {
        let text = format!("unable to retrieve container logs: container {container:?} of pod {pod:?} is gone");
        return Err(Refusal::bad_request(text));
    }
    let log = server.runtime.logs(&id, &options).await;
    let log = log.map_err(|error| Refusal::bad_request(format!("unable to retrieve container logs: {error}")))?;
    let body = Body::from_stream(log.map(|chunk| chunk.map(|chunk| chunk.data)));
    Ok(([(header::CONTENT_TYPE, "text/plain")], body).into_response())
}

/// How a flag is spelt in a query.
pub(super) fn is_true(value: Option<&str>) -> bool {
    matches!(value, Some("true" | "1" | "True" | "TRUE" | "t" | "T"))
}

impl LogQuery {
    fn options(&self, now: Timestamp) -> Result<LogOptions, Refusal> {
        let seconds = number(self.since_seconds.as_deref(), 1)?;
        let time = self.since_time.as_deref().filter(|text| !text.is_empty());
        let time = time.map(|text| text.parse::<Timestamp>().map_err(|_| undecodable())).transpose()?;
        if seconds.is_some() && time.is_some() {
            return Err(invalid());
        }
        let ago = |seconds| {
            let duration = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            now.checked_sub(duration).unwrap_or(Timestamp::UNIX_EPOCH)
        };
        Ok(LogOptions {
            follow: is_true(self.follow.as_deref()),
            timestamps: is_true(self.timestamps.as_deref()),
            tail: number(self.tail_lines.as_deref(), 0)?,
            since: seconds.map(ago).or(time),
            limit_bytes: number(self.limit_bytes.as_deref(), 1)?,
            stream: stream(self.stream.as_deref())?,
        })
    }
}

fn stream(name: Option<&str>) -> Result<Option<StdStream>, Refusal> {
    match name {
        None | Some("" | "All") => Ok(None),
        Some("Stdout") => Ok(Some(StdStream::Stdout)),
        Some("Stderr") => Ok(Some(StdStream::Stderr)),
        Some(_) => Err(invalid()),
    }
}

fn number(text: Option<&str>, least: i64) -> Result<Option<u64>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_| undecodable())?;
    if number < least {
        return Err(invalid());
    }
    u64::try_from(number).map(Some).map_err(|_| invalid())
}

fn undecodable() -> Refusal {
    Refusal::bad_request(r#"{"message": "Unable to decode query."}"#)
}

fn invalid() -> Refusal {
    Refusal::invalid(r#"{"message": "Invalid request."}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str) -> Result<LogOptions, u16> {
        let uri: axum::http::Uri = format!("http://node/?{query}").parse().unwrap();
        let Query(query) = Query::<LogQuery>::try_from_uri(&uri).unwrap();
        query.options(Timestamp::from_second(1000).unwrap()).map_err(|refusal| refusal.code.as_u16())
    }

    #[test]
    fn queries_become_options() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        let none = LogOptions::default();
        let cases = [
            ("", Ok(none.clone())),
            ("follow=true&timestamps=1", Ok(LogOptions { follow: true, timestamps: true, ..none.clone() })),
            ("tailLines=0&limitBytes=9", Ok(LogOptions { tail: Some(0), limit_bytes: Some(9), ..none.clone() })),
            ("sinceSeconds=10", Ok(LogOptions { since: at(990), ..none.clone() })),
            ("sinceTime=1970-01-01T00:00:05Z", Ok(LogOptions { since: at(5), ..none.clone() })),
            ("stream=Stderr", Ok(LogOptions { stream: Some(StdStream::Stderr), ..none })),
            ("tailLines=x", Err(400)),
            ("tailLines=-1", Err(422)),
            ("limitBytes=0", Err(422)),
            ("sinceSeconds=1&sinceTime=1970-01-01T00:00:05Z", Err(422)),
            ("stream=Both", Err(422)),
        ];
        for (query, expected) in cases {
            assert_eq!(options(query), expected, "{query}");
        }
    }
}
