//! Refusals in words.

use std::collections::HashSet;

/// Several reasons as one, each once; upstream's form.
pub(super) fn aggregate(reasons: &[String]) -> String {
    let mut seen = HashSet::new();
    let once: Vec<&str> = reasons.iter().map(String::as_str).filter(|reason| seen.insert(*reason)).collect();
    match once[..] {
        [only] => only.to_owned(),
        _ => format!("[{}]", once.join(", ")),
    }
}
