//! Which nodes a pod may run on, and which it would rather: node selectors and node affinity.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    core::{NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm},
    selector::label::{Operator, Requirement},
};

/// The field that `matchFields` can name.
const NAME: &str = "metadata.name";

/// What selectors read of a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// The nodes that a pod may run on: `nodeSelector` and required node affinity, both.
#[derive(Clone, Debug, Default)]
pub struct Required<'a> {
    labels: Option<&'a BTreeMap<String, String>>,
    /// One of them must match; without any, no node does.
    terms: Option<Vec<Term<'a>>>,
    /// As written, for [`Required::names`].
    selector: Option<&'a NodeSelector>,
}

impl<'a> Required<'a> {
    /// Reads what a pod requires. A malformed term matches nothing.
    #[must_use]
    pub fn of(labels: Option<&'a BTreeMap<String, String>>, affinity: Option<&'a NodeAffinity>) -> Self {
        let selector = affinity.and_then(|own| own.required_during_scheduling_ignored_during_execution.as_ref());
        Self { labels: labels.filter(|labels| !labels.is_empty()), ..Self::of_selector(selector) }
    }

    /// Reads a selector of nodes; without one every node will do.
    #[must_use]
    pub fn of_selector(selector: Option<&'a NodeSelector>) -> Self {
        let terms = selector.map(|selector| selector.node_selector_terms.iter().filter_map(Term::of).collect());
        Self { labels: None, terms, selector }
    }

    /// Whether every node will do.
    #[must_use]
    pub const fn is_anywhere(&self) -> bool {
        self.labels.is_none() && self.terms.is_none()
    }

    /// Whether a node will do.
    #[must_use]
    pub fn matches(&self, node: NodeView<'_>) -> bool {
        let labelled =
            |labels: &BTreeMap<String, String>| labels.iter().all(|(key, v)| node.labels.get(key) == Some(v));
        self.labels.is_none_or(labelled)
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
    }

    /// The only nodes that can match, if every term names some.
    #[must_use]
    pub fn names(&self) -> Option<BTreeSet<&'a str>> {
        let terms = &self.selector?.node_selector_terms;
        let named: Option<Vec<BTreeSet<&str>>> = terms.iter().map(names).collect();
        named.filter(|terms| !terms.is_empty()).map(|terms| terms.into_iter().flatten().collect())
    }
}

/// The names that a term allows; requirements all hold, so they narrow it.
fn names(term: &NodeSelectorTerm) -> Option<BTreeSet<&str>> {
    let fields = term.match_fields.iter().flatten();
    let named = fields.filter(|field| field.key == NAME && field.operator == "In");
    let sets = named.map(|field| field.values.iter().flatten().map(String::as_str).collect::<BTreeSet<_>>());
    sets.reduce(|all, one| all.intersection(&one).copied().collect())
}

/// The nodes that a pod would rather run on.
#[derive(Clone, Debug, Default)]
pub struct Preferred<'a>(Vec<(i64, Term<'a>)>);

impl<'a> Preferred<'a> {
    /// Reads what a pod prefers. A malformed term is left out.
    #[must_use]
    pub fn of(affinity: Option<&'a NodeAffinity>) -> Self {
        let terms = affinity.and_then(|own| own.preferred_during_scheduling_ignored_during_execution.as_ref());
        let weighted = terms.into_iter().flatten().filter(|term| term.weight != 0);
        Self(weighted.filter_map(|term| Some((i64::from(term.weight), Term::of(&term.preference)?))).collect())
    }

    /// Whether all nodes are alike.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The weights of the terms that a node matches.
    #[must_use]
    pub fn score(&self, node: NodeView<'_>) -> i64 {
        self.0.iter().filter(|(_, term)| term.matches(node)).map(|(weight, _)| weight).sum()
    }
}

/// Requirements that must all hold.
#[derive(Clone, Debug)]
struct Term<'a> {
    labels: Vec<Requirement>,
    fields: Vec<Field<'a>>,
}

/// `key == value`, or not.
#[derive(Clone, Copy, Debug)]
struct Field<'a> {
    key: &'a str,
    equal: bool,
    value: &'a str,
}

impl<'a> Term<'a> {
    /// `None` when it has no requirements, or a malformed one: then it matches nothing.
    fn of(term: &'a NodeSelectorTerm) -> Option<Self> {
        let labels = term.match_expressions.iter().flatten().map(label).collect::<Option<Vec<_>>>()?;
        let fields = term.match_fields.iter().flatten().map(Field::of).collect::<Option<Vec<_>>>()?;
        (!labels.is_empty() || !fields.is_empty()).then_some(Self { labels, fields })
    }

    fn matches(&self, node: NodeView<'_>) -> bool {
        self.labels.iter().all(|requirement| requirement.matches(node.labels))
            && self.fields.iter().all(|field| field.matches(node))
    }
}

fn label(requirement: &NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match requirement.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    Requirement::new(&requirement.key, operator, requirement.values.clone().unwrap_or_default()).ok()
}

impl<'a> Field<'a> {
    /// Fields are only compared, each with one value.
    fn of(requirement: &'a NodeSelectorRequirement) -> Option<Self> {
        let equal = match requirement.operator.as_str() {
            "In" => true,
            "NotIn" => false,
            _ => return None,
        };
        let [value] = requirement.values.as_deref()? else { return None };
        Some(Self { key: &requirement.key, equal, value })
    }

    /// A field that nodes do not have is empty.
    fn matches(&self, node: NodeView<'_>) -> bool {
        let actual = if self.key == NAME { node.name } else { "" };
        (actual == self.value) == self.equal
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node_labels() -> BTreeMap<String, String> {
        let labels = [("zone", "a"), ("zero", "0"), ("five", "5"), ("word", "five"), ("empty", "")];
        labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    fn required(terms: Value) -> NodeAffinity {
        let selector = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
        serde_json::from_value(selector).unwrap()
    }

    fn matches(labels: Option<Value>, terms: Option<Value>) -> bool {
        let labels = labels.map(|labels| serde_json::from_value(labels).unwrap());
        let affinity = terms.map(required);
        Required::of(labels.as_ref(), affinity.as_ref()).matches(NodeView { name: "n1", labels: &node_labels() })
    }

    #[test]
    fn operators() {
        let cases = [
            ("zone", "In", json!(["a", "b"]), true),
            ("zone", "In", json!(["b"]), false),
            ("absent", "In", json!(["a"]), false),
            ("zone", "NotIn", json!(["b"]), true),
            ("zone", "NotIn", json!(["a"]), false),
            ("absent", "NotIn", json!(["a"]), true),
            ("zone", "Exists", json!([]), true),
            ("empty", "Exists", json!(null), true),
            ("absent", "Exists", json!([]), false),
            ("zone", "DoesNotExist", json!([]), false),
            ("absent", "DoesNotExist", json!([]), true),
            ("five", "Gt", json!(["4"]), true),
            ("five", "Gt", json!(["5"]), false),
            ("zero", "Gt", json!(["0"]), false),
            ("zero", "Gt", json!(["-1"]), false),
            ("five", "Gt", json!(["0"]), true),
            ("zero", "Lt", json!(["1"]), true),
            ("five", "Lt", json!(["5"]), false),
            ("word", "Gt", json!(["4"]), false),
            ("absent", "Gt", json!(["0"]), false),
            ("absent", "Lt", json!(["0"]), false),
            // Malformed, so that the term matches nothing.
            ("zone", "In", json!([]), false),
            ("absent", "NotIn", json!([]), false),
            ("zone", "Exists", json!(["a"]), false),
            ("five", "Gt", json!(["4", "3"]), false),
            ("five", "Gt", json!(["four"]), false),
            ("zone", "in", json!(["a"]), false),
        ];
        for (key, operator, values, expected) in cases {
            let requirement = json!({"key": key, "operator": operator, "values": values});
            assert_eq!(matches(None, Some(json!([{"matchExpressions": [requirement]}]))), expected, "{requirement}");
        }
    }

    #[test]
    fn terms_are_alternatives_and_requirements_are_not() {
        let (yes, no) = (json!({"key": "zone", "operator": "Exists"}), json!({"key": "absent", "operator": "Exists"}));
        let bad = json!({"key": "zone", "operator": "?"});
        let cases = [
            (json!([]), false),
            (json!([{}]), false),
            (json!([{"matchExpressions": [], "matchFields": []}]), false),
            (json!([{"matchExpressions": [yes]}]), true),
            (json!([{"matchExpressions": [yes, no]}]), false),
            (json!([{"matchExpressions": [no]}, {"matchExpressions": [yes]}]), true),
            (json!([{}, {"matchExpressions": [yes]}]), true),
            (json!([{"matchExpressions": [bad]}, {"matchExpressions": [yes]}]), true),
            (json!([{"matchExpressions": [yes, bad]}]), false),
        ];
        for (terms, expected) in cases {
            assert_eq!(matches(None, Some(terms.clone())), expected, "{terms}");
        }
    }

    #[test]
    fn fields() {
        let field =
            |key: &str, operator: &str, values: Value| json!({"key": key, "operator": operator, "values": values});
        let cases = [
            (field(NAME, "In", json!(["n1"])), true),
            (field(NAME, "In", json!(["n2"])), false),
            (field(NAME, "NotIn", json!(["n2"])), true),
            (field(NAME, "NotIn", json!(["n1"])), false),
            (field(NAME, "In", json!(["n1", "n2"])), false),
            (field(NAME, "Exists", json!([])), false),
            (field("metadata.uid", "In", json!(["n1"])), false),
            (field("metadata.uid", "NotIn", json!(["n1"])), true),
        ];
        for (field, expected) in cases {
            assert_eq!(matches(None, Some(json!([{"matchFields": [field]}]))), expected, "{field}");
        }
        let both = json!([{"matchFields": [field(NAME, "In", json!(["n1"]))],
            "matchExpressions": [{"key": "absent", "operator": "Exists"}]}]);
        assert!(!matches(None, Some(both)));
    }

    #[test]
    fn selector_and_affinity_must_both_match() {
        let yes = json!([{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]);
        assert!(matches(None, None));
        assert!(matches(Some(json!({})), None));
        assert!(matches(Some(json!({"zone": "a"})), Some(yes.clone())));
        assert!(!matches(Some(json!({"zone": "b"})), Some(yes)));
        assert!(!matches(Some(json!({"absent": ""})), None));
        assert!(!matches(Some(json!({"zone": "a"})), Some(json!([]))));
    }

    #[test]
    fn terms_that_all_name_nodes_name_them_all() {
        let named = |values: Value| json!({"key": NAME, "operator": "In", "values": values});
        let label = json!({"key": "zone", "operator": "Exists"});
        let cases = [
            (
                json!([{"matchFields": [named(json!(["a"]))]}, {"matchFields": [named(json!(["b"]))]}]),
                Some(vec!["a", "b"]),
            ),
            (json!([{"matchFields": [named(json!(["a"])), named(json!(["b"]))]}]), Some(vec![])),
            (json!([{"matchFields": [named(json!(["a"]))], "matchExpressions": [label]}]), Some(vec!["a"])),
            (json!([{"matchFields": [named(json!(["a"]))]}, {"matchExpressions": [label]}]), None),
            (json!([]), None),
        ];
        for (terms, expected) in cases {
            let affinity = required(terms.clone());
            let names = Required::of(None, Some(&affinity)).names().map(|names| names.into_iter().collect::<Vec<_>>());
            assert_eq!(names, expected, "{terms}");
        }
    }

    #[test]
    fn preferences_add_up() {
        let term = |weight: i32, preference: Value| json!({"weight": weight, "preference": preference});
        let exists = |key: &str| json!({"matchExpressions": [{"key": key, "operator": "Exists"}]});
        let terms = [
            term(10, exists("zone")),
            term(3, exists("five")),
            term(50, exists("absent")),
            term(7, json!({})),
            term(0, exists("zone")),
        ];
        let affinity = json!({"preferredDuringSchedulingIgnoredDuringExecution": terms});
        let affinity: NodeAffinity = serde_json::from_value(affinity).unwrap();
        let preferred = Preferred::of(Some(&affinity));
        assert_eq!(preferred.score(NodeView { name: "n1", labels: &node_labels() }), 13);
        assert!(Preferred::of(None).is_empty());
    }
}
