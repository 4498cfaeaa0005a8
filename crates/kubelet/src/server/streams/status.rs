//! The `Status` objects with which sessions end.

use serde_json::json;

/// That of a command that ended with this code.
pub(super) fn of_exit(code: i32) -> String {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"}).to_string();
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
    .to_string()
}

/// That of a command that could not be run or watched to its end.
pub(super) fn of_error(message: &str) -> String {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {message}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_told() {
        assert!(of_exit(0).contains(r#""status":"Success""#));
        assert!(of_exit(3).contains(r#"{"message":"3","reason":"ExitCode"}"#));
        assert!(of_error("x").contains(r#""reason":"InternalError""#));
    }
}
