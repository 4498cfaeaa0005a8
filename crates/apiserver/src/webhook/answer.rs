//! What another server answers, and what it means when it is no success.

use api_types::meta;
use bytes::Bytes;
use http::StatusCode;

/// Why an answer is of no use, in the words of upstream's client.
pub(super) fn refusal(status: StatusCode, body: &Bytes) -> String {
    if let Ok(told) = serde_json::from_slice::<meta::Status>(body)
        && let Some(message) = told.message.filter(|message| !message.is_empty())
        && told.status.as_deref() == Some("Failure")
    {
        return message;
    }
    let text = shown(body);
    match status {
        StatusCode::UNAUTHORIZED => "the server has asked for the client to provide credentials".to_owned(),
        StatusCode::FORBIDDEN if !text.is_empty() => text,
        StatusCode::NOT_FOUND => "the server could not find the requested resource".to_owned(),
        StatusCode::METHOD_NOT_ALLOWED => "the server does not allow this method on the requested resource".to_owned(),
        StatusCode::CONFLICT => "the server reported a conflict".to_owned(),
        StatusCode::UNPROCESSABLE_ENTITY => "the server rejected our request due to an error in our request".to_owned(),
        StatusCode::TOO_MANY_REQUESTS => {
            "the server has received too many requests and has asked us to try again later".to_owned()
        }
        StatusCode::BAD_REQUEST => "the server rejected our request for an unknown reason".to_owned(),
        StatusCode::SERVICE_UNAVAILABLE => "the server is currently unable to handle the request".to_owned(),
        StatusCode::GATEWAY_TIMEOUT => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .to_owned()
        }
        status if status.is_server_error() => {
            format!("an error on the server ({text:?}) has prevented the request from succeeding")
        }
        // Nobody is led elsewhere by whoever answers.
        status if status.is_redirection() => {
            format!("the server responded with a redirect ({status}), which is not followed")
        }
        status => {
            format!("the server responded with the status code {} but did not return more information", status.as_u16())
        }
    }
}

/// As much of a server's text as people can read.
fn shown(body: &Bytes) -> String {
    const MOST: usize = 2048;
    let text = String::from_utf8_lossy(&body[..body.len().min(MOST)]);
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_put_into_words() {
        for (code, body, expected) in [
            (404, "x", "the server could not find the requested resource"),
            (500, "broken\n", r#"an error on the server ("broken") has prevented the request from succeeding"#),
            (403, "not you", "not you"),
            (302, "", "the server responded with a redirect (302 Found), which is not followed"),
            (500, r#"{"kind":"Status","status":"Failure","message":"told"}"#, "told"),
            (
                500,
                r#"{"kind":"Status","status":"Success","message":"told"}"#,
                r#"an error on the server ("{\"kind\":\"Status\",\"status\":\"Success\",\"message\":\"told\"}") has prevented the request from succeeding"#,
            ),
            (418, "", "the server responded with the status code 418 but did not return more information"),
        ] {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(refusal(status, &Bytes::from_static(body.as_bytes())), expected);
        }
    }
}
