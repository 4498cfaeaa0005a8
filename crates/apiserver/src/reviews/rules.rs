//! Everything that the client may do in a namespace.

use api_types::{
    StatusError,
    authorization::{NonResourceRule, ResourceRule, SelfSubjectRulesReview, SubjectRulesReviewStatus},
};
use component::auth::User;

use super::Reviewer;

impl Reviewer {
    /// Says what the client may do, as far as the authorizers can list it.
    ///
    /// # Errors
    /// 400 without a namespace.
    pub async fn own_rules(
        &self,
        user: &User,
        review: SelfSubjectRulesReview,
    ) -> Result<SelfSubjectRulesReview, StatusError> {
        let namespace = review.spec.namespace.as_deref().unwrap_or_default();
        if namespace.is_empty() {
            return Err(StatusError::bad_request("no namespace on request"));
        }
        let rules = self.authorizer.rules(user, namespace).await;
        let some = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
        let resource_rules = rules.resources.into_iter().map(|rule| ResourceRule {
            verbs: rule.verbs,
            api_groups: some(rule.groups),
            resources: some(rule.resources),
            resource_names: some(rule.names),
        });
        let path_rules = rules
            .paths
            .into_iter()
            .map(|rule| NonResourceRule { verbs: rule.verbs, non_resource_urls: some(rule.paths) });
        let status = SubjectRulesReviewStatus {
            resource_rules: resource_rules.collect(),
            non_resource_rules: path_rules.collect(),
            incomplete: rules.incomplete,
            evaluation_error: Some(rules.error).filter(|error| !error.is_empty()),
        };
        Ok(SelfSubjectRulesReview { status: Some(status), ..SelfSubjectRulesReview::default() })
    }
}
