//! What becomes of a secret that is to hold a token.

use api_types::{
    core::{Secret, ServiceAccount},
    k8s_openapi::ByteString,
};
use component::{auth::user::service_account_user, jwt::SigningKey};
use serde_json::{Value, json};

/// Who issues such tokens.
const ISSUER: &str = "kubernetes/serviceaccount";
const NAME: &str = "kubernetes.io/service-account.name";
const UID: &str = "kubernetes.io/service-account.uid";
const TOKEN: &str = "token";
const NAMESPACE: &str = "namespace";
const ROOT_CA: &str = "ca.crt";

/// What goes into secrets.
pub(super) struct Material<'a> {
    /// Signs the tokens.
    pub key: &'a SigningKey,
    /// The cluster's authority; empty for none.
    pub root_ca: &'a str,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// All is well, or the secret is nobody's.
    Nothing,
    /// The secret lacks something; this is how it should be.
    Fill(Box<Secret>),
    /// The account is gone, or is another one.
    Delete,
}

/// The account that a secret names.
pub(super) struct Named<'a> {
    pub name: &'a str,
    /// Empty when any will do.
    uid: &'a str,
}

pub(super) fn account_of(secret: &Secret) -> Option<Named<'_>> {
    let annotations = secret.metadata.annotations.as_ref()?;
    let name = annotations.get(NAME).filter(|name| !name.is_empty())?;
    Some(Named { name, uid: annotations.get(UID).map(String::as_str).unwrap_or_default() })
}

/// What is to be done about a secret, given the account of the name that it gives.
pub(super) fn plan(
    secret: &Secret,
    account: Option<&ServiceAccount>,
    material: &Material<'_>,
) -> anyhow::Result<Action> {
    let Some(named) = account_of(secret) else { return Ok(Action::Nothing) };
    let uid = |account: &ServiceAccount| account.metadata.uid.clone().unwrap_or_default();
    let Some(uid) = account.map(uid).filter(|uid| named.uid.is_empty() || named.uid == *uid) else {
        return Ok(Action::Delete);
    };
    let mut filled = secret.clone();
    let data = filled.data.get_or_insert_default();
    if !material.root_ca.is_empty() {
        data.insert(ROOT_CA.to_owned(), ByteString(material.root_ca.as_bytes().to_vec()));
    }
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    let is_empty = |value: Option<&ByteString>| value.is_none_or(|value| value.0.is_empty());
    if is_empty(data.get(NAMESPACE)) {
        data.insert(NAMESPACE.to_owned(), ByteString(namespace.as_bytes().to_vec()));
    }
    if is_empty(data.get(TOKEN)) {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let token = material.key.sign(&claims(namespace, name, named.name, &uid))?;
        data.insert(TOKEN.to_owned(), ByteString(token.into_bytes()));
    }
    if filled == *secret {
        return Ok(Action::Nothing);
    }
    let own = [(NAME.to_owned(), named.name.to_owned()), (UID.to_owned(), uid)];
    filled.metadata.annotations.get_or_insert_default().extend(own);
    Ok(Action::Fill(Box::new(filled)))
}

fn claims(namespace: &str, secret: &str, account: &str, uid: &str) -> Value {
    json!({
        "iss": ISSUER,
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": secret,
        "kubernetes.io/serviceaccount/service-account.name": account,
        "kubernetes.io/serviceaccount/service-account.uid": uid,
        "sub": service_account_user(namespace, account),
    })
}

/// The account without a secret that it names; `None` when it does not name it.
pub(super) fn without_reference(account: &ServiceAccount, secret: &str) -> Option<ServiceAccount> {
    let is_meant = |name: &Option<String>| name.as_deref() == Some(secret);
    account.secrets.iter().flatten().find(|reference| is_meant(&reference.name))?;
    let mut changed = account.clone();
    changed.secrets.get_or_insert_default().retain(|reference| !is_meant(&reference.name));
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkGMv8VPEZJAA82tZ
dZBJf377OeZQZwnCVtEl+InhxiShRANCAAR10KMcOQdW0mALSgpobP2FMimRhu6O
Quq6tRJlEwuytWIBiZ1zhjVDVl5p4npT7T/ZlBls3BnX3beTeTfB2wnJ
-----END PRIVATE KEY-----
";

    fn secret(data: Value, annotations: Value) -> Secret {
        let metadata = json!({"name": "s", "namespace": "ns", "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata, "data": data})).unwrap()
    }

    fn account(uid: &str) -> ServiceAccount {
        let secrets = json!([{"name": "s"}, {"name": "t"}]);
        serde_json::from_value(json!({"metadata": {"name": "sa", "uid": uid}, "secrets": secrets})).unwrap()
    }

    #[test]
    fn secrets_are_filled_and_go_with_their_accounts() {
        let key = SigningKey::parse(KEY.as_bytes()).unwrap();
        let material = Material { key: &key, root_ca: "pem" };
        let plan = |secret: &Secret, account: Option<&ServiceAccount>| plan(secret, account, &material).unwrap();
        let empty = secret(json!({"own": "eA=="}), json!({NAME: "sa"}));
        let Action::Fill(filled) = plan(&empty, Some(&account("u"))) else { panic!("it is not filled") };
        let text = |key: &str| String::from_utf8(filled.data.as_ref().unwrap()[key].0.clone()).unwrap();
        assert_eq!((text("own"), text(NAMESPACE), text(ROOT_CA)), ("x".into(), "ns".into(), "pem".into()));
        assert_eq!(text(TOKEN).split('.').count(), 3);
        assert_eq!(filled.metadata.annotations.as_ref().unwrap()[UID], "u");
        assert_eq!(plan(&filled, Some(&account("u"))), Action::Nothing);
        assert_eq!(plan(&filled, Some(&account("other"))), Action::Delete);
        assert_eq!(plan(&filled, None), Action::Delete);
        assert_eq!(plan(&secret(json!({}), json!({})), None), Action::Nothing, "it is nobody's");
        let mut old = filled.clone();
        old.data.as_mut().unwrap().insert(ROOT_CA.into(), ByteString(b"old".to_vec()));
        assert_eq!(plan(&old, Some(&account("u"))), Action::Fill(filled), "the token stays");
    }

    #[test]
    fn accounts_name_no_secrets_that_are_gone() {
        let changed = without_reference(&account("u"), "s").unwrap();
        assert_eq!(changed.secrets.unwrap().len(), 1);
        assert_eq!(without_reference(&account("u"), "x"), None);
    }
}
