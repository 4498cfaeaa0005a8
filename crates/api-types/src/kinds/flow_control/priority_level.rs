//! `flowcontrol.apiserver.k8s.io/v1.PriorityLevelConfiguration`.

use serde_json::Value;

use super::{EXEMPT, bootstrap, condition_types, fixed};
use crate::{
    field::{FieldError, Path},
    flowcontrol::{
        ExemptPriorityLevelConfiguration, LimitResponse, LimitedPriorityLevelConfiguration, PriorityLevelConfiguration,
        PriorityLevelConfigurationSpec, QueuingConfiguration,
    },
    object::{Column, Kind},
    table,
};

const TYPES: [&str; 2] = ["Exempt", "Limited"];
const RESPONSES: [&str; 2] = ["Queue", "Reject"];
const DEFAULT_SHARES: i32 = 30;
const DEFAULT_QUEUES: i32 = 64;
const DEFAULT_HAND: i32 = 8;
const DEFAULT_LENGTH: i32 = 50;
const MAX_QUEUES: i32 = 10_000_000;
/// Bits of the hash that deals hands.
const HASH_BITS: f64 = 60.0;

impl Kind for PriorityLevelConfiguration {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "Type",
            "`type` indicates whether this priority level is subject to limitation on request execution.  A value of `\"Exempt\"` means that requests of this priority level are not subject to a limit (and thus are never queued) and do not detract from the capacity made available to other priority levels.  A value of `\"Limited\"` means that (a) requests of this priority level _are_ subject to limits and (b) some of the server's limited capacity is made available exclusively to this priority level. Required.",
        ),
        Column::text(
            "NominalConcurrencyShares",
            "`nominalConcurrencyShares` (NCS) contributes to the computation of the NominalConcurrencyLimit (NominalCL) of this level. This is the number of execution seats available at this priority level. This is used both for requests dispatched from this priority level as well as requests dispatched from other priority levels borrowing seats from this level. The server's concurrency limit (ServerCL) is divided among the Limited priority levels in proportion to their NCS values:\n\nNominalCL(i)  = ceil( ServerCL * NCS(i) / sum_ncs ) sum_ncs = sum[priority level k] NCS(k)\n\nBigger numbers mean a larger nominal concurrency limit, at the expense of every other priority level.\n\nIf not specified, this field defaults to a value of 30.\n\nSetting this field to zero supports the construction of a \"jail\" for this priority level that is used to hold some request(s)",
        ),
        Column::text(
            "Queues",
            "`queues` is the number of queues for this priority level. The queues exist independently at each apiserver. The value must be positive.  Setting it to 1 effectively precludes shufflesharding and thus makes the distinguisher method of associated flow schemas irrelevant.  This field has a default value of 64.",
        ),
        Column::text(
            "HandSize",
            "`handSize` is a small positive number that configures the shuffle sharding of requests into queues.  When enqueuing a request at this priority level the request's flow identifier (a string pair) is hashed and the hash value is used to shuffle the list of queues and deal a hand of the size specified here.  The request is put into one of the shortest queues in that hand. `handSize` must be no larger than `queues`, and should be significantly smaller (so that a few heavy flows do not saturate most of the queues).  See the user-facing documentation for more extensive guidance on setting this field.  This field has a default value of 8.",
        ),
        Column::text(
            "QueueLengthLimit",
            "`queueLengthLimit` is the maximum number of requests allowed to be waiting in a given queue of this priority level at a time; excess requests are rejected.  This value must be positive.  If not specified, it will be defaulted to 50.",
        ),
        Column::AGE,
    ];

    fn set_defaults(&mut self) {
        let Some(spec) = &mut self.spec else { return };
        if let Some(exempt) = &mut spec.exempt {
            exempt.nominal_concurrency_shares.get_or_insert(0);
            exempt.lendable_percent.get_or_insert(0);
        }
        if let Some(limited) = &mut spec.limited {
            limited.nominal_concurrency_shares.get_or_insert(DEFAULT_SHARES);
            limited.lendable_percent.get_or_insert(0);
            if let Some(queuing) = limited.limit_response.as_mut().and_then(|response| response.queuing.as_mut()) {
                default_number(&mut queuing.queues, DEFAULT_QUEUES);
                default_number(&mut queuing.hand_size, DEFAULT_HAND);
                default_number(&mut queuing.queue_length_limit, DEFAULT_LENGTH);
            }
        }
    }

    fn validate(&self) -> Vec<FieldError> {
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let default = PriorityLevelConfigurationSpec::default();
        let own = self.spec.as_ref().unwrap_or(&default);
        let mut errors = spec(name, own);
        let mandatory = bootstrap::MANDATORY.contains(&name).then(|| bootstrap::priority_level(name)).flatten();
        if let Some(mut expected) = mandatory.and_then(|object| object.spec) {
            let detail = if name == EXEMPT {
                // How much an exempt level lends is free.
                expected.exempt.clone_from(&own.exempt);
                format!("spec of '{name}' except the 'spec.exempt' field must equal the fixed value")
            } else {
                format!("spec of '{name}' must equal the fixed value")
            };
            errors.extend(fixed(own, &expected, detail));
        }
        errors.extend(self.validate_status_update(self));
        errors
    }

    fn validate_status_update(&self, _old: &Self) -> Vec<FieldError> {
        let conditions = self.status.iter().flat_map(|status| status.conditions.iter().flatten());
        condition_types(conditions.map(|condition| condition.type_.as_deref()))
    }

    fn cells(&self) -> Vec<Value> {
        let spec = self.spec.clone().unwrap_or_default();
        let number = |number: Option<i32>| number.map_or_else(|| Value::from(table::NONE), Value::from);
        let shares = spec.limited.as_ref().map(|limited| limited.nominal_concurrency_shares.unwrap_or_default());
        let queuing = spec.limited.and_then(|limited| limited.limit_response).and_then(|response| response.queuing);
        let of_queue = |field: fn(&QueuingConfiguration) -> Option<i32>| {
            number(queuing.as_ref().map(|queuing| field(queuing).unwrap_or_default()))
        };
        vec![
            self.metadata.name.clone().into(),
            spec.type_.into(),
            number(shares),
            of_queue(|queuing| queuing.queues),
            of_queue(|queuing| queuing.hand_size),
            of_queue(|queuing| queuing.queue_length_limit),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn default_number(field: &mut Option<i32>, value: i32) {
    if field.unwrap_or_default() == 0 {
        *field = Some(value);
    }
}

fn spec(name: &str, spec: &PriorityLevelConfigurationSpec) -> Vec<FieldError> {
    let path = Path::new("spec");
    let kind = spec.type_.as_str();
    let (exempt_path, limited_path) = (path.child("exempt"), path.child("limited"));
    let mut errors = Vec::new();
    if (name == EXEMPT) != (kind == "Exempt") {
        let detail = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid(&path.child("type"), kind, detail));
    }
    match (kind, &spec.exempt, &spec.limited) {
        ("Exempt", exempt, own) => {
            let detail = "must be nil if the type is not Limited";
            errors.extend(own.iter().map(|_| FieldError::forbidden(&limited_path, detail)));
            errors.extend(exempt.iter().flat_map(|own| self::exempt(&exempt_path, own)));
        }
        ("Limited", exempt, own) => {
            let detail = "must be nil if the type is Limited";
            errors.extend(exempt.iter().map(|_| FieldError::forbidden(&exempt_path, detail)));
            match own {
                None => {
                    errors.push(FieldError::required(&limited_path, "must not be empty when type is Limited"));
                }
                Some(own) => errors.extend(limited(&limited_path, own)),
            }
        }
        (other, _, _) => errors.push(FieldError::not_supported(&path.child("type"), other, &TYPES)),
    }
    errors
}

fn shares(path: &Path, shares: Option<i32>) -> Option<FieldError> {
    let shares = shares.filter(|shares| *shares < 0)?;
    Some(FieldError::invalid(&path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer"))
}

fn lendable(path: &Path, percent: Option<i32>) -> Option<FieldError> {
    let percent = percent.filter(|percent| !(0..=100).contains(percent))?;
    Some(FieldError::invalid(&path.child("lendablePercent"), percent, "must be between 0 and 100, inclusive"))
}

fn exempt(path: &Path, own: &ExemptPriorityLevelConfiguration) -> Vec<FieldError> {
    shares(path, own.nominal_concurrency_shares).into_iter().chain(lendable(path, own.lendable_percent)).collect()
}

fn limited(path: &Path, own: &LimitedPriorityLevelConfiguration) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = shares(path, own.nominal_concurrency_shares).into_iter().collect();
    let response = own.limit_response.clone().unwrap_or_default();
    errors.extend(limit_response(&path.child("limitResponse"), &response));
    errors.extend(lendable(path, own.lendable_percent));
    if let Some(percent) = own.borrowing_limit_percent.filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("borrowingLimitPercent"), percent, detail));
    }
    errors
}

fn limit_response(path: &Path, own: &LimitResponse) -> Vec<FieldError> {
    let queuing_path = path.child("queuing");
    match (own.type_.as_str(), &own.queuing) {
        ("Reject", Some(_)) => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            vec![FieldError::forbidden(&queuing_path, detail)]
        }
        ("Reject", None) => Vec::new(),
        ("Queue", None) => {
            let detail = "must not be empty if limited.limitResponse.type is Limited";
            vec![FieldError::required(&queuing_path, detail)]
        }
        ("Queue", Some(own)) => queuing(&queuing_path, own),
        (other, _) => vec![FieldError::not_supported(&path.child("type"), other, &RESPONSES)],
    }
}

fn queuing(path: &Path, own: &QueuingConfiguration) -> Vec<FieldError> {
    let number = |field: Option<i32>| field.unwrap_or_default();
    let (queues, hand, length) = (number(own.queues), number(own.hand_size), number(own.queue_length_limit));
    let positive = "must be positive".to_owned();
    let bits = entropy(queues, hand);
    let wrong_queues = match queues {
        ..=0 => Some(positive.clone()),
        queues if queues > MAX_QUEUES => Some(format!("must not be greater than {MAX_QUEUES}")),
        _ => None,
    };
    let wrong_hand = match hand {
        ..=0 => Some(positive.clone()),
        hand if hand > queues => Some(format!("should not be greater than queues ({queues})")),
        hand if bits > HASH_BITS => Some(format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        )),
        _ => None,
    };
    let checks = [
        ("queueLengthLimit", length, (length <= 0).then_some(positive)),
        ("queues", queues, wrong_queues),
        ("handSize", hand, wrong_hand),
    ];
    let error = |(field, value, wrong): (&str, i32, Option<String>)| {
        Some(FieldError::invalid(&path.child(field), value, wrong?))
    };
    checks.into_iter().filter_map(error).collect()
}

/// How many bits it takes to deal a hand of different cards. Large hands take more than there are, and are not counted
/// to the end.
fn entropy(deck: i32, hand: i32) -> f64 {
    let mut bits = 0.0;
    for dealt in 0..hand.min(deck) {
        bits += f64::from(deck - dealt).log2();
        if bits > HASH_BITS {
            break;
        }
    }
    bits.ceil()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn level(name: &str, spec: Value) -> PriorityLevelConfiguration {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let mut level: PriorityLevelConfiguration = serde_json::from_value(object).unwrap();
        level.set_defaults();
        level
    }

    #[test]
    fn mistakes_are_told() {
        let queue = |queuing: Value| json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}});
        let cases = [
            (queue(json!({})), vec![]),
            (
                json!({"type": "Exempt"}),
                vec![r#"spec.type: Invalid value: "Exempt": type must be 'Exempt' if and only if name is 'exempt'"#],
            ),
            (json!({"type": "Limited"}), vec!["spec.limited: Required value: must not be empty when type is Limited"]),
            (
                json!({"type": "Limited", "limited": {"limitResponse": {"type": "Queue"}, "lendablePercent": 101}}),
                vec![
                    "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited",
                    "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
                ],
            ),
            (
                queue(json!({"queues": 4, "handSize": 5})),
                vec![
                    "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)",
                ],
            ),
            (
                queue(json!({"queues": 512, "handSize": 8})),
                vec![
                    "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60",
                ],
            ),
        ];
        for (spec, expected) in cases {
            let errors: Vec<String> = level("l", spec).validate().iter().map(ToString::to_string).collect();
            assert_eq!(errors, expected);
        }
    }

    #[test]
    fn what_is_built_in_is_valid_and_partly_fixed() {
        for level in bootstrap::priority_levels() {
            assert!(level.validate().is_empty(), "{level:?}");
        }
        let mut exempt = bootstrap::priority_level(EXEMPT).unwrap();
        exempt.spec.as_mut().unwrap().exempt.as_mut().unwrap().lendable_percent = Some(50);
        assert!(exempt.validate().is_empty());
        let changed = level("catch-all", json!({"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}));
        assert!(changed.validate()[0].to_string().ends_with("spec of 'catch-all' must equal the fixed value"));
    }
}
