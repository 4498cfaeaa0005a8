//! `ctl version`.

use clap::Args;
use serde_json::json;

use crate::{
    api::Api,
    error::Result,
    output::{Format, render},
};

/// Which versions.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Ask no server
    #[arg(long)]
    client: bool,
    /// Format: json, yaml
    #[arg(short, long)]
    output: Option<Format>,
}

/// Prints the versions of client and server.
///
/// # Errors
/// When the server cannot be reached.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let client = component::KUBERNETES_VERSION;
    if let Some(format) = &flags.output {
        let mut versions = json!({"clientVersion": {"gitVersion": client}});
        if !flags.client {
            versions["serverVersion"] = api.get("/version").await?;
        }
        print!("{}", render(format, &versions)?);
        return Ok(());
    }
    println!("Client Version: {client}");
    if !flags.client {
        let server = api.get("/version").await?;
        println!("Server Version: {}", server["gitVersion"].as_str().unwrap_or_default());
    }
    Ok(())
}
