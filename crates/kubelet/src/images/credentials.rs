//! Registry credentials from `imagePullSecrets`.

use api_types::core::{Pod, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::reference::registry;
use crate::objects::Objects;
use crate::pod::PodExt;
use crate::runtime::PullCredentials;

/// Docker's own name for its registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

#[derive(Deserialize)]
struct DockerConfig {
    auths: std::collections::BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
    identitytoken: Option<String>,
}

/// The pod's credentials for an image's registry. A secret that is missing or makes no sense gives none.
pub(super) fn of_pod(pod: &Pod, image: &str, objects: &dyn Objects) -> Vec<PullCredentials> {
    let secrets = pod.pod_spec().image_pull_secrets.iter().flatten();
    let secrets = secrets.filter_map(|secret| objects.secret(&secret.name));
    secrets.flat_map(|secret| of_secret(&secret, registry(image))).collect()
}

fn of_secret(secret: &Secret, registry: &str) -> Vec<PullCredentials> {
    let config = secret.data.as_ref().and_then(|data| data.get(".dockerconfigjson"));
    let config = config.and_then(|config| serde_json::from_slice::<DockerConfig>(&config.0).ok());
    let auths = config.map(|config| config.auths).unwrap_or_default();
    let fitting = auths.into_iter().filter(|(server, _)| host(server) == registry);
    fitting.filter_map(|(server, auth)| auth.credentials(server)).collect()
}

fn host(server: &str) -> &str {
    if server == DOCKER_HUB {
        return "docker.io";
    }
    let bare = server.split_once("://").map_or(server, |(_, rest)| rest);
    bare.split('/').next().unwrap_or(bare)
}

impl Auth {
    fn credentials(self, server: String) -> Option<PullCredentials> {
        let decoded = self.auth.and_then(|auth| STANDARD.decode(auth).ok());
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let (username, password) = match (self.username, self.password, pair) {
            (Some(username), Some(password), _) => (username, password),
            (_, _, Some((username, password))) => (username.to_owned(), password.to_owned()),
            _ if self.identitytoken.is_some() => (String::new(), String::new()),
            _ => return None,
        };
        Some(PullCredentials { username, password, server, identity_token: self.identitytoken })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_by_registry() {
        let config = serde_json::json!({"auths": {
            "https://index.docker.io/v1/": {"auth": STANDARD.encode("hub:a:b")},
            "quay.io": {"username": "q", "password": "p"},
            "http://reg:5000/v2": {"identitytoken": "t"},
            "broken.io": {"auth": "%%%"},
        }});
        let secret: Secret = serde_json::from_value(serde_json::json!({
            "data": {".dockerconfigjson": STANDARD.encode(config.to_string())}}))
        .unwrap();
        let cases = [
            ("docker.io", Some(("hub", "a:b"))),
            ("quay.io", Some(("q", "p"))),
            ("reg:5000", Some(("", ""))),
            ("broken.io", None),
            ("other.io", None),
        ];
        for (registry, expected) in cases {
            let found = of_secret(&secret, registry);
            let found = found.first().map(|found| (found.username.as_str(), found.password.as_str()));
            assert_eq!(found, expected, "{registry}");
        }
    }
}
