//! Expressions about claims, and about the users that claims make.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use api_types::expressions::{CALL_COST, Meter, Numbers, Program, Value};
use component::auth::User;
use serde_json::{Map, Value as Json, json};

/// What has to be so.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The expression's text.
    pub text: String,
    /// What is said when it is not so.
    pub message: String,
    /// The expression.
    pub program: Arc<Program>,
}

impl Rule {
    fn check(&self, variable: &str, value: Value<'_>) -> anyhow::Result<()> {
        match evaluate(&self.program, variable, value)? {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => bail!("validation expression '{}' failed: {}", self.text, self.message),
            _ => bail!("validation expression must return a boolean value"),
        }
    }
}

fn evaluate<'a>(program: &Program, variable: &str, value: Value<'a>) -> anyhow::Result<Value<'a>> {
    Ok(program.evaluate(&[(variable, value)], &Meter::new(CALL_COST))?)
}

fn of_claims<'a>(program: &Program, claims: &'a Map<String, Json>) -> anyhow::Result<Value<'a>> {
    evaluate(program, "claims", Value::from_json_map(claims, Numbers::Doubles))
}

/// Refuses claims that do not keep the rules.
pub(super) fn check_claims(rules: &[Rule], claims: &Map<String, Json>) -> anyhow::Result<()> {
    for rule in rules {
        let value = Value::from_json_map(claims, Numbers::Doubles);
        rule.check("claims", value).context("oidc: error evaluating claim validation expression")?;
    }
    Ok(())
}

/// Refuses users who do not keep the rules. They are seen without the groups that everybody has.
pub(super) fn check_user(rules: &[Rule], user: &User, groups: &[String]) -> anyhow::Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let seen = json!({"username": user.name, "uid": user.uid, "groups": groups, "extra": user.extra});
    for rule in rules {
        let value = Value::from_json(&seen, Numbers::Natural);
        rule.check("user", value).context("oidc: error evaluating user info validation rule")?;
    }
    Ok(())
}

/// A text that an expression makes.
pub(super) fn text(program: &Program, claims: &Map<String, Json>) -> anyhow::Result<String> {
    match of_claims(program, claims)? {
        Value::String(text) => Ok(text.to_string()),
        _ => bail!("expression must return a string"),
    }
}

/// Texts that an expression makes; a text that is empty and `null` are none.
pub(super) fn texts(program: &Program, claims: &Map<String, Json>) -> anyhow::Result<Vec<String>> {
    let single = |value: &Value<'_>| value.as_str().map(str::to_owned);
    let texts: Option<Vec<String>> = match of_claims(program, claims)? {
        Value::Null | Value::Optional(None) => Some(Vec::new()),
        Value::List(list) => list.iter().map(|value| single(&value)).collect(),
        value => single(&value).map(|text| if text.is_empty() { Vec::new() } else { vec![text] }),
    };
    let texts = texts.context("expression must return a string or a list of strings")?;
    let long: usize = texts.iter().map(String::len).sum();
    ensure!(long <= LONGEST, "expression returned more than {LONGEST} bytes");
    Ok(texts)
}

/// What all texts of one expression may have together, in bytes: a user is carried through every request.
const LONGEST: usize = 1 << 20;
