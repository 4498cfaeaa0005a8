//! `--oidc-…` and `--authentication-config`: whose tokens are taken, besides one's own.

use std::{collections::HashSet, fs, path::Path, sync::Arc};

use anyhow::{Context, bail, ensure};
use api_types::yaml;
use component::{files::FromFiles, jwt::Algorithm, serve::certificates};
use http::Uri;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, de::IgnoredAny};

use super::{Flags, Mistakes};
use crate::authentication::oidc::{Mapping, Oidc, Provider, Settings};

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
        username: Mapping { claim, prefix },
        groups: groups.map(|claim| Mapping { claim, prefix: flags.oidc_groups_prefix.clone().unwrap_or_default() }),
        uid: None,
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
    user_validation_rules: Vec<IgnoredAny>,
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
    claim: Option<String>,
    required_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimMappings {
    username: ClaimOf,
    groups: Option<ClaimOf>,
    uid: Option<ClaimOf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimOf {
    claim: Option<String>,
    prefix: Option<String>,
    expression: Option<IgnoredAny>,
}

impl ClaimOf {
    fn claim(&self, field: &str) -> anyhow::Result<String> {
        ensure!(self.expression.is_none(), "{field}.expression: expressions are not supported yet, name a claim");
        let claim = self.claim.clone().filter(|claim| !claim.is_empty());
        claim.with_context(|| format!("{field}.claim: Required value"))
    }

    fn mapping(self, field: &str) -> anyhow::Result<Mapping> {
        const WHY: &str = "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
        let claim = self.claim(field)?;
        let prefix = self.prefix.with_context(|| format!("{field}.prefix: Required value: {WHY}"))?;
        Ok(Mapping { claim, prefix })
    }
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
    ensure!(jwt.user_validation_rules.is_empty(), "userValidationRules: expressions are not supported yet");
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
    let mut required = Vec::new();
    for rule in jwt.claim_validation_rules {
        match (rule.claim, rule.required_value) {
            (Some(claim), Some(value)) => required.push((claim, value)),
            _ => bail!("claimValidationRules: claim and requiredValue are required"),
        }
    }
    let mappings = jwt.claim_mappings;
    let uid = mappings.uid.map(|uid| uid.claim("claimMappings.uid")).transpose()?;
    Ok(Settings {
        discovery,
        issuer: issuer.url,
        authorities: authorities.transpose().context("issuer.certificateAuthority")?,
        audiences: issuer.audiences,
        algorithms: Algorithm::ALL.iter().map(|(_, algorithm)| *algorithm).collect(),
        required,
        username: mappings.username.mapping("claimMappings.username")?,
        groups: mappings.groups.map(|groups| groups.mapping("claimMappings.groups")).transpose()?,
        uid,
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
        let required = "prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing";
        for (field, prefix) in [("username", ", prefix: 'x:'"), ("groups", ", prefix: ''")] {
            let error = format!("{:#}", check(&jwt(good, "").replace(prefix, "")).unwrap_err());
            assert!(error.contains(&format!("claimMappings.{field}.{required}")), "{error}");
        }
        let wrong = [
            (jwt("{url: 'http://i.example', audiences: [me]}", ""), "https"),
            (jwt("{url: 'https://i.example', audiences: []}", ""), "audiences"),
            (jwt("{url: 'https://i.example', audiences: [a, b]}", ""), "MatchAny"),
            (jwt(good, "    uid: {expression: 'claims.sub'}\n"), "not supported yet"),
            (jwt(good, "  userValidationRules: [{expression: 'true'}]\n"), "not supported yet"),
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
