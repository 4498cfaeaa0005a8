//! `auth whoami`.

use clap::Args;
use serde_json::{Value, json};

use crate::{
    api::Api,
    commands::{create::plain_resource, writing::Printing},
    error::Result,
    output::{Format, tabs::Tabs},
    typed,
};

/// How to show it.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    printing: Printing,
}

/// Runs the command.
///
/// # Errors
/// When the server refuses.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = api.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await?;
    match flags.printing.format() {
        Format::Human | Format::Wide => print!("{}", table(&answer["status"]["userInfo"])),
        Format::Json => print!("{}", typed::pretty(&answer)),
        _ => flags.printing.print(&plain_resource(&answer), &answer, "")?,
    }
    Ok(())
}

fn table(user: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| {
        let items: Vec<String> = value.as_array().into_iter().flatten().map(text).collect();
        format!("[{}]", items.join(" "))
    };
    let mut tabs = Tabs::default();
    tabs.line(["ATTRIBUTE", "VALUE"]);
    tabs.line(["Username".to_owned(), text(&user["username"])]);
    if user["uid"].is_string() {
        tabs.line(["UID".to_owned(), text(&user["uid"])]);
    }
    if user["groups"].is_array() {
        tabs.line(["Groups".to_owned(), list(&user["groups"])]);
    }
    for (key, values) in user["extra"].as_object().into_iter().flatten() {
        tabs.line([format!("Extra: {key}"), list(values)]);
    }
    tabs.render()
}
