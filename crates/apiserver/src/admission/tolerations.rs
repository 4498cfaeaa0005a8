//! Tolerations that cover others.

use api_types::core::Toleration;

/// So many tolerations are compared with each other.
const MOST: usize = 1000;

/// Both lists, without what something else in them covers.
///
/// # Errors
/// When there are too many.
pub(super) fn merge(first: &[Toleration], second: &[Toleration]) -> Result<Vec<Toleration>, String> {
    if first.len() + second.len() > MOST {
        return Err(format!("tolerations can be merged with others when there are no more than {MOST} of them"));
    }
    let all: Vec<&Toleration> = first.iter().chain(second).collect();
    let mut merged: Vec<Toleration> = Vec::new();
    for (i, one) in all.iter().enumerate() {
        let before = merged.iter().any(|other| covers(other, one));
        let after = all[i + 1..].iter().any(|other| other != one && covers(other, one));
        if !before && !after {
            merged.push((*one).clone());
        }
    }
    Ok(merged)
}

/// Whether a toleration tolerates all that another does.
pub(super) fn covers(wide: &Toleration, narrow: &Toleration) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let exists = wide.operator.as_deref() == Some("Exists");
    if wide == narrow {
        return true;
    }
    if text(&wide.key) != text(&narrow.key) && !(text(&wide.key).is_empty() && exists) {
        return false;
    }
    if text(&wide.effect) != text(&narrow.effect) && !text(&wide.effect).is_empty() {
        return false;
    }
    if wide.effect.as_deref() == Some("NoExecute")
        && let Some(longest) = wide.toleration_seconds
        && narrow.toleration_seconds.is_none_or(|seconds| seconds > longest)
    {
        return false;
    }
    match wide.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => narrow.operator.as_deref() == Some("Equal") && text(&narrow.value) == text(&wide.value),
        "Exists" => true,
        _ => false,
    }
}
