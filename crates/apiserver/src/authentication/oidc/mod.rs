//! Tokens of OpenID Connect providers.

mod keys;
mod rules;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, bail, ensure};
use api_types::{expressions::Program, jiff::Timestamp};
use component::{
    auth::{Found, TokenAuthenticator, User, user::CREDENTIAL_ID},
    files::FromFiles,
    jwt::{Algorithm, Claims, Token},
};
use futures::future::BoxFuture;
use http::Uri;
use serde_json::{Map, Value};

use self::keys::ProviderKeys;
pub use self::rules::Rule;

/// How far the clocks of provider and server may be apart when a token begins, in seconds.
const EARLY: i64 = 5 * 60;

/// A claim whose value names somebody, and what is put before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The claim.
    pub claim: String,
    /// Keeps the provider's names apart from others.
    pub prefix: String,
}

/// Where a name comes from.
#[derive(Clone, Debug)]
pub enum Named {
    /// A claim says it.
    Claim(Mapping),
    /// An expression makes it of all claims.
    Computed(Arc<Program>),
}

/// What is to be known of a provider.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who issues the tokens.
    pub issuer: String,
    /// Where the provider describes itself.
    pub discovery: Uri,
    /// Certificates that may have signed the provider's; the machine's when there are none.
    pub authorities: Option<Vec<Vec<u8>>>,
    /// For any of these a token has to be made.
    pub audiences: Vec<String>,
    /// How tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// What a token has to claim besides.
    pub required: Vec<(String, String)>,
    /// What has to be so of the claims.
    pub claim_rules: Vec<Rule>,
    /// The user's name.
    pub username: Named,
    /// The user's groups.
    pub groups: Option<Named>,
    /// The user's uid.
    pub uid: Option<Named>,
    /// What else is known of the user: a key, and what makes its values of the claims.
    pub extra: Vec<(String, Arc<Program>)>,
    /// What has to be so of the user.
    pub user_rules: Vec<Rule>,
}

/// Recognises the tokens of a provider.
pub struct Provider {
    settings: Settings,
    keys: ProviderKeys,
}

impl Provider {
    /// Asks nobody anything yet: the provider need not be there.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let keys = ProviderKeys::new(&settings);
        Self { settings, keys }
    }

    async fn find(&self, text: &str) -> Found {
        let settings = &self.settings;
        let Some(token) = Token::parse(text, &settings.algorithms) else { return Ok(None) };
        if token.issuer().as_ref() != Some(&settings.issuer) {
            return Ok(None);
        }
        let keys = self.keys.of(token.key_id()).await.context("oidc: keys of the issuer")?;
        let claims: Map<String, Value> = token.verify(&keys).context("oidc: verify token")?;
        Ok(Some(settings.user(&claims, Timestamp::now().as_second())?.into()))
    }
}

impl Settings {
    /// Who presents a token with these claims.
    fn user(&self, claims: &Map<String, Value>, now: i64) -> anyhow::Result<User> {
        let public: Claims = serde_json::from_value(Value::Object(claims.clone()))?;
        let meant = public.audiences.iter().any(|audience| self.audiences.contains(audience));
        ensure!(
            meant,
            "oidc: verify token: oidc: expected audience in {:?} got {:?}",
            self.audiences,
            public.audiences
        );
        ensure!(public.expires.is_some_and(|ends| now < ends.0), "oidc: verify token: oidc: token is expired");
        let early = public.not_before.is_some_and(|begins| now.saturating_add(EARLY) < begins.0);
        ensure!(!early, "oidc: verify token: oidc: current time is before the nbf (not before) time");
        for (claim, value) in &self.required {
            let said = claims.get(claim).and_then(Value::as_str);
            ensure!(said.is_some(), "oidc: required claim {claim} not present in ID token");
            ensure!(
                said == Some(value),
                "oidc: required claim {claim} value does not match. Got = {said:?}, want = {value}"
            );
        }
        rules::check_claims(&self.claim_rules, claims)?;
        let name = self.name(claims)?;
        let groups = self.groups(claims)?;
        let mut user = User::authenticated(name, self.uid(claims)?, groups.clone());
        user.extra = self.extra(claims)?;
        if !public.id.is_empty() {
            user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", public.id)]);
        }
        rules::check_user(&self.user_rules, &user, &groups)?;
        Ok(user)
    }

    fn uid(&self, claims: &Map<String, Value>) -> anyhow::Result<String> {
        match &self.uid {
            None => Ok(String::new()),
            Some(Named::Claim(Mapping { claim, .. })) => {
                Ok(claims.get(claim).and_then(Value::as_str).unwrap_or_default().to_owned())
            }
            Some(Named::Computed(program)) => {
                rules::text(program, claims).context("oidc: error evaluating uid claim expression")
            }
        }
    }

    fn extra(&self, claims: &Map<String, Value>) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
        let mut extra = BTreeMap::new();
        for (key, program) in &self.extra {
            let values = rules::texts(program, claims).context("oidc: error evaluating extra claim expression")?;
            if !values.is_empty() {
                extra.insert(key.clone(), values);
            }
        }
        Ok(extra)
    }

    fn name(&self, claims: &Map<String, Value>) -> anyhow::Result<String> {
        let Mapping { claim, prefix } = match &self.username {
            Named::Claim(mapping) => mapping,
            Named::Computed(program) => {
                let name = rules::text(program, claims).context("oidc: error evaluating username claim expression")?;
                ensure!(!name.is_empty(), "oidc: empty username via CEL expression is not allowed");
                return Ok(name);
            }
        };
        let Some(name) = claims.get(claim).and_then(Value::as_str).filter(|name| !name.is_empty()) else {
            bail!("oidc: parse username claims {claim:?}: claim not present");
        };
        // An address that nobody has proved to be theirs names nobody.
        let unproved = claims.get("email_verified").is_some_and(|verified| *verified != Value::Bool(true));
        ensure!(claim != "email" || !unproved, "oidc: email not verified");
        Ok(format!("{prefix}{name}"))
    }

    fn groups(&self, claims: &Map<String, Value>) -> anyhow::Result<Vec<String>> {
        let mapping = match &self.groups {
            None => return Ok(Vec::new()),
            Some(Named::Claim(mapping)) => mapping,
            Some(Named::Computed(program)) => {
                return rules::texts(program, claims).context("oidc: error evaluating group claim expression");
            }
        };
        let named = match claims.get(&mapping.claim) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::String(one)) => vec![one.clone()],
            Some(several) => serde_json::from_value(several.clone())
                .with_context(|| format!("oidc: parse groups claim {:?}", mapping.claim))?,
        };
        Ok(named.iter().map(|group| format!("{}{group}", mapping.prefix)).collect())
    }
}

/// Recognises the tokens of several providers, which may change.
pub struct Oidc(pub Arc<FromFiles<Vec<Provider>>>);

impl TokenAuthenticator for Oidc {
    fn find<'a>(&'a self, token: &'a str, _: &'a [String]) -> BoxFuture<'a, Found> {
        Box::pin(async move {
            for provider in self.0.get().iter() {
                if let Some(found) = provider.find(token).await? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }
}

#[cfg(test)]
mod tests {
    use api_types::expressions;
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        let mapping = |claim: &str, prefix: &str| Named::Claim(Mapping { claim: claim.into(), prefix: prefix.into() });
        Settings {
            issuer: "https://i".into(),
            discovery: Uri::from_static("https://i/d"),
            authorities: None,
            audiences: vec!["me".into()],
            algorithms: vec![Algorithm::Rs256],
            required: vec![("hd".into(), "example.com".into())],
            claim_rules: Vec::new(),
            username: mapping("email", "oidc:"),
            groups: Some(mapping("roles", "oidc:")),
            uid: Some(mapping("sub", "")),
            extra: Vec::new(),
            user_rules: Vec::new(),
        }
    }

    #[test]
    fn expressions_make_users_of_claims() {
        let computed = |text: &str| Arc::new(expressions::claims(text, &[]).unwrap());
        let rule =
            |text: &str, program: Program| Rule { text: text.into(), message: "no".into(), program: program.into() };
        let (dated, short) =
            ("claims.exp - claims.nbf <= 86400", "!user.username.startsWith('system:') && size(user.groups) < 3");
        let settings = Settings {
            required: Vec::new(),
            claim_rules: vec![rule(dated, expressions::claims(dated, &[]).unwrap())],
            username: Named::Computed(computed("'x:' + claims.user.name")),
            groups: Some(Named::Computed(computed("claims.?roles.orValue([])"))),
            uid: Some(Named::Computed(computed("claims.sub"))),
            extra: vec![
                ("example.org/a".into(), computed("claims.user.name")),
                ("example.org/b".into(), computed("claims.?none.orValue('')")),
            ],
            user_rules: vec![rule(short, expressions::user(short).unwrap())],
            ..settings()
        };
        let check = |changes: Value| {
            let mut claims =
                json!({"aud": "me", "exp": 100, "nbf": 50, "user": {"name": "ann"}, "roles": ["a"], "sub": "7"});
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            settings.user(claims.as_object().unwrap(), 99).map_err(|error| format!("{error:#}"))
        };
        let user = check(json!({})).unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("x:ann", "7"));
        assert_eq!(user.groups, ["a", "system:authenticated"]);
        assert_eq!(user.extra, BTreeMap::from([("example.org/a".to_owned(), vec!["ann".to_owned()])]));
        assert_eq!(check(json!({"roles": "b"})).unwrap().groups, ["b", "system:authenticated"]);
        for (changes, words) in [
            (json!({"exp": 1e6}), "validation expression 'claims.exp - claims.nbf <= 86400' failed: no"),
            (json!({"user": 1}), "error evaluating username claim expression: no such overload"),
            (json!({"roles": [1]}), "expression must return a string or a list of strings"),
            (json!({"roles": ["a", "b", "c"]}), "error evaluating user info validation rule"),
        ] {
            let error = check(changes.clone()).unwrap_err();
            assert!(error.contains(words), "{changes}: {error}");
        }
    }

    #[test]
    fn claims_name_somebody() {
        let check = |changes: Value| {
            let mut claims = json!({
                "aud": ["you", "me"], "exp": 100, "nbf": 50, "hd": "example.com", "email": "a@b", "email_verified": true,
                "roles": ["x", "y"], "sub": "7", "jti": "j",
            });
            claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            settings().user(claims.as_object().unwrap(), 99).map_err(|error| error.to_string())
        };
        let user = check(json!({})).unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("oidc:a@b", "7"));
        assert_eq!(user.groups, ["oidc:x", "oidc:y", "system:authenticated"]);
        assert_eq!(user.extra[CREDENTIAL_ID], ["JTI=j"]);
        assert_eq!(check(json!({"roles": "x"})).unwrap().groups, ["oidc:x", "system:authenticated"]);
        assert_eq!(check(json!({"roles": null})).unwrap().groups, ["system:authenticated"]);
        let wrong = [
            (json!({"aud": "you"}), "expected audience"),
            (json!({"exp": 99}), "expired"),
            (json!({"exp": null}), "expired"),
            (json!({"nbf": 400}), "before the nbf"),
            (json!({"hd": null}), "not present"),
            (json!({"hd": "evil.com"}), "does not match"),
            (json!({"email": ""}), "claim not present"),
            (json!({"email_verified": false}), "not verified"),
            (json!({"email_verified": "true"}), "not verified"),
            (json!({"roles": [1]}), "groups claim"),
        ];
        for (changes, words) in wrong {
            let error = check(changes.clone()).unwrap_err();
            assert!(error.contains(words), "{changes}: {error}");
        }
    }
}
