//! JSON patch, bounded in what it may cost.

use json_patch::PatchOperation;
use serde_json::Value;

use super::PatchError;

/// Upstream's limit of operations in one patch.
const MAX_OPERATIONS: usize = 10_000;
/// Upstream's limit of what copies may add: that of a request body. Without it, a few operations
/// that copy a parent into its child fill the memory.
const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

pub(super) fn decode(body: &[u8]) -> Result<Vec<PatchOperation>, PatchError> {
    let operations: Vec<PatchOperation> = serde_json::from_slice(body).map_err(PatchError::Decode)?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooManyOperations { limit: MAX_OPERATIONS, count: operations.len() });
    }
    Ok(operations)
}

pub(super) fn apply(object: &mut Value, operations: &[PatchOperation]) -> Result<(), PatchError> {
    let mut copied = 0;
    for operation in operations {
        if let PatchOperation::Copy(copy) = operation {
            copied += object.pointer(copy.from.as_str()).map_or(0, size);
            if copied > MAX_COPIED_BYTES {
                return Err(PatchError::TooLarge { limit: MAX_COPIED_BYTES });
            }
        }
        json_patch::patch_unsafe(object, std::slice::from_ref(operation)).map_err(PatchError::Operation)?;
    }
    Ok(())
}

/// About how many bytes of JSON a value is.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + size(value) + 4).sum::<usize>() + 2,
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}
