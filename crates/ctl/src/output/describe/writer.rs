//! Indented fields and tables.

use crate::output::tabs::Tabs;

/// Collects lines; fields of one level that follow each other are aligned.
#[derive(Debug, Default)]
pub struct Writer {
    text: String,
    level: usize,
    /// Fields not yet written: level, name, value.
    block: Vec<(usize, String, String)>,
}

impl Writer {
    /// `Name:   value`.
    pub fn field(&mut self, name: &str, value: impl Into<String>) {
        self.block.push((self.level, format!("{name}:"), value.into()));
    }

    /// A field with a value a line.
    pub fn list(&mut self, name: &str, values: &[String]) {
        match values.split_first() {
            None => self.field(name, "<none>"),
            Some((first, rest)) => {
                self.field(name, first.clone());
                self.block.extend(rest.iter().map(|value| (self.level, String::new(), value.clone())));
            }
        }
    }

    /// `Name:`, and what `inside` writes, one level deeper.
    pub fn section(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.field(name, "");
        self.level += 1;
        inside(self);
        self.level -= 1;
    }

    /// A line of its own.
    pub fn line(&mut self, text: &str) {
        self.flush();
        self.text.push_str(&"  ".repeat(self.level));
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// A table, indented.
    pub fn table(&mut self, headings: &[&str], rows: Vec<Vec<String>>) {
        let mut tabs = Tabs::default();
        tabs.line(headings.iter().copied());
        tabs.line(headings.iter().map(|heading| "-".repeat(heading.len())));
        for row in rows {
            tabs.line(row);
        }
        for line in tabs.render().lines() {
            self.line(line);
        }
    }

    /// Everything.
    #[must_use]
    pub fn render(mut self) -> String {
        self.flush();
        self.text
    }

    fn flush(&mut self) {
        let block = std::mem::take(&mut self.block);
        let width = |level: usize| {
            let names = block.iter().filter(|(at, _, value)| *at == level && !value.is_empty());
            names.map(|(_, name, _)| name.chars().count()).max().unwrap_or(0) + 2
        };
        for (level, name, value) in &block {
            let padding = if value.is_empty() { 0 } else { width(*level) };
            let line = format!("{}{name:padding$}{value}", "  ".repeat(*level));
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }
}
