//! `ctl version`.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::Api,
    connection::GlobalFlags,
    error::{Error, Result},
    output::{Format, render},
};

/// Which versions.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Ask no server
    #[arg(long)]
    client: bool,
    /// Format: json, yaml
    #[arg(short, long, default_value = "")]
    output: String,
    /// As before 1.28: short is how it is
    #[arg(long, hide = true)]
    short: bool,
}

/// The version of kustomize that builds the same.
const KUSTOMIZE: &str = "v5.8.1";

/// Prints the versions of client and server.
///
/// # Errors
/// When the server cannot be reached.
pub async fn run(global: &GlobalFlags, flags: &Flags) -> Result<()> {
    let client = client();
    if !["", "json", "yaml"].contains(&flags.output.as_str()) {
        return Err(Error::usage("--output must be 'yaml' or 'json'"));
    }
    let server = match flags.client {
        true => None,
        false => Some(Api::new(global).await?.get("/version").await),
    };
    let (server, failure) = match server {
        Some(Ok(server)) => (Some(server), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    show(flags, &client, server.as_ref())?;
    failure.map_or(Ok(()), Err)
}

fn show(flags: &Flags, client: &Value, server: Option<&Value>) -> Result<()> {
    let text = |version: &Value| version["gitVersion"].as_str().unwrap_or_default().to_owned();
    if flags.output.is_empty() {
        println!("Client Version: {}\nKustomize Version: {KUSTOMIZE}", text(client));
        if let Some(server) = server {
            println!("Server Version: {}", text(server));
        }
        return Ok(());
    }
    let mut versions = json!({"clientVersion": client, "kustomizeVersion": KUSTOMIZE});
    if let Some(server) = server {
        versions["serverVersion"] = server.clone();
    }
    match flags.output.as_str() {
        "yaml" => println!("{}", render(&Format::Yaml, &versions)?),
        _ => println!("{versions:#}"),
    }
    Ok(())
}

fn client() -> Value {
    let version = component::KUBERNETES_VERSION;
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    json!({"major": major, "minor": minor, "gitVersion": version, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" })})
}
