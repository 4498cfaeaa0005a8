//! What is wrong with a policy's expressions, given the types of the objects that it is about. They are stored all the
//! same: a policy can be about several types, or about none that is known.

use std::{collections::BTreeSet, sync::Arc};

use api_types::{
    Resource,
    admissionregistration::{ExpressionWarning, NamedRuleWithOperations, ValidatingAdmissionPolicySpec},
    expressions::{Admission, Optional},
};

use super::policy::kind_of;
use crate::registry::{Registry, Rest};

/// Of so many types at most for each rule; upstream's number.
const TYPES_MAX: usize = 10;

/// What is wrong with the expressions of a policy, each with its place.
#[must_use]
pub fn warnings(spec: &ValidatingAdmissionPolicySpec, registry: &Registry) -> Vec<ExpressionWarning> {
    let params = spec.param_kind.as_ref().and_then(|kind| {
        let (group, version, name) = kind_of(kind);
        registry.of_kind(group, version, name)
    });
    let types = types(spec, registry);
    let envs: Vec<(String, Admission)> =
        types.iter().map(|rest| (name(&rest.row), env(spec, &rest.row, params.as_deref()))).collect();
    let mut warnings = Vec::new();
    let mut check = |place: String, text: &str, compile: &dyn Fn(&Admission) -> Option<String>| {
        let wrong = envs.iter().filter_map(|(of, env)| Some(format!("{of}: {}", compile(env)?)));
        let wrong: Vec<String> = wrong.collect();
        if !text.is_empty() && !wrong.is_empty() {
            warnings.push(ExpressionWarning { field_ref: place, warning: wrong.join("\n") });
        }
    };
    for (index, own) in spec.validations.iter().flatten().enumerate() {
        let place = format!("spec.validations[{index}]");
        let rule = |env: &Admission| env.condition(&own.expression).err().and_then(issues);
        check(format!("{place}.expression"), &own.expression, &rule);
        let text = own.message_expression.as_deref().unwrap_or_default();
        let message = |env: &Admission| env.without_authorizer().message(text).err().and_then(issues);
        check(format!("{place}.messageExpression"), text, &message);
    }
    warnings
}

/// What is wrong with types, without what is said in front; a result of the wrong type is not told here.
fn issues(why: String) -> Option<String> {
    why.strip_prefix("compilation failed: ").map(str::to_owned)
}

/// As Go prints a kind.
fn name(row: &Resource) -> String {
    let Resource { group, version, kind, .. } = row;
    if group.is_empty() { format!("/{version}, Kind={kind}") } else { format!("{group}/{version}, Kind={kind}") }
}

fn env(spec: &ValidatingAdmissionPolicySpec, row: &Resource, params: Option<&Rest>) -> Admission {
    let mut optional = vec![Optional::Authorizer];
    optional.extend(spec.param_kind.as_ref().map(|_| Optional::Params));
    let mut env = Admission::new(&optional).typed(row.schema(), params.map(|rest| rest.row.schema()));
    for variable in spec.variables.iter().flatten() {
        // A wrong one may be anything, and is told where it is used, if at all.
        let _ = env.declare(&variable.name, &variable.expression);
    }
    env
}

/// The types that a policy names, without wildcards.
fn types(spec: &ValidatingAdmissionPolicySpec, registry: &Registry) -> Vec<Arc<Rest>> {
    let rules = spec.match_constraints.iter().flat_map(|own| own.resource_rules.iter().flatten());
    let mut seen = BTreeSet::new();
    let mut types: Vec<Arc<Rest>> = rules.flat_map(|rule| of_rule(rule, registry)).collect();
    types.retain(|rest| seen.insert(name(&rest.row)));
    types.sort_by_key(|rest| name(&rest.row));
    types
}

fn of_rule(rule: &NamedRuleWithOperations, registry: &Registry) -> Vec<Arc<Rest>> {
    let sorted = |list: &Option<Vec<String>>| list.iter().flatten().cloned().collect::<BTreeSet<String>>();
    let (groups, versions) = (sorted(&rule.api_groups), sorted(&rule.api_versions));
    if groups.contains("*") || versions.contains("*") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for group in &groups {
        for version in &versions {
            let plain = sorted(&rule.resources).into_iter().filter(|own| !own.contains(['*', '/']));
            found.extend(plain.filter_map(|resource| registry.find(group, version, &resource)));
        }
    }
    found.truncate(TYPES_MAX);
    found
}
