//! An editor for objects, before they are sent.

use std::{io::Write, process::Command};

use serde_json::Value;

use crate::error::{Error, Result};

/// What people edit with: `$KUBE_EDITOR`, `$EDITOR`, `vi`.
fn editor() -> String {
    let named = ["KUBE_EDITOR", "EDITOR"].into_iter().filter_map(|name| std::env::var(name).ok());
    named.into_iter().find(|editor| !editor.is_empty()).unwrap_or_else(|| "vi".to_owned())
}

/// The objects as they are after editing; each in a file of its own, as kubectl has it.
///
/// # Errors
/// When the editor fails, or nothing was changed.
pub fn edit(objects: &[Value]) -> Result<Vec<Value>> {
    objects.iter().map(edit_one).collect()
}

fn edit_one(object: &Value) -> Result<Value> {
    const HEAD: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n\
        # and an empty file will abort the edit. If an error occurs while saving this file will be\n\
        # reopened with the relevant failures.\n#\n";
    let failed = |error: std::io::Error| Error::File(error.to_string());
    let text = api_types::yaml::to_string(object).map_err(|error| Error::File(error.to_string()))?;
    let mut file = tempfile::Builder::new().prefix("kubectl-edit-").suffix(".yaml").tempfile().map_err(failed)?;
    file.write_all(HEAD.as_bytes()).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
    let command = format!("{} \"$1\"", editor());
    let status = Command::new("/bin/sh").args(["-c", &command, "sh"]).arg(file.path()).status().map_err(failed)?;
    if !status.success() {
        return Err(Error::usage(format!("there was a problem with the editor {:?}", editor())));
    }
    let edited = std::fs::read_to_string(file.path()).map_err(failed)?;
    if edited.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        return Err(Error::usage("Edit cancelled, saved file was empty."));
    }
    api_types::yaml::from_str(&edited).map_err(|error| Error::File(error.to_string()))
}
