//! JSON patch, bounded in what it may cost.

use json_patch::{PatchOperation, jsonptr::Pointer};
use serde_json::Value;

use super::PatchError;
use crate::json::MAX_DEPTH;

/// Upstream's limit of operations in one patch.
const MAX_OPERATIONS: usize = 10_000;
/// Upstream's limit of what copies may add: that of a request body. Without it, a few operations
/// that copy a parent into its child fill the memory. Moves count too, because they are measured.
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
        if let Some((path, value)) = placed(object, operation) {
            let Extent { bytes, depth } = extent(value);
            if path.count() + depth > MAX_DEPTH {
                return Err(PatchError::TooDeep { limit: MAX_DEPTH });
            }
            if matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_)) {
                copied += bytes;
            }
            if copied > MAX_COPIED_BYTES {
                return Err(PatchError::TooLarge { limit: MAX_COPIED_BYTES });
            }
        }
        json_patch::patch_unsafe(object, std::slice::from_ref(operation)).map_err(PatchError::Operation)?;
    }
    Ok(())
}

/// What an operation puts where, if it puts anything anywhere.
fn placed<'a>(object: &'a Value, operation: &'a PatchOperation) -> Option<(&'a Pointer, &'a Value)> {
    match operation {
        PatchOperation::Add(add) => Some((&add.path, &add.value)),
        PatchOperation::Replace(replace) => Some((&replace.path, &replace.value)),
        PatchOperation::Copy(copy) => Some((&copy.path, object.pointer(copy.from.as_str())?)),
        PatchOperation::Move(r#move) => Some((&r#move.path, object.pointer(r#move.from.as_str())?)),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    }
}

/// How large a value is.
#[derive(Default)]
struct Extent {
    /// About how many bytes of JSON.
    bytes: usize,
    /// How many arrays and objects within one another.
    depth: usize,
}

impl Extent {
    /// Of an array or object that has this in it.
    fn around(parts: impl Iterator<Item = Self>) -> Self {
        let all = parts.fold(Self::default(), |all, part| Self {
            bytes: all.bytes + part.bytes,
            depth: all.depth.max(part.depth),
        });
        Self { bytes: all.bytes + 2, depth: all.depth + 1 }
    }
}

fn extent(value: &Value) -> Extent {
    match value {
        Value::String(text) => Extent { bytes: text.len() + 2, depth: 0 },
        Value::Array(items) => Extent::around(items.iter().map(|item| {
            let item = extent(item);
            Extent { bytes: item.bytes + 1, ..item }
        })),
        Value::Object(fields) => Extent::around(fields.iter().map(|(key, value)| {
            let value = extent(value);
            Extent { bytes: key.len() + value.bytes + 4, ..value }
        })),
        Value::Null | Value::Bool(_) | Value::Number(_) => Extent { bytes: 8, depth: 0 },
    }
}
