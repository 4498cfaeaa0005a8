//! Server-side tables (`meta.k8s.io/v1` Table) as text.

use serde::Deserialize;
use serde_json::Value;

use super::tabs::Tabs;

/// A Table, as far as printing needs it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Table {
    /// Headings; a watch sends them only once.
    pub column_definitions: Vec<ColumnDefinition>,
    /// Lines.
    pub rows: Vec<Row>,
}

/// A heading.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ColumnDefinition {
    /// Text.
    pub name: String,
    /// Above 0 only with `-o wide`.
    pub priority: i32,
}

/// A line.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row {
    /// One value a column.
    pub cells: Vec<Value>,
    /// The object's metadata.
    pub object: Value,
}

/// What to show besides the table's own columns.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// All columns.
    pub wide: bool,
    /// No headings.
    pub no_headers: bool,
    /// A first column with the namespace.
    pub with_namespace: bool,
    /// A last column with all labels.
    pub show_labels: bool,
    /// A column for each of these labels.
    pub label_columns: Vec<String>,
    /// `pod/` before names, when several kinds are shown.
    pub name_prefix: Option<String>,
}

/// The text of a table. `headings` are used when the table has none of its own.
#[must_use]
pub fn render(table: &Table, headings: &[ColumnDefinition], options: &Options) -> String {
    let columns = if table.column_definitions.is_empty() { headings } else { &table.column_definitions };
    let mut tabs = Tabs::default();
    if !options.no_headers {
        tabs.line(heading(columns, options));
    }
    for row in &table.rows {
        tabs.line(line(row, columns, options));
    }
    tabs.render()
}

fn heading(columns: &[ColumnDefinition], options: &Options) -> Vec<String> {
    let namespace = options.with_namespace.then(|| "NAMESPACE".to_owned());
    let shown = columns.iter().filter(|column| options.wide || column.priority == 0);
    let labels = options.label_columns.iter().map(|label| label.rsplit('/').next().unwrap_or(label).to_uppercase());
    let all = options.show_labels.then(|| "LABELS".to_owned());
    namespace.into_iter().chain(shown.map(|column| column.name.to_uppercase())).chain(labels).chain(all).collect()
}

fn line(row: &Row, columns: &[ColumnDefinition], options: &Options) -> Vec<String> {
    let metadata = &row.object["metadata"];
    let mut cells = Vec::new();
    if options.with_namespace {
        cells.push(metadata["namespace"].as_str().unwrap_or_default().to_owned());
    }
    for (at, (cell, column)) in row.cells.iter().zip(columns).enumerate() {
        if !options.wide && column.priority > 0 {
            continue;
        }
        let text =
            cell.as_str().map_or_else(|| if cell.is_null() { String::new() } else { cell.to_string() }, str::to_owned);
        match &options.name_prefix {
            Some(prefix) if at == 0 => cells.push(format!("{prefix}/{text}")),
            _ => cells.push(text),
        }
    }
    let labels = metadata["labels"].as_object();
    for label in &options.label_columns {
        let value = labels.and_then(|labels| labels.get(label)).and_then(Value::as_str);
        cells.push(value.unwrap_or_default().to_owned());
    }
    if options.show_labels {
        let pairs =
            labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        let pairs: Vec<String> = pairs.collect();
        cells.push(if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") });
    }
    cells
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_choose_columns() {
        let table: Table = serde_json::from_value(json!({
            "columnDefinitions": [{"name": "Name", "priority": 0}, {"name": "Node", "priority": 1}],
            "rows": [{"cells": ["a", "n1"], "object": {"metadata": {"namespace": "ns", "labels": {"x/app": "web"}}}}]
        }))
        .unwrap();
        let check = |options: Options, expected: &str| assert_eq!(render(&table, &[], &options), expected);
        check(Options::default(), "NAME\na\n");
        check(Options { wide: true, ..Options::default() }, "NAME   NODE\na      n1\n");
        check(Options { with_namespace: true, no_headers: true, ..Options::default() }, "ns    a\n");
        check(
            Options { label_columns: vec!["x/app".into()], show_labels: true, ..Options::default() },
            "NAME   APP   LABELS\na      web   x/app=web\n",
        );
    }
}
