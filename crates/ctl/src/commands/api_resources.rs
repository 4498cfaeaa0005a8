//! `ctl api-resources`.

use clap::Args;

use crate::{
    api::Api,
    error::Result,
    output::tabs::Tabs,
    resources::{Catalog, ResourceType},
};

/// Which resources.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Only this group; empty means core
    #[arg(long)]
    api_group: Option<String>,
    /// Only namespaced ones, or only others
    #[arg(long, default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    namespaced: Option<bool>,
    /// Only those with all these verbs
    #[arg(long, value_delimiter = ',')]
    verbs: Vec<String>,
    /// No headings
    #[arg(long)]
    no_headers: bool,
    /// Format: name, wide
    #[arg(short, long)]
    output: Option<String>,
}

/// Lists what the server offers.
///
/// # Errors
/// When the server cannot be reached.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    let catalog = Catalog::discover(api).await?;
    let mut shown: Vec<_> = catalog.types().iter().filter(|resource| flags.select(resource)).collect();
    shown.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
    if flags.output.as_deref() == Some("name") {
        for resource in shown {
            let group = if resource.group.is_empty() { String::new() } else { format!(".{}", resource.group) };
            println!("{}{group}", resource.plural);
        }
        return Ok(());
    }
    let wide = flags.output.as_deref() == Some("wide");
    let mut tabs = Tabs::default();
    let headings = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", "VERBS", "CATEGORIES"];
    let columns = if wide { 7 } else { 5 };
    if !flags.no_headers {
        tabs.line(headings[..columns].iter().copied());
    }
    for resource in shown {
        let cells = [
            resource.plural.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.namespaced.to_string(),
            resource.kind.clone(),
            resource.verbs.join(","),
            resource.categories.join(","),
        ];
        tabs.line(cells[..columns].iter().map(String::as_str));
    }
    print!("{}", tabs.render());
    Ok(())
}

impl Flags {
    fn select(&self, resource: &ResourceType) -> bool {
        self.api_group.as_ref().is_none_or(|group| *group == resource.group)
            && self.namespaced.is_none_or(|namespaced| namespaced == resource.namespaced)
            && self.verbs.iter().all(|verb| resource.verbs.contains(verb))
            && resource.verbs.iter().any(|verb| verb == "list" || verb == "get")
    }
}
