//! Sets of indexes as text: `0,2-4,7`.

/// An interval, both ends included.
fn interval(text: &str, completions: i32) -> Result<(i64, i64), String> {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |text: &str| {
        let value: i64 = text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if value >= i64::from(completions) { Err(format!("too large index: {text:?}")) } else { Ok(value) }
    };
    match parts[..] {
        [only] => number(only).map(|index| (index, index)),
        [first, last] => {
            let (first, last) = (number(first)?, number(last)?);
            if first >= last {
                return Err(format!("non-increasing order, previous: {first}, current: {last}"));
            }
            Ok((first, last))
        }
        _ => Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}

/// How many indexes a set has, which are below `completions` and in their order.
///
/// # Errors
/// What is wrong with it.
pub(super) fn count(text: &str, completions: i32) -> Result<i64, String> {
    let mut total = 0;
    let mut last: Option<i64> = None;
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (first, end) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// An index that is in both sets. What is no interval is passed over.
pub(super) fn overlap(completed: &str, failed: &str, completions: i32) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|part| interval(part, completions).ok()).collect()
    };
    let (completed, failed) = (intervals(completed), intervals(failed));
    let (mut i, mut j) = (0, 0);
    while let (Some(done), Some(lost)) = (completed.get(i), failed.get(j)) {
        if done.0 <= lost.1 && lost.0 <= done.1 {
            return Some(done.0.max(lost.0));
        }
        if done.0 <= lost.0 { i += 1 } else { j += 1 }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read() {
        let cases = [
            ("", Ok(0)),
            ("0,2-4,7", Ok(5)),
            ("a", Err("cannot convert string to integer for index: \"a\"")),
            ("10", Err("too large index: \"10\"")),
            ("3,1", Err("non-increasing order, previous: 3, current: 1")),
            ("3-3", Err("non-increasing order, previous: 3, current: 3")),
            (
                "1-2-3",
                Err(
                    "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'",
                ),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text, 10), expected.map_err(str::to_owned), "{text}");
        }
        assert_eq!((overlap("0-3,7", "5,7-8", 10), overlap("0-3", "4,x", 10)), (Some(7), None));
    }
}
