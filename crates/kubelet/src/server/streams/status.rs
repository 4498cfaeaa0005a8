//! How sessions end, in the two forms in which clients are told.

use serde_json::json;

/// How a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As a `Status` object, whatever the end.
    Json,
    /// In words, and only of failures: before the fourth version of the protocol.
    Text,
}

/// How a session has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The command has, with this code.
    Exit(i32),
    /// The command could not be run or watched to its end.
    Error(String),
}

impl End {
    /// What the client is told, if anything.
    pub(super) fn written(&self, form: Form) -> Option<String> {
        match (form, self) {
            (Form::Json, _) => Some(self.json()),
            (Form::Text, Self::Exit(0)) => None,
            (Form::Text, _) => Some(self.message()),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Exit(code) => format!("command terminated with non-zero exit code: exit status {code}"),
            Self::Error(why) => format!("Internal error occurred: {why}"),
        }
    }

    fn json(&self) -> String {
        let status = match self {
            Self::Exit(0) => json!({"metadata": {}, "status": "Success"}),
            Self::Exit(code) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.message(),
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Error(why) => json!({
                "metadata": {},
                "status": "Failure",
                "message": self.message(),
                "reason": "InternalError",
                "details": {"causes": [{"message": why}]},
                "code": 500,
            }),
        };
        status.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_told() {
        let json = |end: End| end.written(Form::Json).unwrap();
        assert!(json(End::Exit(0)).contains(r#""status":"Success""#));
        assert!(json(End::Exit(3)).contains(r#"{"message":"3","reason":"ExitCode"}"#));
        assert!(json(End::Error("x".into())).contains(r#""reason":"InternalError""#));
        assert_eq!(End::Exit(0).written(Form::Text), None);
        let text = End::Exit(3).written(Form::Text).unwrap();
        assert_eq!(text, "command terminated with non-zero exit code: exit status 3");
    }
}
