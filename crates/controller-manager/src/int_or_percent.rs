//! Numbers of pods that may be given as a percentage of others.

use api_types::IntOrString;

/// A number of pods. On the wire it is 32 bits wide; sums and products of what is on the wire fit into this.
pub type Count = i64;

/// How a percentage becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// A part of a pod is a pod.
    Up,
    /// A part of a pod is none.
    Down,
}

/// The number, or the percentage of `total`; 0 when there is none.
#[must_use]
pub fn resolve(value: Option<&IntOrString>, total: Count, round: Round) -> Count {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => (*number).into(),
        Some(IntOrString::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let hundredths = percent.saturating_mul(total);
            let number = match round {
                Round::Up => hundredths.saturating_add(99).div_euclid(100),
                Round::Down => hundredths.div_euclid(100),
            };
            number.clamp(0, i32::MAX.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded() {
        let percent = |text: &str| IntOrString::String(text.to_owned());
        let cases = [
            (None, 4, 0, 0),
            (Some(IntOrString::Int(3)), 4, 3, 3),
            (Some(percent("30%")), 4, 2, 1),
            (Some(percent("100%")), 4, 4, 4),
            (Some(percent("x%")), 4, 0, 0),
        ];
        for (value, total, up, down) in cases {
            assert_eq!(resolve(value.as_ref(), total, Round::Up), up, "{value:?}");
            assert_eq!(resolve(value.as_ref(), total, Round::Down), down, "{value:?}");
        }
    }
}
