//! `ctl get --watch`.

use std::io::Write;

use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::Value;

use super::get::{Flags, parse_table};
use crate::{
    api::{ACCEPT_TABLE, Api},
    error::{Error, Result},
    output::{
        Format,
        table::{self, ColumnDefinition},
    },
    resources::Target,
};

/// Shows a target and then every change of it, until the server ends the watch.
///
/// # Errors
/// When the server refuses.
pub async fn run(api: &Api, flags: &Flags, target: &Target) -> Result<()> {
    let accept = if flags.wants_objects() { "application/json" } else { ACCEPT_TABLE };
    let initial = api.get_as(&flags.url(api, target), accept).await?;
    let version = initial["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
    let mut shown = Shown { flags, target, headings: Vec::new() };
    shown.first(initial)?;
    let url = watch_url(api, flags, target, &version);
    let mut lines = api.stream(&url, accept).await?.lines();
    while let Some(line) = lines.try_next().await.map_err(|error| Error::Unreachable(error.to_string()))? {
        let event: Value = serde_json::from_str(&line).map_err(|error| Error::Unreachable(error.to_string()))?;
        shown.event(event)?;
    }
    Ok(())
}

fn watch_url(api: &Api, flags: &Flags, target: &Target, version: &str) -> String {
    let mut collection = target.clone();
    let name = collection.name.take();
    let url = flags.url(api, &collection);
    let one = name.map_or_else(String::new, |name| format!("&fieldSelector=metadata.name%3D{name}"));
    format!("{url}&watch=true&resourceVersion={version}{one}")
}

struct Shown<'a> {
    flags: &'a Flags,
    target: &'a Target,
    /// Of the first table; later ones have none.
    headings: Vec<ColumnDefinition>,
}

impl Shown<'_> {
    fn first(&mut self, document: Value) -> Result<()> {
        if self.flags.wants_objects() {
            let shown = document["items"].as_array().cloned().unwrap_or_else(|| vec![document]);
            for object in shown.iter().filter(|_| !self.flags.changes_only()) {
                self.object(object)?;
            }
            flush();
            return Ok(());
        }
        let table = parse_table(document)?;
        if !self.flags.changes_only() && !table.rows.is_empty() {
            print!("{}", table::render(&table, &[], &self.flags.options(self.target, false)));
            self.headings = table.column_definitions;
        }
        flush();
        Ok(())
    }

    fn object(&self, object: &Value) -> Result<()> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match self.flags.format() {
            Format::Name => println!("{}/{name}", self.target.resource.display_name()),
            _ => print!("{}", self.flags.render(object)?),
        }
        Ok(())
    }

    fn event(&mut self, mut event: Value) -> Result<()> {
        let object = event["object"].take();
        if event["type"] == "ERROR" {
            let status = serde_json::from_value(object).map_err(|error| Error::Unreachable(error.to_string()))?;
            return Err(Error::Server(Box::new(status)));
        }
        if self.flags.wants_objects() {
            self.object(&object)?;
        } else {
            let table = parse_table(object)?;
            let mut options = self.flags.options(self.target, false);
            options.no_headers |= !self.headings.is_empty();
            print!("{}", table::render(&table, &self.headings, &options));
            if self.headings.is_empty() {
                self.headings = table.column_definitions;
            }
        }
        flush();
        Ok(())
    }
}

/// A line must be seen when it happens, in a pipe, too. A reader that went away ends the process
/// by SIGPIPE or at the next print.
fn flush() {
    drop(std::io::stdout().flush());
}
