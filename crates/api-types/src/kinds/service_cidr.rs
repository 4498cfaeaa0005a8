//! `networking.k8s.io/v1.ServiceCIDR`.

use ipnet::IpNet;
use serde_json::Value;

use crate::{
    field::{FieldError, Path},
    networking::ServiceCIDR,
    object::{Column, Kind},
    table,
    validation::{address, names},
};

const IMMUTABLE: &str = "field is immutable";
const ONE_OF_A_FAMILY: &str =
    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";

impl Kind for ServiceCIDR {
    const COLUMNS: &'static [Column] = &[
        Column::NAME,
        Column::text(
            "CIDRs",
            r#"cidrs defines the IP blocks in CIDR notation (e.g. "192.168.0.0/24" or "2001:db8::/64") from which to assign service cluster IPs. Max of two CIDRs is allowed, one of each IP family. This field is immutable."#,
        ),
        Column::AGE,
    ];

    fn validate(&self) -> Vec<FieldError> {
        let path = path();
        let cidrs = ranges(self);
        match cidrs {
            [] => return vec![FieldError::required(&path, "at least one CIDR required")],
            [_, _, _, ..] => {
                let value = serde_json::to_value(&self.spec).unwrap_or_default();
                return vec![FieldError::invalid(&path, value, "may only hold up to 2 values")];
            }
            _ => {}
        }
        let indexed = cidrs.iter().enumerate();
        let mut errors: Vec<FieldError> =
            indexed.flat_map(|(i, cidr)| names::check(address::canonical_range, &path.index(i), cidr)).collect();
        if let [Some(first), Some(second)] = cidrs.iter().map(|cidr| address::parse_range(cidr)).collect::<Vec<_>>()[..]
            && is_v4(first) == is_v4(second)
        {
            errors.push(FieldError::invalid(&path, cidrs.to_vec(), ONE_OF_A_FAMILY));
        }
        errors
    }

    fn revalidate(&self, old: &Self) -> Vec<FieldError> {
        let path = path();
        let changed = |i: usize, cidr: &String| FieldError::invalid(&path.index(i), cidr.as_str(), IMMUTABLE);
        match (ranges(old), ranges(self)) {
            (before, now) if before.len() == now.len() => {
                let pairs = before.iter().zip(now).enumerate().filter(|(_, (before, now))| before != now);
                pairs.map(|(i, (_, now))| changed(i, now)).collect()
            }
            // Two families may become of one.
            ([before], [first, _]) => {
                let mut errors: Vec<FieldError> = (before != first).then(|| changed(0, first)).into_iter().collect();
                errors.extend(self.validate());
                errors
            }
            (_, now) => vec![FieldError::invalid(&path, now.to_vec(), IMMUTABLE)],
        }
    }

    fn cells(&self) -> Vec<Value> {
        vec![
            self.metadata.name.clone().into(),
            ranges(self).join(",").into(),
            table::age(self.metadata.creation_timestamp.as_ref()).into(),
        ]
    }
}

fn path() -> Path {
    Path::new("spec").child("cidrs")
}

fn ranges(own: &ServiceCIDR) -> &[String] {
    own.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default()
}

fn is_v4(range: IpNet) -> bool {
    matches!(range, IpNet::V4(_))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn own(cidrs: &[&str]) -> ServiceCIDR {
        serde_json::from_value(json!({"spec": {"cidrs": cidrs}})).unwrap()
    }

    fn texts(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn mistakes_are_told() {
        let cases: [(&[&str], Vec<&str>); 5] = [
            (&["10.0.0.0/24", "fd00::/112"], vec![]),
            (&[], vec!["spec.cidrs: Required value: at least one CIDR required"]),
            (
                &["a", "b", "c"],
                vec![r#"spec.cidrs: Invalid value: {"cidrs":["a","b","c"]}: may only hold up to 2 values"#],
            ),
            (
                &["10.0.0.1/24"],
                vec![r#"spec.cidrs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length"#],
            ),
            (
                &["10.0.0.0/24", "10.1.0.0/24"],
                vec![
                    r#"spec.cidrs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"#,
                ],
            ),
        ];
        for (cidrs, expected) in cases {
            assert_eq!(texts(&own(cidrs).validate()), expected);
        }
    }

    #[test]
    fn only_a_second_family_may_be_added() {
        let old = own(&["10.0.0.0/24"]);
        let cases: [(&[&str], Vec<&str>); 4] = [
            (&["10.0.0.0/24"], vec![]),
            (&["10.0.0.0/24", "fd00::/112"], vec![]),
            (&["10.1.0.0/24"], vec![r#"spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable"#]),
            (&[], vec!["spec.cidrs: Invalid value: []: field is immutable"]),
        ];
        for (cidrs, expected) in cases {
            assert_eq!(texts(&own(cidrs).revalidate(&old)), expected);
        }
    }
}
