//! Pure: how a session ended, as the streaming server tells it.

use serde::Deserialize;

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The process did, with this code.
    Exited(i32),
    /// It could not be begun or held.
    Failed(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    status: String,
    reason: String,
    message: String,
    details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Option<Vec<Cause>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

impl Outcome {
    /// From what came on the stream for errors; a server that says nothing has nothing to complain about.
    pub(super) fn read(text: &[u8]) -> Self {
        if text.is_empty() {
            return Self::Exited(0);
        }
        let Ok(status) = serde_json::from_slice::<Status>(text) else {
            return Self::Failed(String::from_utf8_lossy(text).into_owned());
        };
        if status.status == "Success" {
            return Self::Exited(0);
        }
        let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
        let code =
            causes.into_iter().find(|cause| cause.reason == "ExitCode").and_then(|cause| cause.message.parse().ok());
        match code {
            Some(code) if status.reason == "NonZeroExitCode" => Self::Exited(code),
            _ => Self::Failed(status.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read() {
        let exited = r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code",
            "reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"5"}]}}"#;
        for (text, expected) in [
            ("", Outcome::Exited(0)),
            (r#"{"metadata":{},"status":"Success"}"#, Outcome::Exited(0)),
            (exited, Outcome::Exited(5)),
            (r#"{"status":"Failure","message":"no such"}"#, Outcome::Failed("no such".into())),
            (r#"{"status":"Failure","details":{"causes":null}}"#, Outcome::Failed(String::new())),
            ("words", Outcome::Failed("words".into())),
        ] {
            assert_eq!(Outcome::read(text.as_bytes()), expected, "{text}");
        }
    }
}
