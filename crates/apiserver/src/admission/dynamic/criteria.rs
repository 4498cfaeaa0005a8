//! Which requests somebody is asked about, and in which version.

use std::sync::Arc;

use api_types::{
    StatusError,
    admissionregistration::{MatchResources, RuleWithOperations},
    meta::LabelSelector,
    selector::label::{self, Selector},
};

use super::{
    Namespaces,
    rules::{Asked, Rule},
};
use crate::registry::{Registry, Rest, Review};

/// Which requests.
#[derive(Clone, Debug)]
pub(in crate::admission) struct Criteria {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// What no rules mean.
    unruled: Unruled,
    /// Whether rules are also about other versions of what they name.
    equivalent: bool,
    namespaces: Selector,
    objects: Selector,
}

/// What it means when there are no rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unruled {
    Nothing,
    Everything,
}

/// In which version a request is asked about.
pub(in crate::admission) enum Matched {
    /// In that of the request.
    AsAsked,
    /// In another one of the same resource.
    As(Arc<Rest>),
}

impl Criteria {
    /// Of a webhook.
    ///
    /// # Errors
    /// When a selector cannot be read.
    pub(in crate::admission) fn of_webhook(
        rules: Option<&[RuleWithOperations]>,
        policy: Option<&str>,
        namespaces: Option<&LabelSelector>,
        objects: Option<&LabelSelector>,
    ) -> Result<Self, label::Error> {
        Ok(Self {
            rules: rules.unwrap_or_default().iter().map(Rule::from).collect(),
            excluded: Vec::new(),
            unruled: Unruled::Nothing,
            equivalent: policy != Some("Exact"),
            namespaces: selector(namespaces)?,
            objects: selector(objects)?,
        })
    }

    /// Of a policy, or of a binding of one.
    ///
    /// # Errors
    /// When a selector cannot be read.
    pub(in crate::admission) fn of_policy(own: &MatchResources) -> Result<Self, label::Error> {
        let rules = |rules: &Option<Vec<_>>| rules.iter().flatten().map(Rule::from).collect();
        Ok(Self {
            rules: rules(&own.resource_rules),
            excluded: rules(&own.exclude_resource_rules),
            unruled: Unruled::Everything,
            equivalent: own.match_policy.as_deref() != Some("Exact"),
            namespaces: selector(own.namespace_selector.as_ref())?,
            objects: selector(own.object_selector.as_ref())?,
        })
    }

    /// Whether a request is asked about, and in which version.
    ///
    /// # Errors
    /// When it would be, but its namespace is not there.
    pub(in crate::admission) async fn matches(
        &self,
        review: &Review<'_>,
        namespaces: &Namespaces,
        registry: &Registry,
    ) -> Result<Option<Matched>, StatusError> {
        // The cheapest first; upstream's order shows only in what is wrong.
        if !self.selects_object(review) {
            return Ok(None);
        }
        let equivalents = Equivalents { review, registry, wanted: self.equivalent };
        if find(&self.excluded, &equivalents).is_some() {
            return Ok(None);
        }
        let matched = match (self.rules.is_empty(), self.unruled) {
            (true, Unruled::Everything) => Some(Matched::AsAsked),
            _ => find(&self.rules, &equivalents),
        };
        match matched {
            Some(matched) if namespaces.selected(&self.namespaces, review).await? => Ok(Some(matched)),
            _ => Ok(None),
        }
    }

    /// Whether the object is selected, as it is or as it was.
    fn selects_object(&self, review: &Review<'_>) -> bool {
        if self.objects.is_everything() {
            return true;
        }
        let both = [review.get(), review.old()];
        both.into_iter().flatten().any(|object| self.objects.matches(&object.meta().labels))
    }
}

/// One that is not there selects everything.
fn selector(own: Option<&LabelSelector>) -> Result<Selector, label::Error> {
    own.map_or_else(|| Ok(Selector::default()), |own| Selector::from_label_selector(Some(own)))
}

/// A request, and the other versions of its resource, which are looked for only when no rule is about its own.
struct Equivalents<'r, 'a> {
    review: &'r Review<'a>,
    registry: &'r Registry,
    wanted: bool,
}

impl Equivalents<'_, '_> {
    fn own(&self) -> Asked<'_> {
        let door = &self.review.door;
        Asked {
            operation: door.operation.as_str(),
            group: &door.row.group,
            version: &door.row.version,
            resource: &door.row.plural,
            subresource: door.subresource,
            namespace: door.namespace(),
            name: self.review.object_name(),
        }
    }

    fn others(&self) -> Vec<Arc<Rest>> {
        let row = self.review.door.row;
        let rest = self.registry.find(&row.group, &row.version, &row.plural);
        rest.filter(|_| self.wanted).map(|rest| self.registry.equivalents(&rest)).unwrap_or_default()
    }
}

fn find(rules: &[Rule], request: &Equivalents<'_, '_>) -> Option<Matched> {
    if rules.is_empty() {
        return None;
    }
    let own = request.own();
    if rules.iter().any(|rule| rule.matches(&own)) {
        return Some(Matched::AsAsked);
    }
    let as_other = |rest: &Arc<Rest>| {
        let row = &rest.row;
        let asked = Asked { group: &row.group, version: &row.version, resource: &row.plural, ..own };
        rules.iter().any(|rule| rule.matches(&asked))
    };
    request.others().into_iter().find(as_other).map(Matched::As)
}
