//! `--oidc-…` and `--authentication-config`: whose tokens are taken, besides one's own.

mod expressions;

use std::{collections::HashSet, fs, path::Path, sync::Arc};

use anyhow::{Context, ensure};
use api_types::yaml;
use component::{files::FromFiles, jwt::Algorithm, serve::certificates};
use http::Uri;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, de::IgnoredAny};

use super::{Flags, Mistakes};
use crate::authentication::oidc::{Mapping, Named, Oidc, Provider, Settings};

/// What the flags say about tokens of others, and about strangers if the file says something about these.
pub(super) struct External {
    pub oidc: Option<Oidc>,
    pub anonymous: Option<bool>,
}

pub(super) fn external(flags: &Flags, mistakes: &mut Mistakes) -> External {
    let from_flags = flags.oidc_issuer_url.is_some() || flags.oidc_client_id.is_some();
    let Some(path) = flags.authentication_config.clone() else {
        let oidc = from_flags.then(|| mistakes.take("oidc-issuer-url", by_flags(flags).map_err(|e| format!("{e:#}"))));
        return External { oidc: oidc.flatten(), anonymous: None };
    };
    if from_flags {
        mistakes.0.push("authentication-config file and oidc-* flags are mutually exclusive".to_owned());
    }
    let anonymous = read(&path).map(|file| file.anonymous.map(|anonymous| anonymous.enabled));
    let providers = FromFiles::new("--authentication-config", vec![path.clone()], move || read(&path)?.providers());
    let read = providers.and_then(|providers| Ok((providers, anonymous?))).map_err(|error| format!("{error:#}"));
    match mistakes.take("authentication-config", read) {
        Some((providers, anonymous)) => External { oidc: Some(Oidc(Arc::new(providers))), anonymous },
        None => External { oidc: None, anonymous: None },
    }
}

/// Where a provider describes itself, unless somebody says otherwise.
fn discovery(issuer: &str) -> anyhow::Result<Uri> {
    let url: Uri = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')).parse()?;
    ensure!(url.scheme_str() == Some("https"), "issuer URL ({issuer:?}) must begin with https://");
    Ok(url)
}

fn by_flags(flags: &Flags) -> anyhow::Result<Oidc> {
    let both = flags.oidc_issuer_url.clone().zip(flags.oidc_client_id.clone());
    let (issuer, client) = both.context("oidc-issuer-url and oidc-client-id must be specified together")?;
    let authorities = flags.oidc_ca_file.as_deref().map(certificates::read_chain).transpose()?;
    let algorithm =
        |name: &String| Algorithm::named(name).with_context(|| format!("unsupported signing algorithm {name:?}"));
    let required = |claim: &String| {
        let pair = claim.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.with_context(|| format!("oidc-required-claim {claim:?} is no key=value pair"))
    };
    let claim = flags.oidc_username_claim.clone();
    let prefix = match flags.oidc_username_prefix.as_deref().unwrap_or_default() {
        "-" => String::new(),
        "" if claim != "email" => format!("{issuer}#"),
        prefix => prefix.to_owned(),
    };
    let groups = flags.oidc_groups_claim.clone();
    let settings = Settings {
        discovery: discovery(&issuer)?,
        issuer,
        authorities: authorities.map(|chain| chain.iter().map(|certificate| certificate.to_vec()).collect()),
        audiences: vec![client],
        algorithms: flags.oidc_signing_algs.iter().map(algorithm).collect::<Result<_, _>>()?,
        required: flags.oidc_required_claim.iter().map(required).collect::<Result<_, _>>()?,
        claim_rules: Vec::new(),
        username: Named::Claim(Mapping { claim, prefix }),
        groups: groups
            .map(|claim| Named::Claim(Mapping { claim, prefix: flags.oidc_groups_prefix.clone().unwrap_or_default() })),
        uid: None,
        extra: Vec::new(),
        user_rules: Vec::new(),
    };
    Ok(Oidc(Arc::new(FromFiles::constant(vec![Provider::new(settings)]))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthenticationConfiguration {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    #[serde(default)]
    jwt: Vec<Jwt>,
    anonymous: Option<AnonymousConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnonymousConfig {
    enabled: bool,
    #[serde(default)]
    conditions: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Jwt {
    issuer: JwtIssuer,
    #[serde(default)]
    claim_validation_rules: Vec<ClaimRule>,
    claim_mappings: ClaimMappings,
    #[serde(default)]
    user_validation_rules: Vec<UserRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct JwtIssuer {
    url: String,
    #[serde(rename = "discoveryURL")]
    discovery_url: Option<String>,
    certificate_authority: Option<String>,
    audiences: Vec<String>,
    audience_match_policy: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ClaimRule {
    #[serde(default)]
    claim: String,
    #[serde(default)]
    required_value: String,
    #[serde(default)]
    expression: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRule {
    #[serde(default)]
    expression: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimMappings {
    username: ClaimOf,
    groups: Option<ClaimOf>,
    uid: Option<ClaimOf>,
    #[serde(default)]
    extra: Vec<Extra>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClaimOf {
    claim: String,
    prefix: Option<String>,
    expression: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Extra {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value_expression: String,
}

fn read(path: &Path) -> anyhow::Result<AuthenticationConfiguration> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> anyhow::Result<AuthenticationConfiguration> {
    let file: AuthenticationConfiguration = serde_json::from_value(yaml::from_str(text)?)?;
    let known = ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"];
    ensure!(
        file.kind == "AuthenticationConfiguration" && known.contains(&file.api_version.as_str()),
        "got {} in {}, expected AuthenticationConfiguration in {}",
        file.kind,
        file.api_version,
        known[0]
    );
    let conditions = file.anonymous.as_ref().is_some_and(|anonymous| !anonymous.conditions.is_empty());
    ensure!(!conditions, "anonymous.conditions: conditions are not supported yet");
    Ok(file)
}

impl AuthenticationConfiguration {
    fn providers(self) -> anyhow::Result<Vec<Provider>> {
        let mut issuers = HashSet::new();
        let mut providers = Vec::new();
        for (index, jwt) in self.jwt.into_iter().enumerate() {
            let settings = settings(jwt).with_context(|| format!("jwt[{index}]"))?;
            ensure!(
                issuers.insert(settings.issuer.clone()),
                "jwt[{index}].issuer.url: Duplicate value: {:?}",
                settings.issuer
            );
            providers.push(Provider::new(settings));
        }
        Ok(providers)
    }
}

fn settings(jwt: Jwt) -> anyhow::Result<Settings> {
    let issuer = jwt.issuer;
    ensure!(
        !issuer.audiences.is_empty(),
        "issuer.audiences: Required value: at least one jwt[].issuer.audiences is required"
    );
    let policy = issuer.audience_match_policy.as_deref().unwrap_or_default();
    ensure!(
        policy == "MatchAny" || policy.is_empty() && issuer.audiences.len() == 1,
        "issuer.audienceMatchPolicy: Invalid value: {policy:?}: audienceMatchPolicy must be MatchAny for multiple audiences"
    );
    let authorities = issuer.certificate_authority.filter(|pem| !pem.is_empty()).map(|pem| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        chain.map(|chain| chain.iter().map(|certificate| certificate.to_vec()).collect())
    });
    let discovery = match issuer.discovery_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => url.parse().context("issuer.discoveryURL")?,
        None => discovery(&issuer.url).context("issuer.url")?,
    };
    let rules = expressions::Rules::new(jwt.claim_validation_rules, jwt.claim_mappings, jwt.user_validation_rules)?;
    Ok(Settings {
        discovery,
        issuer: issuer.url,
        authorities: authorities.transpose().context("issuer.certificateAuthority")?,
        audiences: issuer.audiences,
        algorithms: Algorithm::ALL.iter().map(|(_, algorithm)| *algorithm).collect(),
        required: rules.required,
        claim_rules: rules.claim_rules,
        username: rules.username,
        groups: rules.groups,
        uid: rules.uid,
        extra: rules.extra,
        user_rules: rules.user_rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_providers() {
        let jwt = |issuer: &str, more: &str| {
            format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {issuer}\n  claimMappings:\n    username: {{claim: sub, prefix: 'x:'}}\n    groups: {{claim: roles, prefix: ''}}\n{more}"
            )
        };
        let good = "{url: 'https://i.example', audiences: [me]}";
        let check = |text: &str| parse(text).and_then(AuthenticationConfiguration::providers).map(|all| all.len());
        assert_eq!(check(&jwt(good, "    uid: {claim: sub}\n")).unwrap(), 1);
        let computed = "    uid: {expression: claims.sub}\n    extra: [{key: 'a.org/a', valueExpression: claims.a}]\n  \
                        claimValidationRules: [{expression: claims.email_verified == true}, {claim: hd, requiredValue: a}]\n  \
                        userValidationRules: [{expression: user.username != ''}]\n";
        let computed = jwt(good, computed).replace("{claim: sub, prefix: 'x:'}", "{expression: claims.email}");
        assert_eq!(check(&computed).unwrap(), 1);
        let required = "prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing";
        for (field, prefix) in [("username", ", prefix: 'x:'"), ("groups", ", prefix: ''")] {
            let error = format!("{:#}", check(&jwt(good, "").replace(prefix, "")).unwrap_err());
            assert!(error.contains(&format!("claimMappings.{field}.{required}")), "{error}");
        }
        let wrong = [
            (jwt("{url: 'http://i.example', audiences: [me]}", ""), "https"),
            (jwt("{url: 'https://i.example', audiences: []}", ""), "audiences"),
            (jwt("{url: 'https://i.example', audiences: [a, b]}", ""), "MatchAny"),
            (
                jwt(good, "    uid: {expression: 'claim.sub'}\n"),
                "claimMappings.uid.expression: Invalid value: \"claim.sub\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'claim'",
            ),
            (jwt(good, "  userValidationRules: [{expression: '1'}]\n"), "must evaluate to bool"),
            (
                jwt(good, "  userValidationRules: [{expression: ''}]\n"),
                "userValidationRules[0].expression: Required value",
            ),
            (
                jwt(good, "  claimValidationRules: [{claim: a, expression: 'true'}]\n"),
                "claim and expression can't both be set",
            ),
            (
                jwt(good, "  claimValidationRules: [{expression: 'claims.a'}, {expression: 'claims.a'}]\n"),
                "claimValidationRules[0].expression: Invalid value: \"claims.a\": must evaluate to bool",
            ),
            (
                jwt(good, "    extra: [{key: 'K8s.io/a', valueExpression: 'claims.a'}]\n"),
                "claimMappings.extra[0].key: Invalid value: \"K8s.io/a\": must be lowercase",
            ),
            (
                jwt(good, "    extra: [{key: 'x.k8s.io/a', valueExpression: 'claims.a'}]\n"),
                "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use",
            ),
            (
                jwt(good, "").replace("username: {claim: sub, prefix: 'x:'}", "username: {expression: claims.email}"),
                "claims.email_verified must be used in claimMappings.username.expression",
            ),
            (jwt(good, "anonymous: {enabled: true, conditions: [{path: /livez}]}\n"), "not supported yet"),
            (jwt(good, "other: 1\n"), "other"),
            ("apiVersion: v1\nkind: Pod\n".to_owned(), "expected AuthenticationConfiguration"),
        ];
        for (text, words) in wrong {
            let error = format!("{:#}", check(&text).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
