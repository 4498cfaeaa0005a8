//! What `config set-cluster` and `config set-credentials` set.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::{Value, json};

use super::file::File;
use crate::{
    connection::GlobalFlags,
    error::{Error, Result},
};

/// A cluster; --server, --certificate-authority and --insecure-skip-tls-verify are its fields, too.
#[derive(Args, Clone, Debug)]
pub struct Cluster {
    name: String,
    /// Keep the certificate itself, not the file's name
    #[arg(long)]
    embed_certs: bool,
    /// Reach the server through this proxy
    #[arg(long)]
    proxy_url: Option<String>,
    /// The name in the server's certificate
    #[arg(long)]
    tls_server_name: Option<String>,
}

impl Cluster {
    pub(super) fn set(&self, global: &GlobalFlags, file: &mut File) -> Result<()> {
        let skip = global.insecure_skip_tls_verify;
        let mut fields = json!({"server": global.server, "proxy-url": self.proxy_url,
            "tls-server-name": self.tls_server_name, "insecure-skip-tls-verify": skip.then_some(true)});
        if let Some(path) = &global.certificate_authority {
            let path = path.to_string_lossy();
            certificate(&mut fields, "certificate-authority", &path, self.embed_certs)?;
        }
        let entry = file.entry_mut("clusters", "cluster", &self.name);
        if (self.tls_server_name.is_some() || global.certificate_authority.is_some())
            && let Some(entry) = entry.as_object_mut()
        {
            // Who says how to check a certificate means it to be checked.
            entry.remove("insecure-skip-tls-verify");
        }
        file.put("clusters", "cluster", &self.name, &fields);
        println!("Cluster {:?} set.", self.name);
        Ok(())
    }
}

/// A file's name, or what is in it.
fn certificate(fields: &mut Value, key: &str, path: &str, embed: bool) -> Result<()> {
    if embed {
        fields[format!("{key}-data")] = embedded(path)?.into();
        return Ok(());
    }
    let absolute = std::path::absolute(path).map_err(|error| Error::File(error.to_string()))?;
    fields[key] = absolute.to_string_lossy().into_owned().into();
    Ok(())
}

/// A file in base64.
///
/// # Errors
/// When it cannot be read.
pub fn embedded(path: &str) -> Result<String> {
    let bytes = fs::read(path).map_err(|error| Error::File(format!("could not read {path}: {error}")))?;
    Ok(BASE64_STANDARD.encode(bytes))
}

/// A user; --token, --client-certificate and --client-key are its fields, too.
#[derive(Args, Clone, Debug)]
pub struct Credentials {
    name: String,
    /// Name for basic authentication
    #[arg(long)]
    username: Option<String>,
    /// Password for basic authentication
    #[arg(long)]
    password: Option<String>,
    /// Keep certificate and key themselves, not the files' names
    #[arg(long)]
    embed_certs: bool,
    /// Authentication provider
    #[arg(long)]
    auth_provider: Option<String>,
    /// KEY=VALUE or KEY- of the provider
    #[arg(long, value_delimiter = ',')]
    auth_provider_arg: Vec<String>,
    /// A program that tells the credentials
    #[arg(long)]
    exec_command: Option<String>,
    /// The version of what it tells
    #[arg(long)]
    exec_api_version: Option<String>,
    /// Its arguments
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    exec_arg: Vec<String>,
    /// KEY=VALUE or KEY- of its environment
    #[arg(long)]
    exec_env: Vec<String>,
    /// Never, IfAvailable or Always
    #[arg(long)]
    exec_interactive_mode: Option<String>,
    /// It is told of the cluster
    #[arg(long)]
    exec_provide_cluster_info: bool,
}

impl Credentials {
    pub(super) fn set(&self, global: &GlobalFlags, file: &mut File) -> Result<()> {
        if global.token.is_some() && self.username.is_some() {
            return Err(Error::usage(
                "you cannot specify more than one authentication method at the same time: --token, --username/--password",
            ));
        }
        let mut fields = json!({"token": global.token, "username": self.username, "password": self.password});
        let files = [("client-certificate", &global.client_certificate), ("client-key", &global.client_key)];
        for (key, path) in files {
            if let Some(path) = path {
                certificate(&mut fields, key, &path.to_string_lossy(), self.embed_certs)?;
            }
        }
        file.put("users", "user", &self.name, &fields);
        let user = file.entry_mut("users", "user", &self.name);
        self.displace(global, user);
        if let Some(provider) = &self.auth_provider {
            user["auth-provider"]["name"] = provider.clone().into();
        }
        if user["auth-provider"].is_object() && !self.auth_provider_arg.is_empty() {
            set_pairs(&mut user["auth-provider"]["config"], &self.auth_provider_arg);
        }
        self.set_exec(user);
        println!("User {:?} set.", self.name);
        Ok(())
    }

    /// One way to authenticate takes the place of another.
    fn displace(&self, global: &GlobalFlags, user: &mut Value) {
        let Some(user) = user.as_object_mut() else { return };
        if global.token.is_some() {
            user.remove("username");
            user.remove("password");
        } else if self.username.is_some() {
            user.remove("token");
        }
    }

    fn set_exec(&self, user: &mut Value) {
        if let Some(command) = &self.exec_command {
            user["exec"]["command"] = command.clone().into();
        }
        if !user["exec"].is_object() {
            return;
        }
        let exec = &mut user["exec"];
        if let Some(version) = &self.exec_api_version {
            exec["apiVersion"] = version.clone().into();
        }
        if let Some(mode) = &self.exec_interactive_mode {
            exec["interactiveMode"] = mode.clone().into();
        }
        if !self.exec_arg.is_empty() {
            exec["args"] = json!(self.exec_arg);
        }
        if self.exec_provide_cluster_info || exec["provideClusterInfo"].is_null() {
            exec["provideClusterInfo"] = self.exec_provide_cluster_info.into();
        }
        self.set_environment(exec);
    }

    fn set_environment(&self, exec: &mut Value) {
        let mut env = exec["env"].as_array().cloned().unwrap_or_default();
        for text in &self.exec_env {
            let (name, value) = text.split_once('=').unwrap_or((text.strip_suffix('-').unwrap_or(text), ""));
            env.retain(|known| known["name"] != name);
            if text.contains('=') {
                env.push(json!({"name": name, "value": value}));
            }
        }
        exec["env"] = if env.is_empty() { Value::Null } else { env.into() };
    }
}

fn set_pairs(map: &mut Value, texts: &[String]) {
    if !map.is_object() {
        *map = json!({});
    }
    let Some(map) = map.as_object_mut() else { return };
    for text in texts {
        match text.split_once('=') {
            Some((key, value)) => {
                map.insert(key.to_owned(), value.into());
            }
            None => {
                map.remove(text.strip_suffix('-').unwrap_or(text));
            }
        }
    }
}
