//! Refusals in words.

/// Several reasons as one, each once; upstream's form.
pub(super) fn aggregate(reasons: &[String]) -> String {
    let mut once: Vec<&str> = Vec::new();
    for reason in reasons {
        if !once.contains(&reason.as_str()) {
            once.push(reason);
        }
    }
    match once[..] {
        [only] => only.to_owned(),
        _ => format!("[{}]", once.join(", ")),
    }
}
