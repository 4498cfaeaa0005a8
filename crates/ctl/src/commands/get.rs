//! `ctl get`.

use clap::Args;
use serde_json::Value;

use super::{Failures, query, watch};
use crate::{
    api::{ACCEPT_TABLE, Api},
    error::{Error, Result},
    manifests::FileFlags,
    output::{
        self, Format, Missing, sort,
        table::{self, Options, Table},
    },
    resources::{Catalog, Target},
};

/// What to select, and how to show it.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// TYPE[,TYPE…] [NAME…] or TYPE/NAME…
    pub arguments: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    selection: Selection,
    /// Format: wide, json, yaml, name, go-template=…, jsonpath=…, custom-columns=…, …-file=…, jsonpath-as-json=…
    #[arg(short, long, default_value = "", value_parser = parse_format, hide_default_value = true)]
    output: Format,
    /// Template of -o=go-template and -o=jsonpath; alone it is one of Go's
    #[arg(long)]
    template: Option<String>,
    /// Templates skip keys that are missing
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    allow_missing_template_keys: bool,
    /// Go on showing changes
    #[arg(short, long)]
    watch: bool,
    /// Show changes only
    #[arg(long)]
    watch_only: bool,
    /// No headings
    #[arg(long)]
    no_headers: bool,
    /// A column with all labels
    #[arg(long)]
    show_labels: bool,
    /// A column for each of these labels
    #[arg(short = 'L', long, value_delimiter = ',')]
    label_columns: Vec<String>,
    /// Sort by what this path finds in each object, such as .metadata.name
    #[arg(long, value_name = "PATH")]
    sort_by: Option<String>,
    /// No error when an object is not there
    #[arg(long)]
    ignore_not_found: bool,
    /// Ask for an URI as it is
    #[arg(long, value_name = "URI")]
    raw: Option<String>,
}

fn parse_format(text: &str) -> std::result::Result<Format, String> {
    if text.is_empty() { Ok(Format::Human) } else { text.parse() }
}

/// Selectors and namespaces.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// Label selector
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// Field selector
    #[arg(long)]
    pub field_selector: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
}

impl Selection {
    /// Query parameters of a list.
    #[must_use]
    pub fn query(&self) -> String {
        query(&[("labelSelector", self.selector.as_deref()), ("fieldSelector", self.field_selector.as_deref())])
    }

    /// Whether the members of a collection are meant rather than the object called `name`; `all` is `--all`.
    ///
    /// # Errors
    /// When more than one of name, selector and `--all` is given: kubectl guesses nothing that may delete too much.
    pub fn selects(&self, all: bool, name: Option<&str>) -> Result<bool> {
        let selected = [&self.selector, &self.field_selector].into_iter().flatten().any(|text| !text.is_empty());
        match (all, selected, name) {
            (true, true, _) => Err(Error::usage("setting 'all' parameter but found a non empty selector. ")),
            (true, _, Some(_)) | (_, true, Some(_)) => {
                Err(Error::usage("name cannot be provided when a selector is specified"))
            }
            (all, selected, None) => Ok(all || selected),
            (false, false, Some(_)) => Ok(false),
        }
    }

    /// The namespace to look in.
    #[must_use]
    pub fn namespace<'a>(&self, api: &'a Api) -> Option<&'a str> {
        (!self.all_namespaces).then_some(api.namespace.as_str())
    }
}

/// Runs the command.
///
/// # Errors
/// When a resource is unknown or the server refuses.
pub async fn run(api: &Api, flags: &Flags) -> Result<()> {
    if let Some(uri) = &flags.raw {
        print!("{}", api.text(uri).await?);
        return Ok(());
    }
    let mut flags = flags.clone();
    flags.output = flags.output.with(flags.template.as_deref())?;
    let flags = &flags;
    let catalog = Catalog::discover(api).await?;
    let targets = flags.targets(&catalog)?;
    if flags.watch || flags.watch_only {
        let [target] = targets.as_slice() else {
            return Err(Error::usage("you may only specify a single resource type when watching"));
        };
        return watch::run(api, flags, target).await;
    }
    if flags.wants_objects() {
        return objects(api, flags, &targets).await;
    }
    tables(api, flags, &targets).await
}

impl Flags {
    fn targets(&self, catalog: &Catalog) -> Result<Vec<Target>> {
        if self.files.filenames.is_empty() {
            return catalog.targets(&self.arguments);
        }
        let named = |object: &Value| -> Result<Target> {
            let name = object["metadata"]["name"].as_str().map(str::to_owned);
            Ok(Target { resource: catalog.of_object(object)?, name })
        };
        self.files.objects()?.iter().map(named).collect()
    }

    /// Path and selectors of a target.
    pub(super) fn url(&self, api: &Api, target: &Target) -> String {
        let path = target.path(self.selection.namespace(api));
        let mut query = if target.name.is_none() { self.selection.query() } else { String::new() };
        if self.sort_by.is_some() && !self.wants_objects() {
            // What rows are sorted by is in no cell.
            query.push_str("&includeObject=Object");
        }
        format!("{path}?{query}")
    }

    /// How to print the target's table.
    pub(super) fn options(&self, target: &Target, several_kinds: bool) -> Options {
        Options {
            wide: self.output == Format::Wide,
            no_headers: self.no_headers,
            with_namespace: self.selection.all_namespaces && target.resource.namespaced,
            show_labels: self.show_labels,
            label_columns: self.label_columns.clone(),
            name_prefix: several_kinds.then(|| target.resource.display_name()),
        }
    }

    /// The format.
    pub(super) fn format(&self) -> &Format {
        &self.output
    }

    /// Whether to leave out what is there already.
    pub(super) fn changes_only(&self) -> bool {
        self.watch_only
    }

    /// An object, or a list, as it is printed.
    pub(super) fn render(&self, object: &Value) -> Result<String> {
        let missing = if self.allow_missing_template_keys { Missing::Skipped } else { Missing::Refused };
        output::render_with(&self.output, missing, object)
    }

    /// Whether objects are shown, not rows.
    pub(super) fn wants_objects(&self) -> bool {
        self.output == Format::Name || self.output.is_structured()
    }

    fn missing_is_fine(&self, error: &Error) -> bool {
        self.ignore_not_found && error.is_not_found()
    }
}

async fn objects(api: &Api, flags: &Flags, targets: &[Target]) -> Result<()> {
    let mut failures = Failures::default();
    let mut items = Vec::new();
    let single = matches!(targets, [Target { name: Some(_), .. }]);
    for target in targets {
        match api.get(&flags.url(api, target)).await {
            Ok(object) if target.name.is_some() => items.push(object),
            Ok(mut list) => items.extend(listed(&mut list, target)),
            Err(error) if flags.missing_is_fine(&error) => {}
            Err(error) => failures.note(Err(error))?,
        }
    }
    if let Some(path) = &flags.sort_by {
        sort::by_path(path, &mut items, |item| item).map_err(Error::Usage)?;
    }
    if flags.output == Format::Name {
        for item in &items {
            println!("{}", display(item, targets));
        }
    } else if let Format::Columns(columns) = &flags.output {
        print!("{}", columns.table(&items, !flags.no_headers).map_err(Error::Usage)?);
    } else if single {
        for item in &items {
            print!("{}", flags.render(item)?);
        }
    } else {
        print!("{}", flags.render(&output::list(items))?);
    }
    failures.result()
}

/// The items of a list, each with its kind, which lists leave out.
fn listed(list: &mut Value, target: &Target) -> Vec<Value> {
    let Value::Array(items) = list["items"].take() else { return Vec::new() };
    let named = |mut item: Value| {
        item["apiVersion"] = target.resource.api_version().into();
        item["kind"] = target.resource.kind.clone().into();
        item
    };
    items.into_iter().map(named).collect()
}

fn display(item: &Value, targets: &[Target]) -> String {
    let kind = item["kind"].as_str().unwrap_or_default();
    let known = targets.iter().find(|target| target.resource.kind == kind);
    let name = item["metadata"]["name"].as_str().unwrap_or_default();
    known.map_or_else(|| name.to_owned(), |target| format!("{}/{name}", target.resource.display_name()))
}

async fn tables(api: &Api, flags: &Flags, targets: &[Target]) -> Result<()> {
    let mut failures = Failures::default();
    let mut parts: Vec<(usize, Table)> = Vec::new();
    for (at, target) in targets.iter().enumerate() {
        match api.get_as(&flags.url(api, target), ACCEPT_TABLE).await {
            Ok(document) => merge(&mut parts, at, targets, parse_table(document)?),
            Err(error) if flags.missing_is_fine(&error) => {}
            Err(error) => failures.note(Err(error))?,
        }
    }
    parts.retain(|(_, table)| !table.rows.is_empty());
    if let Some(path) = &flags.sort_by {
        for (_, table) in &mut parts {
            sort::by_path(path, &mut table.rows, |row| &row.object).map_err(Error::Usage)?;
        }
    }
    let several_kinds = targets.iter().any(|target| target.resource != targets[0].resource);
    for (i, (at, table)) in parts.iter().enumerate() {
        if i > 0 {
            println!();
        }
        print!("{}", table::render(table, &[], &flags.options(&targets[*at], several_kinds)));
    }
    if parts.is_empty() && !failures.any && !flags.ignore_not_found {
        eprintln!("{}", nothing_found(api, flags, targets));
    }
    failures.result()
}

/// Objects of one kind that were asked for one by one share one table.
fn merge(parts: &mut Vec<(usize, Table)>, at: usize, targets: &[Target], table: Table) {
    match parts.last_mut() {
        Some((last, known)) if targets[*last].resource == targets[at].resource => known.rows.extend(table.rows),
        _ => parts.push((at, table)),
    }
}

pub(super) fn parse_table(document: Value) -> Result<Table> {
    serde_json::from_value(document).map_err(|error| Error::usage(format!("the server sent no table: {error}")))
}

fn nothing_found(api: &Api, flags: &Flags, targets: &[Target]) -> String {
    let namespaced = targets.iter().any(|target| target.resource.namespaced);
    if namespaced && !flags.selection.all_namespaces {
        format!("No resources found in {} namespace.", api.namespace)
    } else {
        "No resources found".to_owned()
    }
}
