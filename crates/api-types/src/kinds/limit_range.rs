//! `v1.LimitRange`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    core::{LimitRange, LimitRangeItem},
    field::{FieldError, Path},
    object::{Column, Kind},
    quantity::{self, Format, Quantity, Wire},
    table,
    validation::{names, quantity as amounts, resource_names},
};

const TYPES: [&str; 3] = ["Container", "PersistentVolumeClaim", "Pod"];

type List = Option<BTreeMap<String, Wire>>;

impl Kind for LimitRange {
    const COLUMNS: &'static [Column] = &[Column::NAME, Column::CREATED_AT];

    fn set_defaults(&mut self) {
        self.spec.iter_mut().flat_map(|spec| &mut spec.limits).for_each(set_defaults);
    }

    fn validate(&self) -> Vec<FieldError> {
        let path = Path::new("spec").child("limits");
        let mut errors = Vec::new();
        let mut taken = BTreeSet::new();
        for (i, item) in self.spec.iter().flat_map(|spec| &spec.limits).enumerate() {
            let path = path.index(i);
            errors.extend(limit_type(&path.child("type"), &item.type_));
            if !taken.insert(&item.type_) {
                errors.push(FieldError::duplicate(&path.child("type"), item.type_.as_str()));
            }
            errors.extend(validate_item(&path, item));
        }
        errors
    }

    fn cells(&self) -> Vec<Value> {
        vec![self.metadata.name.clone().into(), table::created_at(self.metadata.creation_timestamp.as_ref()).into()]
    }
}

/// What containers get that say nothing: a limit from the maximum, a request from the limit, or else from the minimum.
fn set_defaults(item: &mut LimitRangeItem) {
    let lists =
        [&mut item.default, &mut item.default_request, &mut item.max, &mut item.max_limit_request_ratio, &mut item.min];
    lists.into_iter().flatten().for_each(quantity::round_to_milli);
    if item.type_ != "Container" {
        return;
    }
    let (default, request) = (item.default.get_or_insert_default(), item.default_request.get_or_insert_default());
    fill(default, item.max.as_ref());
    fill(request, Some(default));
    fill(request, item.min.as_ref());
    item.default = item.default.take().filter(|list| !list.is_empty());
    item.default_request = item.default_request.take().filter(|list| !list.is_empty());
}

/// Adds what is missing.
fn fill(list: &mut BTreeMap<String, Wire>, from: Option<&BTreeMap<String, Wire>>) {
    for (name, amount) in from.into_iter().flatten() {
        list.entry(name.clone()).or_insert_with(|| amount.clone());
    }
}

fn limit_type(path: &Path, name: &str) -> Vec<FieldError> {
    let errors = names::check(names::qualified_name, path, name);
    if errors.is_empty() && !name.contains('/') && !TYPES.contains(&name) {
        return vec![FieldError::invalid(path, name, "must be a standard limit type or fully qualified")];
    }
    errors
}

fn validate_item(path: &Path, item: &LimitRangeItem) -> Vec<FieldError> {
    let names = |field: &str, list: &List| resource_list(&path.child(field), &item.type_, list);
    let mut errors = names("max", &item.max);
    errors.extend(names("min", &item.min));
    let defaults = [("default", &item.default), ("defaultRequest", &item.default_request)];
    for (field, list) in defaults {
        if item.type_ != "Pod" {
            errors.extend(names(field, list));
        } else if list.as_ref().is_some_and(|list| !list.is_empty()) {
            errors.push(FieldError::forbidden(&path.child(field), "may not be specified when `type` is 'Pod'"));
        }
    }
    let storage = |list: &List| list.as_ref().is_some_and(|list| list.contains_key("storage"));
    if item.type_ == "PersistentVolumeClaim" && !storage(&item.min) && !storage(&item.max) {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(&path.child("limits"), detail));
    }
    errors.extend(names("maxLimitRequestRatio", &item.max_limit_request_ratio));
    let lists = [&item.max, &item.min, &item.default, &item.default_request, &item.max_limit_request_ratio];
    let resources: BTreeSet<&String> = lists.into_iter().flatten().flat_map(|list| list.keys()).collect();
    for name in resources {
        errors.extend(Amounts::of(item, name).validate(path, name));
    }
    errors
}

fn resource_list(path: &Path, limit_type: &str, list: &List) -> Vec<FieldError> {
    let rule = match limit_type {
        "Pod" | "Container" => resource_names::of_container,
        _ => resource_names::any,
    };
    let mut errors = Vec::new();
    for (name, wire) in list.iter().flatten() {
        let path = path.key(name);
        errors.extend(rule(&path, name));
        errors.extend(amounts::parse(&path, wire).err());
    }
    errors
}

/// What an item says of one resource.
struct Amounts {
    min: Option<Quantity>,
    max: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl Amounts {
    fn of(item: &LimitRangeItem, name: &str) -> Self {
        let amount = |list: &List| Quantity::try_from(list.as_ref()?.get(name)?).ok();
        Self {
            min: amount(&item.min),
            max: amount(&item.max),
            default: amount(&item.default),
            request: amount(&item.default_request),
            ratio: amount(&item.max_limit_request_ratio),
        }
    }

    fn validate(&self, path: &Path, name: &str) -> Vec<FieldError> {
        // Field, the value that is shown, and the two that are in the wrong order with their names.
        let orders = [
            ("min", self.min, (self.min, "min"), (self.max, "max")),
            ("defaultRequest", self.request, (self.min, "min"), (self.request, "default request")),
            ("defaultRequest", self.request, (self.request, "default request"), (self.max, "max")),
            ("defaultRequest", self.request, (self.request, "default request"), (self.default, "default limit")),
            ("default", self.min, (self.min, "min"), (self.default, "default")),
            ("default", self.max, (self.default, "default"), (self.max, "max")),
        ];
        let mut errors = Vec::new();
        for (field, shown, (low, low_name), (high, high_name)) in orders {
            if let (Some(shown), Some(low), Some(high)) = (shown, low, high)
                && low > high
            {
                let detail = format!("{low_name} value {low} is greater than {high_name} value {high}");
                errors.push(FieldError::invalid(&path.child(field).key(name), shown.to_string(), detail));
            }
        }
        errors.extend(self.validate_ratio(&path.child("maxLimitRequestRatio").key(name)));
        if let (Some(default), Some(request)) = (self.default, self.request)
            && default != request
            && !resource_names::may_be_overcommitted(name)
        {
            let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
            errors.push(FieldError::invalid(&path.child("defaultRequest").key(name), request.to_string(), detail));
        }
        errors
    }

    fn validate_ratio(&self, path: &Path) -> Vec<FieldError> {
        let Some(ratio) = self.ratio else { return Vec::new() };
        let mut errors = Vec::new();
        if ratio < Quantity::new(1, Format::DecimalSi) {
            errors.push(FieldError::invalid(path, ratio.to_string(), format!("ratio {ratio} is less than 1")));
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && !min.is_zero()
        {
            // Ratios are shown to six digits.
            #[allow(clippy::cast_precision_loss)]
            let most = max.milli_value() as f64 / min.milli_value() as f64;
            #[allow(clippy::cast_precision_loss)]
            let own = ratio.milli_value() as f64 / 1000.0;
            if own > most {
                let detail = format!("ratio {ratio} is greater than max/min = {most:.6}");
                errors.push(FieldError::invalid(path, ratio.to_string(), detail));
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limit_range(item: &Value) -> LimitRange {
        let mut range: LimitRange = serde_json::from_value(json!({"spec": {"limits": [item]}})).unwrap();
        range.set_defaults();
        range
    }

    #[test]
    fn containers_get_defaults() {
        let range = limit_range(&json!({"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}));
        let item = serde_json::to_value(&range.spec.unwrap().limits[0]).unwrap();
        assert_eq!(item["default"], json!({"cpu": "2"}));
        assert_eq!(item["defaultRequest"], json!({"cpu": "2", "memory": "1Mi"}));
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            (json!({"type": "Pod", "max": {"cpu": "1"}}), vec![]),
            (
                json!({"type": "Pod", "default": {"cpu": "1"}}),
                vec!["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
            ),
            (
                json!({"type": "Box"}),
                vec![r#"spec.limits[0].type: Invalid value: "Box": must be a standard limit type or fully qualified"#],
            ),
            (
                json!({"type": "Pod", "max": {"cpu": "1"}, "min": {"cpu": "2"}}),
                vec![r#"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#],
            ),
            (
                json!({"type": "PersistentVolumeClaim"}),
                vec![
                    "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
                ],
            ),
            (
                json!({"type": "Pod", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "3"}}),
                vec![
                    r#"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000"#,
                ],
            ),
        ];
        for (item, expected) in cases {
            let errors: Vec<String> = limit_range(&item).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected, "{item}");
        }
    }
}
