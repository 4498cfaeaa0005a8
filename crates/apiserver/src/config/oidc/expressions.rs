//! What `--authentication-config` says of claims: which have to be there, what names a user, and expressions about them.
//! The first mistake is told, in upstream's words.

use std::{collections::HashSet, sync::Arc};

use anyhow::{Context, bail, ensure};
use api_types::{
    expressions::{self, Program},
    validation::names,
};

use super::{ClaimMappings, ClaimOf, ClaimRule, Extra, UserRule};
use crate::authentication::oidc::{Mapping, Named, Rule};

const BOTH: &str = "claim and expression can't both be set";
const NONE: &str = "claim or expression is required";
const PREFIX: &str = "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
const UNVERIFIED: &str = "claims.email_verified must be used in claimMappings.username.expression or \
                          claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email \
                          is used in claimMappings.username.expression";
/// Whose keys are Kubernetes' own.
const OWN: [&str; 2] = ["kubernetes.io", "k8s.io"];

/// What the file says, compiled.
pub(super) struct Rules {
    pub required: Vec<(String, String)>,
    pub claim_rules: Vec<Rule>,
    pub username: Named,
    pub groups: Option<Named>,
    pub uid: Option<Named>,
    pub extra: Vec<(String, Arc<Program>)>,
    pub user_rules: Vec<Rule>,
}

impl Rules {
    pub(super) fn new(claims: Vec<ClaimRule>, mappings: ClaimMappings, users: Vec<UserRule>) -> anyhow::Result<Self> {
        let (required, claim_rules) = claim_rules(claims)?;
        let email = mappings.username.expression.clone();
        let username = named(mappings.username, "claimMappings.username")?;
        let username = username.with_context(|| format!("claimMappings.username: Required value: {NONE}"))?;
        let groups = mappings.groups.map(|groups| named(groups, "claimMappings.groups")).transpose()?.flatten();
        let uid = mappings.uid.map(uid).transpose()?.flatten();
        let extra = extra(mappings.extra)?;
        if let Named::Computed(program) = &username {
            let programs = claim_rules.iter().map(|rule| &rule.program).chain(extra.iter().map(|(_, program)| program));
            let verified = programs.chain([program]).any(|program| program.selects("claims", "email_verified"));
            ensure!(
                verified || !program.selects("claims", "email"),
                "claimMappings.username.expression: Invalid value: {email:?}: {UNVERIFIED}"
            );
        }
        Ok(Self { required, claim_rules, username, groups, uid, extra, user_rules: user_rules(users)? })
    }
}

/// The program, or what is wrong with its text.
fn compiled(path: &str, text: &str, program: Result<Program, String>) -> anyhow::Result<Arc<Program>> {
    match program {
        Ok(program) => Ok(Arc::new(program)),
        Err(why) => bail!("{path}: Invalid value: {text:?}: {why}"),
    }
}

fn rule(path: &str, text: String, message: String, program: Result<Program, String>) -> anyhow::Result<Rule> {
    Ok(Rule { program: compiled(path, &text, program)?, text, message })
}

/// Claims with the values that they have to have, and rules.
type ClaimRules = (Vec<(String, String)>, Vec<Rule>);

fn claim_rules(claims: Vec<ClaimRule>) -> anyhow::Result<ClaimRules> {
    let (mut required, mut rules) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (index, own) in claims.into_iter().enumerate() {
        let path = format!("claimValidationRules[{index}]");
        ensure!(own.claim.is_empty() || own.expression.is_empty(), "{path}: Invalid value: {:?}: {BOTH}", own.claim);
        ensure!(!own.claim.is_empty() || !own.expression.is_empty(), "{path}: Required value: {NONE}");
        let (field, key, alone, other) = if own.claim.is_empty() {
            ("expression", &own.expression, ("requiredValue", &own.required_value), "expression")
        } else {
            ("claim", &own.claim, ("message", &own.message), "claim")
        };
        ensure!(
            alone.1.is_empty(),
            "{path}.{}: Invalid value: {:?}: may not be specified when {other} is set",
            alone.0,
            alone.1
        );
        ensure!(seen.insert((field, key.clone())), "{path}.{field}: Duplicate value: {key:?}");
        if own.claim.is_empty() {
            let program = expressions::claims(&own.expression, &[expressions::Type::Bool]);
            rules.push(rule(&format!("{path}.expression"), own.expression, own.message, program)?);
        } else {
            required.push((own.claim, own.required_value));
        }
    }
    Ok((required, rules))
}

fn named(own: ClaimOf, path: &str) -> anyhow::Result<Option<Named>> {
    if own.expression.is_empty() {
        if own.claim.is_empty() {
            return Ok(None);
        }
        let prefix = own.prefix.with_context(|| format!("{path}.prefix: Required value: {PREFIX}"))?;
        return Ok(Some(Named::Claim(Mapping { claim: own.claim, prefix })));
    }
    ensure!(own.claim.is_empty(), "{path}: Invalid value: \"\": {BOTH}");
    if let Some(prefix) = own.prefix {
        bail!("{path}.prefix: Invalid value: {prefix:?}: may not be specified when expression is set");
    }
    let program = expressions::claims(&own.expression, &[]);
    Ok(Some(Named::Computed(compiled(&format!("{path}.expression"), &own.expression, program)?)))
}

fn uid(own: ClaimOf) -> anyhow::Result<Option<Named>> {
    let prefix = Some(String::new()).filter(|_| own.expression.is_empty());
    named(ClaimOf { prefix, ..own }, "claimMappings.uid")
}

fn extra(mappings: Vec<Extra>) -> anyhow::Result<Vec<(String, Arc<Program>)>> {
    let mut extra: Vec<(String, Arc<Program>)> = Vec::new();
    for (index, Extra { key, value_expression }) in mappings.into_iter().enumerate() {
        let path = format!("claimMappings.extra[{index}]");
        ensure!(!key.is_empty(), "{path}.key: Required value");
        let wrong = |why: &str| format!("{path}.key: Invalid value: {key:?}: {why}");
        let parts = key.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty());
        let (domain, _) = parts.with_context(|| wrong("must be a domain-prefixed path (such as \"acme.io/foo\")"))?;
        ensure!(key == key.to_lowercase(), wrong("must be lowercase"));
        let problems = names::dns1123_subdomain(domain);
        ensure!(problems.is_empty(), "{path}.key: Invalid value: {domain:?}: {}", problems.join(","));
        let reserved =
            OWN.iter().any(|own| domain.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
        ensure!(!reserved, wrong("k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"));
        ensure!(!extra.iter().any(|(other, _)| *other == key), "{path}.key: Duplicate value: {key:?}");
        ensure!(!value_expression.is_empty(), "{path}.valueExpression: Required value");
        let program = expressions::claims(&value_expression, &[]);
        let program = compiled(&format!("{path}.valueExpression"), &value_expression, program)?;
        extra.push((key, program));
    }
    Ok(extra)
}

fn user_rules(users: Vec<UserRule>) -> anyhow::Result<Vec<Rule>> {
    let mut rules: Vec<Rule> = Vec::new();
    for (index, UserRule { expression, message }) in users.into_iter().enumerate() {
        let path = format!("userValidationRules[{index}].expression");
        ensure!(!expression.is_empty(), "{path}: Required value");
        ensure!(!rules.iter().any(|rule| rule.text == expression), "{path}: Duplicate value: {expression:?}");
        let program = expressions::user(&expression);
        rules.push(rule(&path, expression, message, program)?);
    }
    Ok(rules)
}
