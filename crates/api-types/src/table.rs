//! Human-readable cells, as upstream's printers write them.

use std::collections::BTreeMap;

use crate::{
    core::PodTemplateSpec,
    meta::{LabelSelector, Time},
    selector::label::Selector,
};

/// What a cell shows that has nothing to show.
pub const NONE: &str = "<none>";

/// `text`, or `<none>` when there is none.
#[must_use]
pub fn or_none(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or(NONE).to_owned()
}

/// The first three of `count` items, and how many more there are; `empty` when there are none.
#[must_use]
pub fn at_most_three(first: &[String], count: usize, empty: &str) -> String {
    let shown = first.len().min(3);
    match (first[..shown].join(","), count.saturating_sub(shown)) {
        (text, 0) if text.is_empty() => empty.to_owned(),
        (text, 0) => text,
        (text, more) => format!("{text} + {more} more..."),
    }
}

/// `a=b,c=d`, or `<none>`.
#[must_use]
pub fn labels(labels: Option<&BTreeMap<String, String>>) -> String {
    let pairs: Vec<String> = labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    or_none(Some(&pairs.join(",")))
}

/// A selector's normal form, `<none>` when it is empty, `<error>` when it is malformed.
#[must_use]
pub fn selector(selector: &LabelSelector) -> String {
    match Selector::from_label_selector(Some(selector)) {
        Ok(selector) => or_none(Some(&selector.to_string())),
        Err(_) => "<error>".to_owned(),
    }
}

/// Names and images of a template's containers, each joined by commas.
#[must_use]
pub fn containers_and_images(template: Option<&PodTemplateSpec>) -> (String, String) {
    let containers = template.and_then(|template| template.spec.as_ref()).map(|spec| spec.containers.as_slice());
    let containers = containers.unwrap_or_default();
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    let images: Vec<&str> = containers.iter().map(|container| container.image.as_deref().unwrap_or_default()).collect();
    (names.join(","), images.join(","))
}

/// Time since `created` in `kubectl get`'s short form, `<unknown>` when absent.
#[must_use]
pub fn age(created: Option<&Time>) -> String {
    match created {
        None => "<unknown>".to_owned(),
        Some(created) => human_duration(k8s_openapi::jiff::Timestamp::now().as_second() - created.0.as_second()),
    }
}

/// When something was created, `<unknown>` when absent.
#[must_use]
pub fn created_at(created: Option<&Time>) -> String {
    created.map_or_else(|| "<unknown>".to_owned(), |created| created.0.to_string())
}

/// `seconds` in at most two units: `45s`, `3m12s`, `5h2m`, `2d3h`, `400d`, `2y35d`, after
/// `k8s.io/apimachinery/pkg/util/duration.HumanDuration`.
#[must_use]
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 | 0 => "0s".to_owned(),
        1..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::human_duration;

    #[test]
    fn durations_are_short() {
        let cases = [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (192, "3m12s"),
            (600, "10m"),
            (3 * 3600 + 60, "3h1m"),
            (9 * 3600, "9h"),
            (2 * 86400 + 3600, "2d1h"),
            (30 * 86400, "30d"),
            (3 * 365 * 86400, "3y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }
}
