//! `create secret`: one sub-command a type.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::{Generated, data, named};
use crate::{
    commands::writing::Creating,
    error::{Error, Result},
    program::one_name,
};

/// `create secret`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Clone, Debug, Subcommand)]
enum Kind {
    /// Create a secret for use with a Docker registry
    DockerRegistry(DockerRegistry),
    /// Create a secret from a local file, directory, or literal value
    Generic(Generic),
    /// Create a TLS secret
    Tls(Tls),
}

impl Flags {
    pub(super) fn generate(&self) -> Result<Generated<'_>> {
        match &self.kind {
            Kind::DockerRegistry(flags) => flags.generate(),
            Kind::Generic(flags) => flags.generate(),
            Kind::Tls(flags) => flags.generate(),
        }
    }
}

/// What every type takes.
#[derive(Args, Clone, Debug)]
struct Shared {
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Append a hash of the contents to the name
    #[arg(long)]
    append_hash: bool,
    #[command(flatten)]
    creating: Creating,
}

impl Shared {
    /// The secret of these contents.
    fn secret(&self, name: &str, kind: Option<&str>, entries: Vec<data::Entry>) -> Generated<'_> {
        let mut object = named("v1", "Secret", name);
        let data: Map<String, Value> =
            entries.into_iter().map(|(key, content)| (key, BASE64_STANDARD.encode(content).into())).collect();
        let hashed = json!({"kind": "Secret", "type": kind.unwrap_or_default(), "name": name,
            "data": data.clone()});
        object["data"] = data.into();
        object["type"] = kind.into();
        if self.append_hash {
            object["metadata"]["name"] = format!("{name}-{}", data::hash(&hashed)).into();
        }
        (object, &self.creating)
    }
}

#[derive(Args, Clone, Debug)]
struct Generic {
    #[command(flatten)]
    shared: Shared,
    #[command(flatten)]
    sources: data::Sources,
    /// The secret's type
    #[arg(long = "type")]
    kind: Option<String>,
}

impl Generic {
    fn generate(&self) -> Result<Generated<'_>> {
        let name = one_name(&self.shared.names, "create secret generic")?;
        let entries = self.sources.entries(&data::Into { kind: "Secret", name })?;
        Ok(self.shared.secret(name, self.kind.as_deref(), entries))
    }
}

#[derive(Args, Clone, Debug)]
struct DockerRegistry {
    #[command(flatten)]
    shared: Shared,
    #[arg(long, default_value = "")]
    docker_username: String,
    #[arg(long, default_value = "")]
    docker_password: String,
    #[arg(long, default_value = "")]
    docker_email: String,
    #[arg(long, default_value = "https://index.docker.io/v1/")]
    docker_server: String,
    /// [KEY=]FILE, Docker's own configuration
    #[arg(long, value_delimiter = ',')]
    from_file: Vec<String>,
}

const DOCKER_CONFIG: &str = ".dockerconfigjson";

impl DockerRegistry {
    fn generate(&self) -> Result<Generated<'_>> {
        let name = one_name(&self.shared.names, "create secret docker-registry")?;
        let given = [&self.docker_username, &self.docker_password, &self.docker_server];
        if self.from_file.is_empty() && given.iter().any(|given| given.is_empty()) {
            return Err(Error::usage(
                "either --from-file or the combination of --docker-username, --docker-password and --docker-server is required",
            ));
        }
        let entries = match self.from_file.as_slice() {
            [] => vec![(DOCKER_CONFIG.to_owned(), self.config().into_bytes())],
            files => self.files(name, files)?,
        };
        Ok(self.shared.secret(name, Some("kubernetes.io/dockerconfigjson"), entries))
    }

    fn files(&self, name: &str, files: &[String]) -> Result<Vec<data::Entry>> {
        let keyed = |file: &String| if file.contains('=') { file.clone() } else { format!("{DOCKER_CONFIG}={file}") };
        let sources = data::Sources::of_files(files.iter().map(keyed).collect());
        sources.entries(&data::Into { kind: "Secret", name })
    }

    /// Docker's configuration, its fields in Docker's order.
    fn config(&self) -> String {
        let auth = BASE64_STANDARD.encode(format!("{}:{}", self.docker_username, self.docker_password));
        let fields = [
            ("username", &self.docker_username),
            ("password", &self.docker_password),
            ("email", &self.docker_email),
            ("auth", &auth),
        ];
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
        let fields: Vec<String> =
            fields.map(|(name, value)| format!("\"{name}\":{}", crate::typed::line(&json!(value)))).collect();
        format!("{{\"auths\":{{{}:{{{}}}}}}}", json!(self.docker_server), fields.join(","))
    }
}

#[derive(Args, Clone, Debug)]
struct Tls {
    #[command(flatten)]
    shared: Shared,
    /// The certificate, in PEM
    #[arg(long, default_value = "")]
    cert: String,
    /// Its key, in PEM
    #[arg(long, default_value = "")]
    key: String,
}

impl Tls {
    fn generate(&self) -> Result<Generated<'_>> {
        let name = one_name(&self.shared.names, "create secret tls")?;
        if self.cert.is_empty() || self.key.is_empty() {
            return Err(Error::usage("key and cert must be specified"));
        }
        let (certificate, key) = (read(&self.cert)?, read(&self.key)?);
        check_pair(&certificate, &key)?;
        let entries = vec![("tls.crt".to_owned(), certificate), ("tls.key".to_owned(), key)];
        Ok(self.shared.secret(name, Some("kubernetes.io/tls"), entries))
    }
}

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        Error::usage(format!("Cannot read file {path}, open {path}: {reason}"))
    })
}

/// Whether the key is the certificate's.
fn check_pair(certificate: &[u8], key: &[u8]) -> Result<()> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).filter_map(std::result::Result::ok).collect();
    if chain.is_empty() {
        return Err(Error::usage("tls: failed to find any PEM data in certificate input"));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| Error::usage("tls: failed to find any PEM data in key input"))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    match rustls::sign::CertifiedKey::from_der(chain, key, &provider) {
        Ok(_) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(Error::usage("tls: private key does not match public key")),
        Err(error) => Err(Error::usage(format!("tls: {error}"))),
    }
}
